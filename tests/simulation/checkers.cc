// The invariants, checked from outside after every step. Numbers are those of ARCHITECTURE.md
// ("Invariants"); what the log itself says is judged in ledger.cc. None of this knows which rule is
// broken. Within one step the cause is looked for before what follows from it.

#include <algorithm>

#include "base/assert.h"
#include "base/json.h"
#include "schema/codec.h"
#include "tests/simulation/world.h"

namespace strata::simulation {

using coordinator::Cluster;
using coordinator::Task;

std::string describe(const Cluster& cluster) {
  std::string text;
  for (const auto& [key, task] : cluster.tasks()) {
    text += fmt::format("{} {} attempts={} user={} infra={} free_ends={} shape={} wants={}",
                        key.hex(), coordinator::name_of(task.state), task.attempts,
                        task.user_failures, task.infra_failures, task.ends_without_progress,
                        task.shape, fmt::join(task.wants, ","));
    text += fmt::format(" failed_on={} avoids={} last={}", fmt::join(task.trouble().failed_on, ","),
                        fmt::join(task.trouble().avoids, ","), task.trouble().last_failure);
    for (const auto& [sweep, why] : task.trouble().holds)
      text += fmt::format(" held={}:{}", sweep, why);
    for (const auto& [sweep, why] : task.trouble().pruned)
      text += fmt::format(" pruned={}:{}", sweep, why);
    if (const auto* queued = std::get_if<coordinator::Queued>(&task.state))
      text += fmt::format(" delay={}", queued->delay_ms);
    if (const Gang* gang = coordinator::gang_of(task.state)) {
      for (const Grant& grant : *gang)
        text += fmt::format(" on={}:{}:{}", grant.worker.value(), grant.slots, grant.memory_mb);
    }
    for (const auto& [output, ref] : task.made().artifacts)
      text += " " + output + "=" + ref.hash.hex();
    if (task.checkpoint)
      text += fmt::format(" checkpoint={}:{}", task.checkpoint->step,
                          task.checkpoint->artifact.hash.hex());
    text += '\n';
  }
  for (const auto& [id, worker] : cluster.workers())
    text += fmt::format("worker {} {} {}/{} {}\n", id.value(), worker.name, worker.free,
                        worker.slots, worker.memory_free_mb);
  for (const auto& [hash, artifact] : cluster.artifacts())
    text += fmt::format("artifact {} {}\n", hash.hex(), artifact.present);
  for (const auto& [name, sweep] : cluster.sweeps()) {
    text += fmt::format("sweep {} {} {} {}\n", name, sweep.generation, sweep.runs.size(),
                        sweep.cancelled);
    if (!sweep.search) continue;
    for (const auto& [key, standing] : sweep.search->standings())
      text += fmt::format("  {} [{}] {} {} {}\n", key.brief(), fmt::join(standing.values, " "),
                          standing.held, standing.pruned, standing.exempt);
  }
  for (const auto& [name, quarantine] : cluster.quarantines())
    text += fmt::format("quarantine {} {} {}\n", name, quarantine.for_ms, quarantine.probing);
  return text;
}

namespace {

struct Reported {
  AttemptId attempt{};
  WorkerId worker{};
};

bool has_result(const Task& task) {
  return std::holds_alternative<coordinator::TaskSucceeded>(task.state) ||
         std::holds_alternative<coordinator::TaskDiverged>(task.state);
}

// The attempt that a worker's report in this input is about, if it is one.
std::optional<Reported> reported_by(const coordinator::Input& input) {
  return std::visit(
      [](const auto& body) -> std::optional<Reported> {
        using T = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<T, ReportEnded> || std::is_same_v<T, ReportCheckpoint> ||
                      std::is_same_v<T, ReportStarted>) {
          return Reported{.attempt = body.attempt, .worker = body.worker};
        } else {
          return {};
        }
      },
      input.body);
}

// Of which task an event says that its attempt did something.
const AttemptId* attempt_told(const Event& event) {
  if (const auto* e = std::get_if<AttemptEnded>(&event.body)) return &e->attempt;
  if (const auto* e = std::get_if<AttemptStarted>(&event.body)) return &e->attempt;
  if (const auto* e = std::get_if<CheckpointCommitted>(&event.body)) return &e->attempt;
  return nullptr;
}

std::string subject_of(const Event& event) {
  if (const AttemptId* attempt = attempt_told(event)) return attempt->text();
  return std::visit(
      [](const auto& e) -> std::string {
        using T = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<T, AttemptGranted>) {
          return fmt::format("{} to worker {}, {} slots", e.attempt.text(),
                             e.gang.front().worker.value(), e.gang.front().slots);
        } else if constexpr (std::is_same_v<T, StopRequested>) {
          return fmt::format("{} {}", e.attempt.text(), name_of(e.kind));
        } else if constexpr (requires { e.task.brief(); }) {
          return e.task.brief();
        } else if constexpr (requires { e.spec.key; }) {
          return e.spec.key.brief() + " by " + e.sweep;
        } else if constexpr (requires { e.name; }) {
          return e.name;
        } else if constexpr (requires { e.sweep; }) {
          return e.sweep;
        } else if constexpr (requires { e.worker; }) {
          return fmt::format("worker {}", e.worker.value());
        } else if constexpr (requires { e.artifact.brief(); }) {
          return e.artifact.brief();
        } else {
          return "";
        }
      },
      event.body);
}

}  // namespace

