#include "coordinator/core/cluster.h"

#include <algorithm>

#include "base/assert.h"

namespace strata::coordinator {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

const std::uint32_t* attempt_of(const TaskState& state) {
  if (const auto* leased = std::get_if<Leased>(&state)) return &leased->attempt;
  if (const auto* running = std::get_if<Running>(&state)) return &running->attempt;
  return nullptr;
}

}  // namespace

const char* name_of(const TaskState& state) {
  return std::visit(
      Overloaded{[](const Blocked&) { return "blocked"; }, [](const Queued&) { return "queued"; },
                 [](const Leased&) { return "leased"; }, [](const Running&) { return "running"; },
                 [](const TaskSucceeded&) { return "succeeded"; },
                 [](const TaskFailed&) { return "failed"; },
                 [](const TaskCancelledState&) { return "cancelled"; },
                 [](const TaskDiverged&) { return "diverged"; }},
      state);
}

bool is_final(const TaskState& state) {
  return std::visit(
      Overloaded{[](const Blocked&) { return false; }, [](const Queued&) { return false; },
                 [](const Leased&) { return false; }, [](const Running&) { return false; },
                 [](const TaskSucceeded&) { return true; }, [](const TaskFailed&) { return true; },
                 [](const TaskCancelledState&) { return true; },
                 [](const TaskDiverged&) { return true; }},
      state);
}

const Gang* gang_of(const TaskState& state) {
  if (const auto* leased = std::get_if<Leased>(&state)) return &leased->gang;
  if (const auto* running = std::get_if<Running>(&state)) return &running->gang;
  return nullptr;
}

// --- questions ---

const Task* Cluster::find_task(const TaskKey& key) const {
  const auto it = tasks_.find(key);
  return it == tasks_.end() ? nullptr : &it->second;
}

const Worker* Cluster::find_worker(WorkerId id) const {
  const auto it = workers_.find(id);
  return it == workers_.end() ? nullptr : &it->second;
}

std::optional<std::map<std::string, ArtifactRef>> Cluster::inputs_of(const Task& task) const {
  std::map<std::string, ArtifactRef> inputs;
  for (const TaskInput& input : task.spec.inputs) {
    const Task* producer = find_task(input.producer);
    STRATA_ASSERT(producer != nullptr);
    if (!std::holds_alternative<TaskSucceeded>(producer->state)) return std::nullopt;
    const auto it = producer->artifacts.find(input.output);
    if (it == producer->artifacts.end()) return std::nullopt;
    const auto artifact = artifacts_.find(it->second.hash);
    STRATA_ASSERT(artifact != artifacts_.end());
    if (!artifact->second.present) return std::nullopt;
    inputs.emplace(input.name, it->second);
  }
  return inputs;
}

bool Cluster::is_outdated(const Task& task) const {
  std::vector<const Task*> left{&task};
  std::set<TaskKey> seen{task.spec.key};  // each ancestor once, by however many ways it is reached
  while (!left.empty()) {
    const Task& one = *left.back();
    left.pop_back();
    if (!std::holds_alternative<TaskSucceeded>(one.state)) continue;
    for (const TaskInput& input : one.spec.inputs) {
      const Task& producer = tasks_.at(input.producer);
      const auto made = producer.artifacts.find(input.output);
      const auto read = one.consumed.find(input.name);
      if (made != producer.artifacts.end() && read != one.consumed.end() &&
          made->second.hash != read->second) {
        return true;
      }
      if (seen.insert(input.producer).second) left.push_back(&producer);
    }
  }
  return false;
}

std::uint32_t Cluster::next_attempt(const Task& task) const {
  return std::max(task.attempts, attempts_above_) + 1;
}

std::uint32_t Cluster::newest_attempt() const {
  std::uint32_t newest = attempts_above_;
  for (const auto& [key, task] : tasks_) newest = std::max(newest, task.attempts);
  return newest;
}

bool Cluster::is_live(const AttemptId& attempt) const {
  const Task* task = find_task(attempt.task);
  if (task == nullptr) return false;
  const std::uint32_t* number = attempt_of(task->state);
  return number != nullptr && *number == attempt.number;
}

