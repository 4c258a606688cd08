// What clients ask for and takes too long for one step: how far it has come. The core does a part
// of it with each step (core_chores.cc).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>

#include "base/strong_id.h"
#include "base/value.h"
#include "schema/ids.h"

namespace strata::coordinator {

// Where a message came from and where its answer goes; given by the transport, good for the life of
// a connection.
using PeerId = StrongId<struct PeerTag>;

struct Part {  // what a step may still do of it
  std::size_t looks = 0;
  std::size_t events = 0;  // of the whole step
  [[nodiscard]] bool has_room(std::size_t events_so_far) const {
    return looks > 0 && events_so_far < events;
  }
};
struct Cancelling {
  std::string sweep{};
  std::optional<TaskKey> after{};  // looked at up to here
  std::int64_t withdrawn = 0;
  std::int64_t stopping = 0;
  [[nodiscard]] Object said() const;
};
struct Sealing {
  std::string sweep{};
  std::int64_t generation = 0;
  Object batch{};  // what is said of the last batch
  enum class Phase : std::uint8_t { kDropped, kAskedFor, kWithdrawing } phase = Phase::kDropped;
  std::optional<RunKey> after{};
  std::set<TaskKey> dropped{};  // from the file, not begun
  std::int64_t withdrawn = 0;
  [[nodiscard]] Object said() const;
};
struct Retrying {
  std::string sweep{};
  bool all = false;
  bool pruned_too = false;
  bool looked = false;
  std::string in_sweep{};
  std::optional<RunKey> after{};
  std::map<TaskKey, std::set<std::string>> standing{};  // in current runs of these sweeps
  std::int64_t revived = 0;
  [[nodiscard]] Object said() const;
};
struct Chore {
  PeerId peer{};
  std::uint64_t request = 0;
  std::variant<Cancelling, Sealing, Retrying> body{};
};

}  // namespace strata::coordinator
