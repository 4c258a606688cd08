// The worker's rules: which leases it holds, what runs, what is due. Pure: the shell tells what
// arrived and what ended, and performs the actions that come back. Everything that must reach the
// coordinator is repeated until it is acknowledged.
//
// A worker trusts only its own clock: a lease granted for D is held for D less a margin, counted
// from the moment at which the last renewal was SENT, so the worker has stopped its ranks before
// the coordinator may give the task to others.
//
// A stop is a protocol: ask (SIGTERM), acknowledge at once (a heartbeat that says kStopping), wait
// for a checkpoint until the deadline, then kill, and kill again until the exit is seen. The
// deadline is the grace that the order, else the task, gives, and never beyond the lease. A later
// order of the same or a higher kind may shorten it, none lengthens it.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "schema/message.h"

namespace strata::worker {

struct Options {
  std::string name{};
  std::uint64_t session = 0;
  std::int64_t slots = 1;
  std::vector<std::string> labels{};
  std::string build{};
  std::chrono::milliseconds hello_every{1'000};  // until Welcome comes; doubles up to the next
  std::chrono::milliseconds hello_every_max{10'000};
  std::chrono::milliseconds report_every{2'000};  // unacknowledged reports are sent again
  // A start is told so much later, or with the end: of a short attempt both are one commit then.
  std::chrono::milliseconds start_told_after{10};
  std::chrono::milliseconds lease_margin_max{30'000};
  // From the request to stop until SIGKILL, where neither the order nor the task says.
  std::chrono::milliseconds terminate_after{20'000};
  // Of a task's grace, when this worker shuts down; and then of waiting for acknowledgements.
  std::chrono::milliseconds shut_down_max{60'000};
  std::int64_t memory_mb = 0;        // of the machine, or what its allocation has of it; 0: unknown
  std::optional<Instant> ends_at{};  // when its allocation ends
};

inline constexpr std::size_t kUnansweredHeartbeatsMax = 64;
// Reports that are acknowledged and kept: an order about one of these attempts comes late, or from
// a coordinator whose disk has forgotten the end.
inline constexpr std::size_t kOverMax = 64;

// By how much a worker's clock may run slower than the coordinator's. The ranks are gone when half
// of the margin is left, so it holds for every lease of which that half is more than this share: up
// to 12 minutes, which is beyond the default. A longer lease tolerates less (a clock that drifts by
// 100 ppm: 40 hours).
inline constexpr double kClockDriftMax = 0.02;

// The part of a lease that the worker does not use: a tenth, at most lease_margin_max.
[[nodiscard]] std::chrono::milliseconds lease_margin(std::chrono::milliseconds lease,
                                                     const Options& options);

// --- what the shell tells ---
struct ProcessStarted {
  AttemptId attempt{};
};
struct ProcessEnded {  // the attempt's processes are all gone and its outputs are in the store
  AttemptId attempt{};
  Outcome outcome{};
  std::vector<ContentHash> missing_inputs{};
};
struct CheckpointStored {
  AttemptId attempt{};
  std::int64_t step = 0;
  ArtifactRef artifact{};
};
struct TimePassed {};
struct ShutDown {  // the worker was asked to end
  std::string reason{};
};
using Input =
    std::variant<Message, ProcessStarted, ProcessEnded, CheckpointStored, TimePassed, ShutDown>;

// --- what the shell has to do ---
struct SendMessage {
  Message message{};
};
struct Launch {
  StartAttempt order{};
};
struct Terminate {  // ask politely: SIGTERM to the session, a checkpoint may follow
  AttemptId attempt{};
  std::string reason{};
};
struct Kill {  // SIGKILL to every process of the session, again until none is left
  AttemptId attempt{};
  bool report = true;  // false: it is not ours any more, nothing of it is reported or stored
};
struct Exit {  // nothing runs and nothing is unacknowledged, or the coordinator refused us for good
  std::string reason{};
  bool refused = false;
};
using Action = std::variant<SendMessage, Launch, Terminate, Kill, Exit>;

class Agent {
 public:
  Agent(Options options, Instant now);

  [[nodiscard]] std::vector<Action> step(const Input& input, Instant now);

  [[nodiscard]] bool welcome() const { return id_.has_value(); }
  [[nodiscard]] std::vector<HeldAttempt> held() const;
  // Heartbeats that may still be answered; at most kUnansweredHeartbeatsMax.
  [[nodiscard]] std::size_t unanswered_heartbeats() const { return heartbeats_sent_.size(); }
  // The earliest instant at which TimePassed has something to do.
  [[nodiscard]] Instant next_due() const;

 private:
  struct Held {
    StartAttempt order{};
    AttemptPhase phase = AttemptPhase::kStarting;
    Instant lease_until{};               // ours: the coordinator's less the margin
    std::optional<Instant> start_due{};  // when it is told that it runs, which it was not yet
    // The first one that names it, so the first whose answer renews it.
    std::uint64_t first_heartbeat = 0;
    Instant kill_at{};  // when stopping: the deadline; then when it is killed again
    StopKind stop_kind = StopKind::kHold;
    std::string stop_reason{};
    bool killing = false;
    bool dropped = false;  // not ours any more: killed, never reported
  };
  struct Ended {  // reported until acknowledged, after the checkpoint that may not have arrived
    ReportEnded report{};
    std::optional<ReportCheckpoint> checkpoint{};
    Instant sent{};
  };
  using Actions = std::vector<Action>;

  void on(const Message& message, Instant now, Actions& out);
  void on(const ProcessStarted& started, Instant now, Actions& out);
  void on(const ProcessEnded& ended, Instant now, Actions& out);
  void on(const CheckpointStored& stored, Instant now, Actions& out);
  void on(const TimePassed& passed, Instant now, Actions& out);
  void on(const ShutDown& request, Instant now, Actions& out);

  void on_welcome(const Welcome& welcome, Instant now, Actions& out);
  void on_start(const StartAttempt& order, Instant now, Actions& out);
  void on_stop(const StopAttempt& order, Instant now, Actions& out);
  void on_heartbeat_ack(const HeartbeatAck& ack, Actions& out);

  void drop(const AttemptId& id, Actions& out);
  void begin_stop(const AttemptId& id, Held& held, const std::string& reason, Instant kill_at,
                  Actions& out);
  static void kill(const AttemptId& id, Held& held, Instant now, Actions& out);
  [[nodiscard]] Instant kill_due(const Held& held) const;
  [[nodiscard]] std::chrono::milliseconds grace_of(const Held& held) const;
  [[nodiscard]] std::int64_t lifetime_left_ms(Instant now) const;
  void tell_start(const AttemptId& id, Held& held, Actions& out) const;
  void report_ended(const AttemptId& id, Outcome outcome, std::vector<ContentHash> missing,
                    Instant now, Actions& out);
  void forget_ended(const AttemptId& id);
  bool tell_again(const AttemptId& id, Instant now, Actions& out);  // false: it is not known
  static void tell(Ended& ended, Instant now, Actions& out);
  void send_hello(Instant now, Actions& out);
  void send_heartbeat(Instant now, Actions& out);
  void exit_when_done(Instant now, Actions& out);
  [[nodiscard]] std::int64_t slots_used() const;

  Options options_;
  std::optional<WorkerId> id_;
  std::string coordinator_;
  std::chrono::milliseconds heartbeat_every_{5'000};
  std::chrono::milliseconds hello_wait_{0};
  Instant hello_due_{};
  std::optional<Instant> hello_sent_{};  // the first since we last had no id
  Instant heartbeat_due_{};
  std::uint64_t heartbeats_ = 0;                      // sent in this session
  std::map<std::uint64_t, Instant> heartbeats_sent_;  // not answered yet; bounded
  Instant heard_of_us_{};  // when we sent the newest thing that the coordinator has answered
  std::map<AttemptId, Held> held_;
  std::map<AttemptId, Ended> ended_;
  std::deque<Ended> over_;  // reported and acknowledged; the newest ones
  // The newest of each, sent again with each heartbeat until it is acknowledged.
  std::map<AttemptId, ReportCheckpoint> checkpoints_;
  bool shutting_down_ = false;
  bool exited_ = false;
  std::string shut_down_reason_;
  Instant shut_down_by_{};
};

}  // namespace strata::worker