void World::check_step(const coordinator::Input& input, const coordinator::Output& output) {
  for (const Event& event : output.events) {
    trace(fmt::format("{} {}", name_of(event.body), subject_of(event)));
    if (std::holds_alternative<WorkerQuarantined>(event.body)) ++statistics_.quarantines;
    if (std::holds_alternative<RungReached>(event.body)) ++statistics_.rungs_reached;
    if (std::holds_alternative<TaskHeld>(event.body)) ++statistics_.tasks_held;
    if (std::holds_alternative<TaskPromoted>(event.body)) ++statistics_.tasks_promoted;
    if (std::holds_alternative<TaskPruned>(event.body)) ++statistics_.tasks_pruned;
  }
  if (const auto* submission = std::get_if<SubmitTasks>(&input.body))
    check_submission(*submission, output);
  check_dropped(output);
  check_report(input, output);
  for (const Event& event : output.events) {
    if (const auto* ended = std::get_if<AttemptEnded>(&event.body)) check_expiry(*ended);
    // Before the ledger sees an attempt too many: that it is one follows from the reopening.
    if (const auto* granted = std::get_if<AttemptGranted>(&event.body)) {
      const TaskBook* book = ledger_.find(granted->attempt.task);
      const auto task = core_->cluster().tasks().find(granted->attempt.task);
      if (book != nullptr && task != core_->cluster().tasks().end())
        check_final(task->second, *book);
    }
    violate(ledger_.apply(event));
    const auto* ended = std::get_if<AttemptEnded>(&event.body);
    if (ended != nullptr && std::holds_alternative<Succeeded>(ended->outcome))
      check_series(ended->attempt.task, ended->attempt);
  }
  check_books();
  check_leaving(input, output);
  check_memory();
  note_results();
  if (statistics_.steps % 64 == 0) check_replay();
}

// I9: a sweep that wants a task no more takes nobody's result.
void World::check_dropped(const coordinator::Output& output) {
  std::set<ContentHash> lost;  // in this very step, so not by the drop
  for (const Event& event : output.events) {
    const auto* evicted = std::get_if<ArtifactEvicted>(&event.body);
    if (evicted != nullptr) lost.insert(evicted->artifact);
    const auto* withdrawn = std::get_if<WantWithdrawn>(&event.body);
    if (withdrawn == nullptr || !results_.contains(withdrawn->task)) continue;
    const coordinator::Task& task = *core_->cluster().find_task(withdrawn->task);
    const bool lost_it =
        std::any_of(task.made().artifacts.begin(), task.made().artifacts.end(),
                    [&](const auto& made) { return lost.contains(made.second.hash); });
    if (!has_result(task) && !lost_it)
      violate("I9", withdrawn->task.brief() + " was dropped from " + withdrawn->sweep +
                        " and has lost its result");
  }
}

