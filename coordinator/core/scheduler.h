// One pass over what waits: which tasks get which slots, which places are kept, which gangs are
// asked to make room. Pure: it reads a picture and returns a proposal, so a preview is a pass whose
// result is not applied.
//
// Lanes are served in this order, decided anew after each placement:
//   1. scoring, while it holds less than its share of the slots: else checkpoints pile up unscored
//   2. priority of the sweep
//   3. gangs for which a place is kept already, by who began to wait first: who waits for room gets
//      it, however the shares move meanwhile
//   4. the user who holds the fewest slots now
//   5. the sweep that holds the fewest slots for its weight
//   6. the task that was created first
// A sweep at its quota is passed over. A gang that has to wait keeps the best worker for itself;
// behind it goes only what does not delay it (Reservation).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "coordinator/core/placement.h"
#include "coordinator/core/ready_queue.h"

namespace strata::coordinator {

// The rest waits for the next pass, so that no pass is long.
inline constexpr std::size_t kPlacementsPerPassMax = 1'000;
inline constexpr std::size_t kLaneLooksPerPassMax = 100'000;

// Who holds how much now. An attempt is on the account of one sweep from its grant to its end.
struct Account {
  std::string sweep{};
  std::string user{};
  bool scoring = false;
  std::int64_t slots = 0;
};
class Usage {
 public:
  void hold(const AttemptId& attempt, Account account);
  void release(const AttemptId& attempt);
  [[nodiscard]] std::int64_t of_sweep(const std::string& sweep) const;
  [[nodiscard]] std::int64_t of_user(const std::string& user) const;
  [[nodiscard]] std::int64_t of_scoring() const { return scoring_; }

 private:
  void add(const Account& account, std::int64_t slots);
  std::map<AttemptId, Account> accounts_;
  std::map<std::string, std::int64_t> sweeps_;
  std::map<std::string, std::int64_t> users_;
  std::int64_t scoring_ = 0;
};

struct SchedulerOptions {
  double scoring_share = 0.1;  // of all slots; at least one slot, while something is to be scored
  std::int64_t user_slots_max = 0;  // what one user may hold at once; 0: no quota
};

// Who waits for room on a worker.
struct KeptPlace {
  TaskKey task{};
  std::uint64_t since = 0;  // counts up
};

// What a pass looks at. `machines` are in the order of their ids.
struct Picture {
  const Cluster& cluster;
  const ReadyQueue& queue;
  const Usage& usage;
  const SchedulerOptions& options;
  std::vector<Machine> machines{};
  std::map<WorkerId, KeptPlace> kept{};  // by the pass before
  // When an attempt that runs ends, as it says; nothing where it does not.
  std::function<std::optional<Instant>(const AttemptId&)> ends{};
  Instant now{};
};

struct Grantable {
  TaskKey task{};
  Gang gang{};
  std::optional<Instant> must_end_by{};  // a backfilled one
};
struct Preemption {
  AttemptId attempt{};
  std::string reason{};
};
struct Pass {
  std::vector<Grantable> grants{};
  std::vector<Preemption> preemptions{};
  std::map<WorkerId, KeptPlace> kept{};
};
[[nodiscard]] Pass plan_pass(Picture picture);

// Why so many slots more are over a quota for now; empty: they are not.
[[nodiscard]] std::string quota_reason(const SweepOptions& sweep, const SchedulerOptions& options,
                                       std::int64_t held_by_sweep, std::int64_t held_by_user,
                                       std::int64_t slots);

}  // namespace strata::coordinator
