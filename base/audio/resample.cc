#include "base/audio/resample.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>

#include "base/assert.h"

namespace strata {
namespace {

constexpr double kLowpassWidth = 6;
constexpr double kRolloff = 0.99;

// The taps of one phase that are not zero: sum of x[first + i] * taps[i], relative to the block of
// that output.
struct Phase {
  std::int64_t first = 0;
  std::vector<float> taps{};
};

// Phase j of `to`, for rates without a common factor. Taps where the window is clamped are zero and
// are left out: for 16 kHz to 22.05 kHz that leaves 13 of 334.
Phase make_phase(std::int64_t from, std::int64_t to, std::int64_t j) {
  const double base = static_cast<double>(std::min(from, to)) * kRolloff;
  const auto width =
      static_cast<std::int64_t>(std::ceil(kLowpassWidth * static_cast<double>(from) / base));
  Phase phase;
  for (std::int64_t i = -width; i < width + from; ++i) {
    const double t = (static_cast<double>(i) / static_cast<double>(from) -
                      static_cast<double>(j) / static_cast<double>(to)) *
                     base;
    if (std::abs(t) >= kLowpassWidth) continue;
    const double window = std::cos(t * std::numbers::pi / kLowpassWidth / 2);
    const double sinc = t == 0 ? 1.0 : std::sin(t * std::numbers::pi) / (t * std::numbers::pi);
    if (phase.taps.empty()) phase.first = i;
    phase.taps.push_back(
        static_cast<float>(sinc * window * window * base / static_cast<double>(from)));
  }
  return phase;
}

}  // namespace

std::int64_t resampled_length(std::int64_t samples, int from, int to) {
  STRATA_ASSERT(from > 0);
  STRATA_ASSERT(to > 0);
  const std::int64_t common = std::gcd(from, to);
  return (to / common * samples + from / common - 1) / (from / common);
}

std::vector<float> resample(std::span<const float> samples, int from, int to) {
  STRATA_ASSERT(from > 0);
  STRATA_ASSERT(to > 0);
  if (from == to) return {samples.begin(), samples.end()};
  const std::int64_t common = std::gcd(from, to);
  const std::int64_t in = from / common;
  const std::int64_t out = to / common;
  std::vector<Phase> phases;
  phases.reserve(static_cast<std::size_t>(out));
  for (std::int64_t j = 0; j < out; ++j) phases.push_back(make_phase(in, out, j));

  const std::int64_t length = std::ssize(samples);
  std::vector<float> result(static_cast<std::size_t>(resampled_length(length, from, to)));
  for (std::size_t k = 0; k < result.size(); ++k) {
    const std::int64_t block = static_cast<std::int64_t>(k) / out;
    const Phase& phase = phases[k % static_cast<std::size_t>(out)];
    const std::int64_t start = block * in + phase.first;
    const std::int64_t skip = std::max<std::int64_t>(0, -start);
    const std::int64_t end = std::min<std::int64_t>(std::ssize(phase.taps), length - start);
    double sum = 0;
    for (std::int64_t i = skip; i < end; ++i) {
      sum += static_cast<double>(samples[static_cast<std::size_t>(start + i)]) *
             static_cast<double>(phase.taps[static_cast<std::size_t>(i)]);
    }
    result[k] = static_cast<float>(sum);
  }
  return result;
}

}  // namespace strata
