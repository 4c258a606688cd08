#include "coordinator/core/metric_series.h"

#include <algorithm>
#include <cstdlib>

#include "base/utf8.h"
#include "coordinator/core/breaks.h"
#include "schema/score.h"

namespace strata::coordinator {

bool points_count(const Cluster& cluster, const AttemptId& attempt) {
  if (cluster.is_live(attempt)) return true;
  const Task* task = cluster.find_task(attempt.task);
  if (task == nullptr || task->attempts != attempt.number) return false;
  const auto* succeeded = std::get_if<TaskSucceeded>(&task->state);
  return (succeeded != nullptr && succeeded->attempt == attempt.number) ||
         std::holds_alternative<TaskDiverged>(task->state);
}

bool is_well_formed(const MetricBatch& batch) {
  if (batch.points.size() > kPointsPerBatchMax) return false;
  return std::all_of(batch.points.begin(), batch.points.end(), [](const MetricPoint& point) {
    if (point.sequence == 0 || point.sequence > kSequenceMax) return false;
    if (point.values.size() > kMetricsPerPointMax) return false;
    std::size_t bytes = 0;
    for (const auto& [name, value] : point.values) {
      bytes += name.size();
      if (bytes > kMetricNameBytesMax || !is_valid_utf8(name)) return false;
    }
    return true;
  });
}

std::vector<const MetricPoint*> SeriesIntake::take(const MetricBatch& batch, WallTime at,
                                                   std::size_t room) {
  released_.clear();
  std::vector<const MetricPoint*> out;
  for (const MetricPoint& point : batch.points) {
    if (point.sequence <= stored_) continue;
    if (point.sequence == stored_ + 1) {
      out.push_back(&point);
      stored_ = point.sequence;
      drain(out);
    } else if (room > 0 && ahead_.try_emplace(point.sequence, point).second) {
      --room;
    }
  }
  if (ahead_.empty()) {
    gap_since_.reset();
  } else if (!gap_since_ || !out.empty()) {
    gap_since_ = at;
  } else if (std::abs(at.unix_ms - gap_since_->unix_ms) >= kGapPatience.count()) {
    // Also after the clock was put back: a gap never holds a series up for longer.
    stored_ = ahead_.begin()->first - 1;
    drain(out);
    gap_since_.reset();
    if (!ahead_.empty()) gap_since_ = at;  // there is another one behind it
  }
  return out;
}

bool SeriesIntake::is_abandoned(WallTime at) const {
  return gap_since_ && std::abs(at.unix_ms - gap_since_->unix_ms) >= 2 * kGapPatience.count();
}

void SeriesIntake::drain(std::vector<const MetricPoint*>& out) {
  while (!ahead_.empty() && ahead_.begin()->first <= stored_ + 1) {
    const bool next = ahead_.begin()->first == stored_ + 1;
    auto node = ahead_.extract(ahead_.begin());
    if (!next) continue;  // it was stored from a repeat meanwhile
    stored_ = node.key();
    out.push_back(&released_.emplace_back(std::move(node.mapped())));
  }
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