std::set<TaskKey> Cluster::take_touched() { return std::exchange(touched_, {}); }

// --- what may follow: a damaged or foreign log is told from a good one here, before apply()
// asserts ---

Status Cluster::check(const Event& event) const {
  const auto bad = [&](std::string_view why) {
    return fail(ErrorCode::kDamaged, "event {} ({}) cannot follow: {}", events_applied_ + 1,
                name_of(event.body), why);
  };
  const auto need_task = [&](const TaskKey& key) -> Status {
    if (find_task(key) == nullptr) return bad("there is no task " + key.brief());
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
                !std::holds_alternative<TaskCancelledState>(state)) {
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
          [&](const StopRequested& e) -> Status { return need_live(e.attempt); },
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
      },
      event.body);
}

// --- changes ---

void Cluster::apply(const Event& event) {
  if (const Status legal = apply_checked(event); !legal)
    assertion_failed(legal.error().message.c_str(), __FILE__, __LINE__);
}

Status Cluster::apply_checked(const Event& event) {
  STRATA_CHECK_OK(check(event));
  ++events_applied_;
  std::visit([&](const auto& body) { on(body); }, event.body);
  return {};
}

Task& Cluster::touch(const TaskKey& key) {
  touched_.insert(key);
  return tasks_.at(key);
}

ReadyOrder Cluster::ready_order(const Task& task) const {
  std::int64_t priority = 0;
  bool first = true;
  for (const std::string& sweep : task.wants) {
    const std::int64_t its = sweeps_.at(sweep).priority;
    priority = first ? its : std::max(priority, its);
    first = false;
  }
  return {.negative_priority = -priority, .order = task.order};
}

void Cluster::set_state(Task& task, TaskState state) {
  if (std::holds_alternative<Queued>(task.state)) ready_.erase(task.queued_at);
  task.state = std::move(state);
  if (!std::holds_alternative<Queued>(task.state)) return;
  task.queued_at = ready_order(task);
  ready_.emplace(task.queued_at, task.spec.key);
}

void Cluster::enqueue_or_block(Task& task, std::int64_t delay_ms) {
  if (inputs_of(task)) {
    set_state(task, Queued{.delay_ms = delay_ms});
    return;
  }
  set_state(task, Blocked{});
  // What it needs may have been made once and lost since: then it is made again.
  for (const TaskInput& input : task.spec.inputs) {
    Task& producer = touch(input.producer);
    if (!std::holds_alternative<TaskSucceeded>(producer.state)) continue;
    const auto made = producer.artifacts.find(input.output);
    if (made != producer.artifacts.end() && artifacts_.at(made->second.hash).present) continue;
    enqueue_or_block(producer, 0);
  }
}

void Cluster::release(const AttemptId& attempt, const Gang& gang) {
  for (const Grant& grant : gang) {
    const auto it = workers_.find(grant.worker);
    STRATA_ASSERT(it != workers_.end());
    it->second.free += grant.slots;
    STRATA_ASSERT(it->second.free <= it->second.slots);
    it->second.attempts.erase(attempt);
  }
}

void Cluster::on(const SweepOpened& e) {
  Sweep& sweep = sweeps_[e.sweep];
  if (sweep.order == 0) sweep.order = ++order_counter_;
  sweep.generation = e.generation;
  sweep.sealed = false;
  sweep.cancelled = false;
  if (sweep.priority == e.priority) return;
  sweep.priority = e.priority;
  // Tasks already waiting for this sweep move to their new place.
  std::map<ReadyOrder, TaskKey> ready;
  for (const auto& [order, key] : ready_) {
    Task& task = tasks_.at(key);
    task.queued_at = ready_order(task);
    ready.emplace(task.queued_at, key);
  }
  ready_ = std::move(ready);
}

