// What `strata watch` is told about a sweep: how many of its tasks are in which state, what runs,
// what failed, what the rest waits for. Made in parts, because a sweep of 100,000 tasks takes
// longer than a turn of the control loop may: what changes meanwhile is seen as it was when its
// part was made.
//
// Thread rule: the core's thread. The answer is the body of docs/requests.md.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "coordinator/live_view.h"

namespace strata::coordinator {

inline constexpr std::size_t kWatchReasonsMax = 256;  // asked of the core for one answer
inline constexpr std::size_t kWatchFailedMax = 100;   // failed tasks listed in one answer
inline constexpr std::size_t kWatchRunningMax = 500;

class WatchReport {
 public:
  // REQUIRES: the sweep is there.
  explicit WatchReport(std::string sweep) : sweep_(std::move(sweep)) {}
  [[nodiscard]] const std::string& sweep() const { return sweep_; }

  // Looks at up to `looks` more runs and tasks. Whether it is whole.
  [[nodiscard]] bool go_on(const Core& core, const LiveView& live, Instant now, std::size_t looks);
  // REQUIRES: it is whole.
  [[nodiscard]] Value value(const Core& core, WallTime wall) const;

 private:
  enum class Behind : std::uint8_t { kNothing, kPruned, kDiverged, kFailed };

  void add(const Core& core, const LiveView& live, Instant now, const TaskKey& key,
           const std::set<std::string>& cells);
  void add_waiting(const Core& core, Instant now, const TaskKey& key, const Task& task);
  Behind behind(const Cluster& cluster, const TaskKey& key);
  [[nodiscard]] Array waiting_rows() const;

  std::string sweep_;
  std::optional<RunKey> run_{};  // looked at up to here
  bool runs_done_ = false;
  std::optional<TaskKey> task_{};
  // The cells that wait for each task; orphans are no part of the sweep now.
  std::map<TaskKey, std::set<std::string>> cells_{};
  std::map<std::string, std::int64_t> states_{};
  std::map<std::string, std::map<std::string, std::int64_t>> by_stage_{};
  std::map<std::string, std::vector<double>> seconds_{};
  Array running_{};
  Array failed_{};
  std::map<std::string, std::string> reason_by_shape_{};
  std::map<std::string, std::int64_t> waiting_{};  // by reason
  std::map<TaskKey, Behind> behind_{};
  std::int64_t behind_failed_ = 0;
  std::int64_t behind_pruned_ = 0;
  std::int64_t behind_diverged_ = 0;
};

}  // namespace strata::coordinator