// I8: what a submission may do to what is there already.
void World::check_submission(const SubmitTasks& s, const coordinator::Output& output) {
  std::int64_t unknown = 0;
  for (const TaskSpec& task : s.tasks) {
    if (ledger_.find(task.key) == nullptr) ++unknown;
  }
  for (const coordinator::Send& effect : output.effects) {
    const auto* answer = std::get_if<Answer>(&effect.message);
    // The core may just have come to an earlier one, which was asked with the same number.
    if (answer == nullptr || !answer->ok || answer->id != s.id || was_busy_) continue;
    const auto body = parse_json(answer->body);
    const Value* created = body ? body->find("created") : nullptr;
    const std::int64_t said = created != nullptr && created->if_number() != nullptr
                                  ? std::stoll(to_canonical_json(*created))
                                  : -1;
    if (said != unknown)
      violate("I8", fmt::format("submitting {} created {} tasks; {} were unknown", s.sweep, said,
                                unknown));
  }
  for (const auto& [key, task] : core_->cluster().tasks()) {
    const auto [it, fresh] = created_as_.emplace(key, task.order);
    if (!fresh && it->second != task.order)
      violate("I8", key.brief() + " was there and is created again by " + s.sweep);
  }
}

// I3: a report of an attempt that is not the worker's live one changes nothing.
void World::check_report(const coordinator::Input& input, const coordinator::Output& output) {
  const auto reported = reported_by(input);
  if (!reported || ledger_.holds(reported->worker, reported->attempt)) return;
  ++statistics_.stale_reports;
  for (const Event& event : output.events) {
    const AttemptId* told = attempt_told(event);
    if (told != nullptr && told->task == reported->attempt.task)
      violate("I3", fmt::format("a report of {} by worker {}, which does not hold it, counted",
                                reported->attempt.text(), reported->worker.value()));
    if (std::holds_alternative<ArtifactEvicted>(event.body))
      violate("I3",
              "a report of " + reported->attempt.text() + ", which is over, lost an artifact");
  }
}

// I4: what was final after the last commit stays so. A loss or a new output brings back a result,
// and a new want brings back the rest; a lost artifact brings back only what made it.
void World::check_final(const coordinator::Task& task, const TaskBook& book) {
  const auto before = final_states_.find(task.spec.key());
  const std::string state = coordinator::name_of(task.state);
  if (before == final_states_.end() || before->second.state == state) return;
  const bool result = before->second.state == "succeeded";
  const bool lost = std::any_of(task.made().artifacts.begin(), task.made().artifacts.end(),
                                [&](const auto& made) {
                                  const auto& known = core_->cluster().artifacts();
                                  const auto it = known.find(made.second.hash);
                                  return it == known.end() || !it->second.present;
                                });
  const bool new_output = task.made().artifacts.size() < task.spec.outputs().size();
  const bool revived = book.revivals > before->second.revivals;
  if (!(result ? lost || new_output : revived))
    violate("I4", task.spec.key().brief() + " went from " + before->second.state + " to " + state);
}

// What the core believes against what its own log says, and against what was final before.
void World::check_books() {
  const Cluster& cluster = core_->cluster();
  for (const auto& [key, task] : cluster.tasks()) {
    const TaskBook* book = ledger_.find(key);
    if (book == nullptr) return violate("I8", key.brief() + " is there, and nobody asked for it");
    check_final(task, *book);
    // I11, I12: who paid.
    if (task.user_failures != book->user_failures)
      violate("I11", fmt::format("{} is charged with {} failures of its own; it had {}",
                                 key.brief(), task.user_failures, book->user_failures));
    if (task.infra_failures != book->infra_failures)
      violate("I12", fmt::format("{} counts {} failures of the infrastructure; it had {}",
                                 key.brief(), task.infra_failures, book->infra_failures));
    if (task.attempts != book->newest ||
        cluster.is_live({key, book->newest}) != book->live.has_value())
      violate("I1", key.brief() + ": the core and its log know different attempts");
  }
  for (const auto& [id, worker] : cluster.workers()) {
    const std::int64_t used = ledger_.slots_used(id);
    if (used + worker.free != worker.slots || worker.free < 0)
      violate("I5", fmt::format("{} has {} slots in use and {} free of {}", worker.name, used,
                                worker.free, worker.slots));
    const std::int64_t memory = ledger_.memory_used(id);
    if (worker.memory_mb > 0 && memory + worker.memory_free_mb != worker.memory_mb)
      violate("I5", fmt::format("{} has {} MiB in use and {} free of {}", worker.name, memory,
                                worker.memory_free_mb, worker.memory_mb));
    for (const AttemptId& attempt : worker.attempts) {
      if (!ledger_.holds(id, attempt))
        violate("I1", attempt.text() + " is held by " + worker.name + " and is not live");
    }
  }
}

