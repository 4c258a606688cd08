#include "tests/support/scripted_coordinator.h"

#include <unistd.h>

#include <array>

#include "base/assert.h"
#include "link/address_file.h"
#include "schema/codec.h"
#include "tests/support/artifact_folder.h"

namespace strata::testing {
namespace {

constexpr const char* kName = "test-script";
constexpr std::chrono::milliseconds kTick{50};
constexpr std::int64_t kHeartbeatMs = 250;

RouterSocket bound() {
  auto socket = RouterSocket::bind("tcp://127.0.0.1:*", {});
  STRATA_ASSERT(socket.has_value());
  return std::move(*socket);
}

}  // namespace

ScriptedCoordinator::ScriptedCoordinator(std::filesystem::path folder)
    : folder_(std::move(folder)), socket_(bound()) {
  mark_artifact_folder(folder_ / "artifacts", kName);
  const auto written = link::write_address_file(
      address_file(), {.address = socket_.address(), .pid = ::getpid(), .coordinator = kName});
  STRATA_ASSERT(written.has_value());
}

bool ScriptedCoordinator::serve_until(const std::function<bool()>& holds,
                                      std::chrono::seconds patience) {
  const Instant until = clock_.now() + patience;
  while (clock_.now() < until) {
    if (holds()) return true;
    std::array<WaitItem, 1> items{socket_.wait_item()};
    (void)wait_any(items, kTick);
    for (;;) {
      auto received = socket_.receive();
      if (!received || !*received) break;
      peer_ = (*received)->peer;
      const auto message = decode_message((*received)->bytes);
      STRATA_ASSERT(message.has_value());
      answer(*message);
      heard_.push_back(*message);
    }
  }
  return holds();
}

void ScriptedCoordinator::answer(const Message& message) {
  if (const auto* hello = std::get_if<Hello>(&message)) {
    send(Welcome{.worker = WorkerId(1),
                 .session = hello->session,
                 .coordinator = kName,
                 .heartbeat_ms = kHeartbeatMs,
                 .artifact_folder = (folder_ / "artifacts").string()});
  } else if (const auto* heartbeat = std::get_if<Heartbeat>(&message)) {
    send(HeartbeatAck{.sequence = heartbeat->sequence});
  } else if (const auto* ended = std::get_if<ReportEnded>(&message)) {
    send(EndedAck{.attempt = ended->attempt});
  } else if (const auto* batch = std::get_if<MetricBatch>(&message)) {
    send(MetricAck{.attempt = batch->attempt, .up_to = batch->points.back().sequence});
  }
}

void ScriptedCoordinator::send(const Message& message) {
  STRATA_ASSERT(!peer_.empty());
  const auto frame = encode(message);
  STRATA_ASSERT(frame.has_value());
  (void)socket_.send(peer_, *frame);
}

AttemptId ScriptedCoordinator::start(const TaskSpec& spec) {
  const AttemptId attempt{.task = spec.key, .number = 1};
  send(StartAttempt{.attempt = attempt,
                    .spec = spec,
                    .gang = {{.worker = WorkerId(1), .slots = 1}},
                    .lease_ms = spec.lease_ms});
  return attempt;
}

std::optional<Outcome> ScriptedCoordinator::outcome(const AttemptId& attempt) const {
  for (const ReportEnded& ended : heard<ReportEnded>()) {
    if (ended.attempt == attempt) return ended.outcome;
  }
  return {};
}

bool ScriptedCoordinator::holds(const AttemptId& attempt, AttemptPhase phase) const {
  const auto heartbeats = heard<Heartbeat>();
  if (heartbeats.empty()) return false;
  for (const HeldAttempt& held : heartbeats.back().held) {
    if (held.attempt == attempt) return held.phase == phase;
  }
  return false;
}

}  // namespace strata::testing