void Cluster::on(const TaskWanted& e) {
  sweeps_.at(e.sweep).cancelled = false;
  const auto [it, created] = tasks_.try_emplace(e.spec.key);
  Task& task = touch(e.spec.key);
  if (created) {
    task.spec = e.spec;
    task.order = ++order_counter_;
    task.wants.insert(e.sweep);
    for (const TaskInput& input : e.spec.inputs)
      tasks_.at(input.producer).consumers.insert(e.spec.key);
    enqueue_or_block(task, 0);
    return;
  }
  task.wants.insert(e.sweep);
  // Resources, limits and secrets are no part of the key; the newest word counts, but never for a
  // gang that is out.
  if (gang_of(task.state) == nullptr) {
    take_spec(task, e.spec);
  } else {
    task.next_spec = e.spec;
  }
  if (const auto* queued = std::get_if<Queued>(&task.state)) set_state(task, Queued{*queued});
}

// Outputs only grow: another sweep may take what this one does not.
void Cluster::take_spec(Task& task, const TaskSpec& spec) {
  std::vector<std::string> outputs = std::move(task.spec.outputs);
  task.spec = spec;
  outputs.insert(outputs.end(), spec.outputs.begin(), spec.outputs.end());
  std::sort(outputs.begin(), outputs.end());
  outputs.erase(std::unique(outputs.begin(), outputs.end()), outputs.end());
  task.spec.outputs = std::move(outputs);
}

void Cluster::on(const RunAdded& e) {
  Sweep& sweep = sweeps_.at(e.sweep);
  sweep.runs[e.run.key] = {.spec = e.run, .generation = e.generation};
}

void Cluster::on(const SweepSealed& e) {
  Sweep& sweep = sweeps_.at(e.sweep);
  sweep.sealed = true;
  sweep.sealed_generation = e.generation;
  sweep.cancelled =
      false;  // what was withdrawn before belonged to runs that are no longer asked for
}

void Cluster::on(const WantWithdrawn& e) {
  sweeps_.at(e.sweep).cancelled = true;
  Task& task = touch(e.task);
  task.wants.erase(e.sweep);
  if (const auto* queued = std::get_if<Queued>(&task.state)) set_state(task, Queued{*queued});
}

void Cluster::on(const TaskRevived& e) {
  Task& task = touch(e.task);
  task.user_failures = 0;
  task.infra_failures = 0;
  enqueue_or_block(task, 0);
}

void Cluster::on(const TaskCancelled& e) { set_state(touch(e.task), TaskCancelledState{}); }

void Cluster::on(const WorkerJoined& e) {
  worker_counter_ = e.worker.value();
  workers_[e.worker] = {
      .name = e.name, .session = e.session, .slots = e.slots, .free = e.slots, .labels = e.labels};
}

void Cluster::on(const WorkerDrained& e) { workers_.at(e.worker).draining = true; }

void Cluster::on(const WorkerGone& e) { workers_.erase(e.worker); }

void Cluster::on(const AttemptGranted& e) {
  Task& task = touch(e.attempt.task);
  for (const Grant& grant : e.gang) {
    Worker& worker = workers_.at(grant.worker);
    worker.free -= grant.slots;
    STRATA_ASSERT(worker.free >= 0);
    worker.attempts.insert(e.attempt);
  }
  task.attempts = e.attempt.number;
  set_state(task, Leased{.attempt = e.attempt.number,
                         .gang = e.gang,
                         .inputs = e.inputs,
                         .resume_from = e.resume_from});
}

void Cluster::on(const AttemptStarted& e) {
  Task& task = touch(e.attempt.task);
  Leased leased = std::get<Leased>(task.state);
  set_state(task, Running{.attempt = leased.attempt,
                          .gang = std::move(leased.gang),
                          .inputs = std::move(leased.inputs),
                          .stop_reason = std::move(leased.stop_reason)});
}

void Cluster::on(const CheckpointCommitted& e) {
  Task& task = touch(e.attempt.task);
  const auto* leased = std::get_if<Leased>(&task.state);
  const auto* running = std::get_if<Running>(&task.state);
  task.checkpoint = Checkpoint{.step = e.step,
                               .artifact = e.artifact,
                               .inputs = leased != nullptr ? leased->inputs : running->inputs};
  Artifact& artifact = artifacts_[e.artifact.hash];
  artifact.producers.insert(e.attempt.task);
  artifact.ref = e.artifact;
  artifact.present = true;
}

