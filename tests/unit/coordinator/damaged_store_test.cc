// Every page of a store is damaged in turn, and every file is cut short: a start is sound, or says
// what is damaged and which tasks are affected, or says why it cannot start. Nothing is lost in
// silence, and the damaged file stays as it is.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "coordinator/fsck.h"
#include "coordinator/open_stores.h"
#include "coordinator/query.h"
#include "coordinator/repair.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_tip.h"
#include "tests/support/crashing_vfs.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/small_world.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;
using strata::testing::CrashingVfs;
using strata::testing::DiskImage;
using strata::testing::TemporaryFolder;
using strata::testing::write_image;

constexpr std::size_t kPage = 4'096;

std::size_t from_environment(const char* name, std::size_t fallback) {
  const char* text = std::getenv(name);
  return text != nullptr ? static_cast<std::size_t>(std::atoll(text)) : fallback;
}

// A few hundred events of as many tasks, some of which ran, and metric points.
struct Life {
  std::vector<Event> events{};
  DiskImage closed{};  // all in the database
  DiskImage open{};    // the newest part in SQLite's log

  static DiskImage files_of(const fs::path& folder) {
    DiskImage image;
    for (const char* name :
         {"events.sqlite", "events.sqlite-wal", "events.sqlite-tip", "tables.sqlite",
          "metrics.sqlite", "metrics.sqlite-wal", "metrics.sqlite-tip"}) {
      if (auto bytes = read_file(folder / name)) image.emplace(name, std::move(*bytes));
    }
    return image;
  }
  static RunSpec run_of(const std::vector<TaskSpec>& tasks) {
    return SmallWorld::run("cell", 1, {tasks.front()});
  }
  static void sweep(SmallWorld& world, int number) {
    std::vector<TaskSpec> tasks;
    for (int i = 0; i < 12; ++i)
      tasks.push_back(SmallWorld::task("train", Object{{"sweep", number}, {"run", i}}));
    world.step(world.client_peer, SubmitTasks{.id = 5,
                                              .sweep = fmt::format("sweep-{}", number),
                                              .definition = "{}",
                                              .first = true,
                                              .last = true,
                                              .tasks = tasks,
                                              .runs = {run_of(tasks)}});
    world.step({}, Tick{});
    for (const TaskSpec& task : tasks) {
      if (world.core.cluster().find_task(task.key)->attempts == 0) continue;
      world.start(task);
      world.checkpoint(task, 10);
      world.succeed(task, fmt::format("weights {}", task.key.hex()), {{.name = "wer", .value = 1}});
    }
  }
  void commit(SmallWorld& world, EventStore& store) {
    events.insert(events.end(), world.uncommitted.begin(), world.uncommitted.end());
    ASSERT_TRUE(world.commit(store));
  }
  [[nodiscard]] TaskKey first_begun() const {
    for (const Event& event : events) {
      if (const auto* granted = std::get_if<AttemptGranted>(&event.body))
        return granted->attempt.task;
    }
    return {};
  }
  [[nodiscard]] std::string some_run() const {
    for (const Event& event : events) {
      if (const auto* added = std::get_if<RunAdded>(&event.body)) return added->run.key.hex();
    }
    return "";
  }
  void points(MetricStore& store, const TaskKey& task, std::uint64_t first) const {
    MetricBatch batch{.attempt = {.task = task, .number = 1}};
    for (std::uint64_t i = first; i < first + 100; ++i)
      batch.points.push_back({.sequence = i, .step = 1, .values = {{"loss", 0.5}}});
    ASSERT_TRUE(store.store({&batch, 1}, {.unix_ms = 5}));
  }

