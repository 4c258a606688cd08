#include "base/clock.h"

#include <time.h>

#include "base/assert.h"

namespace strata {
namespace {

timespec read_clock(clockid_t id) {
  timespec t{};
  STRATA_ASSERT(clock_gettime(id, &t) == 0);
  return t;
}

}  // namespace

Instant SystemClock::now() const {
  const timespec t = read_clock(CLOCK_BOOTTIME);
  return Instant(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

WallTime SystemClock::wall() const {
  const timespec t = read_clock(CLOCK_REALTIME);
  return {static_cast<std::int64_t>(t.tv_sec) * 1000 + t.tv_nsec / 1'000'000};
}

}  // namespace strata
