// What generated inputs are made of.
#pragma once

#include <rapidcheck.h>

#include <cstdint>

namespace strata::trainer {

// first <= x <= last; smaller numbers come first and are what failures shrink to.
inline std::int64_t whole(std::int64_t first, std::int64_t last) {
  return *rc::gen::inRange<std::int64_t>(first, last + 1);
}

// first <= x < last, in 2^20 steps of the same probability.
inline double real(double first, double last) {
  constexpr int kSteps = 1 << 20;
  const int step = *rc::gen::resize(rc::kNominalSize, rc::gen::inRange(0, kSteps));
  return first + (last - first) * step / kSteps;
}

inline bool flag() { return *rc::gen::arbitrary<bool>(); }

inline std::uint64_t seed() { return static_cast<std::uint64_t>(whole(0, 1 << 20)); }

}  // namespace strata::trainer
