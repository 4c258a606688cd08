#include "tests/simulation/ledger.h"

#include <algorithm>

namespace strata::simulation {
namespace {

template <class... Args>
Violation broken(std::string invariant, fmt::format_string<Args...> text, Args&&... args) {
  return {std::move(invariant), fmt::format(text, std::forward<Args>(args)...)};
}

std::int64_t slots_of(const Gang& gang) {
  std::int64_t slots = 0;
  for (const Grant& grant : gang) slots += grant.slots;
  return slots;
}

// Who pays for a failure, as the table in docs/reliability.md says it.
enum class Payer { kUser, kInfrastructure, kNobody };
Payer payer_of(FailureClass cause) {
  if (cause == FailureClass::kScheduled) return Payer::kNobody;
  const bool users = cause == FailureClass::kUser || cause == FailureClass::kInvalid ||
                     cause == FailureClass::kMemory;
  return users ? Payer::kUser : Payer::kInfrastructure;
}

}  // namespace

std::optional<Violation> Ledger::apply(const Event& event) {
  return std::visit([&](const auto& body) { return on(body); }, event.body);
}

const TaskBook* Ledger::find(const TaskKey& key) const {
  const auto it = tasks_.find(key);
  return it == tasks_.end() ? nullptr : &it->second;
}

bool Ledger::is_live(const AttemptId& attempt) const {
  const TaskBook* task = find(attempt.task);
  return task != nullptr && task->live == attempt.number;
}

bool Ledger::holds(WorkerId worker, const AttemptId& attempt) const {
  if (!is_live(attempt)) return false;
  const Gang& gang = tasks_.at(attempt.task).gang;
  return std::any_of(gang.begin(), gang.end(), [&](const Grant& g) { return g.worker == worker; });
}

std::int64_t Ledger::slots_used(WorkerId worker) const {
  std::int64_t used = 0;
  for (const auto& [key, task] : tasks_) {
    for (const Grant& grant : task.gang) used += grant.worker == worker ? grant.slots : 0;
  }
  return used;
}

std::int64_t Ledger::memory_used(WorkerId worker) const {
  std::int64_t used = 0;
  for (const auto& [key, task] : tasks_) {
    for (const Grant& grant : task.gang) used += grant.worker == worker ? grant.memory_mb : 0;
  }
  return used;
}

const std::string* Ledger::owner_of(const TaskBook& task, std::int64_t slots) const {
  const std::string* owner = nullptr;
  for (const std::string& name : task.wants) {
    const auto place = [&](const std::string& sweep) {
      const SweepBook& its = sweeps_.at(sweep);
      const bool too_small = its.options.slots_max != 0 && its.options.slots_max < slots;
      return std::make_tuple(too_small, -its.priority, its.order);
    };
    if (owner == nullptr || place(name) < place(*owner)) owner = &name;
  }
  return owner;
}

Ledger::Verdict Ledger::must_be_live(const AttemptId& attempt, std::string_view what) const {
  if (is_live(attempt)) return {};
  return broken("I3", "{} of {}, which is not the live attempt, changed something", what,
                attempt.text());
}

// --- sweeps and tasks ---

Ledger::Verdict Ledger::on(const SweepOpened& e) {
  SweepBook& sweep = sweeps_[e.sweep];
  if (sweep.order == 0) sweep.order = sweeps_.size();
  sweep.generation = e.generation;
  sweep.priority = e.priority;
  sweep.arriving.clear();
  if (sweep.options.search != e.options.search) {  // another search begins anew
    for (auto& [key, task] : tasks_) forget_search(task, e.sweep);
  }
  sweep.options = e.options;
  return {};
}

Ledger::Verdict Ledger::on(const TaskWanted& e) {
  TaskBook& task = tasks_[e.spec.key];
  if (!task.live) task.said.clear();
  task.spec = e.spec;
  task.said.push_back(e.spec);
  task.wants.insert(e.sweep);
  return {};
}

Ledger::Verdict Ledger::on(const WantWithdrawn& e) {
  tasks_[e.task].wants.erase(e.sweep);
  forget_search(tasks_[e.task], e.sweep);
  return {};
}

Ledger::Verdict Ledger::on(const TaskRevived& e) {
  TaskBook& task = tasks_[e.task];
  ++task.revivals;
  task.user_failures = 0;
  task.infra_failures = 0;
  if (!task.wants.empty() &&
      std::includes(task.pruned.begin(), task.pruned.end(), task.wants.begin(), task.wants.end())) {
    task.pruned.clear();  // somebody wanted it in spite of its searches
    task.held.clear();
  }
  if (task.succeeded || task.diverged)
    return broken("I4", "{} has its result and is run again", e.task.brief());
  return {};
}

Ledger::Verdict Ledger::on(const TaskCancelled& e) {
  TaskBook& task = tasks_[e.task];
  task.succeeded = false;  // what it had made was lost, else it could not be cancelled
  if (!task.wants.empty())
    return broken("I21", "{} is cancelled although {} wants it", e.task.brief(),
                  *task.wants.begin());
  return {};
}

// --- searches ---

void Ledger::forget_search(TaskBook& task, const std::string& sweep) {
  task.rungs.erase(sweep);
  task.held.erase(sweep);
  task.pruned.erase(sweep);
}

Ledger::Verdict Ledger::on(const RunAdded& e) {
  for (const auto& [stage, task] : e.run.tasks) sweeps_[e.sweep].arriving.insert(task);
  return {};
}

Ledger::Verdict Ledger::on(const SweepSealed& e) {
  for (auto& [key, task] : tasks_) {
    // One that all have pruned has ended, and stays as it is.
    const bool over =
        !task.live && !task.wants.empty() &&
        std::includes(task.pruned.begin(), task.pruned.end(), task.wants.begin(), task.wants.end());
    if (sweeps_[e.sweep].arriving.contains(key)) continue;
    task.rungs.erase(e.sweep);
    if (!over) forget_search(task, e.sweep);
  }
  return {};
}

Ledger::Verdict Ledger::on(const RungReached& e) {
  TaskBook& task = tasks_[e.task];
  if (!sweeps_[e.sweep].options.search)
    return broken("search", "{} reached a rung of {}, which has none", e.task.brief(), e.sweep);
  if (task.held.contains(e.sweep))
    return broken("search", "{} is beyond a rung of {} and was not promoted", e.task.brief(),
                  e.sweep);
  if (e.rung != task.rungs[e.sweep]++)
    return broken("search", "{} reached rung {} of {} out of turn", e.task.brief(), e.rung,
                  e.sweep);
  return {};
}

Ledger::Verdict Ledger::on(const TaskHeld& e) {
  tasks_[e.task].held.insert(e.sweep);
  return {};
}

Ledger::Verdict Ledger::on(const TaskPromoted& e) {
  TaskBook& task = tasks_[e.task];
  if (task.pruned.contains(e.sweep))
    return broken("search", "{} was pruned by {} and goes on", e.task.brief(), e.sweep);
  task.held.erase(e.sweep);
  return {};
}

Ledger::Verdict Ledger::on(const TaskPruned& e) {
  if (!tasks_[e.task].pruned.insert(e.sweep).second)
    return broken("search", "{} is pruned twice by {}", e.task.brief(), e.sweep);
  return {};
}

Ledger::Verdict Ledger::check_search(const AttemptGranted& e, const TaskBook& task) {
  if (task.wants.empty() ||
      !std::includes(task.held.begin(), task.held.end(), task.wants.begin(), task.wants.end()))
    return {};
  return broken("search", "{} is granted although every sweep that wants it has paused it",
                e.attempt.text());
}

// --- workers ---

Ledger::Verdict Ledger::on(const WorkerJoined& e) {
  newest_worker_ = e.worker.value();
  workers_[e.worker] = {
      .name = e.name, .session = e.session, .slots = e.slots, .memory_mb = e.memory_mb};
  return {};
}

Ledger::Verdict Ledger::on(const WorkerGone& e) {
  const std::int64_t used = slots_used(e.worker);
  const std::string name = workers_[e.worker].name;
  workers_.erase(e.worker);
  if (used > 0) return broken("I5", "{} is gone and holds {} slots", name, used);
  return {};
}

Ledger::Verdict Ledger::on(const WorkerQuarantined& e) {
  quarantines_[e.name] = {};
  return {};
}

Ledger::Verdict Ledger::on(const WorkerProbed& e) {
  quarantines_[e.name].probing = true;
  return {};
}

Ledger::Verdict Ledger::on(const WorkerReleased& e) {
  quarantines_.erase(e.name);
  return {};
}

Ledger::Verdict Ledger::on(const FailureForgiven& e) {
  tasks_[e.task].user_failures -= e.user_failures;
  return {};
}

// --- attempts ---

Ledger::Verdict Ledger::check_number(const AttemptGranted& e, const TaskBook& task) const {
  if (task.live)
    return broken("I1", "{} is granted while attempt {} is out", e.attempt.text(), *task.live);
  if (e.attempt.number <= task.newest)
    return broken("I1", "{} is granted after attempt {}", e.attempt.text(), task.newest);
  return {};
}

Ledger::Verdict Ledger::check_inputs(const AttemptGranted& e, const TaskBook& task) const {
  for (const TaskInput& input : task.spec.inputs) {
    const TaskBook* producer = find(input.producer);
    const auto given = e.inputs.find(input.name);
    if (producer == nullptr || !producer->succeeded || given == e.inputs.end())
      return broken("I10", "{} begins without {} of {}", e.attempt.text(), input.output,
                    input.producer.brief());
    const auto made = producer->artifacts.find(input.output);
    if (made == producer->artifacts.end() || made->second != given->second ||
        evicted_.contains(given->second.hash)) {
      return broken("I10", "{} begins with another {} than {} has made", e.attempt.text(),
                    input.output, input.producer.brief());
    }
  }
  return {};
}

Ledger::Verdict Ledger::check_gang(const AttemptGranted& e, const TaskBook& task) const {
  std::set<std::int64_t> shapes;
  for (const TaskSpec& said : task.said) {
    shapes.insert(said.resources.slots);
    for (const Resources& shape : said.fallbacks) shapes.insert(shape.slots);
  }
  const std::int64_t slots = slots_of(e.gang);
  if (!shapes.contains(slots))
    return broken("I6", "{} gets {} slots, a part of its gang of {}", e.attempt.text(), slots,
                  task.spec.resources.slots);
  return {};
}

Ledger::Verdict Ledger::check_room(const AttemptGranted& e) const {
  for (const Grant& grant : e.gang) {
    const auto it = workers_.find(grant.worker);
    if (it == workers_.end())
      return broken("I5", "{} is granted slots of a worker that is not there", e.attempt.text());
    const WorkerBook& worker = it->second;
    const std::int64_t slots = slots_used(grant.worker) + grant.slots;
    const std::int64_t memory = memory_used(grant.worker) + grant.memory_mb;
    if (slots > worker.slots)
      return broken("I5", "{} is granted slot {} of {} on {}", e.attempt.text(), slots,
                    worker.slots, worker.name);
    if (worker.memory_mb > 0 && memory > worker.memory_mb)
      return broken("I5", "{} makes it {} of {} MiB on {}", e.attempt.text(), memory,
                    worker.memory_mb, worker.name);
  }
  return {};
}

Ledger::Verdict Ledger::check_resume(const AttemptGranted& e, const TaskBook& task) const {
  std::optional<ArtifactRef> expected;
  const auto& checkpoint = task.checkpoint;
  if (task.spec.resumable && checkpoint && checkpoint->inputs == e.inputs)
    expected = checkpoint->artifact;
  if (expected != e.resume_from)
    return broken("resume", "{} does not go on from its newest committed checkpoint",
                  e.attempt.text());
  return {};
}

Ledger::Verdict Ledger::check_quota(const AttemptGranted& e, const TaskBook& task) const {
  const std::string* owner = owner_of(task, slots_of(e.gang));
  if (owner == nullptr) return broken("I21", "{} is begun for nobody", e.attempt.text());
  const std::int64_t most = sweeps_.at(*owner).options.slots_max;
  if (most == 0) return {};
  std::int64_t held = slots_of(e.gang);
  for (const auto& [key, other] : tasks_) {
    if (!other.live) continue;
    const std::string* its = owner_of(other, slots_of(other.gang));
    if (its != nullptr && *its == *owner) held += slots_of(other.gang);
  }
  if (held > most)
    return broken("quota", "{} makes it {} slots of {}, which may hold {}", e.attempt.text(), held,
                  *owner, most);
  return {};
}

Ledger::Verdict Ledger::check_quarantine(const AttemptGranted& e) const {
  for (const Grant& grant : e.gang) {
    const std::string& name = workers_.at(grant.worker).name;
    const auto it = quarantines_.find(name);
    if (it == quarantines_.end()) continue;
    if (!it->second.probing)
      return broken("quarantine", "{} is granted to {}, which is in quarantine", e.attempt.text(),
                    name);
    if (!it->second.probes.empty())
      return broken("quarantine", "{} is the second at once on {}, which is on trial",
                    e.attempt.text(), name);
  }
  return {};
}

Ledger::Verdict Ledger::on(const AttemptGranted& e) {
  TaskBook& task = tasks_[e.attempt.task];
  Verdict verdict = check_number(e, task);
  if (!verdict) verdict = check_inputs(e, task);
  if (!verdict) verdict = check_gang(e, task);
  if (!verdict) verdict = check_room(e);
  if (!verdict && task.infra_failures >= task.spec.retry.infra_failures_max)
    verdict = broken("I12", "{} is tried again after {} failures of the infrastructure",
                     e.attempt.text(), task.infra_failures);
  if (!verdict) verdict = check_quarantine(e);
  if (!verdict) verdict = check_quota(e, task);
  if (!verdict) verdict = check_search(e, task);
  if (!verdict) verdict = check_resume(e, task);
  task.newest = e.attempt.number;
  task.live = e.attempt.number;
  task.gang = e.gang;
  task.inputs = e.inputs;
  task.started = false;
  task.stop.reset();
  // A result that is run again is none until it has come again.
  task.succeeded = false;
  coordinator::BranchAttempt attempt{.attempt = e.attempt.number};
  if (e.resume_from) {
    const auto step = task.checkpoint_steps.find(e.resume_from->hash);
    if (step != task.checkpoint_steps.end()) attempt.resume_step = step->second;
  }
  task.attempts.push_back(attempt);
  for (const Grant& grant : e.gang) {
    const auto it = workers_.find(grant.worker);
    if (it == workers_.end()) continue;
    const auto quarantine = quarantines_.find(it->second.name);
    if (quarantine != quarantines_.end()) quarantine->second.probes.insert(e.attempt);
  }
  return verdict;
}

Ledger::Verdict Ledger::on(const AttemptStarted& e) {
  Verdict verdict = must_be_live(e.attempt, "the start");
  tasks_[e.attempt.task].started = true;
  return verdict;
}

Ledger::Verdict Ledger::on(const CheckpointCommitted& e) {
  Verdict verdict = must_be_live(e.attempt, "a checkpoint");
  TaskBook& task = tasks_[e.attempt.task];
  task.checkpoint = {.step = e.step, .artifact = e.artifact, .inputs = task.inputs};
  std::int64_t& step = task.checkpoint_steps[e.artifact.hash];
  step = std::max(step, e.step);
  made_.insert(e.artifact.hash);
  evicted_.erase(e.artifact.hash);
  return verdict;
}

Ledger::Verdict Ledger::on(const StopRequested& e) {
  Verdict verdict = must_be_live(e.attempt, "a stop");
  TaskBook& task = tasks_[e.attempt.task];
  if (!verdict && e.kind == StopKind::kCancel && !task.wants.empty())
    verdict =
        broken("I21", "{} is stopped although {} wants it", e.attempt.text(), *task.wants.begin());
  if (!verdict && task.stop && *task.stop > e.kind)
    verdict = broken("stop", "{} was asked for more already", e.attempt.text());
  if (e.kind == StopKind::kPreempt && task.stop != StopKind::kPreempt) ++preemptions_;
  task.stop = e.kind;
  return verdict;
}

Ledger::Verdict Ledger::on(const AttemptEnded& e) {
  Verdict verdict = must_be_live(e.attempt, "the end");
  TaskBook& task = tasks_[e.attempt.task];
  task.live.reset();
  task.gang.clear();
  task.said = {task.spec};
  for (auto& [name, quarantine] : quarantines_) quarantine.probes.erase(e.attempt);
  Payer payer = Payer::kNobody;
  if (const auto* failed = std::get_if<Failed>(&e.outcome)) payer = payer_of(failed->cause);
  if (std::holds_alternative<Lost>(e.outcome)) payer = Payer::kInfrastructure;
  if (payer == Payer::kUser) ++task.user_failures;
  if (payer == Payer::kInfrastructure) ++task.infra_failures;
  task.diverged = std::holds_alternative<Diverged>(e.outcome);
  if (const auto* done = std::get_if<Succeeded>(&e.outcome)) {
    task.succeeded = true;
    task.held.clear();  // whatever searches made of it, the result is there
    task.pruned.clear();
    task.artifacts = done->artifacts;
    for (const auto& [output, ref] : done->artifacts) {
      made_.insert(ref.hash);
      evicted_.erase(ref.hash);
    }
  }
  return verdict;
}

Ledger::Verdict Ledger::on(const ArtifactEvicted& e) {
  evicted_.insert(e.artifact);
  for (auto& [key, task] : tasks_) {
    if (task.checkpoint && task.checkpoint->artifact.hash == e.artifact) task.checkpoint.reset();
  }
  return {};
}

}  // namespace strata::simulation
