#include "coordinator/task_rows.h"

namespace strata::coordinator {
namespace {

std::string reason_of(const TaskState& state) {
  if (const auto* failed = std::get_if<TaskFailed>(&state)) return failed->reason;
  if (const auto* diverged = std::get_if<TaskDiverged>(&state)) return diverged->reason;
  if (const auto* held = std::get_if<Held>(&state)) return held->reason;
  if (const auto* pruned = std::get_if<TaskPrunedState>(&state)) return pruned->reason;
  return {};
}

TaskRow row_of(const TaskKey& key, const Task& task, bool with_spec) {
  TaskRow row{.key = key,
              .state = name_of(task.state),
              .reason = reason_of(task.state),
              .outdated = task.outdated,
              .attempts = task.attempts,
              .user_failures = task.user_failures,
              .infra_failures = task.infra_failures,
              .last_failure = task.trouble().last_failure};
  if (const auto* state = std::get_if<TaskSucceeded>(&task.state))
    row.succeeded_attempt = state->attempt;
  if (task.checkpoint) row.checkpoint_step = task.checkpoint->step;
  if (with_spec) row.spec = std::make_shared<const TaskSpec>(task.spec.whole());
  return row;
}

}  // namespace

std::vector<TaskRow> rows_of(const Touched& touched, const Cluster& cluster) {
  std::vector<TaskRow> rows;
  rows.reserve(touched.tasks().size());
  for (const auto& [key, spec] : touched.tasks()) {
    const Task* task = cluster.find_task(key);
    if (task != nullptr) rows.push_back(row_of(key, *task, spec));
  }
  return rows;
}

}  // namespace strata::coordinator