  Life() {
    const TemporaryFolder folder;
    const CrashingVfs quick(folder.path());  // for its syncs, which cost nothing
    SmallWorld world;
    world.join();
    {
      EventStore store = EventStore::open(folder / "events.sqlite").value();
      MetricStore metrics = MetricStore::open(folder / "metrics.sqlite").value();
      for (int i = 0; i < 6; ++i) {
        sweep(world, i);
        commit(world, store);
        points(metrics, task_key_of(std::to_string(i)), 1);
        points(metrics, first_begun(), 1 + 100 * static_cast<std::uint64_t>(i));
      }
    }
    closed = files_of(folder.path());
    EventStore store = EventStore::open(folder / "events.sqlite").value();
    MetricStore metrics = MetricStore::open(folder / "metrics.sqlite").value();
    for (int i = 6; i < 9; ++i) {
      sweep(world, i);
      commit(world, store);
      points(metrics, task_key_of("0"), 1 + 100 * static_cast<std::uint64_t>(i));
    }
    open = files_of(folder.path());
  }
};

const Life& life() {
  static const Life one;
  return one;
}

struct DamagedStore : ::testing::Test {
  const Life& lived = life();
  TemporaryFolder folder;
  CrashingVfs quick{folder.path()};
  fs::path where = folder / "store";
  std::map<std::string, int> ends{};  // how often a start ended so

  // All tasks that an event from `seq` on names.
  static std::set<std::string> affected(const DiskImage& image, std::uint64_t after) {
    const std::uint64_t end = &image == &life().closed ? closed_events() : life().events.size();
    std::set<std::string> tasks;
    for (std::uint64_t i = after; i < end; ++i) {
      const Event& event = life().events[i];
      const auto* granted = std::get_if<AttemptGranted>(&event.body);
      const auto* wanted = std::get_if<TaskWanted>(&event.body);
      if (granted != nullptr) tasks.insert(granted->attempt.task.hex());
      if (wanted != nullptr) tasks.insert(wanted->spec.key.hex());
    }
    return tasks;
  }
  static std::uint64_t closed_events() {
    static const std::uint64_t events = [] {
      const TemporaryFolder there;
      write_image(life().closed, there / "s");
      return read_tip(there / "s/events.sqlite").value().seq;
    }();
    return events;
  }
  static std::string state_after(std::uint64_t events) {
    static std::map<std::uint64_t, std::string> known;
    const auto it = known.find(events);
    if (it != known.end()) return it->second;
    Cluster cluster;
    for (std::uint64_t i = 0; i < events; ++i) cluster.apply(life().events[i]);
    return known.emplace(events, summary(cluster)).first->second;
  }
  static DiskImage sorted(const fs::path& store) {
    DiskImage image = Life::files_of(store);
    return image;
  }

  // `original` with some damage. How it ended.
  std::string start(const DiskImage& damaged, const DiskImage& original, bool names_all) {
    write_image(damaged, where);
    const std::uint64_t all = &original == &life().closed ? closed_events() : life().events.size();
    const StoreFolder store = StoreFolder::open(where, true).value();
    const auto stores = open_stores(store, [](const Event&) {});
    if (!stores) {
      EXPECT_EQ(stores.error().code, ErrorCode::kDamaged) << stores.error().message;
      EXPECT_NE(stores.error().message.find("backup"), std::string::npos) << stores.error().message;
      return "refused";
    }
    const std::uint64_t events = stores->replayed.events;
    EXPECT_LE(events, all);
    EXPECT_EQ(summary(stores->replayed.cluster), state_after(events));
    if (events < all) {
      EXPECT_TRUE(stores->replayed.damage) << "events are missing, and nobody says so";
      EXPECT_NE(stores->safe_mode, "");
      if (!stores->replayed.damage) return "SILENT";
      if (names_all) {
        std::set<std::string> named(stores->replayed.damage->tasks.begin(),
                                    stores->replayed.damage->tasks.end());
        for (const std::string& task : affected(original, events))
          EXPECT_TRUE(named.contains(task)) << task << " is not named";
      }
      return "log damaged";
    }
    if (!stores->safe_mode.empty()) {
      EXPECT_NE(stores->safe_mode.find("--repair"), std::string::npos) << stores->safe_mode;
      return "tables damaged";
    }
    return "sound";
  }
  void repair_and_go_on() {
    const StoreFolder store = StoreFolder::open(where, true).value();
    const auto repaired = repair_store(store, true);
    if (!repaired) {  // the very first event is not to be read
      EXPECT_EQ(repaired.error().code, ErrorCode::kDamaged) << repaired.error().message;
      return;
    }
    const auto stores = open_stores(store, [](const Event&) {});
    ASSERT_TRUE(stores) << stores.error().message;
    EXPECT_EQ(stores->safe_mode, "");
    const auto checked = fsck(store.events_file(), store.metrics_file());
    ASSERT_TRUE(checked) << checked.error().message;
    EXPECT_TRUE(checked->sound()) << checked->text();
  }
  void print_ends() const {
    for (const auto& [how, times] : ends) std::printf("  %s: %d\n", how.c_str(), times);
  }
};

