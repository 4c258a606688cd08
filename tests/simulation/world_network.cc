// The network between the coordinator's shell and the workers: frames are dropped, repeated, late
// (and so out of order), cut off for a while; readers stall. Connections keep order otherwise.

#include <algorithm>

#include "base/assert.h"
#include "schema/codec.h"
#include "tests/simulation/world.h"
#include "tests/support/sample_sweep.h"

namespace strata::simulation {

using std::chrono::milliseconds;
using std::chrono::seconds;

// As coordinator/peers.cc: straight through, or into the peer's bounded outbox.
void World::send_down(coordinator::PeerId to, const Message& message) {
  Outlet& outlet = outlets_[to];
  auto frame = encode(message);
  STRATA_ASSERT(frame.has_value());
  if (outlet.outbox.empty() && now_ >= outlet.stalled_until) return arrive(to, *frame);
  const auto waited = static_cast<std::int64_t>(outlet.outbox.frames());
  if (!outlet.outbox.push(std::move(*frame))) statistics_.frames_given_up += waited + 1;
  check_memory();
}

void World::flush(coordinator::PeerId to) {
  const auto it = outlets_.find(to);
  if (it == outlets_.end() || now_ < it->second.stalled_until) return;
  while (!it->second.outbox.empty()) {
    arrive(to, it->second.outbox.front());
    it->second.outbox.pop();
  }
}

void World::arrive(coordinator::PeerId to, const std::string& frame) {
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i].peer == to) return to_worker(i, frame);
  }
  const auto message = decode_message(frame);
  STRATA_ASSERT(message.has_value());
  if (const auto* answer = std::get_if<Answer>(&*message)) answer_client(*answer);
}

void World::to_coordinator(std::size_t index, const Message& message) {
  SimWorker& w = workers_[index];
  ++statistics_.messages;
  const int copies = fault(fates_.duplicate) ? 2 : 1;
  if (copies == 2) ++statistics_.duplicated;
  for (int copy = 0; copy < copies; ++copy) {
    if (now_ < w.partitioned_until || fault(fates_.drop)) {
      ++statistics_.dropped;
      continue;
    }
    Duration delay = between(milliseconds(0), milliseconds(5));
    if (fault(fates_.delay)) {
      ++statistics_.delayed;
      delay = between(seconds(1), seconds(100));
    } else {
      delay = std::max(delay, w.last_arrival_up - now_);
      w.last_arrival_up = now_ + delay;
    }
    const auto frame = encode(message);
    STRATA_ASSERT(frame.has_value());
    schedule_at(now_ + delay, [this, peer = w.peer, bytes = *frame] {
      if (!core_) return;
      auto decoded = decode_message(bytes);
      STRATA_ASSERT(decoded.has_value());
      std::visit(
          [&](auto& body) {
            using T = std::decay_t<decltype(body)>;
            if constexpr (std::is_same_v<T, MetricBatch>) {
              take_points(peer, body);
            } else if constexpr (std::is_constructible_v<coordinator::InputBody, T>) {
              give(peer, std::move(body));
            }
          },
          *decoded);
    });
  }
}

void World::to_worker(std::size_t index, const std::string& frame) {
  SimWorker& w = workers_[index];
  ++statistics_.messages;
  if (now_ < w.partitioned_until || fault(fates_.drop)) {
    ++statistics_.dropped;
    return;
  }
  Duration delay = between(milliseconds(0), milliseconds(5));
  if (fault(fates_.delay)) {
    ++statistics_.delayed;
    delay = between(seconds(1), seconds(100));
  } else {
    delay = std::max(delay, w.last_arrival_down - now_);
    w.last_arrival_down = now_ + delay;
  }
  schedule_at(now_ + delay, [this, index, peer = w.peer, frame] {
    SimWorker& its = workers_[index];
    if (!its.agent || its.peer != peer) return;
    auto message = decode_message(frame);
    STRATA_ASSERT(message.has_value());
    if (const auto* ack = std::get_if<MetricAck>(&*message)) {
      const auto spool = its.spools.find(ack->attempt);
      if (spool == its.spools.end()) return;
      std::deque<MetricPoint>& points = spool->second.points;
      while (!points.empty() && (ack->stale || points.front().sequence <= ack->up_to))
        points.pop_front();
      spool->second.sent.reset();
      return;
    }
    if (const auto* welcome = std::get_if<Welcome>(&*message)) its.id = welcome->worker;
    step_agent(index, *message);
  });
}

// A worker that is confused or worse: it speaks of attempts that are not its own.
void World::lie(std::size_t index) {
  const SimWorker& w = workers_[index];
  if (!w.id || past_attempts_.empty()) return;
  const auto& [attempt, gang] = past_attempts_[random_.bounded(past_attempts_.size())];
  // About its own nobody can tell a lie from the truth: its end may be in no log yet, or be undone
  // by a crash (found by seed 795401471986).
  if (std::any_of(gang.begin(), gang.end(), [&](const Grant& g) { return g.worker == *w.id; }))
    return;
  ++statistics_.lies;
  trace(fmt::format("{} lies about {}", w.name, attempt.text()));
  const ArtifactRef made_up = testing::make_artifact("a lie about " + attempt.text());
  switch (random_.bounded(4)) {
    case 0: return to_coordinator(index, ReportStarted{.worker = *w.id, .attempt = attempt});
    case 1:
      return to_coordinator(
          index, ReportCheckpoint{
                     .worker = *w.id, .attempt = attempt, .step = 1'000'000, .artifact = made_up});
    case 2:
      return to_coordinator(index,
                            ReportEnded{.worker = *w.id,
                                        .attempt = attempt,
                                        .outcome = Succeeded{.artifacts = {{"result", made_up}}}});
    default:
      return to_coordinator(
          index, ReportEnded{.worker = *w.id,
                             .attempt = attempt,
                             .outcome = Failed{.cause = FailureClass::kUser, .reason = "a lie"}});
  }
}

}  // namespace strata::simulation