// A lease that ran out at the coordinator has ended earlier on the worker, whose clock is its own:
// nothing of the attempt runs any more when the task may be given to others.
void World::check_expiry(const AttemptEnded& ended) {
  const auto* lost = std::get_if<Lost>(&ended.outcome);
  if (lost == nullptr || lost->reason.find("lease") == std::string::npos) return;
  ++statistics_.expiries;
  for (const SimWorker& w : workers_) {
    const auto it = w.processes.find(ended.attempt);
    if (it != w.processes.end() && !it->second.unkillable)
      violate("I1", fmt::format("the lease of {} ran out while it ran on {} (drift {:.4f})",
                                ended.attempt.text(), w.name, w.drift));
  }
}

namespace {

// The session that this input closes: it gets nothing from this very step on.
std::optional<std::uint64_t> closed_by(const coordinator::Input& input, const Cluster& cluster) {
  if (const auto* leaving = std::get_if<Leaving>(&input.body)) return leaving->session;
  if (const auto* goodbye = std::get_if<Goodbye>(&input.body)) return goodbye->session;
  if (const auto* drain = std::get_if<coordinator::DrainWorker>(&input.body)) {
    if (const auto* worker = cluster.find_worker(drain->worker)) return worker->session;
  }
  return {};
}

}  // namespace

// A worker that is drained or leaves is granted nothing, and what it still held when it said
// goodbye is nobody's failure.
void World::check_leaving(const coordinator::Input& input, const coordinator::Output& output) {
  const Cluster& cluster = core_->cluster();
  const auto closed = closed_by(input, cluster);
  for (const Event& event : output.events) {
    if (const auto* granted = std::get_if<AttemptGranted>(&event.body)) {
      for (const Grant& grant : granted->gang) {
        const auto* worker = cluster.find_worker(grant.worker);
        if (worker != nullptr &&
            (worker->session == closed || closed_sessions_.contains(worker->session)))
          violate("leaving", granted->attempt.text() + " is granted to " + worker->name +
                                 ", which is leaving");
      }
    }
  }
  const auto* goodbye = std::get_if<Goodbye>(&input.body);
  if (goodbye == nullptr) return;
  for (const auto& [id, worker] : cluster.workers()) {
    if (worker.session == goodbye->session)
      violate("leaving", worker.name + " said goodbye and is still there");
  }
  for (const Event& event : output.events) {
    const auto* ended = std::get_if<AttemptEnded>(&event.body);
    if (ended != nullptr && !std::holds_alternative<Stopped>(ended->outcome))
      violate("leaving", ended->attempt.text() + " is charged with the end of its worker");
  }
}

// After the commit: who is leaving.
void World::note_committed(const coordinator::Input& input) {
  if (const auto session = closed_by(input, core_->cluster())) closed_sessions_.insert(*session);
  if (std::holds_alternative<Goodbye>(input.body)) ++statistics_.goodbyes;
}

// After each step: what has a result.
void World::note_results() {
  results_.clear();
  for (const auto& [key, task] : core_->cluster().tasks()) {
    if (has_result(task)) results_.insert(key);
  }
}

// After the commit: what counts as having been final.
void World::note_final() {
  for (const auto& [key, task] : core_->cluster().tasks()) {
    if (coordinator::is_final(task.state)) {
      const TaskBook* book = ledger_.find(key);
      final_states_[key] = {.state = coordinator::name_of(task.state),
                            .revivals = book == nullptr ? 0 : book->revivals};
    } else {
      final_states_.erase(key);
    }
  }
}

