// Time comes in as an argument. Only shells hold a Clock; cores get an Instant.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace strata {

using Duration = std::chrono::nanoseconds;

// A point on a clock that never jumps and keeps counting while the machine sleeps (CLOCK_BOOTTIME).
// Comparable only with instants of the same boot of the same machine: it is never stored and never
// sent.
class Instant {
 public:
  constexpr Instant() = default;
  constexpr explicit Instant(Duration since_boot) : since_boot_(since_boot) {}
  [[nodiscard]] constexpr Duration since_boot() const { return since_boot_; }
  constexpr auto operator<=>(const Instant&) const = default;
  constexpr Instant operator+(Duration d) const { return Instant(since_boot_ + d); }
  constexpr Instant operator-(Duration d) const { return Instant(since_boot_ - d); }
  constexpr Duration operator-(Instant other) const { return since_boot_ - other.since_boot_; }

 private:
  Duration since_boot_{0};
};

// Milliseconds since 1970, UTC. For people and for the records; no decision is made on it.
struct WallTime {
  std::int64_t unix_ms = 0;
  constexpr auto operator<=>(const WallTime&) const = default;
};

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Instant now() const = 0;
  [[nodiscard]] virtual WallTime wall() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override;
  [[nodiscard]] WallTime wall() const override;
};

}  // namespace strata
