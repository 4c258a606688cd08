// A coordinator without rules, in the test's own process: one real worker daemon connects, the test
// sends it what it likes and sees what it says. Hellos are welcomed, everything that wants an
// acknowledgement gets it.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/zmq/socket.h"
#include "schema/message.h"

namespace strata::testing {

class ScriptedCoordinator {
 public:
  // The address file and the artifact store lie in `folder`.
  explicit ScriptedCoordinator(std::filesystem::path folder);

  [[nodiscard]] std::filesystem::path address_file() const { return folder_ / "coordinator.json"; }

  bool serve_until(const std::function<bool()>& holds,
                   std::chrono::seconds patience = std::chrono::seconds(25));
  // REQUIRES: a worker has said Hello.
  void send(const Message& message);
  // An order for one slot.
  AttemptId start(const TaskSpec& spec);

  template <class Body>
  [[nodiscard]] std::vector<Body> heard() const {
    std::vector<Body> found;
    for (const Message& message : heard_) {
      if (const auto* body = std::get_if<Body>(&message)) found.push_back(*body);
    }
    return found;
  }
  [[nodiscard]] std::optional<Outcome> outcome(const AttemptId& attempt) const;
  // The newest heartbeat says that it holds the attempt in this phase.
  [[nodiscard]] bool holds(const AttemptId& attempt, AttemptPhase phase) const;

 private:
  void answer(const Message& message);

  std::filesystem::path folder_;
  SystemClock clock_;
  RouterSocket socket_;
  std::string peer_;
  std::vector<Message> heard_;
};

}  // namespace strata::testing
