#include "coordinator/core/core.h"

#include <algorithm>

#include "base/assert.h"
#include "base/json.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/breaks.h"

namespace strata::coordinator {
namespace {

constexpr std::size_t kClosedSessionsMax = 1'000;
// After such a silence no more of a submission is expected, and its search decides with what it
// has.
constexpr std::chrono::minutes kSubmissionSilenceMax{2};

std::optional<Instant> end_of_life(Instant now, std::int64_t left_ms) {
  if (left_ms < 0) return std::nullopt;
  return now + std::chrono::milliseconds(std::min(left_ms, kLifetimeMsMax));
}

}  // namespace

Core::Core(Options options, Cluster recovered, Instant now)
    : options_(std::move(options)), cluster_(std::move(recovered)) {
  // Nobody knows how long ago the renewals came: every lease and every pause starts again at full
  // length.
  for (const auto& [key, task] : cluster_.tasks()) {
    if (gang_of(task.state) != nullptr) {
      lease_until_[{.task = key, .number = task.attempts}] =
          now + std::chrono::milliseconds(task.spec.lease_ms());
      account_for(key);
      perhaps_held_.insert(key);
    } else if (const auto* queued = std::get_if<Queued>(&task.state)) {
      queue_.update(key, cluster_);
      if (queued->delay_ms > 0) pause(key, now + std::chrono::milliseconds(queued->delay_ms));
    }
  }
  for (const auto& [name, quarantine] : cluster_.quarantines()) {
    if (!quarantine.probing)
      quarantined_until_[name] = now + std::chrono::milliseconds(quarantine.for_ms);
  }
  for (const auto& [id, worker] : cluster_.workers()) {
    presence_[id] = {.peer = {}, .heard = now};
    if (worker.draining) close_session(worker.session);  // also when it is forgotten meanwhile
  }
  // A log that was cut within a step, as a mirror's may be, ends before decisions that are due.
  for (const auto& [name, sweep] : cluster_.sweeps()) {
    unsettled_.insert(name);
    if (!sweep.sealed) submitters_[name] = {.heard = now};
  }
  static_cast<void>(cluster_.take_touched());
  static_cast<void>(cluster_.take_requeued());
}

void Core::follow(const Event& event) {
  note_for_searches(event);
  std::visit(
      [&](const auto& e) {
        using T = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<T, AttemptEnded>) {
          usage_.release(e.attempt);
          granted_.erase(e.attempt);
          must_end_by_.erase(e.attempt);
          lease_until_.erase(e.attempt);
        } else if constexpr (std::is_same_v<T, AttemptGranted>) {
          account_for(e.attempt.task);
        } else if constexpr (std::is_same_v<T, WantWithdrawn>) {
          account_for(e.task);
        } else if constexpr (std::is_same_v<T, TaskWanted>) {
          account_for(e.spec.key);
        } else if constexpr (std::is_same_v<T, SweepOpened>) {
          // With another priority it may own what ran for others, and the reverse.
          for (const auto& [attempt, until] : lease_until_) account_for(attempt.task);
        }
      },
      event.body);
  for (const TaskKey& key : cluster_.take_requeued()) queue_.update(key, cluster_);
}

// The slots of a gang are on the account of the sweep that owns its task now.
void Core::account_for(const TaskKey& key) {
  const Task& task = *cluster_.find_task(key);
  const Gang* gang = gang_of(task.state);
  const std::string* owner = cluster_.owner_of(task);
  if (gang == nullptr || owner == nullptr) return;
  std::int64_t slots = 0;
  for (const Grant& grant : *gang) slots += grant.slots;
  usage_.hold({.task = key, .number = task.attempts},
              {.sweep = *owner,
               .user = cluster_.sweeps().at(*owner).options.user,
               .scoring = task.spec.scoring(),
               .slots = slots});
}

void Core::pause(const TaskKey& key, Instant until) { queue_.pause(key, until, cluster_); }

Output Core::step(const Input& input, Instant now, WallTime wall) {
  Step step{.now = now, .wall = wall, .peer = input.peer, .beside = input.beside};
  if (!has_to_wait(step, input)) std::visit([&](const auto& body) { on(step, body); }, input.body);
  go_on(step);
  settle_searches(step);
  schedule(step);
  return std::move(step.out);
}

