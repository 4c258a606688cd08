// What people ask about the present: `explain`, `workers`, and what `watch` (watch_report.h) says.
// Answered on the control thread from the core and from soft facts gathered here (when attempts
// began, their newest metrics, how long finished tasks took). No I/O.
//
// Thread rule: the core's thread. Answers are the bodies of docs/requests.md.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/core.h"
#include "coordinator/rung_watch.h"

namespace strata::coordinator {

inline constexpr std::size_t kPrefixDigitsMin = 4;

// A task or a run named by a unique prefix of its key.
struct Named {
  std::optional<TaskKey> task{};
  std::optional<RunKey> run{};
};
[[nodiscard]] Result<Named> resolve(const Cluster& cluster, const std::string& prefix);

class LiveView {
 public:
  // Every event once, in order, also those of the replay.
  void note(const Event& event);
  void note_heard(WorkerId worker, Instant now);
  // REQUIRES: the attempt's reports count.
  void note_point(const AttemptId& attempt, const MetricPoint& last, WallTime wall);

  [[nodiscard]] RungWatch& rungs() { return rungs_; }

  [[nodiscard]] Result<Value> explain(const Core& core, const std::string& prefix,
                                      Instant now) const;
  // A row of `watch`: a task that is out, and the cells that wait for it.
  [[nodiscard]] Value running_row(const Cluster& cluster, const TaskKey& key, const Task& task,
                                  const Array& cells) const;
  // How long its last success took; null: not known.
  [[nodiscard]] const double* seconds_of(const TaskKey& task) const;
  [[nodiscard]] Value workers(const Core& core, Instant now) const;

 private:
  struct Progress {
    std::int64_t step = 0;
    std::optional<std::int64_t> total{};
    std::int64_t updated_ms = 0;
    std::map<std::string, double> metrics{};
  };
  struct Live {  // an attempt that is not over
    std::int64_t granted_ms = 0;
    std::optional<std::int64_t> started_ms{};
    std::optional<Progress> progress{};
  };

  std::map<AttemptId, Live> live_;
  RungWatch rungs_;
  KeyIndex<double> seconds_;  // of the last success
  std::map<WorkerId, Instant> heard_;
};

[[nodiscard]] Value progress_value(std::int64_t step, std::optional<std::int64_t> total,
                                   std::int64_t updated_ms, Value metrics);

}  // namespace strata::coordinator
