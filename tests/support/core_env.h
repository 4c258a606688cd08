// A coordinator core with a recorder in place of the network: a scheduler test is five lines and
// ends by proving that nothing else was sent.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "coordinator/core/core.h"
#include "tests/support/sample_sweep.h"

namespace strata::testing {

class CoreEnv {
 public:
  explicit CoreEnv(coordinator::Options options = {})
      : options_(options), core_(options, {}, now_) {}

  WorkerId add_worker(std::int64_t slots, const std::string& name = "", std::uint64_t session = 0,
                      std::vector<std::string> labels = {}) {
    return add_worker(
        Hello{.name = name, .session = session, .slots = slots, .labels = std::move(labels)});
  }
  WorkerId add_worker(Hello hello) {
    ++workers_;
    const coordinator::PeerId peer(10 + workers_);
    if (hello.name.empty()) hello.name = "w" + std::to_string(workers_);
    if (hello.session == 0) hello.session = workers_;
    step(peer, std::move(hello));
    for (const auto& message : take<Welcome>()) peers_[message.worker] = peer;
    take<HeartbeatAck>();
    return peers_.rbegin()->first;
  }

  Answer submit(SubmitTasks submission) {
    step(client_, std::move(submission));
    auto answers = take<Answer>();
    STRATA_ASSERT(answers.size() == 1);
    return answers.front();
  }

  void step(coordinator::PeerId peer, coordinator::InputBody body) {
    coordinator::Output output =
        core_.step({.peer = peer, .body = std::move(body)}, now_, WallTime{1});
    for (Event& event : output.events) log.push_back(std::move(event));
    for (auto& effect : output.effects) sent_.push_back(std::move(effect.message));
  }
  void from(WorkerId worker, coordinator::InputBody body) {
    step(peers_.at(worker), std::move(body));
  }
  void heartbeat(WorkerId worker, std::vector<HeldAttempt> held = {}) {
    const auto* known = core_.cluster().find_worker(worker);
    STRATA_ASSERT(known != nullptr);
    from(worker,
         Heartbeat{
             .worker = worker, .session = known->session, .sequence = 1, .held = std::move(held)});
  }
  // Runs the attempt to its good end.
  void succeed(WorkerId worker, const StartAttempt& order, const std::string& content = "bytes") {
    from(worker, ReportStarted{.worker = worker, .attempt = order.attempt});
    Succeeded outcome;
    for (const std::string& output : order.spec.outputs)
      outcome.artifacts[output] = make_artifact(order.spec.stage + content);
    for (const auto& [input, ref] : order.inputs) outcome.consumed[input] = ref.hash;
    from(worker, ReportEnded{.worker = worker, .attempt = order.attempt, .outcome = outcome});
    take<EndedAck>();
  }
  void fail(WorkerId worker, const AttemptId& attempt, Failed failed) {
    from(worker, ReportEnded{.worker = worker, .attempt = attempt, .outcome = std::move(failed)});
    take<EndedAck>();
  }
  void pass(std::chrono::milliseconds time) {
    now_ = now_ + time;
    step({}, coordinator::Tick{});
  }

  // Takes what was sent of this type, and leaves the rest.
  template <class T>
  std::vector<T> take() {
    std::vector<T> taken;
    std::vector<Message> rest;
    for (Message& message : sent_) {
      if (auto* wanted = std::get_if<T>(&message)) {
        taken.push_back(std::move(*wanted));
      } else {
        rest.push_back(std::move(message));
      }
    }
    sent_ = std::move(rest);
    return taken;
  }
  [[nodiscard]] bool nothing_sent() const { return sent_.empty(); }
  [[nodiscard]] std::string state(const TaskSpec& task) const {
    return coordinator::name_of(core_.cluster().find_task(task.key)->state);
  }
  [[nodiscard]] std::string reason(const TaskSpec& task) const {
    return core_.reason(task.key, now_);
  }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] coordinator::Core& core() { return core_; }
  [[nodiscard]] const coordinator::Cluster& cluster() const { return core_.cluster(); }

  // As after kill -9: replays the log, and no worker is connected.
  void restart() {
    coordinator::Cluster cluster;
    for (const Event& event : log) cluster.apply(event);
    core_ = coordinator::Core(options_, std::move(cluster), now_);
    sent_.clear();
  }

  std::vector<Event> log{};

 private:
  coordinator::Options options_;
  Instant now_{std::chrono::hours(1)};
  coordinator::Core core_;
  coordinator::PeerId client_{1};
  std::uint64_t workers_ = 0;
  std::map<WorkerId, coordinator::PeerId> peers_;
  std::vector<Message> sent_;
};

}  // namespace strata::testing
