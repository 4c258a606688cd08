#include "coordinator/heartbeats.h"

#include <array>

#include "base/log.h"
#include "schema/codec.h"

namespace strata::coordinator {
namespace {

constexpr std::size_t kFramesPerTurn = 1'000;
constexpr std::chrono::milliseconds kWait{1'000};

}  // namespace

Heartbeats::Heartbeats(RouterSocket socket, WakeUp wake, const WakeUp& control, std::size_t most)
    : socket_(std::move(socket)),
      wake_(std::move(wake)),
      control_(control),
      most_(most),
      thread_([this] { work(); }) {}

Heartbeats::~Heartbeats() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.signal();
  thread_.join();
}

std::vector<Input> Heartbeats::take() {
  const std::lock_guard lock(mutex_);
  place_.clear();
  return std::exchange(arrived_, {});
}

void Heartbeats::send(PeerId to, const Message& message) {
  {
    const std::lock_guard lock(mutex_);
    if (answers_.size() >= kHeartbeatAnswersMax) return;
    answers_.push_back({.to = PeerId(to.value() & ~kOurs), .message = message});
  }
  wake_.signal();
}

void Heartbeats::work() {
  Peers peers(socket_);
  for (;;) {
    std::array items{socket_.wait_item(), wake_.wait_item()};
    if (const auto ready = wait_any(items, kWait); !ready) {
      log_error("coordinator", "heartbeats: {}", ready.error().message);
      return;
    }
    if (items[1].ready) wake_.clear();
    receive(peers);
    std::vector<Send> answers;
    {
      const std::lock_guard lock(mutex_);
      if (ending_) return;
      answers.swap(answers_);
    }
    for (const Send& answer : answers) peers.send(answer.to, answer.message);
    peers.flush();
  }
}

void Heartbeats::receive(Peers& peers) {
  const SystemClock clock;
  bool any = false;
  for (std::size_t i = 0; i < kFramesPerTurn; ++i) {
    auto received = socket_.receive();
    if (!received || !received->has_value()) break;
    ++received_;
    auto message =
        (*received)->malformed ? tl::unexpected(Error{}) : decode_message((*received)->bytes);
    auto* heartbeat = message ? std::get_if<Heartbeat>(&*message) : nullptr;
    if (heartbeat == nullptr) {
      ++garbage_;
      continue;
    }
    const PeerId peer(peers.heard((*received)->peer, clock.now()).value() | kOurs);
    Input input{.peer = peer, .body = std::move(*heartbeat), .beside = true};
    const std::lock_guard lock(mutex_);
    if (arrived_.size() >= most_ && !place_.contains(peer)) continue;
    const auto [at, first] = place_.try_emplace(peer, arrived_.size());
    if (first) {
      arrived_.push_back(std::move(input));
    } else {
      arrived_[at->second] = std::move(input);
    }
    any = true;
  }
  if (any) control_.signal();
}

}  // namespace strata::coordinator
