#include "coordinator/core/cluster.h"

#include <algorithm>

#include "base/assert.h"
#include "coordinator/core/breaks.h"
#include "coordinator/core/overloaded.h"

namespace strata::coordinator {
namespace {

const std::uint32_t* attempt_of(const TaskState& state) {
  if (const auto* leased = std::get_if<Leased>(&state)) return &leased->attempt;
  if (const auto* running = std::get_if<Running>(&state)) return &running->attempt;
  return nullptr;
}

}  // namespace

const char* state_name(std::size_t index) {
  static constexpr std::array<const char*, std::variant_size_v<TaskState>> kNames{
      "blocked", "queued",    "leased",   "running", "succeeded",
      "failed",  "cancelled", "diverged", "held",    "pruned"};
  return kNames.at(index);
}

const char* name_of(const TaskState& state) { return state_name(state.index()); }

bool is_final(const TaskState& state) {
  return std::visit(
      Overloaded{[](const Blocked&) { return false; }, [](const Queued&) { return false; },
                 [](const Leased&) { return false; }, [](const Running&) { return false; },
                 [](const TaskSucceeded&) { return true; }, [](const TaskFailed&) { return true; },
                 [](const TaskCancelledState&) { return true; },
                 [](const TaskDiverged&) { return true; }, [](const Held&) { return false; },
                 [](const TaskPrunedState&) { return true; }},
      state);
}

const Gang* gang_of(const TaskState& state) {
  if (const auto* leased = std::get_if<Leased>(&state)) return &leased->gang;
  if (const auto* running = std::get_if<Running>(&state)) return &running->gang;
  return nullptr;
}

const Stop* stop_of(const TaskState& state) {
  const Boxed<Stop>* stop = nullptr;
  if (const auto* leased = std::get_if<Leased>(&state)) stop = &leased->stop;
  if (const auto* running = std::get_if<Running>(&state)) stop = &running->stop;
  return stop != nullptr && stop->has_value() ? &**stop : nullptr;
}

// --- questions ---

const Task* Cluster::find_task(const TaskKey& key) const { return tasks_.find(key); }

const Worker* Cluster::find_worker(WorkerId id) const {
  const auto it = workers_.find(id);
  return it == workers_.end() ? nullptr : &it->second;
}

std::optional<std::map<std::string, ArtifactRef>> Cluster::inputs_of(const Task& task) const {
  std::map<std::string, ArtifactRef> inputs;
  for (const TaskInput& input : task.spec.inputs()) {
    const Task* producer = find_task(input.producer);
    STRATA_ASSERT(producer != nullptr);
    if (STRATA_BROKEN(kConsumeBeforeCommit)) continue;
    if (!std::holds_alternative<TaskSucceeded>(producer->state)) return std::nullopt;
    const auto it = producer->made().artifacts.find(input.output);
    if (it == producer->made().artifacts.end()) return std::nullopt;
    const auto artifact = artifacts_.find(it->second.hash);
    STRATA_ASSERT(artifact != artifacts_.end());
    if (!artifact->second.present) return std::nullopt;
    inputs.emplace(input.name, it->second);
  }
  return inputs;
}

std::uint32_t Cluster::next_attempt(const Task& task) const {
  return std::max(task.attempts, attempts_above_) + 1;
}

std::uint32_t Cluster::newest_attempt() const {
  std::uint32_t newest = attempts_above_;
  for (const auto& [key, task] : tasks()) newest = std::max(newest, task.attempts);
  return newest;
}

bool Cluster::is_live(const AttemptId& attempt) const {
  const Task* task = find_task(attempt.task);
  if (task == nullptr) return false;
  const std::uint32_t* number = attempt_of(task->state);
  return number != nullptr && *number == attempt.number;
}

Touched Cluster::take_touched() { return std::exchange(touched_, {}); }

std::set<TaskKey> Cluster::take_requeued() { return std::exchange(requeued_, {}); }

const Quarantine* Cluster::find_quarantine(const std::string& worker_name) const {
  const auto it = quarantines_.find(worker_name);
  return it == quarantines_.end() ? nullptr : &it->second;
}

const std::string* Cluster::owner_of(const Task& task) const {
  const std::string* owner = nullptr;
  const Sweep* its = nullptr;
  const std::int64_t needs = task.resources().slots;
  const auto may_hold = [&](const Sweep& sweep) {
    return sweep.options.slots_max == 0 || sweep.options.slots_max >= needs;
  };
  for (const std::string& name : task.wants) {
    const Sweep& sweep = sweeps_.at(name);
    const bool first =
        its == nullptr || std::make_tuple(may_hold(*its), its->priority, sweep.order) <
                              std::make_tuple(may_hold(sweep), sweep.priority, its->order);
    if (!first) continue;
    owner = &name;
    its = &sweep;
  }
  return owner;
}

namespace {

// Outputs only grow: another sweep may take what this one does not.
void add_outputs(TaskSpec& spec, const std::vector<std::string>& more) {
  std::vector<std::string>& outputs = spec.outputs;
  outputs.insert(outputs.end(), more.begin(), more.end());
  std::sort(outputs.begin(), outputs.end());
  outputs.erase(std::unique(outputs.begin(), outputs.end()), outputs.end());
}

}  // namespace

// --- changes ---

void Cluster::apply(const Event& event) {
  const Status legal = apply_checked(event);
  if (legal) return;
  if (!kBreakable || STRATA_BROKEN(kNone))
    assertion_failed(legal.error().message.c_str(), __FILE__, __LINE__);
  std::visit([&](const auto& body) { on(body); }, event.body);  // the simulator's checkers find it
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

void Cluster::count(const Task& task, std::int64_t by) {
  const std::size_t state = task.state.index();
  auto stage = stages_.find(task.spec.stage());
  if (stage == stages_.end()) stage = stages_.try_emplace(task.spec.stage()).first;
  stage->second.at(state) += by;
  for (const std::string& sweep : task.wants) sweeps_.at(sweep).tasks.at(state) += by;
}

void Cluster::set_present(Artifact& artifact, bool present) {
  if (artifact.present == present) return;
  artifact.present = present;
  artifacts_present_ += present ? 1 : -1;
  artifact_bytes_ += present ? artifact.ref.bytes : -artifact.ref.bytes;
}

void Cluster::set_state(Task& task, TaskState state) {
  const bool was_queued = std::holds_alternative<Queued>(task.state);
  const bool result_goes = std::holds_alternative<TaskSucceeded>(task.state) &&
                           !std::holds_alternative<TaskSucceeded>(state);
  count(task, -1);
  task.state = std::move(state);
  count(task, 1);
  if (result_goes) {
    settle_outdated(task.spec.key());
    // Who was about to begin with it waits for it again.
    for (const TaskKey& key : task.consumers) {
      Task& consumer = touch(key);
      if (std::holds_alternative<Queued>(consumer.state)) set_state(consumer, Blocked{});
    }
  }
  if (was_queued || std::holds_alternative<Queued>(task.state) || STRATA_BROKEN(kDoubleGrant))
    requeued_.insert(task.spec.key());
}

bool Cluster::reads_what_has_changed(const Task& task) const {
  if (!std::holds_alternative<TaskSucceeded>(task.state)) return false;
  for (const TaskInput& input : task.spec.inputs()) {
    const Task& producer = tasks_.at(input.producer);
    const auto made = producer.made().artifacts.find(input.output);
    const auto read = task.made().consumed.find(input.name);
    const bool other = made != producer.made().artifacts.end() &&
                       read != task.made().consumed.end() && made->second.hash != read->second;
    if (other || producer.outdated) return true;
  }
  return false;
}

// From `first` downwards, as far as anything changes.
void Cluster::settle_outdated(const TaskKey& first) {
  std::vector<TaskKey> open{first};
  while (!open.empty()) {
    const TaskKey key = open.back();
    open.pop_back();
    Task& task = tasks_.at(key);
    const bool now = reads_what_has_changed(task);
    if (task.outdated == now) continue;
    task.outdated = now;
    touched_.insert(key);
    open.insert(open.end(), task.consumers.begin(), task.consumers.end());
  }
}

void Cluster::enqueue_or_block(Task& task, std::int64_t delay_ms) {
  if (set_held(task)) return;  // for a search to decide; its inputs can wait, too
  if (STRATA_BROKEN(kClockInReplay)) delay_ms += machine_clock_ms;
  if (inputs_of(task)) {
    set_state(task, Queued{.delay_ms = delay_ms});
    return;
  }
  set_state(task, Blocked{});
  // What it needs may have been made once and lost since: then it is made again.
  for (const TaskInput& input : task.spec.inputs()) {
    Task& producer = touch(input.producer);
    if (!std::holds_alternative<TaskSucceeded>(producer.state)) continue;
    const auto made = producer.made().artifacts.find(input.output);
    if (made != producer.made().artifacts.end() && artifacts_.at(made->second.hash).present)
      continue;
    const std::vector<std::string>& makes = producer.spec.outputs();
    const bool can_make = std::find(makes.begin(), makes.end(), input.output) != makes.end();
    if (can_make) enqueue_or_block(producer, 0);
  }
}

void Cluster::release(const AttemptId& attempt, const Gang& gang) {
  for (const Grant& grant : gang) {
    const auto it = workers_.find(grant.worker);
    STRATA_ASSERT(it != workers_.end());
    it->second.free += grant.slots;
    it->second.memory_free_mb += grant.memory_mb;
    if (STRATA_BROKEN(kSlotDoubleFree)) it->second.free += grant.slots;
    STRATA_ASSERT(it->second.free <= it->second.slots || STRATA_BROKEN(kSlotDoubleFree));
    it->second.attempts.erase(attempt);
  }
}

void Cluster::on(const SweepOpened& e) {
  Sweep& sweep = sweeps_[e.sweep];
  if (sweep.order == 0) sweep.order = ++order_counter_;
  sweep.generation = e.generation;
  sweep.sealed = false;
  sweep.cancelled = false;
  sweep.options = e.options;
  begin_search(e.sweep);
  if (sweep.priority == e.priority) return;
  sweep.priority = e.priority;
  for (const auto& [key, task] : tasks()) {  // those that wait move to their new place
    const bool waits = std::holds_alternative<Queued>(task.state) && task.wants.contains(e.sweep);
    if (waits) requeued_.insert(key);
  }
}

void Cluster::on(const TaskWanted& e) {
  sweeps_.at(e.sweep).cancelled = false;
  if (STRATA_BROKEN(kDuplicateCreate)) {
    if (const Task* known = find_task(e.spec.key)) count(*known, -1);
    tasks_.erase(e.spec.key);
  }
  const auto [task, created] = tasks_.make(e.spec.key);
  touched_.insert(e.spec.key);
  if (created) {
    keep_spec(task, e.spec);
    touched_.insert_with_spec(e.spec.key);
    task.order = ++order_counter_;
    task.wants.insert(e.sweep);
    count(task, 1);
    for (const TaskInput& input : e.spec.inputs)
      tasks_.at(input.producer).consumers.insert(e.spec.key);
    enqueue_or_block(task, 0);
    return take_part(e.sweep, e.spec.key);
  }
  count(task, -1);
  task.wants.insert(e.sweep);
  count(task, 1);
  take_part(e.sweep, e.spec.key);
  // Resources, limits and secrets are no part of the key; the newest word counts, but never for a
  // gang that is out.
  if (gang_of(task.state) == nullptr) {
    take_spec(task, e.spec);
  } else {
    TaskSpec next = e.spec;
    if (task.next_spec) add_outputs(next, task.next_spec->outputs);
    task.next_spec = std::move(next);
  }
  settle_holds(task);
  if (std::holds_alternative<Queued>(task.state)) requeued_.insert(e.spec.key);
}

void Cluster::keep_spec(Task& task, TaskSpec spec) {
  KeptSpec::Common& latest = latest_specs_[spec.stage];
  task.spec = KeptSpec(std::move(spec), latest);
}

void Cluster::take_spec(Task& task, TaskSpec spec) {
  add_outputs(spec, task.spec.outputs());
  touched_.insert_with_spec(spec.key);
  count(task, -1);
  keep_spec(task, std::move(spec));
  count(task, 1);
  task.shape = std::min(task.shape, task.spec.fallbacks().size());
}

void Cluster::on(const RunAdded& e) {
  Sweep& sweep = sweeps_.at(e.sweep);
  const auto [run, made] = sweep.runs.try_emplace(e.run.key);
  if (made || !sweep.is_current(run->second)) ++sweep.current_runs;
  run->second = {.spec = e.run, .generation = e.generation};
  for (const auto& [stage, task] : e.run.tasks) take_part(e.sweep, task);
}

void Cluster::on(const SweepSealed& e) {
  Sweep& sweep = sweeps_.at(e.sweep);
  sweep.sealed = true;
  sweep.sealed_generation = e.generation;
  sweep.current_runs = std::count_if(sweep.runs.begin(), sweep.runs.end(),
                                     [&](const auto& run) { return sweep.is_current(run.second); });
  sweep.cancelled =
      false;  // what was withdrawn before belonged to runs that are no longer asked for
  drop_orphans_of_search(e.sweep);
}

void Cluster::on(const WantWithdrawn& e) {
  Sweep& sweep = sweeps_.at(e.sweep);
  sweep.cancelled = true;
  if (sweep.search) sweep.search->leave(e.task);
  Task& task = touch(e.task);
  count(task, -1);
  task.wants.erase(e.sweep);
  count(task, 1);
  if (task.troubled) {
    task.troubled->holds.erase(e.sweep);
    task.troubled->pruned.erase(e.sweep);
  }
  settle_holds(task);
  if (std::holds_alternative<Queued>(task.state)) requeued_.insert(e.task);
}

void Cluster::on(const TaskRevived& e) {
  Task& task = touch(e.task);
  task.user_failures = 0;
  task.infra_failures = 0;
  task.ends_without_progress = 0;
  task.shape = 0;
  if (task.troubled) {
    task.troubled->failed_on.clear();
    task.troubled->avoids.clear();
    task.troubled->last_signature.clear();
    task.troubled->last_step = -1;
  }
  if (is_pruned(task)) exempt_from_searches(task);
  enqueue_or_block(task, 0);
}

void Cluster::on(const TaskCancelled& e) { set_state(touch(e.task), TaskCancelledState{}); }

void Cluster::on(const WorkerJoined& e) {
  worker_counter_ = e.worker.value();
  workers_[e.worker] = {.name = e.name,
                        .session = e.session,
                        .slots = e.slots,
                        .free = e.slots,
                        .memory_mb = e.memory_mb,
                        .memory_free_mb = e.memory_mb,
                        .labels = e.labels};
}

void Cluster::on(const WorkerDrained& e) { workers_.at(e.worker).draining = true; }

void Cluster::on(const WorkerGone& e) { workers_.erase(e.worker); }

void Cluster::on(const AttemptGranted& e) {
  Task& task = touch(e.attempt.task);
  for (const Grant& grant : e.gang) {
    Worker& worker = workers_.at(grant.worker);
    worker.free -= grant.slots;
    worker.memory_free_mb -= grant.memory_mb;
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
                          .stop = std::move(leased.stop)});
}

void Cluster::on(const CheckpointCommitted& e) {
  Task& task = touch(e.attempt.task);
  const auto* leased = std::get_if<Leased>(&task.state);
  const auto* running = std::get_if<Running>(&task.state);
  task.checkpoint = Checkpoint{.step = e.step,
                               .artifact = e.artifact,
                               .inputs = leased != nullptr ? leased->inputs : running->inputs};
  task.ends_without_progress = 0;
  if (task.troubled) task.troubled->failed_on.clear();  // it works, after all
  Artifact& artifact = artifacts_[e.artifact.hash];
  artifact.producers.insert(e.attempt.task);
  set_present(artifact, false);  // its size is of the older word
  artifact.ref = e.artifact;
  set_present(artifact, true);
}

void Cluster::on(const StopRequested& e) {
  Task& task = touch(e.attempt.task);
  const Stop stop{.reason = e.reason, .kind = e.kind, .grace_ms = e.grace_ms};
  if (auto* leased = std::get_if<Leased>(&task.state)) leased->stop = stop;
  if (auto* running = std::get_if<Running>(&task.state)) running->stop = stop;
}

void Cluster::on(const AttemptEnded& e) {
  Task& task = touch(e.attempt.task);
  const Gang* gang = gang_of(task.state);
  if (STRATA_BROKEN(kNoFencing) && gang == nullptr) return;
  STRATA_ASSERT(gang != nullptr);
  if (const auto* failed = std::get_if<Failed>(&e.outcome)) blame(task, *gang, *failed);
  release(e.attempt, *gang);
  // Before anything is decided about the task: with the old spec, a consumer of an output that it
  // did not declare would have it run again for ever.
  if (task.next_spec) take_spec(task, *std::exchange(task.next_spec, std::nullopt));
  std::visit(Overloaded{[&](const Succeeded& outcome) { end_succeeded(task, e.attempt, outcome); },
                        [&](const Failed& outcome) { end_failed(task, outcome); },
                        [&](const Lost& outcome) {
                          end_failed(task, Failed{.cause = FailureClass::kInfra,
                                                  .reason = outcome.reason,
                                                  .delay_ms = outcome.delay_ms});
                        },
                        [&](const Stopped& outcome) {
                          task.make_trouble().last_failure = outcome.reason;
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
  task.made_last.reset();
  if (!outcome.artifacts.empty() || !outcome.consumed.empty())
    task.made_last = Made{.artifacts = outcome.artifacts, .consumed = outcome.consumed};
  exempt_from_searches(task);
  for (const auto& [output, ref] : outcome.artifacts) {
    Artifact& artifact = artifacts_[ref.hash];
    artifact.producers.insert(task.spec.key());
    set_present(artifact, false);
    artifact.ref = ref;
    set_present(artifact, true);
  }
  set_state(task, TaskSucceeded{.attempt = attempt.number});
  settle_outdated(attempt.task);
  for (const TaskKey& key : task.consumers) {
    Task& consumer = touch(key);
    settle_outdated(key);
    const bool waits = std::holds_alternative<Blocked>(consumer.state);
    if (waits || (STRATA_BROKEN(kTerminalReopens) && is_final(consumer.state)))
      enqueue_or_block(consumer, 0);
  }
}

// What its next attempts must know of this failure. Only what a live worker reports is evidence of
// where it fails: a worker that vanished took down whatever it held, and what a machine or a disk
// says of itself is no evidence against the task.
void Cluster::blame(Task& task, const Gang& gang, const Failed& outcome) {
  const bool evidence =
      outcome.cause == FailureClass::kUser || outcome.cause == FailureClass::kInfra;
  for (const Grant& grant : gang) {
    const std::string& name = workers_.at(grant.worker).name;
    if (evidence) task.make_trouble().failed_on.insert(name);
    if (outcome.action == LogAction::kAvoidWorker) task.make_trouble().avoids.insert(name);
  }
}

std::string Cluster::verdict(const Task& task, const Failed& failed) {
  Failed outcome = failed;
  if (outcome.reason.empty()) outcome.reason = "it did not say why";
  if (outcome.cause == FailureClass::kInvalid) return outcome.reason;
  if (outcome.action == LogAction::kStop)
    return outcome.reason + " (a rule of the log policy says that no retry helps)";
  if (outcome.cause == FailureClass::kMemory && task.shape >= task.spec.fallbacks().size())
    return outcome.reason + " (and no larger shape is given: see `fallbacks`)";
  if (outcome.cause == FailureClass::kUser && outcome.step >= 0 && !outcome.signature.empty() &&
      outcome.signature == task.trouble().last_signature &&
      outcome.step == task.trouble().last_step) {
    return fmt::format("{} (twice in a row, at step {})", outcome.reason, outcome.step);
  }
  // Each end looks at its own account only: a limit that was lowered meanwhile ends nothing that
  // somebody else is to blame for.
  const Charge charge = charge_of(outcome.cause);
  if (charge == Charge::kTask && task.user_failures >= task.spec.retry().user_failures_max)
    return outcome.reason;
  if (charge == Charge::kInfrastructure &&
      task.infra_failures >= task.spec.retry().infra_failures_max &&
      !STRATA_BROKEN(kEndlessInfraRetries))
    return outcome.reason;
  if (task.ends_without_progress >= kEndsWithoutProgressMax)
    return fmt::format("{} ({} times without a checkpoint between)", outcome.reason,
                       task.ends_without_progress);
  if (charge != Charge::kNobody && task.trouble().failed_on.size() >= kWorkersFailedOnMax) {
    return fmt::format("{} (it failed on {}: it is the task, not the machines)", outcome.reason,
                       fmt::join(task.trouble().failed_on, ", "));
  }
  return "";
}

void Cluster::end_failed(Task& task, const Failed& outcome) {
  Trouble& trouble = task.make_trouble();
  trouble.last_failure = outcome.reason;
  switch (charge_of(outcome.cause)) {
    case Charge::kTask: ++task.user_failures; break;
    case Charge::kInfrastructure:
      ++(STRATA_BROKEN(kChargeInfraToUser) ? task.user_failures : task.infra_failures);
      break;
    case Charge::kNobody: ++task.ends_without_progress; break;
  }
  const std::string final = verdict(task, outcome);
  trouble.last_signature = outcome.signature;
  trouble.last_step = outcome.step;
  if (task.wants.empty()) {
    set_state(task, TaskCancelledState{});
  } else if (!final.empty()) {
    set_state(task, TaskFailed{.reason = final});
  } else {
    if (outcome.cause == FailureClass::kMemory) ++task.shape;
    enqueue_or_block(task, outcome.delay_ms);
  }
}

void Cluster::on(const StoreRestored& e) { attempts_above_ = e.attempts_above; }

void Cluster::on(const WorkerQuarantined& e) {
  quarantines_[e.name] = {.reason = e.reason, .for_ms = e.for_ms};
}

void Cluster::on(const WorkerProbed& e) { quarantines_.at(e.name).probing = true; }

void Cluster::on(const WorkerReleased& e) { quarantines_.erase(e.name); }

void Cluster::on(const FailureForgiven& e) { touch(e.task).user_failures -= e.user_failures; }

void Cluster::on(const ArtifactEvicted& e) {
  Artifact& artifact = artifacts_.at(e.artifact);
  set_present(artifact, false);
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
