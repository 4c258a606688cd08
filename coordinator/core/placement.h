// Where a task may run. One function, obstacle(), decides for the scheduling pass, for `explain`
// and for previews, so they cannot disagree. *Waiting* means try again when something changes;
// *infeasible* means that no worker that is here could ever hold it.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "coordinator/core/cluster.h"

namespace strata::coordinator {

// What decides where a task may lie. Tasks with equal needs are interchangeable to a pass.
struct Needs {
  Resources resources{};
  bool resumable = false;
  std::int64_t grace_ms = 0;       // to write a checkpoint and end
  std::set<std::string> avoids{};  // names of workers; obeyed while others could hold it
  auto operator<=>(const Needs&) const = default;
};
[[nodiscard]] Needs needs_of(const Task& task);

// A place that is kept for a gang that has to wait. Behind it goes only what does not delay it:
// what says that it ends before `from`, or what fits into what the gang leaves over then.
struct Reservation {
  TaskKey task{};
  std::optional<Instant>
      from{};                   // when the gang can begin, if all that runs there says when it ends
  std::int64_t slots_over = 0;  // of then
  std::int64_t memory_over_mb = 0;
};

// A worker as a pass sees it: what is free now, and what is known without being in the log.
struct Machine {
  WorkerId id{};
  const Worker* worker = nullptr;
  std::int64_t free = 0;
  std::int64_t memory_free_mb = 0;
  bool silent = false;
  const Quarantine* quarantine = nullptr;
  std::optional<std::chrono::milliseconds> lifetime_left{};  // nothing: it has no end
  std::optional<Reservation> reserved{};
};

// Why a task does not lie on a machine now. Those up to kDraining do not pass while it is here.
enum class Obstacle : std::uint8_t {
  kLabel,
  kSlots,
  kMemory,
  kDraining,
  kQuarantined,
  kSilent,
  kAvoided,
  kLifetime,
  kReserved,
  kBusy,
};
inline constexpr Obstacle kLastStanding = Obstacle::kDraining;

// A machine that ends sooner gets nothing; a resumable task that does not fit into the rest of its
// life is worth beginning when so many times its grace are left.
inline constexpr std::chrono::milliseconds kLifetimeLeftMin{60'000};
inline constexpr std::int64_t kGracesWorthBeginning = 10;

// The first that holds, in the order of the enumeration; nothing: it fits.
[[nodiscard]] std::optional<Obstacle> obstacle(const Needs& needs, const Machine& machine,
                                               Instant now);

struct Placed {
  Gang gang{};
  bool backfilled = false;  // into a gap before a reservation, so it must keep its word
};
struct Waiting {
  std::string reason{};
  bool anywhere = false;  // also for a worker where it failed: no other could ever hold it
};
struct Infeasible {
  std::string reason{};
};
using Placement = std::variant<Placed, Waiting, Infeasible>;

// A gang lies within one worker in this version: one that is kept for nobody, then that with the
// fewest free slots that still fits, then the lowest id. `machines` are in the order of their ids.
[[nodiscard]] Placement place(const Needs& needs, const std::vector<Machine>& machines,
                              Instant now);

}  // namespace strata::coordinator
