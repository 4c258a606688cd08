// What travels between coordinator, workers and clients. At-least-once: whatever a worker reports
// carries its attempt, so repeats change nothing; whatever the coordinator asks is asked again
// until it is seen done.
//
// Worker <-> coordinator messages are typed. A client's question and its answer are JSON, because
// people and scripts use them too (`--json`); their verbs are listed in docs/requests.md.
//
// DO NOT reorder, remove or change an alternative: append, and bump kProtocolVersion
// (CONTRIBUTING.md, "a new message").
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "schema/event.h"

namespace strata {

inline constexpr std::uint16_t kProtocolVersion = 2;

inline constexpr std::size_t kPointsPerBatchMax = 1'000;
inline constexpr std::size_t kTasksPerBatchMax = 256;

// --- worker -> coordinator ---

enum class AttemptPhase : std::uint8_t { kStarting, kRunning, kStopping };

struct HeldAttempt {
  AttemptId attempt{};
  AttemptPhase phase = AttemptPhase::kStarting;
  bool operator==(const HeldAttempt&) const = default;
};

struct Hello {  // first message of a session, repeated until Welcome comes
  std::uint16_t protocol_min = kProtocolVersion;
  std::uint16_t protocol_max = kProtocolVersion;
  std::string build{};
  std::string name{};
  std::uint64_t session = 0;
  std::int64_t slots = 0;
  std::vector<std::string> labels{};
  std::vector<HeldAttempt> held{};     // gangs that went on while the coordinator was away
  std::int64_t memory_mb = 0;          // of the machine, MiB; 0: unknown
  std::int64_t lifetime_left_ms = -1;  // until its allocation ends; -1: it has no end
  bool operator==(const Hello&) const = default;
};
struct Heartbeat {  // renews the leases of all that it names
  WorkerId worker{};
  std::uint64_t session = 0;
  std::uint64_t sequence = 0;  // 1, 2, ... in a session: the answer says which one it answers
  std::vector<HeldAttempt> held{};
  std::int64_t lifetime_left_ms = -1;
  bool operator==(const Heartbeat&) const = default;
};
struct ReportStarted {
  WorkerId worker{};
  AttemptId attempt{};
  bool operator==(const ReportStarted&) const = default;
};
struct ReportCheckpoint {
  WorkerId worker{};
  AttemptId attempt{};
  std::int64_t step = 0;
  ArtifactRef artifact{};
  bool operator==(const ReportCheckpoint&) const = default;
};
struct ReportEnded {  // repeated until EndedAck; `Lost` never comes from a worker
  WorkerId worker{};
  AttemptId attempt{};
  Outcome outcome{};
  std::vector<ContentHash> missing_inputs{};  // artifacts that the store no longer had
  bool operator==(const ReportEnded&) const = default;
};
struct MetricPoint {
  std::uint64_t sequence = 0;  // 1, 2, ... within the attempt
  std::int64_t step = 0;
  std::optional<std::int64_t> total{};
  std::map<std::string, double> values{};
  bool operator==(const MetricPoint&) const = default;
};
struct MetricBatch {  // kept in the worker's spool until acknowledged
  WorkerId worker{};
  AttemptId attempt{};
  std::vector<MetricPoint> points{};  // ascending sequence
  bool operator==(const MetricBatch&) const = default;
};
struct Goodbye {  // nothing runs there any more, and nothing is owed
  WorkerId worker{};
  std::uint64_t session = 0;
  std::string reason{};
  bool operator==(const Goodbye&) const = default;
};

// It was asked to end: gets nothing new. Repeated with each heartbeat till Goodbye.
struct Leaving {
  WorkerId worker{};
  std::uint64_t session = 0;
  bool operator==(const Leaving&) const = default;
};

// --- coordinator -> worker ---

struct Welcome {
  WorkerId worker{};
  std::uint64_t session = 0;
  std::string coordinator{};  // random per store; a worker does not obey another one
  std::int64_t heartbeat_ms = 0;
  std::string artifact_folder{};  // the shared store
  // Where heartbeats go and are answered; empty: over this same connection.
  std::string heartbeat_address{};
  bool operator==(const Welcome&) const = default;
};
struct Refused {  // final: a retry gives the same answer
  std::string reason{};
  bool operator==(const Refused&) const = default;
};
struct StartAttempt {
  AttemptId attempt{};
  TaskSpec spec{};
  Gang gang{};
  std::int64_t lease_ms = 0;
  std::map<std::string, ArtifactRef> inputs{};  // by input name
  std::optional<ArtifactRef> resume_from{};
  bool operator==(const StartAttempt&) const = default;
};
struct StopAttempt {  // unknown to the worker: it answers with ReportEnded{Stopped}
  AttemptId attempt{};
  std::string reason{};
  StopKind kind = StopKind::kCancel;
  std::int64_t grace_ms = 0;  // from the request until it is killed; 0: the worker's own
  bool operator==(const StopAttempt&) const = default;
};
struct HeartbeatAck {
  std::uint64_t sequence = 0;  // of the heartbeat; 0 answers a Hello and renews nothing
  std::vector<AttemptId>
      drop{};  // held by the worker, but theirs no longer: kill at once, report nothing
  bool operator==(const HeartbeatAck&) const = default;
};
struct EndedAck {
  AttemptId attempt{};
  bool operator==(const EndedAck&) const = default;
};
struct MetricAck {
  AttemptId attempt{};
  std::uint64_t up_to = 0;  // cumulative
  bool stale = false;  // the attempt is no longer the newest: nothing of it is kept, stop sending
  bool operator==(const MetricAck&) const = default;
};
// Sent for each ReportCheckpoint once it is committed, or counts no more: until then it is
// repeated.
struct CheckpointAck {
  AttemptId attempt{};
  std::int64_t step = 0;
  bool operator==(const CheckpointAck&) const = default;
};
struct WhoAreYou {  // the coordinator does not know this session (it was restarted): say Hello
  bool operator==(const WhoAreYou&) const = default;
};

// --- client <-> coordinator ---

struct Request {
  std::uint16_t protocol = kProtocolVersion;
  std::uint64_t id = 0;  // chosen by the client, copied into the answer
  std::string verb{};    // "submit", "query", ...
  std::string body{};    // canonical JSON
  bool operator==(const Request&) const = default;
};
struct Answer {
  std::uint64_t id = 0;
  bool ok = false;
  std::string body{};  // JSON; {"error": ..., "code": ...} when not ok
  bool operator==(const Answer&) const = default;
};
struct SubmitTasks {  // the bulk of a submission; each batch is answered by an Answer with the same
                      // id
  std::uint64_t id = 0;
  std::string sweep{};
  std::int64_t priority = 0;
  std::string definition{};  // in the first batch
  bool first = false;
  bool last = false;
  std::vector<TaskSpec> tasks{};  // producers before consumers
  std::vector<RunSpec> runs{};    // after the batch that holds their tasks
  std::string if_plan{};          // first batch: refuse unless the world still gives this plan id
  SweepOptions options{};         // in the first batch
  bool operator==(const SubmitTasks&) const = default;
};

using Message =
    std::variant<Hello, Heartbeat, ReportStarted, ReportCheckpoint, ReportEnded, MetricBatch,
                 Goodbye, Welcome, Refused, StartAttempt, StopAttempt, HeartbeatAck, EndedAck,
                 MetricAck, WhoAreYou, Request, Answer, SubmitTasks, Leaving, CheckpointAck>;

[[nodiscard]] const char* name_of(const Message& message);

}  // namespace strata