void Cluster::on(const StopRequested& e) {
  Task& task = touch(e.attempt.task);
  if (auto* leased = std::get_if<Leased>(&task.state)) leased->stop_reason = e.reason;
  if (auto* running = std::get_if<Running>(&task.state)) running->stop_reason = e.reason;
}

void Cluster::on(const AttemptEnded& e) {
  Task& task = touch(e.attempt.task);
  const Gang* gang = gang_of(task.state);
  STRATA_ASSERT(gang != nullptr);
  release(e.attempt, *gang);
  // Before anything is decided about the task: with the old spec, a consumer of an output that it
  // did not declare would have it run again for ever.
  if (task.next_spec) take_spec(task, *std::exchange(task.next_spec, std::nullopt));
  std::visit(Overloaded{[&](const Succeeded& outcome) { end_succeeded(task, e.attempt, outcome); },
                        [&](const Failed& outcome) { end_failed(task, outcome); },
                        [&](const Lost& outcome) { end_lost(task, outcome); },
                        [&](const Stopped& outcome) {
                          task.last_failure = outcome.reason;
                          if (task.wants.empty()) {
                            set_state(task, TaskCancelledState{});
                          } else {
                            enqueue_or_block(task, 0);
                          }
                        },
                        [&](const Diverged& outcome) {
                          set_state(task, TaskDiverged{.reason = outcome.reason});
                        }},
             e.outcome);
}

void Cluster::end_succeeded(Task& task, const AttemptId& attempt, const Succeeded& outcome) {
  task.artifacts = outcome.artifacts;
  task.consumed = outcome.consumed;
  for (const auto& [output, ref] : outcome.artifacts) {
    Artifact& artifact = artifacts_[ref.hash];
    artifact.producers.insert(task.spec.key);
    artifact.ref = ref;
    artifact.present = true;
  }
  set_state(task, TaskSucceeded{.attempt = attempt.number});
  for (const TaskKey& key : task.consumers) {
    Task& consumer = touch(key);
    if (std::holds_alternative<Blocked>(consumer.state)) enqueue_or_block(consumer, 0);
  }
}

void Cluster::end_failed(Task& task, const Failed& outcome) {
  task.last_failure = outcome.reason;
  const bool charged = outcome.cause == FailureClass::kUser;
  std::int64_t& count = charged ? task.user_failures : task.infra_failures;
  ++count;
  const std::int64_t limit =
      charged ? task.spec.retry.user_failures_max : task.spec.retry.infra_failures_max;
  if (task.wants.empty()) {
    set_state(task, TaskCancelledState{});
  } else if (outcome.cause == FailureClass::kInvalid || count >= limit) {
    set_state(task, TaskFailed{.reason = outcome.reason});
  } else {
    enqueue_or_block(task, outcome.delay_ms);
  }
}

void Cluster::end_lost(Task& task, const Lost& outcome) {
  end_failed(task, Failed{.cause = FailureClass::kInfra,
                          .reason = outcome.reason,
                          .delay_ms = outcome.delay_ms});
}

void Cluster::on(const StoreRestored& e) { attempts_above_ = e.attempts_above; }

void Cluster::on(const ArtifactEvicted& e) {
  Artifact& artifact = artifacts_.at(e.artifact);
  artifact.present = false;
  for (const TaskKey& producer : artifact.producers) {
    Task& made_by = touch(producer);
    // A checkpoint that is gone is never resumed from: the next attempt begins anew.
    if (made_by.checkpoint && made_by.checkpoint->artifact.hash == e.artifact)
      made_by.checkpoint.reset();
    for (const TaskKey& key : made_by.consumers) {
      Task& consumer = touch(key);
      const bool waits = std::holds_alternative<Blocked>(consumer.state) ||
                         std::holds_alternative<Queued>(consumer.state);
      if (waits) enqueue_or_block(consumer, 0);
    }
  }
}

}  // namespace strata::coordinator