void World::check_workers() {
  std::map<AttemptId, int> running;
  for (const SimWorker& w : workers_) {
    // I5 on the machines themselves: whatever the books say, no worker runs more than it has.
    std::int64_t used = 0;
    for (const auto& [id, process] : w.processes) {
      for (const Grant& grant : process.order.gang) used += grant.slots;
      // I7: the rest of a gang does not outlive one of its ranks for long.
      if (process.rank_lost && now_ - *process.rank_lost > kRankLossBound && !process.killed)
        violate("I7",
                fmt::format("{} lost a rank, and the others still run on {}", id.text(), w.name));
      // I1: at most one set of processes, anywhere, is the newest attempt of a task.
      const TaskBook* book = ledger_.find(id.task);
      if (book != nullptr && book->newest == id.number && ++running[id] > 1)
        violate("I1", "two gangs run as " + id.text());
    }
    if (used > w.slots) violate("I5", fmt::format("{} runs {} of {} slots", w.name, used, w.slots));
  }
}

// I17: whatever does not flow, what waits has a bound.
void World::check_memory() {
  for (const auto& [peer, outlet] : outlets_) {
    if (outlet.outbox.frames() > kOutboxLimits.frames_max ||
        outlet.outbox.bytes() > kOutboxLimits.bytes_max)
      violate("I17", fmt::format("{} frames of {} bytes wait for peer {}, which takes nothing",
                                 outlet.outbox.frames(), outlet.outbox.bytes(), peer.value()));
  }
  if (!core_) return;
  for (const coordinator::Core::Kept& kept : core_->kept()) {
    if (kept.count > kept.most)
      violate("I17", fmt::format("{}: {} of at most {}", kept.what, kept.count, kept.most));
  }
}

// I13 and I14: replaying the log gives the state that the core has, and every prefix is legal.
void World::check_replay() {
  if (!core_ || violation_) return;
  Cluster cluster = replayed();
  for (const Event& event : batch_.events) {  // of earlier steps of this turn
    if (const Status legal = cluster.apply_checked(event); !legal)
      return violate("I14", legal.error().message);
  }
  if (cluster.events_applied() != core_->cluster().events_applied()) return;
  if (describe(cluster) != describe(core_->cluster()))
    violate("I13", "a replay of the log gives another state than the core has");
}

// I19: the series of a training that was interrupted equals that of one that was not: each step
// once, made by the attempt from which the result comes.
void World::check_series(const TaskKey& key, const AttemptId& attempt) {
  const auto truth = truth_.find(attempt);
  const TaskBook& book = ledger_.tasks().at(key);
  if (truth == truth_.end() || !book.spec.resumable) return;
  ++statistics_.series_checked;
  std::set<std::int64_t> seen;
  for (const coordinator::BranchPart& part : coordinator::living_branch(book.attempts)) {
    const auto stored = points_.find({key, static_cast<std::uint32_t>(part.attempt)});
    if (stored == points_.end()) continue;
    for (const MetricPoint& point : stored->second) {
      if (part.last_step && point.step > *part.last_step) continue;
      const auto step = static_cast<std::size_t>(point.step);
      if (!seen.insert(point.step).second)
        return violate("I19", fmt::format("step {} stands twice in the series of {}", point.step,
                                          attempt.text()));
      const bool alive = step >= 1 && step <= truth->second.size() &&
                         point.values.at("made_by") == static_cast<double>(truth->second[step - 1]);
      if (!alive)
        return violate("I19",
                       fmt::format("step {} in the series of {} is of a branch that is over: "
                                   "made by attempt {}, {} steps",
                                   point.step, attempt.text(), point.values.at("made_by"),
                                   truth->second.size()));
    }
  }
  if (!excused_.contains(key) && seen.size() != truth->second.size())
    violate("I19", fmt::format("the series of {} has {} of {} steps", attempt.text(), seen.size(),
                               truth->second.size()));
}

