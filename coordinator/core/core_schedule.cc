// The part of the core that gives slots away, says what is owed, and explains.

#include <algorithm>

#include "base/assert.h"
#include "coordinator/core/breaks.h"
#include "coordinator/core/core.h"

namespace strata::coordinator {

std::vector<Machine> Core::machines(Instant now) const {
  std::vector<Machine> machines;
  for (const auto& [id, worker] : cluster_.workers()) {
    const WorkerPresence& presence = presence_.at(id);
    Machine machine{
        .id = id,
        .worker = &worker,
        .free = worker.free,
        .memory_free_mb = worker.memory_free_mb,
        .silent = presence.peer == PeerId() || now - presence.heard >= options_.slow_after,
        .quarantine = cluster_.find_quarantine(worker.name)};
    if (presence.ends) {
      machine.lifetime_left =
          std::max(std::chrono::milliseconds{0},
                   std::chrono::duration_cast<std::chrono::milliseconds>(*presence.ends - now));
    }
    machines.push_back(machine);
  }
  return machines;
}

void Core::schedule(Step& step) {
  queue_.wake(step.now, cluster_);
  if (queue_.lanes().empty()) {
    kept_.clear();  // nobody waits
    return;
  }
  const auto ends = [&](const AttemptId& attempt) -> std::optional<Instant> {
    const auto granted = granted_.find(attempt);
    const std::int64_t takes = cluster_.find_task(attempt.task)->resources().expected_ms;
    if (granted == granted_.end() || takes <= 0) return std::nullopt;
    return granted->second + std::chrono::milliseconds(takes);
  };
  Pass pass = plan_pass({.cluster = cluster_,
                         .queue = queue_,
                         .usage = usage_,
                         .options = options_.scheduler,
                         .machines = machines(step.now),
                         .kept = kept_,
                         .ends = ends,
                         .now = step.now});
  kept_ = std::move(pass.kept);
  for (const Grantable& one : pass.grants) grant(step, one);
  for (const Preemption& one : pass.preemptions) preempt(step, one.attempt, one.reason);
}

void Core::grant(Step& step, const Grantable& grant) {
  const Task& task = *cluster_.find_task(grant.task);
  std::optional<ArtifactRef> resume_from;
  const AttemptId attempt{.task = grant.task, .number = cluster_.next_attempt(task)};
  auto inputs = cluster_.inputs_of(task);
  if (STRATA_BROKEN(kTerminalReopens) && !inputs) return;
  STRATA_ASSERT(inputs.has_value());  // else it would be blocked, not queued
  if (task.spec.resumable() && task.checkpoint && task.checkpoint->inputs == *inputs)
    resume_from = task.checkpoint->artifact;
  record(step, AttemptGranted{.attempt = attempt,
                              .gang = grant.gang,
                              .inputs = std::move(*inputs),
                              .resume_from = resume_from});
  granted_[attempt] = step.now;
  if (grant.must_end_by) must_end_by_[attempt] = *grant.must_end_by;
  lease_until_[attempt] = step.now + std::chrono::milliseconds(task.spec.lease_ms());
  send(step, presence_.at(grant.gang.front().worker).peer,
       start_order(task, std::get<Leased>(task.state)));
}

void Core::preempt(Step& step, const AttemptId& attempt, const std::string& reason) {
  if (!cluster_.is_live(attempt)) return;
  if (stop_of(cluster_.find_task(attempt.task)->state) != nullptr) return;
  stop(step, attempt, StopKind::kPreempt, reason);
}

// It is asked; owed() asks again until its end is reported. A preempted gang has its task's grace
// to write a checkpoint, one that nobody wants the worker's own.
void Core::stop(Step& step, const AttemptId& attempt, StopKind kind, const std::string& reason) {
  const std::int64_t grace_ms =
      kind == StopKind::kCancel ? 0 : cluster_.find_task(attempt.task)->spec.grace_ms();
  record(step,
         StopRequested{.attempt = attempt, .reason = reason, .kind = kind, .grace_ms = grace_ms});
  const TaskState& state = cluster_.find_task(attempt.task)->state;
  for (const Grant& member : *gang_of(state))
    send(step, presence_.at(member.worker).peer, stop_order(attempt, *stop_of(state)));
}

Message Core::start_order(const Task& task, const Leased& leased) const {
  TaskSpec spec = task.spec.whole();
  spec.resources = task.resources();
  return StartAttempt{.attempt = {.task = task.spec.key(), .number = leased.attempt},
                      .spec = std::move(spec),
                      .gang = leased.gang,
                      .lease_ms = task.spec.lease_ms(),
                      .inputs = leased.inputs,
                      .resume_from = leased.resume_from.optional()};
}

Message stop_order(const AttemptId& attempt, const Stop& stop) {
  return StopAttempt{
      .attempt = attempt, .reason = stop.reason, .kind = stop.kind, .grace_ms = stop.grace_ms};
}

Effects Core::owed() const {
  Effects effects;
  for (const auto& [id, worker] : cluster_.workers()) {
    const PeerId peer = presence_.at(id).peer;
    if (peer == PeerId()) continue;
    for (const AttemptId& attempt : worker.attempts) {
      const Task& task = *cluster_.find_task(attempt.task);
      const auto* leased = std::get_if<Leased>(&task.state);
      if (const Stop* stop = stop_of(task.state)) {
        effects.push_back({.to = peer, .message = stop_order(attempt, *stop)});
      } else if (leased != nullptr && leased->gang.front().worker == id) {
        effects.push_back({.to = peer, .message = start_order(task, *leased)});
      }
    }
  }
  return effects;
}

// --- explanations ---

std::string Core::reason_queued(const TaskKey& key, const Task& task, Instant now) const {
  if (const Instant* until = queue_.paused_until(key); until != nullptr && now < *until) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*until - now).count() + 1;
    return fmt::format("tries again in {} s after: {}", seconds, task.trouble().last_failure);
  }
  const Needs needs = needs_of(task);
  if (const std::string* owner = cluster_.owner_of(task)) {
    const SweepOptions& sweep = cluster_.sweeps().at(*owner).options;
    const std::string over = quota_reason(sweep, options_.scheduler, usage_.of_sweep(*owner),
                                          usage_.of_user(sweep.user), needs.resources.slots);
    if (!over.empty()) return over;
  }
  std::vector<Machine> now_there = machines(now);
  for (Machine& machine : now_there) {
    const auto kept = kept_.find(machine.id);
    if (kept != kept_.end() && kept->second.task != key && !same_lane(kept->second.task, key))
      machine.reserved = Reservation{.task = kept->second.task};
  }
  const Placement placement = place(needs, now_there, now);
  if (const auto* waiting = std::get_if<Waiting>(&placement)) return waiting->reason;
  if (const auto* infeasible = std::get_if<Infeasible>(&placement))
    return "infeasible: " + infeasible->reason;
  return "behind tasks that were queued before it";
}

