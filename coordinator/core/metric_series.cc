#include "coordinator/core/metric_series.h"

#include <algorithm>

#include "coordinator/core/breaks.h"

namespace strata::coordinator {

bool points_count(const Cluster& cluster, const AttemptId& attempt) {
  if (cluster.is_live(attempt)) return true;
  const Task* task = cluster.find_task(attempt.task);
  if (task == nullptr || task->attempts != attempt.number) return false;
  const auto* succeeded = std::get_if<TaskSucceeded>(&task->state);
  return (succeeded != nullptr && succeeded->attempt == attempt.number) ||
         std::holds_alternative<TaskDiverged>(task->state);
}

std::vector<const MetricPoint*> fresh_points(const MetricBatch& batch, std::uint64_t stored) {
  std::vector<const MetricPoint*> fresh;
  for (const MetricPoint& point : batch.points) {
    if (point.sequence <= stored) continue;
    fresh.push_back(&point);
    stored = point.sequence;
  }
  return fresh;
}

std::vector<BranchPart> living_branch(std::span<const BranchAttempt> attempts) {
  std::vector<BranchPart> parts;
  std::optional<std::int64_t> last_step;
  for (std::size_t i = attempts.size(); i-- > 0;) {
    parts.push_back({.attempt = attempts[i].attempt, .last_step = last_step});
    if (STRATA_BROKEN(kMetricsAfterRollback)) continue;
    if (!attempts[i].resume_step) break;  // it began anew: nothing earlier is alive
    last_step =
        last_step ? std::min(*last_step, *attempts[i].resume_step) : *attempts[i].resume_step;
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace strata::coordinator