void Core::record(Step& step, EventBody body) {
  Event event{.at = step.wall, .body = std::move(body)};
  cluster_.apply(event);
  follow(event);
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
  if (STRATA_BROKEN(kNoFencing)) {
    const Task* task = cluster_.find_task(attempt.task);
    return found != nullptr && task != nullptr && gang_of(task->state) != nullptr;
  }
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
  forget_old_failures(step.now);
  std::vector<std::string> due;
  for (const auto& [name, until] : quarantined_until_) {
    if (step.now >= until) due.push_back(name);
  }
  for (const std::string& name : due) {
    quarantined_until_.erase(name);
    record(step, WorkerProbed{.name = name});
  }
  std::erase_if(submitters_, [&](const auto& entry) {
    const bool given_up = step.now - entry.second.heard >= kSubmissionSilenceMax;
    if (given_up) unsettled_.insert(entry.first);
    return given_up;
  });
  std::vector<AttemptId> overrun;
  for (const auto& [attempt, until] : must_end_by_) {
    if (step.now > until) overrun.push_back(attempt);
  }
  for (const AttemptId& attempt : overrun) {
    must_end_by_.erase(attempt);
    const Gang* gang = gang_of(cluster_.find_task(attempt.task)->state);
    const bool needed =
        gang != nullptr && std::any_of(gang->begin(), gang->end(),
                                       [&](const Grant& g) { return kept_.contains(g.worker); });
    // Where the gang that it made way for is gone, it delays nobody.
    if (needed)
      preempt(step, attempt, "it runs longer than it said, and its place is kept for another");
  }
}

// A worker that missed a heartbeat and let a lease run out gets nothing new until it is heard
// again, even where the lease is shorter than slow_after: else a frozen worker would be given the
// same task at once. It may have been heard after the lease began: a heartbeat that was under way
// when the order came names no attempt, and renews nothing.
void Core::doubt_silent_workers(const AttemptId& attempt, Instant now) {
  const Task& task = *cluster_.find_task(attempt.task);
  const Gang* gang = gang_of(task.state);
  if (gang == nullptr) return;
  for (const Grant& grant : *gang) {
    Instant& heard = presence_.at(grant.worker).heard;
    const std::chrono::milliseconds lease(task.spec.lease_ms());
    if (now - heard >= std::min(lease, options_.heartbeat_every))
      heard = std::min(heard, now - options_.slow_after);
  }
}

void Core::lose(Step& step, const AttemptId& attempt, const std::string& reason) {
  const Task* task = cluster_.find_task(attempt.task);
  STRATA_ASSERT(task != nullptr);
  const std::int64_t delay_ms = backoff_ms(*task, FailureClass::kInfra);
  record(step,
         AttemptEnded{.attempt = attempt, .outcome = Lost{.reason = reason, .delay_ms = delay_ms}});
  pause(attempt.task, step.now + std::chrono::milliseconds(delay_ms));
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
                              .labels = hello.labels,
                              .memory_mb = hello.memory_mb});
    const bool closed = std::find(closed_sessions_.begin(), closed_sessions_.end(),
                                  hello.session) != closed_sessions_.end();
    if (closed) record(step, WorkerDrained{.worker = id});
  }
  presence_[id] = {
      .peer = step.peer, .heard = step.now, .ends = end_of_life(step.now, hello.lifetime_left_ms)};
  send(step, step.peer,
       Welcome{.worker = id,
               .session = hello.session,
               .coordinator = options_.coordinator_id,
               .heartbeat_ms = options_.heartbeat_every.count(),
               .artifact_folder = options_.artifact_folder,
               .heartbeat_address = options_.heartbeat_address});
  heal(step, id, 0, hello.held);
}

void Core::on(Step& step, const Heartbeat& heartbeat) {
  const Worker* worker = cluster_.find_worker(heartbeat.worker);
  if (worker == nullptr || worker->session != heartbeat.session)
    return send(step, step.peer, WhoAreYou{});
  WorkerPresence& presence = presence_.at(heartbeat.worker);
  // After a restart nobody knows where its orders go, nor does it know where heartbeats go now.
  if (presence.peer == PeerId() && (step.beside || !options_.heartbeat_address.empty()))
    return send(step, step.peer, WhoAreYou{});
  presence = {.peer = step.beside ? presence.peer : step.peer,
              .heard = step.now,
              .spoke = true,
              .ends = end_of_life(step.now, heartbeat.lifetime_left_ms)};
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
    lease_until_[entry.attempt] = step.now + std::chrono::milliseconds(task.spec.lease_ms());
    const bool runs = entry.phase == AttemptPhase::kRunning;
    if (runs && std::holds_alternative<Leased>(task.state))
      record(step, AttemptStarted{.attempt = entry.attempt});
  }
  // An order that has not reached the worker yet, or that it cannot take yet, is as young as this
  // sign of life: the worker counts its lease from no earlier than a heartbeat that was answered.
  for (const AttemptId& attempt : cluster_.find_worker(worker)->attempts) {
    const Task& task = *cluster_.find_task(attempt.task);
    if (!std::holds_alternative<Leased>(task.state)) continue;
    lease_until_[attempt] = step.now + std::chrono::milliseconds(task.spec.lease_ms());
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
  if (!is_member(report.attempt, report.worker)) {  // a stale one is never resumed from
    if (!cluster_.is_live(report.attempt))
      send(step, step.peer, CheckpointAck{.attempt = report.attempt, .step = report.step});
    return;
  }
  const Task& task = *cluster_.find_task(report.attempt.task);
  // Steps are compared among checkpoints of the same inputs only: with others it began anew.
  const auto* leased = std::get_if<Leased>(&task.state);
  const auto& inputs = leased != nullptr ? leased->inputs : std::get<Running>(task.state).inputs;
  send(step, step.peer, CheckpointAck{.attempt = report.attempt, .step = report.step});
  if (task.checkpoint && task.checkpoint->inputs == inputs && task.checkpoint->step >= report.step)
    return;
  record(step, CheckpointCommitted{.attempt = report.attempt,
                                   .step = report.step,
                                   .artifact = admitted(report.artifact)});
}

