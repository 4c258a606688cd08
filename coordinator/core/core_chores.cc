// The part of the core that does in parts what would be too long for one step: cancelling,
// retrying, and the end of a submission. What clients ask meanwhile waits for its turn, so nobody
// sees the half of anything. A restart forgets what is under way: who asked has no answer yet, and
// asks again.

#include <algorithm>

#include "coordinator/core/breaks.h"
#include "coordinator/core/core.h"

namespace strata::coordinator {
namespace {

bool is_command(const InputBody& body) {
  return std::holds_alternative<SubmitTasks>(body) || std::holds_alternative<SubmitPlanned>(body) ||
         std::holds_alternative<CancelSweep>(body) || std::holds_alternative<RetryTasks>(body);
}

std::uint64_t request_of(const InputBody& body) {
  if (const auto* submission = std::get_if<SubmitTasks>(&body)) return submission->id;
  if (const auto* planned = std::get_if<SubmitPlanned>(&body)) return planned->submission.id;
  if (const auto* cancel = std::get_if<CancelSweep>(&body)) return cancel->request;
  return std::get<RetryTasks>(body).request;
}

// What a sweep that drops the task's run lets go. Results stay its own: asked for again, they are
// kept. What failed is wanted no more, so that nobody else's retry runs on this account.
bool is_let_go(const Task& task) {
  return !is_final(task.state) || std::holds_alternative<TaskFailed>(task.state);
}

}  // namespace

bool Core::has_to_wait(Step& step, const Input& input) {
  if (!is_busy() || !is_command(input.body)) return false;
  if (waiting_.size() < kCommandsWaitingMax) {
    waiting_.push_back(input);
  } else {
    refuse(step, request_of(input.body),
           {ErrorCode::kUnavailable,
            fmt::format("{} commands wait already: ask again later", kCommandsWaitingMax)});
  }
  return true;
}

void Core::go_on(Step& step) {
  Part part{.looks = options_.looks_per_step, .events = options_.events_per_step};
  part.events += step.out.events.size();
  while (is_busy() && part.has_room(step.out.events.size())) {
    if (!chore_) {
      const Input next = std::move(waiting_.front());
      waiting_.pop_front();
      step.peer = next.peer;
      std::visit([&](const auto& body) { on(step, body); }, next.body);
    } else if (std::visit([&](auto& body) { return work(step, part, body); }, chore_->body)) {
      step.peer = chore_->peer;
      const Object said = std::visit([](const auto& body) { return body.said(); }, chore_->body);
      answer(step, chore_->request, said);
      chore_.reset();
    }
  }
}

bool Core::may_go_on(const Step& step, Part& part) const {
  if (!part.has_room(step.out.events.size())) return false;
  --part.looks;
  return true;
}

// --- cancelling ---

void Core::on(Step& step, const CancelSweep& cancel) {
  if (!cluster_.sweeps().contains(cancel.sweep)) {
    return refuse(step, cancel.request,
                  {ErrorCode::kNotFound, fmt::format("there is no sweep \"{}\"", cancel.sweep)});
  }
  chore_ = Chore{
      .peer = step.peer, .request = cancel.request, .body = Cancelling{.sweep = cancel.sweep}};
}

bool Core::work(Step& step, Part& part, Cancelling& cancelling) {
  const auto& tasks = cluster_.tasks();
  auto it = cancelling.after ? tasks.upper_bound(*cancelling.after) : tasks.begin();
  for (; it != tasks.end() && may_go_on(step, part); ++it) {
    cancelling.after = it->first;
    const Task& task = it->second;
    // A cancelled sweep lets go also of what its search has pruned: should it be submitted again,
    // the search begins anew with all of them, and its best is among those.
    const bool pruned = std::holds_alternative<TaskPrunedState>(task.state);
    if (!task.wants.contains(cancelling.sweep) || (!is_let_go(task) && !pruned)) continue;
    if (!is_final(task.state)) ++cancelling.withdrawn;
    if (withdraw(step, cancelling.sweep, it->first)) ++cancelling.stopping;
  }
  return it == tasks.end();
}

Object Cancelling::said() const { return Object{{"withdrawn", withdrawn}, {"stopping", stopping}}; }

bool Core::withdraw(Step& step, const std::string& sweep, const TaskKey& key) {
  record(step, WantWithdrawn{.sweep = sweep, .task = key});
  const Task& task = *cluster_.find_task(key);
  const bool deletes =
      STRATA_BROKEN(kDropDeletesResult) && std::holds_alternative<TaskSucceeded>(task.state);
  if (is_final(task.state) && !deletes) return false;
  if (!task.wants.empty() && !STRATA_BROKEN(kCancelSharedTask))
    return false;  // somebody else's now
  if (gang_of(task.state) == nullptr) {
    record(step, TaskCancelled{.task = key});
    return false;
  }
  const AttemptId attempt{.task = key, .number = task.attempts};
  const std::string reason = "no sweep wants it any more";
  stop(step, attempt, StopKind::kCancel, reason);
  return true;
}

// --- the end of a submission ---

// What was dropped from the file and has not begun shall not begin. What runs goes on, and results
// stay: submitting the old file again keeps them.
bool Core::work(Step& step, Part& part, Sealing& sealing) {
  const Sweep& sweep = cluster_.sweeps().at(sealing.sweep);
  const auto each_run = [&](bool current, auto&& visit) {
    auto it = sealing.after ? sweep.runs.upper_bound(*sealing.after) : sweep.runs.begin();
    for (; it != sweep.runs.end() && may_go_on(step, part); ++it) {
      sealing.after = it->first;
      if ((it->second.generation == sweep.generation) != current) continue;
      for (const auto& [stage, task] : it->second.spec.tasks) visit(task);
    }
    if (it != sweep.runs.end()) return false;
    sealing.after.reset();
    return true;
  };
  if (sealing.phase == Sealing::Phase::kDropped) {
    const bool done = each_run(false, [&](const TaskKey& key) {
      const Task& task = *cluster_.find_task(key);
      const bool lets_go = is_let_go(task) || (STRATA_BROKEN(kDropDeletesResult) &&
                                               std::holds_alternative<TaskSucceeded>(task.state));
      if (lets_go && gang_of(task.state) == nullptr) sealing.dropped.insert(key);
    });
    if (!done) return false;
    sealing.phase = Sealing::Phase::kAskedFor;
  }
  if (sealing.phase == Sealing::Phase::kAskedFor && !sealing.dropped.empty()) {
    if (!each_run(true, [&](const TaskKey& key) { sealing.dropped.erase(key); })) return false;
  }
  sealing.phase = Sealing::Phase::kWithdrawing;
  while (!sealing.dropped.empty()) {
    if (!may_go_on(step, part)) return false;
    const TaskKey key = *sealing.dropped.begin();
    sealing.dropped.erase(sealing.dropped.begin());
    const Task& task = *cluster_.find_task(key);
    if (!task.wants.contains(sealing.sweep) || gang_of(task.state) != nullptr) continue;
    if (!is_final(task.state)) ++sealing.withdrawn;
    withdraw(step, sealing.sweep, key);
  }
  record(step, SweepSealed{.sweep = sealing.sweep, .generation = sealing.generation});
  return true;
}

Object Sealing::said() const {
  Object object = batch;
  object["withdrawn"] = withdrawn;
  return object;
}

// --- retrying ---

void Core::on(Step& step, const RetryTasks& retry) {
  Retrying retrying{
      .sweep = retry.sweep, .all = retry.tasks.empty(), .pruned_too = retry.pruned_too};
  for (const TaskKey& key : retry.tasks) retrying.standing[key];
  chore_ = Chore{.peer = step.peer, .request = retry.request, .body = std::move(retrying)};
}

// Where they stand, in current runs of which sweeps.
bool Core::look_for_runs(const Step& step, Part& part, Retrying& retrying) const {
  const auto& sweeps = cluster_.sweeps();
  for (auto sweep = sweeps.lower_bound(retrying.in_sweep); sweep != sweeps.end(); ++sweep) {
    const auto& [name, its] = *sweep;
    if (!retrying.sweep.empty() && name != retrying.sweep) continue;
    if (name != retrying.in_sweep) retrying.after.reset();
    retrying.in_sweep = name;
    auto run = retrying.after ? its.runs.upper_bound(*retrying.after) : its.runs.begin();
    for (; run != its.runs.end(); ++run) {
      if (!may_go_on(step, part)) return false;
      retrying.after = run->first;
      if (!its.is_current(run->second)) continue;
      for (const auto& [stage, key] : run->second.spec.tasks) {
        const auto it = retrying.standing.find(key);
        if (it != retrying.standing.end()) {
          it->second.insert(name);
        } else if (retrying.all) {
          retrying.standing[key].insert(name);
        }
      }
    }
  }
  return true;
}

bool Core::work(Step& step, Part& part, Retrying& retrying) {
  if (!retrying.looked) {
    if (!look_for_runs(step, part, retrying)) return false;
    retrying.looked = true;
  }
  while (!retrying.standing.empty()) {
    if (!may_go_on(step, part)) return false;
    const auto node = retrying.standing.extract(retrying.standing.begin());
    const TaskKey& key = node.key();
    const Task* task = cluster_.find_task(key);
    if (task == nullptr) continue;
    // What the search of one sweep has pruned is still to be done for another (simulator, seed
    // 4616). A result is wanted again, too: should it be lost, it is made again for somebody.
    for (const std::string& sweep : node.mapped()) {
      if (!task->wants.contains(sweep))
        record(step, TaskWanted{.sweep = sweep, .spec = task->newest_spec()});
    }
    if (task->wants.empty()) continue;
    if (retrying.pruned_too && std::holds_alternative<TaskPrunedState>(task->state)) {
      record(step, TaskRevived{.task = key});
      ++retrying.revived;
    } else {
      revive_if_ended(step, key, retrying.revived);
    }
  }
  return true;
}

Object Retrying::said() const { return Object{{"revived", revived}}; }

}  // namespace strata::coordinator
