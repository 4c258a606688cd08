// The coordinator's core behind a real socket, in the test's own process: real worker daemons
// connect to it, and the test sees every event, decides when time is given to it, and can let it
// crash and recover from its log.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/zmq/socket.h"
#include "coordinator/core/core.h"

namespace strata::testing {

class CoreServer {
 public:
  // The address file and the artifact store lie in `folder`.
  explicit CoreServer(std::filesystem::path folder);

  [[nodiscard]] std::filesystem::path address_file() const { return folder_ / "coordinator.json"; }
  [[nodiscard]] std::filesystem::path artifacts() const { return folder_ / "artifacts"; }

  // Serves until `holds`, for at most `patience`; whether it came true.
  bool serve_until(const std::function<bool()>& holds,
                   std::chrono::seconds patience = std::chrono::seconds(25));
  void serve_for(std::chrono::milliseconds time);

  // What kill -9 and a new start do: the socket and all that was in memory are gone, the log is
  // replayed. `away` is the time between the two.
  void crash_and_recover(std::chrono::milliseconds away);

  void submit(const std::string& sweep, const std::vector<TaskSpec>& tasks);
  void cancel(const std::string& sweep);

  [[nodiscard]] const coordinator::Cluster& cluster() const { return core_->cluster(); }
  [[nodiscard]] const std::vector<Event>& log() const { return log_; }
  [[nodiscard]] std::string state(const TaskKey& task) const;  // "running", ...
  [[nodiscard]] const coordinator::Task& task(const TaskKey& key) const;
  [[nodiscard]] const std::vector<MetricPoint>& metrics(const AttemptId& attempt) {
    return metrics_[attempt];
  }
  [[nodiscard]] std::int64_t stale_batches() const { return stale_batches_; }
  // Reports of checkpoints that came, taken or not.
  [[nodiscard]] std::int64_t checkpoint_reports() const { return checkpoint_reports_; }
  template <class Body>
  [[nodiscard]] std::vector<Body> events() const {
    std::vector<Body> found;
    for (const Event& event : log_) {
      if (const auto* body = std::get_if<Body>(&event.body)) found.push_back(*body);
    }
    return found;
  }

 private:
  void listen();
  void handle(const Received& received);
  void step(coordinator::Input input);
  void on_metrics(const std::string& peer, const MetricBatch& batch);
  void send(const std::string& peer, const Message& message);

  std::filesystem::path folder_;
  SystemClock clock_;
  coordinator::Options options_;
  std::unique_ptr<RouterSocket> socket_;
  std::unique_ptr<coordinator::Core> core_;
  std::vector<Event> log_;
  std::map<std::string, coordinator::PeerId> peer_ids_;
  std::map<coordinator::PeerId, std::string> peers_;
  std::map<AttemptId, std::vector<MetricPoint>> metrics_;
  std::int64_t stale_batches_ = 0;
  std::int64_t checkpoint_reports_ = 0;
  std::uint64_t requests_ = 0;
};

}  // namespace strata::testing
