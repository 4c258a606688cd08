#include "base/audio/dft.h"

#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

#include "base/assert.h"

namespace strata {

Dft::Dft(int points) {
  STRATA_ASSERT(points >= 2);
  STRATA_ASSERT(std::has_single_bit(static_cast<unsigned>(points)));
  const int bits = std::countr_zero(static_cast<unsigned>(points));
  for (int i = 0; i < points; ++i) {
    std::uint32_t index = 0;
    for (int b = 0; b < bits; ++b)
      index |= ((static_cast<std::uint32_t>(i) >> b) & 1U) << (bits - 1 - b);
    reversed_.push_back(index);
  }
  for (int k = 0; k < points / 2; ++k) {
    cos_.push_back(std::cos(-2 * std::numbers::pi * k / points));
    sin_.push_back(std::sin(-2 * std::numbers::pi * k / points));
  }
}

void Dft::forward(std::span<double> re, std::span<double> im) const {
  const std::size_t n = reversed_.size();
  STRATA_ASSERT(re.size() == n);
  STRATA_ASSERT(im.size() == n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t j = reversed_[i];
    if (i >= j) continue;
    std::swap(re[i], re[j]);
    std::swap(im[i], im[j]);
  }
  for (std::size_t half = 1; half < n; half *= 2) {
    const std::size_t stride = n / (2 * half);
    for (std::size_t start = 0; start < n; start += 2 * half) {
      for (std::size_t k = 0; k < half; ++k) {
        const std::size_t low = start + k;
        const std::size_t high = low + half;
        const double wr = cos_[k * stride];
        const double wi = sin_[k * stride];
        const double tr = re[high] * wr - im[high] * wi;
        const double ti = re[high] * wi + im[high] * wr;
        re[high] = re[low] - tr;
        im[high] = im[low] - ti;
        re[low] += tr;
        im[low] += ti;
      }
    }
  }
}

// With real and imaginary parts exchanged the forward transform is the inverse one.
void Dft::inverse(std::span<double> re, std::span<double> im) const {
  forward(im, re);
  const double share = 1.0 / static_cast<double>(re.size());
  for (double& value : re) value *= share;
  for (double& value : im) value *= share;
}

std::vector<double> hann_window(int points) {
  std::vector<double> window;
  for (int i = 0; i < points; ++i)
    window.push_back(0.5 - 0.5 * std::cos(2 * std::numbers::pi * i / points));
  return window;
}

std::size_t reflected(std::int64_t i, std::int64_t length) {
  STRATA_ASSERT(length >= 1);
  if (length == 1) return 0;
  const std::int64_t period = 2 * (length - 1);
  i %= period;
  if (i < 0) i = -i;
  if (i >= length) i = period - i;
  return static_cast<std::size_t>(i);
}

}  // namespace strata
