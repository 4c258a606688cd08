// The worker's one loop: what arrives, what ended and what time it is go into the core; what comes
// back is done.
//
//   link ──► Agent::step ──► Send, Launch, Terminate, Kill, Exit
//              ▲                        │
//   SIGCHLD, progress, pool ◄───────── Attempts
//
// Thread rule: the main thread. Long work is in the pool.
#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>

#include "base/clock.h"
#include "link/coordinator_link.h"
#include "worker/attempts.h"
#include "worker/core/agent.h"

namespace strata::worker {

// While processes are being killed.
inline constexpr std::chrono::milliseconds kLookEveryUnsettled{10};
// Of the address file, while nobody answers.
inline constexpr std::chrono::milliseconds kRefreshEvery{1'000};
inline constexpr int kSilentHeartbeats = 2;  // unanswered: the coordinator may have moved
// At the end, for the last acknowledgements.
inline constexpr std::chrono::milliseconds kMetricsLinger{3'000};
// Then half-built artifacts of dead workers go.
inline constexpr std::chrono::hours kAbandonedAfter{24 * 7};
inline constexpr std::size_t kMessagesPerRound = 256;  // then other things get their turn

// kNoStore: this machine does not see the coordinator's artifacts, so it could run nothing.
enum class LoopEnd { kDone, kRefused, kNoStore };

class AgentLoop {
 public:
  // `signals` is a signalfd of SIGCHLD, SIGTERM and SIGINT. All outlive it.
  AgentLoop(Agent& agent, link::CoordinatorLink& link, Attempts& attempts, Launcher& launcher,
            WorkPool& pool, const Clock& clock, int signals)
      : agent_(agent),
        link_(link),
        attempts_(attempts),
        launcher_(launcher),
        pool_(pool),
        clock_(clock),
        signals_(signals) {}

  // Until the core says Exit and no process is left.
  [[nodiscard]] LoopEnd run();

 private:
  void wait(Instant now);
  void read_signals();
  void receive();
  void on_message(const Message& message);
  [[nodiscard]] Status open_store(const Welcome& welcome);
  void step(const Input& input);
  void perform(const Action& action);
  void send(const Message& message);
  void use_heartbeat_address(const Welcome& welcome);
  [[nodiscard]] bool send_heartbeat(const Message& message);
  // What has come over this socket, up to kMessagesPerRound; whether anything has.
  void receive_heartbeats();
  void send_metrics();
  void refresh_link(Instant now);
  [[nodiscard]] bool may_leave(Instant now) const;
  [[nodiscard]] LoopEnd ended() const;

  Agent& agent_;
  link::CoordinatorLink& link_;
  Attempts& attempts_;
  Launcher& launcher_;
  WorkPool& pool_;
  const Clock& clock_;
  int signals_;
  std::optional<WorkerId> id_;
  std::optional<Exit> exit_;
  Instant exit_at_{};
  Instant heard_at_{};
  Instant refreshed_at_{};
  std::chrono::milliseconds heartbeat_every_{5'000};
  bool queue_full_told_ = false;
  // Heartbeats go and are answered here, while they are.
  std::optional<DealerSocket> heartbeats_{};
  std::string heartbeat_address_{};
  Instant heartbeats_heard_at_{};
  std::string artifact_folder_{};  // of the store in use
  bool store_missing_ = false;
};

}  // namespace strata::worker
