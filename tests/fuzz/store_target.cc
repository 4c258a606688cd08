// An event database of which some bytes were changed. An input is a list of changes: where (3
// bytes), how many (1), and the bytes that are put there; a length of 255 cuts the file off
// instead.
#include "base/assert.h"
#include "base/files.h"
#include "coordinator/event_store.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_tip.h"
#include "tests/fuzz/targets.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/small_world.h"

namespace strata::fuzz {
namespace {

namespace fs = std::filesystem;
using coordinator::Cluster;
using coordinator::EventStore;
using coordinator::SmallWorld;

struct Stored {
  testing::TemporaryFolder folder{};
  std::string bytes{};
  coordinator::Tip tip{};
  std::vector<std::string> states{};  // after each event

  Stored() {
    SmallWorld world;
    const fs::path file = folder / "base.sqlite";
    {
      EventStore store = EventStore::open(file, "fuzz").value();
      world.join();
      world.submit();
      world.start(world.extract);
      world.succeed(world.extract, "features");
      Cluster cluster;
      states.push_back(summary(cluster));
      for (const Event& event : world.uncommitted) {
        cluster.apply(event);
        states.push_back(summary(cluster));
      }
      STRATA_ASSERT(world.commit(store).has_value());
    }
    bytes = read_file(file).value();
    tip = coordinator::read_tip(file).value();
  }
};

std::string changed(std::string bytes, std::string_view input) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(input[i]));
  };
  for (std::size_t i = 0; i + 4 <= input.size() && !bytes.empty();) {
    const std::size_t at = (byte(i) << 16U | byte(i + 1) << 8U | byte(i + 2)) % bytes.size();
    const std::size_t count = byte(i + 3);
    i += 4;
    if (count == 255) {
      bytes.resize(at);
      continue;
    }
    const std::string_view put = input.substr(i, count);
    for (std::size_t j = 0; j < put.size() && at + j < bytes.size(); ++j) bytes[at + j] = put[j];
    i += put.size();
  }
  return bytes;
}

}  // namespace

std::string run_store(std::string_view input) {
  static const Stored stored;
  const fs::path file = stored.folder / "events.sqlite";
  const std::string bytes = changed(stored.bytes, input);
  STRATA_ASSERT(write_file_unsynced(file, bytes).has_value());
  std::error_code ignored;
  for (const char* end : {"-wal", "-shm", "-tip", "-name"})
    fs::remove(file.string() + end, ignored);
  coordinator::TipWriter::open(file).value().write(stored.tip);
  const auto structure = coordinator::structural_damage(file);
  Cluster cluster;
  std::size_t events = 0;
  const auto damage =
      coordinator::read_events(file, [&](const coordinator::StoredEvent& one) -> Status {
        STRATA_CHECK_OK(cluster.apply_checked(one.event));
        ++events;
        return {};
      });
  const bool unsound = !structure || !structure->empty();
  if (!damage) return damage.error().message;
  // A prefix, and not in silence.
  STRATA_ASSERT(events < stored.states.size());
  STRATA_ASSERT(summary(cluster) == stored.states[events]);
  STRATA_ASSERT(events + 1 == stored.states.size() || damage->has_value());
  return fmt::format("{}; {}", unsound ? "unsound" : "sound",
                     *damage ? (*damage)->what : "the log is whole");
}

}  // namespace strata::fuzz
