#include "coordinator/core/core.h"

#include <algorithm>

#include "base/assert.h"
#include "base/json.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/placement.h"

namespace strata::coordinator {
namespace {

// The rest waits for the next step, so that no pass is long.
constexpr std::size_t kPlacementsPerPassMax = 1'000;
constexpr std::size_t kClosedSessionsMax = 1'000;

}  // namespace

Core::Core(Options options, Cluster recovered, Instant now)
    : options_(std::move(options)), cluster_(std::move(recovered)) {
  // Nobody knows how long ago the renewals came: every lease and every pause starts again at full
  // length.
  for (const auto& [key, task] : cluster_.tasks()) {
    if (gang_of(task.state) != nullptr) {
      lease_until_[{.task = key, .number = task.attempts}] =
          now + std::chrono::milliseconds(task.spec.lease_ms);
    } else if (const auto* queued = std::get_if<Queued>(&task.state)) {
      if (queued->delay_ms > 0)
        not_before_[key] = now + std::chrono::milliseconds(queued->delay_ms);
    }
  }
  for (const auto& [id, worker] : cluster_.workers()) presence_[id] = {.peer = {}, .heard = now};
  static_cast<void>(cluster_.take_touched());
  requeue();
}

void Core::requeue() {
  for (const TaskKey& key : cluster_.take_requeued()) {
    if (const auto it = ready_at_.find(key); it != ready_at_.end()) {
      ready_.erase(it->second);
      ready_at_.erase(it);
    }
    const Task& task = *cluster_.find_task(key);
    if (!std::holds_alternative<Queued>(task.state)) continue;
    const std::string* owner = cluster_.owner_of(task);
    const std::int64_t priority = owner != nullptr ? cluster_.sweeps().at(*owner).priority : 0;
    const ReadyOrder at{-priority, task.order};
    ready_.emplace(at, key);
    ready_at_.emplace(key, at);
  }
}

Output Core::step(const Input& input, Instant now, WallTime wall) {
  Step step{.now = now, .wall = wall, .peer = input.peer};
  std::visit([&](const auto& body) { on(step, body); }, input.body);
  schedule(step);
  return std::move(step.out);
}

void Core::record(Step& step, EventBody body) {
  Event event{.at = step.wall, .body = std::move(body)};
  cluster_.apply(event);
  requeue();
  step.out.events.push_back(std::move(event));
}

void Core::send(Step& step, PeerId to, Message message) {
  if (to == PeerId()) return;  // not connected now; owed() says it again later
  step.out.effects.push_back({.to = to, .message = std::move(message)});
}

void Core::answer(Step& step, std::uint64_t request, const Value& body) {
  send(step, step.peer, Answer{.id = request, .ok = true, .body = to_canonical_json(body)});
}

void Core::refuse(Step& step, std::uint64_t request, const Error& error) {
  const Object body{{"error", error.message}, {"code", name_of(error.code)}};
  send(step, step.peer, Answer{.id = request, .ok = false, .body = to_canonical_json(body)});
}

bool Core::is_member(const AttemptId& attempt, WorkerId worker) const {
  const Worker* found = cluster_.find_worker(worker);
  return found != nullptr && found->attempts.contains(attempt) && cluster_.is_live(attempt);
}

// --- time ---

void Core::on(Step& step, const Tick&) {
  expire(step);
  if (step.now - repeated_ < options_.repeat_every) return;
  repeated_ = step.now;
  for (Send& owed_now : owed()) step.out.effects.push_back(std::move(owed_now));
}

void Core::expire(Step& step) {
  std::vector<AttemptId> expired;
  for (const auto& [attempt, until] : lease_until_) {
    if (step.now >= until) expired.push_back(attempt);
  }
  for (const AttemptId& attempt : expired) {
    doubt_silent_workers(attempt, step.now);
    lose(step, attempt, "its lease ran out without a sign of life");
  }
  std::vector<WorkerId> gone;
  for (const auto& [id, worker] : cluster_.workers()) {
    if (worker.attempts.empty() && step.now - presence_.at(id).heard >= options_.gone_after)
      gone.push_back(id);
  }
  for (const WorkerId id : gone) remove_worker(step, id, "silent and holding nothing");
}

// A worker that let a whole lease pass in silence gets nothing new until it is heard again, even
// where the lease is shorter than slow_after: else a frozen worker would be given the same task at
// once.
void Core::doubt_silent_workers(const AttemptId& attempt, Instant now) {
  const Task& task = *cluster_.find_task(attempt.task);
  const Gang* gang = gang_of(task.state);
  if (gang == nullptr) return;
  for (const Grant& grant : *gang) {
    Instant& heard = presence_.at(grant.worker).heard;
    if (now - heard >= std::chrono::milliseconds(task.spec.lease_ms))
      heard = std::min(heard, now - options_.slow_after);
  }
}

void Core::lose(Step& step, const AttemptId& attempt, const std::string& reason) {
  const Task* task = cluster_.find_task(attempt.task);
  STRATA_ASSERT(task != nullptr);
  const std::int64_t delay_ms = backoff_ms(task->infra_failures);
  lease_until_.erase(attempt);
  record(step,
         AttemptEnded{.attempt = attempt, .outcome = Lost{.reason = reason, .delay_ms = delay_ms}});
  not_before_[attempt.task] = step.now + std::chrono::milliseconds(delay_ms);
}

void Core::remove_worker(Step& step, WorkerId id, const std::string& reason) {
  const Worker* worker = cluster_.find_worker(id);
  STRATA_ASSERT(worker != nullptr);
  const std::set<AttemptId> attempts = worker->attempts;
  for (const AttemptId& attempt : attempts)
    lose(step, attempt, fmt::format("{}: {}", worker->name, reason));
  record(step, WorkerGone{.worker = id, .reason = reason});
  presence_.erase(id);
}

std::int64_t Core::backoff_ms(std::int64_t failures) const {
  const auto doublings = static_cast<unsigned>(std::min<std::int64_t>(failures, 30));
  return std::min<std::int64_t>(options_.backoff_first.count() << doublings,
                                options_.backoff_max.count());
}

// --- workers ---

void Core::on(Step& step, const Hello& hello) {
  if (hello.protocol_min > kProtocolVersion || hello.protocol_max < kProtocolVersion) {
    return send(step, step.peer,
                Refused{.reason = fmt::format("this coordinator speaks protocol {}, the worker "
                                              "({}) {} to {}: install the same version on both",
                                              kProtocolVersion, hello.build, hello.protocol_min,
                                              hello.protocol_max)});
  }
  if (const Status fit = check_hello(hello); !fit)
    return send(step, step.peer, Refused{.reason = fit.error().message});
  WorkerId id;
  std::vector<WorkerId> earlier;  // lives of the same worker: over, because this one says so
  for (const auto& [known, worker] : cluster_.workers()) {
    if (worker.name != hello.name) continue;
    if (worker.session == hello.session && worker.slots == hello.slots) {
      id = known;
    } else {
      earlier.push_back(known);
    }
  }
  // One that was replaced speaks, and so does the one that took its place: two workers, not two
  // lives of one. They would take each other's place for ever. (A Hello alone proves nothing: it
  // may be a late one of a life that is over.)
  const bool was_replaced =
      std::ranges::find(replaced_sessions_, hello.session) != replaced_sessions_.end();
  for (const WorkerId known : earlier) {
    if (!was_replaced || !presence_.at(known).spoke) continue;
    return send(step, step.peer,
                Refused{.reason = fmt::format("another worker called {} is alive: give each a "
                                              "--name of its own",
                                              hello.name)});
  }
  for (const WorkerId known : earlier) {
    replaced_sessions_.push_back(cluster_.find_worker(known)->session);
    if (replaced_sessions_.size() > kReplacedSessionsMax)
      replaced_sessions_.erase(replaced_sessions_.begin());
    remove_worker(step, known, "the worker was restarted");
  }
  if (id == WorkerId()) {
    id = cluster_.next_worker_id();
    record(step, WorkerJoined{.worker = id,
                              .name = hello.name,
                              .session = hello.session,
                              .slots = hello.slots,
                              .labels = hello.labels});
    const bool closed = std::find(closed_sessions_.begin(), closed_sessions_.end(),
                                  hello.session) != closed_sessions_.end();
    if (closed) record(step, WorkerDrained{.worker = id});
  }
  presence_[id] = {.peer = step.peer, .heard = step.now};
  send(step, step.peer,
       Welcome{.worker = id,
               .session = hello.session,
               .coordinator = options_.coordinator_id,
               .heartbeat_ms = options_.heartbeat_every.count(),
               .artifact_folder = options_.artifact_folder});
  heal(step, id, 0, hello.held);
}

void Core::on(Step& step, const Heartbeat& heartbeat) {
  const Worker* worker = cluster_.find_worker(heartbeat.worker);
  if (worker == nullptr || worker->session != heartbeat.session)
    return send(step, step.peer, WhoAreYou{});
  presence_[heartbeat.worker] = {.peer = step.peer, .heard = step.now, .spoke = true};
  heal(step, heartbeat.worker, heartbeat.sequence, heartbeat.held);
}

// What the worker says it holds against what the log says: renew what is right, drop what is not
// theirs any more.
void Core::heal(Step& step, WorkerId worker, std::uint64_t sequence,
                const std::vector<HeldAttempt>& held) {
  HeartbeatAck ack{.sequence = sequence};
  for (const HeldAttempt& entry : held) {
    if (!is_member(entry.attempt, worker)) {
      ack.drop.push_back(entry.attempt);
      continue;
    }
    const Task& task = *cluster_.find_task(entry.attempt.task);
    lease_until_[entry.attempt] = step.now + std::chrono::milliseconds(task.spec.lease_ms);
    const bool runs = entry.phase == AttemptPhase::kRunning;
    if (runs && std::holds_alternative<Leased>(task.state))
      record(step, AttemptStarted{.attempt = entry.attempt});
  }
  // An order that has not reached the worker yet, or that it cannot take yet, is as young as this
  // sign of life: the worker counts its lease from no earlier than a heartbeat that was answered.
  for (const AttemptId& attempt : cluster_.find_worker(worker)->attempts) {
    const Task& task = *cluster_.find_task(attempt.task);
    if (!std::holds_alternative<Leased>(task.state)) continue;
    lease_until_[attempt] = step.now + std::chrono::milliseconds(task.spec.lease_ms);
  }
  send(step, step.peer, std::move(ack));
}

void Core::on(Step& step, const ReportStarted& report) {
  if (!is_member(report.attempt, report.worker)) return;
  const Task& task = *cluster_.find_task(report.attempt.task);
  if (std::holds_alternative<Leased>(task.state))
    record(step, AttemptStarted{.attempt = report.attempt});
}

void Core::on(Step& step, const ReportCheckpoint& report) {
  if (!is_member(report.attempt, report.worker)) return;  // a stale one is never resumed from
  const Task& task = *cluster_.find_task(report.attempt.task);
  // Steps are compared among checkpoints of the same inputs only: with others it began anew.
  const auto* leased = std::get_if<Leased>(&task.state);
  const auto& inputs = leased != nullptr ? leased->inputs : std::get<Running>(task.state).inputs;
  if (task.checkpoint && task.checkpoint->inputs == inputs && task.checkpoint->step >= report.step)
    return;
  record(step, CheckpointCommitted{
                   .attempt = report.attempt, .step = report.step, .artifact = report.artifact});
}

// What the worker reports, as the coordinator believes it.
Outcome Core::judge(const ReportEnded& report, const Task& task) const {
  Outcome outcome = admitted(report.outcome, task.spec);
  if (auto* failed = std::get_if<Failed>(&outcome)) {
    const bool charged = failed->cause == FailureClass::kUser;
    failed->delay_ms = backoff_ms(charged ? task.user_failures : task.infra_failures);
  } else if (auto* lost = std::get_if<Lost>(&outcome)) {
    lost->delay_ms = backoff_ms(task.infra_failures);
  }
  return outcome;
}

void Core::on(Step& step, const ReportEnded& report) {
  if (is_member(report.attempt, report.worker)) {
    const Task& task = *cluster_.find_task(report.attempt.task);
    for (const ContentHash& missing : report.missing_inputs) {
      const auto it = cluster_.artifacts().find(missing);
      if (it != cluster_.artifacts().end() && it->second.present)
        record(step, ArtifactEvicted{.artifact = missing});
    }
    Outcome outcome = judge(report, task);
    std::int64_t delay_ms = 0;
    if (const auto* failed = std::get_if<Failed>(&outcome)) delay_ms = failed->delay_ms;
    if (const auto* lost = std::get_if<Lost>(&outcome)) delay_ms = lost->delay_ms;
    lease_until_.erase(report.attempt);
    record(step, AttemptEnded{.attempt = report.attempt, .outcome = std::move(outcome)});
    not_before_.erase(report.attempt.task);
    if (delay_ms > 0)
      not_before_[report.attempt.task] = step.now + std::chrono::milliseconds(delay_ms);
  }
  // A stale report changes nothing, but its sender must stop repeating it.
  send(step, step.peer, EndedAck{.attempt = report.attempt});
}

void Core::close_session(std::uint64_t session) {
  std::erase(closed_sessions_, session);
  closed_sessions_.push_back(session);
  if (closed_sessions_.size() > kClosedSessionsMax) closed_sessions_.pop_front();
}

void Core::on(Step& step, const Leaving& leaving) {
  close_session(leaving.session);
  const Worker* worker = cluster_.find_worker(leaving.worker);
  if (worker == nullptr || worker->session != leaving.session || worker->draining) return;
  record(step, WorkerDrained{.worker = leaving.worker});
}

void Core::on(Step& step, const Goodbye& goodbye) {
  close_session(goodbye.session);
  const Worker* worker = cluster_.find_worker(goodbye.worker);
  if (worker == nullptr || worker->session != goodbye.session) return;
  // What it still holds in the books was granted while it was leaving and never began, or its end
  // did not reach us in time. Either way nothing of it runs, and it is nobody's failure.
  const std::string reason = for_people(goodbye.reason);
  const std::set<AttemptId> unheard_of = worker->attempts;
  for (const AttemptId& attempt : unheard_of) {
    lease_until_.erase(attempt);
    not_before_.erase(attempt.task);
    record(step, AttemptEnded{.attempt = attempt,
                              .outcome = Stopped{.reason = fmt::format("{}: {}{}", worker->name,
                                                                       kWorkerEnded, reason)}});
  }
  remove_worker(step, goodbye.worker, std::string(kWorkerEnded) + reason);
}

// --- scheduling ---

std::set<WorkerId> Core::closed_workers(Instant now) const {
  std::set<WorkerId> closed;
  for (const auto& [id, presence] : presence_) {
    if (presence.peer == PeerId() || now - presence.heard >= options_.slow_after) closed.insert(id);
  }
  return closed;
}

// In the order of the ready queue. The first gang that has to wait keeps its best worker free of
// everything behind it, so that narrow tasks never starve a wide one.
void Core::schedule(Step& step) {
  std::set<WorkerId> closed = closed_workers(step.now);
  std::set<Resources>
      hopeless;  // shapes that found no place in this pass: nothing gets freer within it
  std::vector<std::pair<TaskKey, Gang>> placed;
  std::map<WorkerId, Worker> workers = cluster_.workers();
  for (const auto& [order, key] : ready_) {
    const bool any_free = std::any_of(workers.begin(), workers.end(), [&](const auto& entry) {
      return entry.second.free > 0 && !entry.second.draining && !closed.contains(entry.first);
    });
    if (!any_free || placed.size() >= kPlacementsPerPassMax) break;
    const Task& task = *cluster_.find_task(key);
    const auto pause = not_before_.find(key);
    if (pause != not_before_.end() && step.now < pause->second) continue;
    if (hopeless.contains(task.spec.resources)) continue;
    const Placement placement = place(task.spec.resources, workers, closed);
    if (const auto* found = std::get_if<Placed>(&placement)) {
      for (const Grant& grant : found->gang) workers.at(grant.worker).free -= grant.slots;
      placed.emplace_back(key, found->gang);
      continue;
    }
    hopeless.insert(task.spec.resources);
    if (const auto* waiting = std::get_if<Waiting>(&placement)) closed.insert(waiting->best);
  }
  for (const auto& [key, gang] : placed) {
    const Task& task = *cluster_.find_task(key);
    std::optional<ArtifactRef> resume_from;
    const AttemptId attempt{.task = key, .number = cluster_.next_attempt(task)};
    auto inputs = cluster_.inputs_of(task);
    STRATA_ASSERT(inputs.has_value());  // else it would be blocked, not queued
    if (task.spec.resumable && task.checkpoint && task.checkpoint->inputs == *inputs) {
      resume_from = task.checkpoint->artifact;
    }
    record(step, AttemptGranted{.attempt = attempt,
                                .gang = gang,
                                .inputs = std::move(*inputs),
                                .resume_from = resume_from});
    not_before_.erase(key);
    lease_until_[attempt] = step.now + std::chrono::milliseconds(task.spec.lease_ms);
    send(step, presence_.at(gang.front().worker).peer,
         start_order(task, std::get<Leased>(task.state)));
  }
}

Message Core::start_order(const Task& task, const Leased& leased) const {
  return StartAttempt{.attempt = {.task = task.spec.key, .number = leased.attempt},
                      .spec = task.spec,
                      .gang = leased.gang,
                      .lease_ms = task.spec.lease_ms,
                      .inputs = leased.inputs,
                      .resume_from = leased.resume_from};
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

std::string Core::reason(const TaskKey& key, Instant now) const {
  const Task* task = cluster_.find_task(key);
  if (task == nullptr) return "unknown";
  const auto where = [&](const Gang& gang) {
    const Worker* worker = cluster_.find_worker(gang.front().worker);
    return worker == nullptr ? std::string("a worker that is gone") : worker->name;
  };
  if (std::holds_alternative<Blocked>(task->state)) {
    for (const TaskInput& input : task->spec.inputs) {
      const Task& producer = *cluster_.find_task(input.producer);
      if (std::holds_alternative<TaskSucceeded>(producer.state)) continue;
      const std::string its = fmt::format("waits for {} of {} {}", input.output,
                                          producer.spec.stage, producer.spec.key.brief());
      if (const auto* failed = std::get_if<TaskFailed>(&producer.state))
        return its + ", which failed: " + failed->reason;
      return fmt::format("{}, which is {}", its, name_of(producer.state));
    }
    return "waits for an input";
  }
  if (std::holds_alternative<Queued>(task->state)) {
    const auto pause = not_before_.find(key);
    if (pause != not_before_.end() && now < pause->second) {
      const auto seconds =
          std::chrono::duration_cast<std::chrono::seconds>(pause->second - now).count() + 1;
      return fmt::format("tries again in {} s after: {}", seconds, task->last_failure);
    }
    const Placement placement =
        place(task->spec.resources, cluster_.workers(), closed_workers(now));
    if (const auto* waiting = std::get_if<Waiting>(&placement)) return waiting->reason;
    if (const auto* infeasible = std::get_if<Infeasible>(&placement))
      return "infeasible: " + infeasible->reason;
    return "behind tasks that were queued before it";
  }
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
  if (const auto* pruned = std::get_if<TaskPrunedState>(&task->state)) return pruned->reason;
  if (cluster_.is_outdated(*task)) return "its inputs were made again with other content since";
  return name_of(task->state);
}

}  // namespace strata::coordinator
