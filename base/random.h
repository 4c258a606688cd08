// Seeded random numbers whose values are part of results, so they never depend on a library's
// version. splitmix64 as in Steele, Lea, Flood 2014; bounded() takes the high 64 bits of x*n
// (evaluation statistics use the same).
#pragma once

#include <cstdint>
#include <string_view>

#include "base/assert.h"

namespace strata {

class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) : state_(seed) {}

  constexpr std::uint64_t next() { return mix(state_ += kGamma); }

  // Uniform in [0, n). REQUIRES: n > 0.
  std::uint64_t bounded(std::uint64_t n) {
    STRATA_ASSERT(n > 0);
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(next()) * n) >> 64);
  }

  // Uniform in [0, 1), 53 bits.
  constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  // The output of a generator whose counter stands at x: the hash that the golden tests call
  // splitmix64(x).
  static constexpr std::uint64_t hash(std::uint64_t x) { return mix(x + kGamma); }

 private:
  static constexpr std::uint64_t kGamma = 0x9E3779B97F4A7C15ULL;
  static constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  std::uint64_t state_;
};

// A seed for a named purpose, independent of the seeds for other names: derive_seed(7,
// "noise/utt-0042").
[[nodiscard]] std::uint64_t derive_seed(std::uint64_t seed, std::string_view purpose);

}  // namespace strata
