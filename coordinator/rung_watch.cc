#include "coordinator/rung_watch.h"

#include <algorithm>

#include "base/log.h"

namespace strata::coordinator {

void RungWatch::note(const Event& event) {
  std::visit(
      [&](const auto& e) {
        using T = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<T, CheckpointCommitted>) {
          checkpoints_.set(e.attempt.task, {.checkpoint = e.artifact.hash, .step = e.step});
        } else if constexpr (std::is_same_v<T, AttemptGranted>) {
          std::vector<BranchAttempt>& branch = branches_.at(e.attempt.task);
          BranchAttempt attempt{.attempt = e.attempt.number};
          const Last* last = checkpoints_.find(e.attempt.task);
          if (e.resume_from && last != nullptr && last->checkpoint == e.resume_from->hash) {
            attempt.resume_step = last->step;
          } else {
            branch.clear();  // it begins anew: nothing earlier is alive
          }
          branch.push_back(attempt);
          due_.push_back(e.attempt.task);
        } else if constexpr (std::is_same_v<T, RunAdded>) {
          for (const auto& [stage, task] : e.run.tasks) due_.push_back(task);
        } else if constexpr (std::is_same_v<T, RungReached> || std::is_same_v<T, TaskPromoted>) {
          due_.push_back(e.task);
        }
      },
      event.body);
}

void RungWatch::note_points(const AttemptId& attempt, std::int64_t step, const Core& core) {
  const std::vector<WatchedRung> watched = core.watched(attempt.task);
  if (std::any_of(watched.begin(), watched.end(), [&](const auto& w) { return step >= w.step; }))
    due_.push_back(attempt.task);
}

std::vector<RungReport> RungWatch::look(const Core& core, MetricStore& metrics, Instant now) {
  std::vector<RungReport> reports;
  const bool retries = !unread_.empty() && now >= retry_;
  if (retries) due_.insert(due_.end(), unread_.begin(), unread_.end());
  if (retries) unread_.clear();
  std::size_t looks = 0;
  std::size_t tasks = 0;
  std::set<TaskKey> looked;
  while (!due_.empty() && looks < kRungLooksPerTurnMax && tasks < kRungTasksPerTurnMax) {
    const TaskKey key = due_.front();
    due_.pop_front();
    ++tasks;
    if (!looked.insert(key).second) continue;
    const std::vector<BranchAttempt>* branch = branches_.find(key);
    if (branch == nullptr) continue;
    const std::vector<WatchedRung> watched = core.watched(key);
    if (watched.empty()) continue;
    const std::vector<BranchPart> parts = living_branch(*branch);
    for (const WatchedRung& rung : watched) {
      ++looks;
      const auto value = metrics.value_at(key, parts, rung.metric, rung.step);
      if (!value) {
        if (!told_) log_warning("coordinator", "{}; its search waits", value.error().message);
        told_ = true;
        unread_.insert(key);
        retry_ = now + kRungRetry;
        break;
      }
      if (!*value) continue;
      const AttemptId attempt{.task = key,
                              .number = static_cast<std::uint32_t>(parts.back().attempt)};
      reports.push_back(
          {.attempt = attempt, .metric = rung.metric, .step = rung.step, .value = **value});
    }
  }
  if (retries && unread_.empty()) told_ = false;
  return reports;
}

}  // namespace strata::coordinator
