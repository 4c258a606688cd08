// Which tasks' metric points may say that a rung was reached, and where those points are: the
// living branch of each task, as the events tell it. The shell's half of a search; it decides
// nothing.
//
// A task is due when points of it have come that go beyond a rung, or when an event may have made
// points count that are there already: a new submission, a promotion, the rung before, a restart.
// Thread rule: one thread.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <vector>

#include "coordinator/core/core.h"
#include "coordinator/core/key_index.h"
#include "coordinator/metric_store.h"

namespace strata::coordinator {

// Of one turn of the control loop; the rest waits for the next.
inline constexpr std::size_t kRungLooksPerTurnMax = 64;
inline constexpr std::size_t kRungTasksPerTurnMax = 4'096;
inline constexpr std::chrono::milliseconds kRungRetry{1'000};

class RungWatch {
 public:
  // Every event once, in order, also those of the replay.
  void note(const Event& event);
  // Points up to this step are stored.
  void note_points(const AttemptId& attempt, std::int64_t step, const Core& core);

  // What the stored points of the tasks that are due say. Points that cannot be read now are looked
  // for again after kRungRetry, and said once in the log.
  [[nodiscard]] std::vector<RungReport> look(const Core& core, MetricStore& metrics, Instant now);
  [[nodiscard]] bool anything_due(Instant now) const {
    return !due_.empty() || (!unread_.empty() && now >= retry_);
  }

 private:
  struct Last {
    ContentHash checkpoint{};
    std::int64_t step = 0;
  };
  KeyIndex<Last> checkpoints_;
  KeyIndex<std::vector<BranchAttempt>> branches_;
  std::deque<TaskKey> due_;   // in the order in which they came; some of them twice
  std::set<TaskKey> unread_;  // due again at retry_
  Instant retry_{};
  bool told_ = false;  // that points cannot be read
};

}  // namespace strata::coordinator
