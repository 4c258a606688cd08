#include "base/audio/mel_inversion.h"

#include <algorithm>

#include "base/assert.h"

namespace strata {
namespace {

// Passes over all bins, upwards and downwards by turns. They bring mels of sounds within 0.1 % of a
// frame's length (least norm alone: up to 7.5 %); those that no sound has end at the nearest one.
constexpr int kPasses = 100;

// Solves the symmetric tridiagonal system in place (Thomas); it is positive definite, because no
// band of a bank is a combination of the others.
void solve_tridiagonal(std::span<const double> diagonal, std::span<const double> beside,
                       std::vector<double>& right) {
  std::vector<double> factor(right.size());
  for (std::size_t i = 0; i < right.size(); ++i) {
    double pivot = diagonal[i];
    if (i > 0) {
      pivot -= beside[i - 1] * factor[i - 1];
      right[i] -= beside[i - 1] * right[i - 1];
    }
    STRATA_ASSERT(pivot > 0);
    right[i] /= pivot;
    factor[i] = i + 1 < right.size() ? beside[i] / pivot : 0;
  }
  for (std::size_t i = right.size() - 1; i > 0; --i) right[i - 1] -= factor[i - 1] * right[i];
}

}  // namespace

MelInversion::MelInversion(const MelFrontEnd& front) {
  const int bands = front.config().bands;
  diagonal_.resize(static_cast<std::size_t>(bands));
  beside_.resize(diagonal_.size());
  for (int k = 0; k <= front.config().fft / 2; ++k) {
    Bin bin;
    std::size_t found = 0;
    for (int b = 0; b < bands; ++b) {
      const double weight = front.weight(b, k);
      if (weight <= 0) continue;
      STRATA_ASSERT(found < bin.band.size());
      bin.band[found] = static_cast<std::size_t>(b);
      bin.weight[found] = weight;
      bin.square += weight * weight;
      diagonal_[static_cast<std::size_t>(b)] += weight * weight;
      ++found;
    }
    if (found == 2) {
      STRATA_ASSERT(bin.band[1] == bin.band[0] + 1);
      beside_[bin.band[0]] += bin.weight[0] * bin.weight[1];
    }
    bins_.push_back(bin);
  }
}

void MelInversion::solve(std::span<const double> values, std::span<double> magnitudes) const {
  STRATA_ASSERT(values.size() == bands());
  STRATA_ASSERT(magnitudes.size() == bins());
  // The solution of least norm, A^T (A A^T)^-1 b.
  std::vector<double> rest(values.begin(), values.end());
  solve_tridiagonal(diagonal_, beside_, rest);
  const auto along = [&](const Bin& bin) {
    return bin.weight[0] * rest[bin.band[0]] + bin.weight[1] * rest[bin.band[1]];
  };
  for (std::size_t k = 0; k < bins(); ++k) magnitudes[k] = std::max(0.0, along(bins_[k]));
  // From here on `rest` is b - A x.
  std::ranges::copy(values, rest.begin());
  const auto raise = [&](std::size_t k, double by) {
    for (const std::size_t side : {0UL, 1UL})
      rest[bins_[k].band[side]] -= bins_[k].weight[side] * by;
  };
  for (std::size_t k = 0; k < bins(); ++k) raise(k, magnitudes[k]);
  for (int pass = 0; pass < kPasses; ++pass) {
    for (std::size_t i = 0; i < bins(); ++i) {
      const std::size_t k = pass % 2 == 0 ? i : bins() - 1 - i;
      if (bins_[k].square <= 0) continue;
      const double by = std::max(-magnitudes[k], along(bins_[k]) / bins_[k].square);
      magnitudes[k] += by;
      raise(k, by);
    }
  }
}

}  // namespace strata
