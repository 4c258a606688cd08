#include "worker/core/agent.h"

#include <algorithm>

#include "base/assert.h"

namespace strata::worker {
namespace {

constexpr std::chrono::milliseconds kKillAgainEvery{1'000};
constexpr Instant kNever{Duration::max()};

}  // namespace

std::chrono::milliseconds lease_margin(std::chrono::milliseconds lease, const Options& options) {
  return std::min(lease / 10, options.lease_margin_max);
}

Agent::Agent(Options options, Instant now)
    : options_(std::move(options)),
      hello_wait_(options_.hello_every),
      hello_due_(now),
      heartbeat_due_(now) {
  STRATA_ASSERT(options_.session != 0);
  STRATA_ASSERT(options_.slots > 0);
}

std::vector<Action> Agent::step(const Input& input, Instant now) {
  Actions out;
  if (exited_) return out;
  std::visit([&](const auto& body) { on(body, now, out); }, input);
  exit_when_done(now, out);
  return out;
}

std::vector<HeldAttempt> Agent::held() const {
  std::vector<HeldAttempt> list;
  for (const auto& [id, held] : held_) {
    if (!held.dropped) list.push_back({.attempt = id, .phase = held.phase});
  }
  return list;
}

std::int64_t Agent::slots_used() const {
  std::int64_t used = 0;
  for (const auto& [id, held] : held_) {
    for (const Grant& grant : held.order.gang) used += grant.slots;
  }
  return used;
}

Instant Agent::next_due() const {
  Instant due = id_ ? heartbeat_due_ : hello_due_;
  for (const auto& [id, held] : held_) {
    due = std::min(due, held.phase == AttemptPhase::kStopping ? kill_due(held) : held.lease_until);
    if (held.start_due) due = std::min(due, *held.start_due);
  }
  if (id_) {
    for (const auto& [id, ended] : ended_) due = std::min(due, ended.sent + options_.report_every);
  }
  if (shutting_down_ && held_.empty()) due = std::min(due, shut_down_by_);
  return due;
}

// --- messages ---

void Agent::on(const Message& message, Instant now, Actions& out) {
  if (const auto* welcome = std::get_if<Welcome>(&message)) {
    on_welcome(*welcome, now, out);
  } else if (const auto* refused = std::get_if<Refused>(&message)) {
    exited_ = true;
    for (const auto& [id, held] : held_) out.push_back(Kill{.attempt = id, .report = false});
    out.push_back(Exit{.reason = refused->reason, .refused = true});
  } else if (const auto* start = std::get_if<StartAttempt>(&message)) {
    on_start(*start, now, out);
  } else if (const auto* stop = std::get_if<StopAttempt>(&message)) {
    on_stop(*stop, now, out);
  } else if (const auto* ack = std::get_if<HeartbeatAck>(&message)) {
    on_heartbeat_ack(*ack, out);
  } else if (const auto* acknowledged = std::get_if<EndedAck>(&message)) {
    forget_ended(acknowledged->attempt);
  } else if (const auto* committed = std::get_if<CheckpointAck>(&message)) {
    const auto it = checkpoints_.find(committed->attempt);
    if (it != checkpoints_.end() && it->second.step <= committed->step) checkpoints_.erase(it);
  } else if (std::holds_alternative<WhoAreYou>(message) && id_) {
    id_.reset();
    hello_due_ = now;
    hello_wait_ = options_.hello_every;
    send_hello(now, out);
  }
  // Anything else is not for a worker's core: metrics are acknowledged to the spool, the rest is
  // for others.
}

void Agent::on_welcome(const Welcome& welcome, Instant now, Actions& out) {
  if (welcome.session != options_.session) return;  // for an earlier life
  if (!coordinator_.empty() && coordinator_ != welcome.coordinator) {
    exited_ = true;
    for (const auto& [id, held] : held_) out.push_back(Kill{.attempt = id, .report = false});
    out.push_back(Exit{.reason = "another coordinator answers at this address (" +
                                 welcome.coordinator + ", not " + coordinator_ + ")",
                       .refused = true});
    return;
  }
  coordinator_ = welcome.coordinator;
  const bool same = id_ == welcome.worker;
  id_ = welcome.worker;
  if (welcome.heartbeat_ms > 0) heartbeat_every_ = std::chrono::milliseconds(welcome.heartbeat_ms);
  if (hello_sent_) heard_of_us_ = std::max(heard_of_us_, *hello_sent_);
  hello_sent_.reset();
  if (same) return;
  for (auto& [id, ended] : ended_) {
    ended.report.worker = *id_;
    if (ended.checkpoint) ended.checkpoint->worker = *id_;
  }
  for (auto& [id, checkpoint] : checkpoints_) checkpoint.worker = *id_;
  send_heartbeat(now, out);
}

void Agent::on_start(const StartAttempt& order, Instant now, Actions& out) {
  const AttemptId id = order.attempt;
  if (!id_ || shutting_down_ || held_.contains(id)) return;
  if (tell_again(id, now, out)) return;
  // A newer attempt of a task that we still hold: the older one is not ours any more.
  for (auto& [held_id, held] : held_) {
    if (held_id.task != id.task) continue;
    if (held_id.number > id.number) return;  // the order is older than what we hold
    if (!held.dropped) drop(held_id, out);
  }
  std::int64_t slots = 0;
  for (const Grant& grant : order.gang) slots += grant.slots;
  // What is still dying keeps its slots; the order comes again.
  if (slots_used() + slots > options_.slots) return;
  const auto lease = std::chrono::milliseconds(order.lease_ms);
  // The grant is younger than the newest sign of us that the coordinator has answered, so counting
  // from there is safe.
  const Instant until = heard_of_us_ + (lease - lease_margin(lease, options_));
  if (until <= now) return;
  held_[id] = {.order = order, .lease_until = until, .first_heartbeat = heartbeats_ + 1};
  out.push_back(Launch{.order = order});
}

void Agent::on_stop(const StopAttempt& order, Instant now, Actions& out) {
  if (const auto it = held_.find(order.attempt); it != held_.end()) {
    Held& held = it->second;
    if (held.dropped) return;
    const Instant by =
        now + (order.grace_ms > 0 ? std::chrono::milliseconds(order.grace_ms) : grace_of(held));
    if (held.phase != AttemptPhase::kStopping) {
      begin_stop(order.attempt, held, order.reason, by, out);
      held.stop_kind = order.kind;
      if (id_) send_heartbeat(now, out);  // the acknowledgement: what it holds is stopping
    } else if (order.kind >=
               held.stop_kind) {  // the same order again comes later, so changes nothing
      if (order.kind > held.stop_kind) held.stop_reason = order.reason;
      held.stop_kind = order.kind;
      if (!held.killing) held.kill_at = std::min(held.kill_at, by);
    }
    return;
  }
  if (tell_again(order.attempt, now, out)) return;
  report_ended(order.attempt, Stopped{.reason = order.reason + " (it had not started)"}, {}, now,
               out);
}

void Agent::on_heartbeat_ack(const HeartbeatAck& ack, Actions& out) {
  for (const AttemptId& id : ack.drop) {
    forget_ended(id);
    checkpoints_.erase(id);
    if (const auto it = held_.find(id); it != held_.end() && !it->second.dropped) drop(id, out);
  }
  const auto sent = heartbeats_sent_.find(ack.sequence);
  if (sent == heartbeats_sent_.end()) return;  // an answer to a Hello, or a late repeat
  const Instant at = sent->second;
  heard_of_us_ = std::max(heard_of_us_, at);
  heartbeats_sent_.erase(heartbeats_sent_.begin(), std::next(sent));
  for (auto& [id, held] : held_) {
    if (held.first_heartbeat > ack.sequence || held.dropped) continue;
    const auto lease = std::chrono::milliseconds(held.order.lease_ms);
    held.lease_until = std::max(held.lease_until, at + (lease - lease_margin(lease, options_)));
  }
}

void Agent::drop(const AttemptId& id, Actions& out) {
  held_.at(id).dropped = true;
  held_.at(id).phase = AttemptPhase::kStopping;
  held_.at(id).killing = true;
  held_.at(id).kill_at = kNever;  // the shell kills until nothing is left
  checkpoints_.erase(id);
  out.push_back(Kill{.attempt = id, .report = false});
}

void Agent::begin_stop(const AttemptId& id, Held& held, const std::string& reason, Instant kill_at,
                       Actions& out) {
  held.phase = AttemptPhase::kStopping;
  held.kill_at = kill_at;
  held.stop_reason = reason;
  out.push_back(Terminate{.attempt = id, .reason = reason});
}

void Agent::kill(const AttemptId& id, Held& held, Instant now, Actions& out) {
  held.killing = true;
  held.kill_at = now + kKillAgainEvery;
  out.push_back(Kill{.attempt = id, .report = !held.dropped});
}

// Whatever grace was asked for, nothing outlives the lease, which may be renewed meanwhile: half of
// the margin stays for dying.
Instant Agent::kill_due(const Held& held) const {
  if (held.killing) return held.kill_at;
  const auto lease = std::chrono::milliseconds(held.order.lease_ms);
  return std::min(held.kill_at, held.lease_until + lease_margin(lease, options_) / 2);
}

std::chrono::milliseconds Agent::grace_of(const Held& held) const {
  const std::int64_t own = held.order.spec.grace_ms;
  return own > 0 ? std::chrono::milliseconds(own) : options_.terminate_after;
}

std::int64_t Agent::lifetime_left_ms(Instant now) const {
  if (!options_.ends_at) return -1;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(*options_.ends_at - now);
  return std::max<std::int64_t>(0, left.count());
}

void Agent::report_ended(const AttemptId& id, Outcome outcome, std::vector<ContentHash> missing,
                         Instant now, Actions& out) {
  ReportEnded report{.worker = id_.value_or(WorkerId()),
                     .attempt = id,
                     .outcome = std::move(outcome),
                     .missing_inputs = std::move(missing)};
  Ended& ended = ended_[id];
  ended.report = std::move(report);
  if (const auto it = checkpoints_.find(id); it != checkpoints_.end()) {
    if (!std::holds_alternative<Succeeded>(ended.report.outcome)) ended.checkpoint = it->second;
    checkpoints_.erase(it);
  }
  ended.sent = now;
  if (id_) tell(ended, now, out);
}

void Agent::forget_ended(const AttemptId& id) {
  const auto it = ended_.find(id);
  if (it == ended_.end()) return;
  over_.push_back(std::move(it->second));
  ended_.erase(it);
  if (over_.size() > kOverMax) over_.pop_front();
}

// An attempt is done once: whoever asks for it again is told how it ended. Where its end was known,
// that changes nothing; where it was forgotten with a disk, its result is not lost.
bool Agent::tell_again(const AttemptId& id, Instant now, Actions& out) {
  const auto known = std::find_if(over_.begin(), over_.end(),
                                  [&](const Ended& ended) { return ended.report.attempt == id; });
  if (known != over_.end()) {
    Ended& ended = ended_[id] = std::move(*known);
    over_.erase(known);
    ended.report.worker = id_.value_or(WorkerId());
    if (ended.checkpoint) ended.checkpoint->worker = ended.report.worker;
  }
  const auto it = ended_.find(id);
  if (it == ended_.end()) return false;
  if (id_) tell(it->second, now, out);
  return true;
}

// The checkpoint first: after the end nothing of the attempt is taken any more.
void Agent::tell(Ended& ended, Instant now, Actions& out) {
  ended.sent = now;
  if (ended.checkpoint) out.push_back(SendMessage{*ended.checkpoint});
  out.push_back(SendMessage{ended.report});
}

// --- what the shell tells ---

void Agent::on(const ProcessStarted& started, Instant now, Actions& out) {
  const auto it = held_.find(started.attempt);
  if (it == held_.end() || it->second.phase != AttemptPhase::kStarting) return;
  it->second.phase = AttemptPhase::kRunning;
  it->second.start_due = now + options_.start_told_after;
  if (now >= *it->second.start_due) tell_start(started.attempt, it->second, out);
}

// Where nobody can be told, the heartbeats say it.
void Agent::tell_start(const AttemptId& id, Held& held, Actions& out) const {
  if (!held.start_due) return;
  held.start_due.reset();
  if (id_ && !held.dropped)
    out.push_back(SendMessage{ReportStarted{.worker = *id_, .attempt = id}});
}

void Agent::on(const ProcessEnded& ended, Instant now, Actions& out) {
  const auto it = held_.find(ended.attempt);
  if (it == held_.end()) return;
  const bool dropped = it->second.dropped;
  Outcome outcome = ended.outcome;
  // The newest reason: what was to be held may have been cancelled meanwhile.
  if (auto* stopped = std::get_if<Stopped>(&outcome);
      stopped != nullptr && !it->second.stop_reason.empty())
    stopped->reason = it->second.stop_reason;
  tell_start(ended.attempt, it->second, out);
  held_.erase(it);
  if (dropped) checkpoints_.erase(ended.attempt);
  if (!dropped) report_ended(ended.attempt, std::move(outcome), ended.missing_inputs, now, out);
}

void Agent::on(const CheckpointStored& stored, Instant, Actions& out) {
  const auto it = held_.find(stored.attempt);
  if (it == held_.end() || it->second.dropped) return;
  const ReportCheckpoint report{.worker = id_.value_or(WorkerId()),
                                .attempt = stored.attempt,
                                .step = stored.step,
                                .artifact = stored.artifact};
  checkpoints_[stored.attempt] = report;
  if (id_) out.push_back(SendMessage{report});
}

void Agent::on(const ShutDown& request, Instant now, Actions& out) {
  if (shutting_down_) {  // asked twice: at once
    for (auto& [id, held] : held_) kill(id, held, now, out);
    return;
  }
  shutting_down_ = true;
  shut_down_reason_ = request.reason;
  shut_down_by_ = now + options_.shut_down_max;
  // Before any end is reported: what ends here must not be given back to us.
  if (id_) out.push_back(SendMessage{Leaving{.worker = *id_, .session = options_.session}});
  for (auto& [id, held] : held_) {
    if (held.killing) continue;
    const Instant by = now + std::min(grace_of(held), options_.shut_down_max);
    shut_down_by_ = std::max(shut_down_by_, by + options_.shut_down_max);
    if (held.phase == AttemptPhase::kStopping) {
      held.kill_at = std::min(held.kill_at, by);
    } else {
      begin_stop(id, held, "the worker shuts down", by, out);
    }
  }
}

void Agent::exit_when_done(Instant now, Actions& out) {
  if (!shutting_down_ || exited_ || !held_.empty()) return;
  if (!ended_.empty() && now < shut_down_by_) return;
  exited_ = true;
  if (id_)
    out.push_back(SendMessage{
        Goodbye{.worker = *id_, .session = options_.session, .reason = shut_down_reason_}});
  out.push_back(Exit{.reason = shut_down_reason_});
}

// --- time ---

void Agent::on(const TimePassed&, Instant now, Actions& out) {
  for (auto& [id, held] : held_) {
    if (held.start_due && now >= *held.start_due) tell_start(id, held, out);
    if (held.phase == AttemptPhase::kStopping) {
      if (now >= kill_due(held)) kill(id, held, now, out);
    } else if (now >= held.lease_until) {
      // Half of the margin to write a checkpoint, the other half to die for certain.
      const auto lease = std::chrono::milliseconds(held.order.lease_ms);
      begin_stop(id, held, "its lease ended: the coordinator could not be reached",
                 now + lease_margin(lease, options_) / 2, out);
    }
  }
  if (!id_) {
    if (now >= hello_due_) send_hello(now, out);
    return;
  }
  if (now >= heartbeat_due_) send_heartbeat(now, out);
  for (auto& [id, ended] : ended_) {
    if (now < ended.sent + options_.report_every) continue;
    tell(ended, now, out);
  }
}

void Agent::send_hello(Instant now, Actions& out) {
  if (!hello_sent_) hello_sent_ = now;
  hello_due_ = now + hello_wait_;
  hello_wait_ = std::min(hello_wait_ * 2, options_.hello_every_max);
  out.push_back(SendMessage{Hello{.build = options_.build,
                                  .name = options_.name,
                                  .session = options_.session,
                                  .slots = options_.slots,
                                  .labels = options_.labels,
                                  .held = held(),
                                  .memory_mb = options_.memory_mb,
                                  .lifetime_left_ms = lifetime_left_ms(now)}});
}

void Agent::send_heartbeat(Instant now, Actions& out) {
  heartbeat_due_ = now + heartbeat_every_;
  for (const auto& [id, checkpoint] : checkpoints_) out.push_back(SendMessage{checkpoint});
  if (shutting_down_)
    out.push_back(SendMessage{Leaving{.worker = *id_, .session = options_.session}});
  heartbeats_sent_[++heartbeats_] = now;
  if (heartbeats_sent_.size() > kUnansweredHeartbeatsMax)
    heartbeats_sent_.erase(heartbeats_sent_.begin());
  out.push_back(SendMessage{Heartbeat{.worker = *id_,
                                      .session = options_.session,
                                      .sequence = heartbeats_,
                                      .held = held(),
                                      .lifetime_left_ms = lifetime_left_ms(now)}});
}

}  // namespace strata::worker