// Whether what is kept for the one is kept for the other, in its turn.
bool Core::same_lane(const TaskKey& a, const TaskKey& b) const {
  const Task* one = cluster_.find_task(a);
  const Task* other = cluster_.find_task(b);
  if (one == nullptr || other == nullptr) return false;
  const std::string* of_one = cluster_.owner_of(*one);
  const std::string* of_other = cluster_.owner_of(*other);
  return of_one != nullptr && of_other != nullptr && *of_one == *of_other &&
         needs_of(*one) == needs_of(*other);
}

std::string Core::reason(const TaskKey& key, Instant now) const {
  const Task* task = cluster_.find_task(key);
  if (task == nullptr) return "unknown";
  const auto where = [&](const Gang& gang) {
    const Worker* worker = cluster_.find_worker(gang.front().worker);
    return worker == nullptr ? std::string("a worker that is gone") : worker->name;
  };
  if (std::holds_alternative<Blocked>(task->state)) {
    for (const TaskInput& input : task->spec.inputs()) {
      const Task& producer = *cluster_.find_task(input.producer);
      if (std::holds_alternative<TaskSucceeded>(producer.state)) continue;
      const std::string its = fmt::format("waits for {} of {} {}", input.output,
                                          producer.spec.stage(), producer.spec.key().brief());
      if (const auto* failed = std::get_if<TaskFailed>(&producer.state))
        return its + ", which failed: " + failed->reason;
      return fmt::format("{}, which is {}", its, name_of(producer.state));
    }
    return "waits for an input";
  }
  if (std::holds_alternative<Queued>(task->state)) return reason_queued(key, *task, now);
  if (const Stop* stop = stop_of(task->state)) return "stopping: " + stop->reason;
  if (const auto* leased = std::get_if<Leased>(&task->state)) {
    return fmt::format("starting on {} (attempt {})", where(leased->gang), leased->attempt);
  }
  if (const auto* running = std::get_if<Running>(&task->state)) {
    return fmt::format("runs on {} (attempt {})", where(running->gang), running->attempt);
  }
  if (const auto* failed = std::get_if<TaskFailed>(&task->state)) return failed->reason;
  if (const auto* diverged = std::get_if<TaskDiverged>(&task->state)) return diverged->reason;
  if (const auto* held = std::get_if<Held>(&task->state))
    return "paused by its search: " + held->reason;
  if (const auto* pruned = std::get_if<TaskPrunedState>(&task->state))
    return "pruned by its search: " + pruned->reason;
  if (task->outdated) return "its inputs were made again with other content since";
  return name_of(task->state);
}

}  // namespace strata::coordinator