// A sweep without a search has what it wants, whatever the searches of others made of it; and a
// search that met no failure got something to its end.
void World::check_searches_at_end() {
  for (const Plan& plan : plans_) {
    if (plan.cancelled) continue;
    std::map<std::string, int> trains;
    for (const TaskSpec& wanted : plan.submitted) {
      const Task* task = core_->cluster().find_task(wanted.key);
      if (task == nullptr) continue;
      const std::string state = coordinator::name_of(task->state);
      if (wanted.stage == "train") ++trains[state];
      if (state == "pruned" && !ledger_.sweeps().at(plan.sweep).options.search)
        violate("search", wanted.key.brief() + " was pruned although " + plan.sweep +
                              ", which has no search, wants it");
    }
    const bool only_pruned = trains.size() == 1 && trains.contains("pruned");
    // (A file that dropped the one that went on is left with the others.)
    if (only_pruned && statistics_.edits == 0)
      violate("search", plan.sweep + " pruned everything that it wanted");
  }
}

bool World::everything_ended() const {
  if (!core_ || commit_failed_ || !inputs_.empty()) return false;
  for (const Plan& plan : plans_) {
    if (plan.asking || !plan.acknowledged) return false;
  }
  for (const auto& [key, task] : core_->cluster().tasks()) {
    if (coordinator::gang_of(task.state) != nullptr ||
        std::holds_alternative<coordinator::Queued>(task.state) ||
        std::holds_alternative<coordinator::Held>(task.state))
      return false;
  }
  for (const SimWorker& w : workers_) {
    if (!w.processes.empty() || !w.told.empty()) return false;
  }
  return true;
}

// Whether it, or anything that it was made from, read what has been made again with other bytes
// since: found by walking up, where the core keeps a mark with the task and carries it down.
bool World::is_outdated(const coordinator::Task& task) const {
  std::vector<const Task*> open{&task};
  std::set<TaskKey> seen{task.spec.key()};
  while (!open.empty()) {
    const Task& one = *open.back();
    open.pop_back();
    if (!std::holds_alternative<coordinator::TaskSucceeded>(one.state)) continue;
    for (const TaskInput& input : one.spec.inputs()) {
      const Task& producer = *core_->cluster().find_task(input.producer);
      const auto made = producer.made().artifacts.find(input.output);
      const auto read = one.made().consumed.find(input.name);
      if (made != producer.made().artifacts.end() && read != one.made().consumed.end() &&
          made->second.hash != read->second) {
        return true;
      }
      if (seen.insert(input.producer).second) open.push_back(&producer);
    }
  }
  return false;
}

void World::check_end() {
  if (!everything_ended()) {
    std::string waiting;
    if (core_) {
      for (const auto& [key, task] : core_->cluster().tasks()) {
        if (!coordinator::is_final(task.state) &&
            !std::holds_alternative<coordinator::Blocked>(task.state))
          waiting +=
              "\n  " + key.brief() + " " + task.spec.stage() + ": " + core_->reason(key, now_);
      }
    }
    return violate("liveness", "the faults ended long ago and not everything has" + waiting);
  }
  check_replay();
  const Cluster& cluster = core_->cluster();
  for (const auto& [key, task] : cluster.tasks()) {
    // I8: sweeps that overlap and submissions that were repeated created nothing of their own.
    if (!asked_.contains(key)) violate("I8", key.brief() + " was asked for by nobody");
    const auto* succeeded = std::get_if<coordinator::TaskSucceeded>(&task.state);
    ++(succeeded != nullptr ? statistics_.tasks_succeeded : statistics_.tasks_ended_otherwise);
    if (succeeded != nullptr) check_series(key, {key, succeeded->attempt});
    if (task.outdated != is_outdated(task))
      violate("outdated", key.brief() + (task.outdated ? " is" : " is not") + " called outdated");
    statistics_.tasks_outdated += task.outdated ? 1 : 0;
    // Nothing waits for what is there.
    if (std::holds_alternative<coordinator::Blocked>(task.state) && cluster.inputs_of(task))
      violate("liveness", key.brief() + " waits for inputs that are all there");
  }
  check_searches_at_end();
  // I21: what a living sweep wants is cancelled by nobody else's cancel.
  for (const Plan& plan : plans_) {
    if (plan.cancelled) continue;
    for (const TaskSpec& wanted : plan.submitted) {
      const Task* task = cluster.find_task(wanted.key);
      if (task == nullptr || std::holds_alternative<coordinator::TaskCancelledState>(task->state))
        violate("I21",
                wanted.key.brief() + " did not come about although " + plan.sweep + " wants it");
    }
  }
}

}  // namespace strata::simulation
