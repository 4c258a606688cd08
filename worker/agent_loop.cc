#include "worker/agent_loop.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <vector>

#include "base/log.h"
#include "schema/codec.h"

namespace strata::worker {

LoopEnd AgentLoop::run() {
  heard_at_ = clock_.now();
  step(TimePassed{});
  for (;;) {
    const Instant now = clock_.now();
    if (may_leave(now)) return ended();
    wait(now);
    read_signals();
    receive();
    receive_heartbeats();
    attempts_.look(clock_.now());
    send_metrics();  // before the ends, so that a task's last points arrive before its outcome
    for (const Input& input : attempts_.take_inputs()) step(input);
    const Instant later = clock_.now();
    if (later >= agent_.next_due()) step(TimePassed{});
    refresh_link(later);
  }
}

LoopEnd AgentLoop::ended() const {
  if (exit_->refused) return LoopEnd::kRefused;
  return store_missing_ ? LoopEnd::kNoStore : LoopEnd::kDone;
}

bool AgentLoop::may_leave(Instant now) const {
  if (!exit_ || attempts_.busy() || launcher_.sessions() > 0) return false;
  return exit_->refused || !attempts_.metrics_pending() || now - exit_at_ >= kMetricsLinger;
}

void AgentLoop::wait(Instant now) {
  auto timeout = std::chrono::ceil<std::chrono::milliseconds>(agent_.next_due() - now);
  if (exit_) timeout = kLookEvery;  // the core has no more to say
  if (attempts_.busy() || attempts_.metrics_pending()) timeout = std::min(timeout, kLookEvery);
  if (launcher_.unsettled()) timeout = std::min(timeout, kLookEveryUnsettled);
  timeout = std::clamp(timeout, std::chrono::milliseconds(0), kRefreshEvery);
  std::vector<WaitItem> items{link_.wait_item(), WaitItem{.fd = signals_},
                              WaitItem{.fd = pool_.ready_fd()}};
  if (launcher_.ready_fd() >= 0) items.push_back(WaitItem{.fd = launcher_.ready_fd()});
  if (heartbeats_) items.push_back(heartbeats_->wait_item());
  if (const auto ready = wait_any(items, timeout); !ready) {
    log_error("worker", "waiting: {}", ready.error().message);
    ::usleep(10'000);  // whatever it is, it must not take the machine
  }
}

void AgentLoop::read_signals() {
  signalfd_siginfo info{};
  while (::read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGCHLD) continue;  // look() collects
    log_info("worker", "signal {}: shutting down", signal);
    step(ShutDown{.reason = signal == SIGTERM ? "asked by SIGTERM" : "interrupted"});
  }
}

void AgentLoop::receive() {
  for (std::size_t count = 0; count < kMessagesPerRound; ++count) {
    const auto received = link_.receive(std::chrono::milliseconds(0));
    if (!received) {
      log_warning("worker", "receiving: {}", received.error().message);
      return;
    }
    if (!*received) return;
    heard_at_ = clock_.now();
    on_message(**received);
  }
}

// Its failure costs nothing: heartbeats go over the main connection then.
void AgentLoop::use_heartbeat_address(const Welcome& welcome) {
  if (heartbeat_address_ == welcome.heartbeat_address) return;
  heartbeat_address_ = welcome.heartbeat_address;
  heartbeats_.reset();
  if (heartbeat_address_.empty()) return;
  auto socket = DealerSocket::connect(heartbeat_address_, link_.address().public_key);
  if (!socket) return log_warning("worker", "heartbeats: {}", socket.error().message);
  heartbeats_ = std::move(*socket);
  heartbeats_heard_at_ = clock_.now();
}

bool AgentLoop::send_heartbeat(const Message& message) {
  const bool silent = clock_.now() - heartbeats_heard_at_ >= kSilentHeartbeats * heartbeat_every_;
  const auto frame = encode(message);
  if (!frame) return false;
  const auto sent = heartbeats_->send(*frame);
  return sent && *sent == Sent::kSent && !silent;
}

void AgentLoop::receive_heartbeats() {
  for (std::size_t count = 0; heartbeats_ && count < kMessagesPerRound; ++count) {
    const auto frame = heartbeats_->receive();
    if (!frame || !*frame) return;
    const auto message = decode_message(**frame);
    const bool ours = message && (std::holds_alternative<HeartbeatAck>(*message) ||
                                  std::holds_alternative<WhoAreYou>(*message));
    if (!ours) continue;
    heartbeats_heard_at_ = clock_.now();
    heard_at_ = heartbeats_heard_at_;
    step(*message);
  }
}

void AgentLoop::on_message(const Message& message) {
  if (const auto* ack = std::get_if<MetricAck>(&message)) return attempts_.acknowledge(*ack);
  if (const auto* welcome = std::get_if<Welcome>(&message)) {
    if (!id_ || *id_ != welcome->worker) {
      log_info("worker", "welcome as worker {} of coordinator {}", welcome->worker.value(),
               welcome->coordinator);
    }
    if (const Status status = open_store(*welcome); !status) {
      log_error("worker", "{}", status.error().message);
      step(message);  // says who we are, so that we can say goodbye
      store_missing_ = true;
      return step(ShutDown{.reason = status.error().message});
    }
    id_ = welcome->worker;
    use_heartbeat_address(*welcome);
    attempts_.resend_metrics();
    if (welcome->heartbeat_ms > 0)
      heartbeat_every_ = std::chrono::milliseconds(welcome->heartbeat_ms);
  }
  step(message);
}

// A coordinator that was restarted may use another folder. One that is in use already is not
// looked at again: what it cannot do for the moment is said by each attempt that needs it.
Status AgentLoop::open_store(const Welcome& welcome) {
  if (artifact_folder_ == welcome.artifact_folder) return {};
  STRATA_TRY(ArtifactStore store,
             ArtifactStore::open(welcome.artifact_folder, welcome.coordinator));
  artifact_folder_ = welcome.artifact_folder;
  attempts_.use_store(store);
  const bool queued = pool_.submit([store]() -> WorkPool::Completion {
    store.remove_abandoned(kAbandonedAfter);
    return [] {};
  });
  if (!queued) log_warning("worker", "half-built artifacts are not looked for: too much to do");
  return {};
}

void AgentLoop::step(const Input& input) {
  for (const Action& action : agent_.step(input, clock_.now())) perform(action);
}

void AgentLoop::perform(const Action& action) {
  struct Performer {
    AgentLoop& loop;
    void operator()(const SendMessage& a) const { loop.send(a.message); }
    void operator()(const Launch& a) const { loop.attempts_.launch(a.order, loop.clock_.now()); }
    void operator()(const Terminate& a) const { loop.attempts_.terminate(a.attempt, a.reason); }
    void operator()(const Kill& a) const {
      loop.attempts_.kill(a.attempt, a.report, loop.clock_.now());
    }
    void operator()(const Exit& a) const {
      if (a.refused) log_error("worker", "refused: {}", a.reason);
      loop.exit_ = a;
      loop.exit_at_ = loop.clock_.now();
    }
  };
  std::visit(Performer{*this}, action);
}

// What cannot be sent now is sent again when the core or the spool repeats it.
void AgentLoop::send(const Message& message) {
  // A heartbeat that was not answered there goes both ways: that port may be closed to us, or gone
  // with a coordinator that was restarted.
  if (heartbeats_ && std::holds_alternative<Heartbeat>(message) && send_heartbeat(message)) return;
  const auto status = link_.send(message);
  if (status) {
    queue_full_told_ = false;
  } else if (!queue_full_told_) {
    queue_full_told_ = true;
    log_warning("worker", "sending {}: {}", name_of(message), status.error().message);
  }
}

void AgentLoop::send_metrics() {
  if (!id_ || !agent_.welcome()) return;
  for (MetricBatch& batch : attempts_.due_metrics(*id_, clock_.now()))
    send(Message(std::move(batch)));
}

void AgentLoop::refresh_link(Instant now) {
  const bool silent = !agent_.welcome() || now - heard_at_ >= kSilentHeartbeats * heartbeat_every_;
  if (!silent || now - refreshed_at_ < kRefreshEvery) return;
  refreshed_at_ = now;
  const auto moved = link_.refresh();
  if (moved && *moved) log_info("worker", "the coordinator is now at {}", link_.address().address);
}

}  // namespace strata::worker
