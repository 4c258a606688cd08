// What waits for one peer, bounded: a peer that takes nothing loses what waited when there is too
// much of it. Everything that matters is sent again until it is acknowledged (core.h, owed()), and
// answers of clients that do not read are nobody's loss.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

namespace strata::coordinator {

inline constexpr std::size_t kOutboxFramesMax = 1'000;
inline constexpr std::size_t kOutboxBytesMax = 64U << 20U;

struct OutboxLimits {
  std::size_t frames_max = kOutboxFramesMax;
  std::size_t bytes_max = kOutboxBytesMax;
};

class Outbox {
 public:
  explicit Outbox(OutboxLimits limits = {}) : limits_(limits) {}

  // False: with this frame it would be too much, and nothing waits any more.
  bool push(std::string frame);
  // REQUIRES: not empty.
  [[nodiscard]] const std::string& front() const { return frames_.front(); }
  void pop();
  // How many waited.
  std::size_t clear();

  [[nodiscard]] bool empty() const { return frames_.empty(); }
  [[nodiscard]] std::size_t frames() const { return frames_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  OutboxLimits limits_;
  std::deque<std::string> frames_;
  std::size_t bytes_ = 0;
};

}  // namespace strata::coordinator
