// The part of the core that answers clients: submissions, draining, quarantine. What takes long
// goes on in core_chores.cc.

#include <algorithm>

#include "base/json.h"
#include "base/utf8.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/breaks.h"
#include "coordinator/core/core.h"

namespace strata::coordinator {

// A task that needs more than its sweep may ever hold would wait for ever.
Status Core::check_quota(const SubmitTasks& s, const TaskSpec& task) const {
  const auto sweep = cluster_.sweeps().find(s.sweep);
  const std::int64_t most = s.first || sweep == cluster_.sweeps().end()
                                ? s.options.slots_max
                                : sweep->second.options.slots_max;
  std::int64_t needs = task.resources.slots;
  for (const Resources& shape : task.fallbacks) needs = std::max(needs, shape.slots);
  const std::int64_t of_user = options_.scheduler.user_slots_max;
  if (most != 0 && needs > most) {
    return fail(ErrorCode::kInvalid,
                "submitting {}: {} {} needs {} slots and the sweep may hold {}", s.sweep,
                task.stage, task.key.brief(), needs, most);
  }
  if (of_user != 0 && needs > of_user) {
    return fail(ErrorCode::kInvalid,
                "submitting {}: {} {} needs {} slots and a user may hold {} (--user-slots of the "
                "coordinator)",
                s.sweep, task.stage, task.key.brief(), needs, of_user);
  }
  return {};
}

Status Core::check_plan(const SubmitPlanned& planned) const {
  const std::string& named = planned.submission.if_plan;
  const std::size_t slash = named.find('/');
  const std::string id = for_people(named.substr(0, slash));
  const std::string scope = slash == std::string::npos ? "" : named.substr(slash + 1);
  const std::string sweep = for_people(planned.submission.sweep);  // not looked at yet
  const Plan* plan = planned.plan.get();
  if (plan == nullptr) {
    return fail(ErrorCode::kConflict, "submitting {}: plan {} is not known any more: plan again",
                sweep, id);
  }
  if (plan->sweep != planned.submission.sweep || plan->scope != scope) {
    return fail(ErrorCode::kConflict,
                "submitting {}: plan {} is of other tasks: the file, its code or its data is not "
                "what it was; plan again",
                sweep, id);
  }
  if (world_of(plan->sweep, plan->tasks) == plan->world) return {};
  return fail(ErrorCode::kConflict,
              "submitting {}: the world has moved since plan {}: it would say something else now; "
              "plan again",
              sweep, id);
}

Status Core::check_submission(const SubmitTasks& s, PeerId peer) const {
  if (!is_name(s.sweep)) {
    return fail(ErrorCode::kInvalid,
                "submitting: the sweep needs a name, UTF-8 of at most {} bytes", kNameBytesMax);
  }
  if (s.priority < -kPriorityMax || s.priority > kPriorityMax || !is_valid_utf8(s.definition)) {
    return fail(ErrorCode::kInvalid,
                "submitting {}: its priority is not within ±{}, or its definition is not UTF-8",
                s.sweep, kPriorityMax);
  }
  if (const Status fit = check_options(s.options); !fit)
    return tl::unexpected(fit.error().while_doing("submitting " + s.sweep));
  if (s.tasks.size() > kTasksPerBatchMax || s.runs.size() > kTasksPerBatchMax) {
    return fail(ErrorCode::kTooLarge, "submitting {}: a batch holds at most {} tasks and runs",
                s.sweep, kTasksPerBatchMax);
  }
  const auto it = cluster_.sweeps().find(s.sweep);
  // A cancel ends the submission that is under way.
  if (!s.first && it != cluster_.sweeps().end() && it->second.cancelled) {
    return fail(ErrorCode::kConflict,
                "submitting {}: it was cancelled while it was being submitted; submit again",
                s.sweep);
  }
  if (!s.first && (it == cluster_.sweeps().end() || it->second.sealed)) {
    return fail(
        ErrorCode::kConflict,
        "submitting {}: this is not the first batch, and no submission is open; submit again",
        s.sweep);
  }
  const auto submitter = submitters_.find(s.sweep);
  if (!s.first && submitter != submitters_.end() && submitter->second.peer != PeerId() &&
      submitter->second.peer != peer) {
    return fail(ErrorCode::kConflict,
                "submitting {}: another submission of it has begun since and took its place; what "
                "both want is there once; submit again if this one shall count",
                s.sweep);
  }
  std::map<TaskKey, const std::vector<std::string>*> arriving;  // with their outputs
  for (const TaskSpec& task : s.tasks) {
    if (const Status fit = check_task(task); !fit)
      return tl::unexpected(fit.error().while_doing("submitting " + s.sweep));
    for (const TaskInput& input : task.inputs) {
      const auto* producer = cluster_.find_task(input.producer);
      const auto in_batch = arriving.find(input.producer);
      const auto has = [&](const std::vector<std::string>& outputs) {
        return std::find(outputs.begin(), outputs.end(), input.output) != outputs.end();
      };
      const bool makes_it = in_batch != arriving.end() ? has(*in_batch->second)
                            : producer == nullptr
                                ? true
                                : has(producer->spec.outputs()) ||
                                      (producer->next_spec && has(producer->next_spec->outputs));
      if (!makes_it) {
        return fail(ErrorCode::kInvalid,
                    "submitting {}: {} {} takes \"{}\" from task {}, which has no such output",
                    s.sweep, task.stage, task.key.brief(), input.output.substr(0, 80),
                    input.producer.brief());
      }
      if (arriving.contains(input.producer) || cluster_.find_task(input.producer) != nullptr)
        continue;
      return fail(ErrorCode::kInvalid,
                  "submitting {}: {} {} takes \"{}\" from task {}, which is not there", s.sweep,
                  task.stage, task.key.brief(), input.name, input.producer.brief());
    }
    if (const Status fits = check_quota(s, task); !fits) return fits;
    if (const Status fits = check_search(s, task); !fits) return fits;
    arriving.emplace(task.key, &task.outputs);
  }
  for (const RunSpec& run : s.runs) {
    if (const Status fit = check_run(run); !fit)
      return tl::unexpected(fit.error().while_doing("submitting " + s.sweep));
    for (const auto& [stage, key] : run.tasks) {
      if (arriving.contains(key) || cluster_.find_task(key) != nullptr) continue;
      return fail(ErrorCode::kInvalid, "submitting {}: run {} names task {}, which is not there",
                  s.sweep, run.key.brief(), key.brief());
    }
  }
  return {};
}

void Core::revive_if_ended(Step& step, const TaskKey& key, std::int64_t& revived) {
  const Task& task = *cluster_.find_task(key);
  // What a search pruned is a result to that sweep, and no reason for another one to go without.
  const auto* pruned = std::get_if<TaskPrunedState>(&task.state);
  const bool pruned_for_all = pruned != nullptr && is_pruned(task);
  if (!std::holds_alternative<TaskFailed>(task.state) &&
      !std::holds_alternative<TaskCancelledState>(task.state) &&
      (pruned == nullptr || pruned_for_all))
    return;
  record(step, TaskRevived{.task = key});
  ++revived;
}

void Core::on(Step& step, const SubmitTasks& s) {
  // A plan comes with what it said, which only the server knows.
  if (s.first && !s.if_plan.empty()) return on(step, SubmitPlanned{.submission = s});
  take_submission(step, s);
}

void Core::on(Step& step, const SubmitPlanned& planned) {
  if (const Status holds = check_plan(planned); !holds)
    return refuse(step, planned.submission.id, holds.error());
  take_submission(step, planned.submission);
}

void Core::take_submission(Step& step, const SubmitTasks& s) {
  if (const Status valid = check_submission(s, step.peer); !valid)
    return refuse(step, s.id, valid.error());
  submitters_[s.sweep] = {.peer = step.peer, .heard = step.now};
  if (s.last) submitters_.erase(s.sweep);
  if (s.first) {
    const auto it = cluster_.sweeps().find(s.sweep);
    const std::int64_t generation = it == cluster_.sweeps().end() ? 1 : it->second.generation + 1;
    record(step, SweepOpened{.sweep = s.sweep,
                             .generation = generation,
                             .priority = s.priority,
                             .definition = s.definition,
                             .options = s.options});
  }
  const std::int64_t generation = cluster_.sweeps().at(s.sweep).generation;
  std::int64_t created = 0;  // a task counts once: it is created, revived or kept
  std::int64_t revived = 0;
  for (const TaskSpec& spec : s.tasks) {
    const Task* known = STRATA_BROKEN(kDuplicateCreate) ? nullptr : cluster_.find_task(spec.key);
    if (known == nullptr) ++created;
    const bool says_something =
        known == nullptr || !known->wants.contains(s.sweep) || known->newest_spec() != spec;
    if (says_something) record(step, TaskWanted{.sweep = s.sweep, .spec = spec});
    revive_if_ended(step, spec.key, revived);
  }
  for (const RunSpec& run : s.runs)
    record(step, RunAdded{.sweep = s.sweep, .generation = generation, .run = run});
  const Object said{{"sweep", s.sweep},
                    {"generation", generation},
                    {"created", created},
                    {"kept", static_cast<std::int64_t>(s.tasks.size()) - created - revived},
                    {"revived", revived},
                    {"withdrawn", std::int64_t{0}},
                    {"runs", static_cast<std::int64_t>(s.runs.size())}};
  if (!s.last) return answer(step, s.id, said);
  chore_ = Chore{.peer = step.peer,
                 .request = s.id,
                 .body = Sealing{.sweep = s.sweep, .generation = generation, .batch = said}};
}

void Core::on(Step& step, const DrainWorker& drain) {
  const Worker* worker = cluster_.find_worker(drain.worker);
  if (worker == nullptr) {
    return refuse(
        step, drain.request,
        {ErrorCode::kNotFound, fmt::format("there is no worker {}", drain.worker.value())});
  }
  close_session(worker->session);
  record(step, WorkerDrained{.worker = drain.worker});
  answer(step, drain.request, Object{{"worker", drain.worker.value()}});
}

void Core::on(Step& step, const ReleaseWorker& release) {
  if (cluster_.find_quarantine(release.name) == nullptr) {
    return refuse(step, release.request,
                  {ErrorCode::kNotFound,
                   fmt::format("there is no worker \"{}\" in quarantine", release.name)});
  }
  release_from_quarantine(step, release.name, "a person said so");
  answer(step, release.request, Object{{"worker", release.name}});
}

std::string Core::world_of(const std::string& name, const std::vector<TaskKey>& tasks) const {
  WorldDigest world(name);
  const auto it = cluster_.sweeps().find(name);
  if (it != cluster_.sweeps().end()) {
    world.add_sweep(it->second.generation, it->second.sealed);
    for (const auto& [key, run] : it->second.runs) {
      if (it->second.is_current(run)) world.add_run(key.hex());
    }
  }
  for (const TaskKey& key : tasks) {
    const Task* task = cluster_.find_task(key);
    if (task == nullptr) {
      world.add_task(plan_class("", false, false), 0);
    } else {
      world.add_task(plan_class(name_of(task->state), task->outdated, task->wants.contains(name)),
                     task->attempts);
    }
  }
  return world.finish();
}

}  // namespace strata::coordinator