std::string flipped(std::string page, Random& random) {
  for (int i = 0; i < 4; ++i)
    page[random.bounded(page.size())] ^= static_cast<char>(1U << random.bounded(8));
  return page;
}
std::string noise(std::size_t size, Random& random) {
  std::string page(size, '\0');
  for (char& c : page) c = static_cast<char>(random.bounded(256));
  return page;
}

TEST_F(DamagedStore, AnyDamagedPageIsSaidAndTheAffectedTasksAreNamed) {
  Random random(from_environment("STRATA_CRASH_SEED", 1));
  const std::size_t every = from_environment("STRATA_CRASH_EVERY", 3);
  for (const char* file : {"events.sqlite", "metrics.sqlite"}) {
    const std::string& content = life().closed.at(file);
    ASSERT_GT(content.size() / kPage, 5U);
    for (std::size_t page = 0; page < content.size() / kPage; ++page) {
      for (int kind = 0; kind < 4; ++kind) {
        if ((page * 4 + static_cast<std::size_t>(kind)) % every != 0 && page > 2) continue;
        SCOPED_TRACE(fmt::format("{}: page {} damaged in way {}", file, page + 1, kind));
        DiskImage damaged = life().closed;
        const std::string old = content.substr(page * kPage, kPage);
        const std::size_t other = random.bounded(content.size() / kPage);
        std::string now(kPage, '\0');
        if (kind == 1) now = flipped(old, random);
        if (kind == 2) now = noise(kPage, random);
        if (kind == 3) {
          now = content.substr(other * kPage, kPage);
          damaged[file].replace(other * kPage, kPage, old);
        }
        damaged[file].replace(page * kPage, kPage, now);
        // An exchanged pair of pages may hide rows and index at once.
        const std::string how = start(damaged, life().closed, kind != 3);
        ++ends[std::string(file) + ": " + how];
        EXPECT_EQ(sorted(where).at(file), damaged.at(file)) << "the damaged file was written to";
        if (page % 7 == 0 && (how == "log damaged" || how == "tables damaged")) repair_and_go_on();
        if (HasFailure()) return;
      }
    }
  }
  print_ends();
}

TEST_F(DamagedStore, AnyTornTailIsSaid) {
  Random random(2);
  const std::size_t cuts = from_environment("STRATA_CRASH_CUTS", 25);
  for (const auto& [image, what] : {std::pair{&life().closed, "closed"}, {&life().open, "open"}}) {
    for (const char* file :
         {"events.sqlite", "events.sqlite-wal", "metrics.sqlite", "metrics.sqlite-wal"}) {
      if (!image->contains(file)) continue;
      const std::size_t size = image->at(file).size();
      for (std::size_t i = 0; i < cuts; ++i) {
        std::size_t length = i == 0 ? 0 : random.bounded(size);
        if (i % 3 == 1) length -= length % kPage;
        SCOPED_TRACE(fmt::format("{} store: {} cut from {} to {}", what, file, size, length));
        DiskImage damaged = *image;
        damaged[file].resize(length);
        const std::string how = start(damaged, *image, false);
        ++ends[fmt::format("{} {}: {}", what, file, how)];
        EXPECT_TRUE(how != "sound" || length + kPage > size || std::string(file) == "events.sqlite")
            << "nobody says what is missing";
        if (HasFailure()) return;
      }
    }
  }
  print_ends();
}

