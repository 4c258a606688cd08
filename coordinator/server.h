// The control loop. One thread owns the core and the sockets:
//
//   receive (up to kInputsPerBatch frames or kBatchTime) -> step each -> ONE commit -> effects,
//   answers, acknowledgements
//
// While a commit fails, the same batch is tried again every `commit_retry` and nothing else is
// stepped: dispatch is paused, gangs go on, questions from the tables are still answered, and
// reports wait in a bounded queue (their senders repeat what does not fit). The same holds where
// the derived tables cannot be written and what waits for them has come to its bound. Metric points
// go beside the core into a file of their own, fenced by their attempt.
//
// No byte string from a socket ends this process: what is no message is counted and forgotten.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/zmq/socket.h"
#include "coordinator/core/core.h"
#include "coordinator/event_store.h"
#include "coordinator/exporter.h"
#include "coordinator/heartbeats.h"
#include "coordinator/live_view.h"
#include "coordinator/metric_store.h"
#include "coordinator/peers.h"
#include "coordinator/plan_book.h"
#include "coordinator/query_service.h"
#include "coordinator/watch_report.h"

namespace strata::coordinator {

inline constexpr std::size_t kInputsPerBatch = 256;
inline constexpr std::chrono::milliseconds kBatchTime{10};
inline constexpr std::size_t kInputsWaitingMax = 10'000;  // while commits fail
inline constexpr std::size_t kWatchLooksPerTurn = 4'000;  // at tasks and runs
inline constexpr std::size_t kWatchesMax = 64;            // of different sweeps, under way
inline constexpr std::size_t kWatchersMax = 1'000;        // of one of them
// No further input is stepped into a batch of so many.
inline constexpr std::size_t kEventsPerBatchMax = 4'096;

struct ServerOptions {
  std::string build{};
  std::string safe_mode{};  // not empty: why nothing may be dispatched (a damaged log); only
                            // questions are answered
  std::chrono::milliseconds tick_every{100};
  std::chrono::milliseconds commit_retry{1'000};
  std::chrono::milliseconds export_every{1'000};
  std::size_t peers_max = kPeersMax;
};

// All of them outlive the server.
struct ServerParts {
  RouterSocket& socket;
  WakeUp& wake;
  EventStore& events;
  MetricStore& metrics;
  QueryService& queries;
  Heartbeats* heartbeats = nullptr;         // may be null: then they come over the main socket
  Exporter* exporter = nullptr;             // may be null
  const Mirror* mirror = nullptr;           // may be null
  std::shared_ptr<const PlanBook> plans{};  // may be null: then every plan is unknown
  const Clock& clock;
};

class Server {
 public:
  // `live` has seen every event of the core's cluster.
  Server(ServerParts parts, ServerOptions options, Core core, LiveView live);

  // Until stop(). An error only when the socket itself cannot be used any more.
  [[nodiscard]] Status run();
  // Any thread, also a signal handler. What is committed is committed; the loop ends after the turn
  // under way.
  void stop();
  // Any thread. From the next commit on; the store's connection is the loop's alone. For tests of a
  // full disk.
  void limit_event_pages(std::int64_t pages);

  [[nodiscard]] const ServerCounts& counts() const { return counts_; }  // server thread

 private:
  struct Question {  // answered from the core after the commit
    PeerId peer{};
    Request request{};
  };
  struct Watching {  // a report under way, and who asked for it
    WatchReport report;
    std::vector<std::pair<PeerId, std::uint64_t>> askers{};
  };
  struct Batch {
    std::vector<Event> events{};
    std::shared_ptr<const std::vector<Event>> sealed{};  // those events, once they are committed
    Touched touched{};
    Effects effects{};
    std::vector<Question> questions{};
  };
  struct Points {
    PeerId peer{};
    MetricBatch batch{};
  };

  Status turn();
  [[nodiscard]] std::chrono::milliseconds wait_time() const;
  void receive(Instant until);
  void take_frame(const Received& received);
  void take_message(PeerId peer, Message message);
  void take_points(PeerId peer, MetricBatch batch);
  void take_request(PeerId peer, Request request);
  Result<std::optional<InputBody>> control_input(const Request& request) const;
  void queue_input(PeerId peer, InputBody body);
  void take_heartbeats();
  void send(const Send& effect);
  void take_submission(PeerId peer, SubmitTasks submission);
  [[nodiscard]] bool can_step();
  void step_waiting(Instant until);
  void note_heard(const Heartbeat& heartbeat, Instant now);
  void follow_workers(const Output& output, Instant now);
  void count_stale(const InputBody& body);
  [[nodiscard]] Status finish_batch();
  void perform(Batch batch);
  void store_points();
  void report_rungs();
  void answer_questions(const std::vector<Question>& questions);
  [[nodiscard]] Result<Value> answer_to(const Request& question);
  [[nodiscard]] Status begin_watching(PeerId peer, const Request& question);
  void go_on_watching();
  void refuse(PeerId peer, std::uint64_t id, const Error& error);
  void pause(const std::string& why);
  void resume();
  void measure(Instant began);

  ServerParts parts_;
  ServerOptions options_;
  Core core_;
  LiveView live_;
  Peers peers_;
  // Where the orders of each worker go: its heartbeats come over another socket, so that it may be
  // silent here for days.
  std::map<WorkerId, PeerId> worker_peers_;
  ServerCounts counts_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::int64_t> pages_limit_{
      -1};  // to be set before the next commit; -1: nothing to do
  std::deque<Input> inputs_;
  std::vector<Points> points_;
  std::deque<Watching> watching_;
  Batch batch_;
  std::uint64_t metric_failures_told_ = 0;  // of counts_.metric_failures: a series is told once
  bool commit_failed_ = false;              // batch_ is not to be touched until it is committed
  std::string paused_;                      // why; empty: dispatch runs
  std::int64_t started_ms_ = 0;
  Instant commit_due_{};
  Instant tick_due_{};
  Instant export_due_{};
  Duration gap_{0};
};

}  // namespace strata::coordinator
