// What may follow: a damaged or foreign log is told from a good one here, before apply() asserts.

#include "coordinator/core/cluster.h"
#include "coordinator/core/overloaded.h"

namespace strata::coordinator {

Status Cluster::check(const Event& event) const {
  const auto bad = [&](std::string_view why) {
    return fail(ErrorCode::kDamaged, "event {} ({}) cannot follow: {}", events_applied_ + 1,
                name_of(event.body), why);
  };
  const auto need_task = [&](const TaskKey& key) -> Status {
    if (find_task(key) == nullptr) return bad("there is no task " + key.brief());
    return {};
  };
  const auto need_want = [&](const std::string& sweep, const TaskKey& key) -> Status {
    STRATA_CHECK_OK(need_task(key));
    if (!tasks_.at(key).wants.contains(sweep)) return bad("there is no such want");
    return {};
  };
  const auto need_live = [&](const AttemptId& id) -> Status {
    if (!is_live(id)) return bad("attempt " + id.text() + " is not live");
    return {};
  };
  return std::visit(
      Overloaded{
          [&](const SweepOpened& e) -> Status {
            const auto it = sweeps_.find(e.sweep);
            const std::int64_t before = it == sweeps_.end() ? 0 : it->second.generation;
            if (e.generation != before + 1) return bad("the generation is not the next");
            return {};
          },
          [&](const TaskWanted& e) -> Status {
            if (!sweeps_.contains(e.sweep)) return bad("there is no sweep " + e.sweep);
            for (const TaskInput& input : e.spec.inputs) STRATA_CHECK_OK(need_task(input.producer));
            return {};
          },
          [&](const RunAdded& e) -> Status {
            if (!sweeps_.contains(e.sweep)) return bad("there is no sweep " + e.sweep);
            for (const auto& [stage, key] : e.run.tasks) STRATA_CHECK_OK(need_task(key));
            return {};
          },
          [&](const SweepSealed& e) -> Status {
            const auto it = sweeps_.find(e.sweep);
            if (it == sweeps_.end() || it->second.generation != e.generation)
              return bad("it was not opened");
            return {};
          },
          [&](const WantWithdrawn& e) -> Status {
            STRATA_CHECK_OK(need_task(e.task));
            if (!tasks_.at(e.task).wants.contains(e.sweep)) return bad("there was no such want");
            return {};
          },
          [&](const TaskRevived& e) -> Status {
            STRATA_CHECK_OK(need_task(e.task));
            const TaskState& state = tasks_.at(e.task).state;
            if (!std::holds_alternative<TaskFailed>(state) &&
                !std::holds_alternative<TaskCancelledState>(state) &&
                !std::holds_alternative<TaskPrunedState>(state)) {
              return bad("the task is " + std::string(name_of(state)));
            }
            return {};
          },
          [&](const TaskCancelled& e) -> Status {
            STRATA_CHECK_OK(need_task(e.task));
            const Task& task = tasks_.at(e.task);
            if (!task.wants.empty() || is_final(task.state) || gang_of(task.state) != nullptr)
              return bad("it is wanted, final or held");
            return {};
          },
          [&](const WorkerJoined& e) -> Status {
            if (e.worker != next_worker_id()) return bad("the worker's number is not the next");
            if (e.slots < 1) return bad("a worker without slots");
            return {};
          },
          [&](const WorkerDrained& e) -> Status {
            if (find_worker(e.worker) == nullptr) return bad("there is no such worker");
            return {};
          },
          [&](const WorkerGone& e) -> Status {
            const Worker* worker = find_worker(e.worker);
            if (worker == nullptr || !worker->attempts.empty())
              return bad("it is unknown or still holds attempts");
            return {};
          },
          [&](const AttemptGranted& e) -> Status {
            STRATA_CHECK_OK(need_task(e.attempt.task));
            const Task& task = tasks_.at(e.attempt.task);
            if (!std::holds_alternative<Queued>(task.state))
              return bad("the task is " + std::string(name_of(task.state)));
            if (e.attempt.number != next_attempt(task))
              return bad("the attempt's number is not the next");
            if (e.gang.empty()) return bad("an empty gang");
            if (inputs_of(task) != e.inputs) return bad("the inputs are not those that are there");
            for (const Grant& grant : e.gang) {
              const Worker* worker = find_worker(grant.worker);
              if (worker == nullptr || grant.slots < 1 || worker->free < grant.slots)
                return bad("the slots are not free");
              if (grant.memory_mb < 0 ||
                  (worker->memory_mb > 0 && worker->memory_free_mb < grant.memory_mb))
                return bad("the memory is not free");
            }
            return {};
          },
          [&](const AttemptStarted& e) -> Status {
            STRATA_CHECK_OK(need_live(e.attempt));
            if (!std::holds_alternative<Leased>(tasks_.at(e.attempt.task).state))
              return bad("it had started");
            return {};
          },
          [&](const CheckpointCommitted& e) -> Status { return need_live(e.attempt); },
          [&](const StopRequested& e) -> Status {
            STRATA_CHECK_OK(need_live(e.attempt));
            const Stop* stop = stop_of(tasks_.at(e.attempt.task).state);
            if (stop != nullptr && stop->kind > e.kind) return bad("it was asked for more already");
            return {};
          },
          [&](const AttemptEnded& e) -> Status { return need_live(e.attempt); },
          [&](const ArtifactEvicted& e) -> Status {
            if (!artifacts_.contains(e.artifact)) return bad("there is no such artifact");
            return {};
          },
          [&](const StoreRestored& e) -> Status {
            if (e.attempts_above <= newest_attempt())
              return bad("attempts have been given such numbers");
            return {};
          },
          [&](const WorkerQuarantined& e) -> Status {
            if (e.name.empty() || e.for_ms < 1) return bad("no name or no time");
            return {};
          },
          [&](const WorkerProbed& e) -> Status {
            if (!quarantines_.contains(e.name)) return bad("it is not in quarantine");
            return {};
          },
          [&](const WorkerReleased& e) -> Status {
            if (!quarantines_.contains(e.name)) return bad("it is not in quarantine");
            return {};
          },
          [&](const FailureForgiven& e) -> Status {
            STRATA_CHECK_OK(need_task(e.task));
            if (e.user_failures < 1 || e.user_failures > tasks_.at(e.task).user_failures)
              return bad("it has no such failures");
            return {};
          },
          [&](const RungReached& e) -> Status { return need_want(e.sweep, e.task); },
          [&](const TaskHeld& e) -> Status {
            STRATA_CHECK_OK(need_want(e.sweep, e.task));
            if (is_final(tasks_.at(e.task).state)) return bad("the task has ended");
            return {};
          },
          [&](const TaskPromoted& e) -> Status {
            STRATA_CHECK_OK(need_want(e.sweep, e.task));
            if (!tasks_.at(e.task).trouble().holds.contains(e.sweep)) return bad("it was not held");
            return {};
          },
          [&](const TaskPruned& e) -> Status {
            STRATA_CHECK_OK(need_want(e.sweep, e.task));
            if (!tasks_.at(e.task).trouble().holds.contains(e.sweep)) return bad("it was not held");
            return {};
          },
      },
      event.body);
}

}  // namespace strata::coordinator