// What a coordinator at work finds when the disk changes under it: the files are not looked through
// again before a question. Any question may be answered wrongly or refused; it ends, and nothing
// else does.
TEST_F(DamagedStore, NoDamageOfWhatIsAskedEndsMoreThanTheQuestion) {
  Random random(from_environment("STRATA_CRASH_SEED", 3));
  const std::size_t every = from_environment("STRATA_CRASH_EVERY", 3);
  const std::string task = life().first_begun().hex();
  const Value named = Object{{"prefix", task}};
  const std::vector<std::pair<std::string, Value>> questions{
      {"status", Object{}},
      {"sweeps", Object{{"sweep", "sweep-1"}}},
      {"plan", Object{{"sweep", "sweep-1"}, {"tasks", Array{task}}, {"runs", Array{}}}},
      {"runs", Object{{"items", Array{"wer"}}}},
      {"tasks", Object{}},
      {"show", named},
      {"show", Object{{"prefix", life().some_run()}}},
      {"metrics", named},
      {"metrics", Object{{"prefix", task}, {"names", Array{"loss"}}}}};
  const auto ask_all = [&](const DiskImage& image) {
    write_image(image, where);
    auto query = Query::open(where / "events.sqlite", where / "metrics.sqlite");
    if (!query) return std::string("not opened");
    std::string how = "answered";
    for (const auto& [verb, body] : questions) {
      const auto answer = query->answer(verb, to_canonical_json(body), ServerFacts{});
      if (!answer) how = std::string("refused: ") + name_of(answer.error().code);
    }
    return how;
  };
  ASSERT_EQ(ask_all(life().closed), "answered");
  for (const char* file : {"tables.sqlite", "metrics.sqlite", "events.sqlite"}) {
    const std::string& content = life().closed.at(file);
    for (std::size_t page = 0; page < content.size() / kPage; ++page) {
      for (std::size_t kind = 0; kind < 6; ++kind) {
        if ((page * 6 + kind) % every != 0) continue;
        SCOPED_TRACE(fmt::format("{}: page {} damaged in way {}", file, page + 1, kind));
        DiskImage damaged = life().closed;
        std::string now(kPage, '\0');
        if (kind == 1) now = noise(kPage, random);
        if (kind > 1) now = flipped(content.substr(page * kPage, kPage), random);
        damaged[file].replace(page * kPage, kPage, now);
        ++ends[fmt::format("{}: {}", file, ask_all(damaged))];
      }
    }
  }
  print_ends();
}

TEST_F(DamagedStore, AVanishedFileIsNoNewStore) {
  for (const char* file : {"events.sqlite", "metrics.sqlite"}) {
    DiskImage damaged = life().closed;
    damaged.erase(file);
    EXPECT_NE(start(damaged, life().closed, false), "sound") << file;
  }
}

TEST_F(DamagedStore, RepairKeepsTheWholeLogAndRefusesToLoseAnythingUnasked) {
  DiskImage damaged = life().closed;
  std::string& bytes = damaged["events.sqlite"];
  {
    write_image(damaged, where);
    SQLite::Database database((where / "tables.sqlite").string(), SQLite::OPEN_READWRITE);
    database.exec("PRAGMA journal_mode=DELETE");
    database.exec("UPDATE task SET state = 'failed' WHERE rowid = 3");
  }
  {
    const StoreFolder store = StoreFolder::open(where, true).value();
    const Repaired repaired = repair_store(store, false).value();
    EXPECT_EQ(repaired.events.events, closed_events());
    EXPECT_TRUE(fs::exists(fs::path(repaired.replaced) / "events.sqlite"));
    EXPECT_TRUE(fsck(store.events_file(), store.metrics_file()).value().sound());
    EXPECT_TRUE(repair_store(store, false).value().was_sound);
  }
  bytes.resize(bytes.size() / 2);
  write_image(damaged, where);
  const StoreFolder store = StoreFolder::open(where, true).value();
  const auto refused = repair_store(store, false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_EQ(Life::files_of(where).at("events.sqlite"), bytes);
}

}  // namespace
}  // namespace strata::coordinator