void Core::on(Step& step, const ReportEnded& report) {
  if (is_member(report.attempt, report.worker)) {
    const Task& task = *cluster_.find_task(report.attempt.task);
    for (const ContentHash& missing : report.missing_inputs) {
      const auto it = cluster_.artifacts().find(missing);
      if (it != cluster_.artifacts().end() && it->second.present)
        record(step, ArtifactEvicted{.artifact = missing});
    }
    const Outcome outcome = judge(report, task);
    std::int64_t delay_ms = 0;
    if (const auto* failed = std::get_if<Failed>(&outcome)) delay_ms = failed->delay_ms;
    if (const auto* lost = std::get_if<Lost>(&outcome)) delay_ms = lost->delay_ms;
    record(step, AttemptEnded{.attempt = report.attempt, .outcome = outcome});
    if (delay_ms > 0) pause(report.attempt.task, step.now + std::chrono::milliseconds(delay_ms));
    const std::string worker = cluster_.find_worker(report.worker)->name;
    if (const auto* failed = std::get_if<Failed>(&outcome))
      attribute(step, report.attempt, worker, *failed);
    if (std::holds_alternative<Succeeded>(outcome)) note_success(step, worker);
  }
  // A stale report changes nothing, but its sender must stop repeating it.
  send(step, step.peer, EndedAck{.attempt = report.attempt});
}

void Core::close_session(std::uint64_t session) {
  std::erase(closed_sessions_, session);
  closed_sessions_.push_back(session);
  if (closed_sessions_.size() > kClosedSessionsMax) closed_sessions_.pop_front();
}

// By the session alone: after a restore the number that the worker has may be one that was
// forgotten (found by the simulator, seed 453).
std::optional<WorkerId> Core::worker_of(std::uint64_t session) const {
  for (const auto& [id, worker] : cluster_.workers()) {
    if (worker.session == session) return id;
  }
  return std::nullopt;
}

void Core::on(Step& step, const Leaving& leaving) {
  close_session(leaving.session);
  const auto id = worker_of(leaving.session);
  if (!id || cluster_.find_worker(*id)->draining) return;
  record(step, WorkerDrained{.worker = *id});
}

void Core::on(Step& step, const Goodbye& goodbye) {
  close_session(goodbye.session);
  const auto id = worker_of(goodbye.session);
  if (!id) return;
  const Worker* worker = cluster_.find_worker(*id);
  // What it still holds in the books was granted while it was leaving and never began, or its end
  // did not reach us in time. Either way nothing of it runs, and it is nobody's failure.
  const std::string reason = for_people(goodbye.reason);
  const std::set<AttemptId> unheard_of = worker->attempts;
  for (const AttemptId& attempt : unheard_of) {
    record(step, AttemptEnded{.attempt = attempt,
                              .outcome = Stopped{.reason = fmt::format("{}: {}{}", worker->name,
                                                                       kWorkerEnded, reason)}});
  }
  remove_worker(step, *id, std::string(kWorkerEnded) + reason);
}

std::vector<Core::Kept> Core::kept() const {
  const std::size_t tasks = cluster_.tasks().size();
  return {{"sessions that were replaced", replaced_sessions_.size(), kReplacedSessionsMax},
          {"sessions that are closed", closed_sessions_.size(), kClosedSessionsMax},
          {"workers heard of", presence_.size(), cluster_.workers().size()},
          {"commands that wait", waiting_.size(), kCommandsWaitingMax},
          {"leases", lease_until_.size(), tasks},
          {"times of grants", granted_.size(), tasks},
          {"ends that were promised", must_end_by_.size(), tasks},
          {"workers with a place kept", kept_.size(), cluster_.workers().size()},
          {"workers in quarantine", quarantined_until_.size(), cluster_.quarantines().size()}};
}

}  // namespace strata::coordinator
