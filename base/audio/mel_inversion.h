// From the bands of a mel back to the magnitudes of the DFT bins: the magnitudes x >= 0 for which
// ||A x - b|| is least, A being the filter bank (non-negative least squares, what librosa's
// mel_to_stft solves). There are five times as many bins as bands, so many x are equally good; as
// there, the search begins at the least-norm solution with its negative values cut off, and so
// stays near it. torchaudio's InverseMelScale stops at that beginning.
//
// A triangular bank makes both steps cheap: a bin lies in two bands at most, so A A^T is
// tridiagonal and the least-norm solution takes one pass over the bands; and a step of coordinate
// descent takes two multiplications a bin, where librosa runs L-BFGS-B.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "base/audio/mel.h"

namespace strata {

class MelInversion {
 public:
  explicit MelInversion(const MelFrontEnd& front);

  [[nodiscard]] std::size_t bands() const { return diagonal_.size(); }
  [[nodiscard]] std::size_t bins() const { return bins_.size(); }
  // `values` are the bands of one frame, not their logarithms, none of them negative; `magnitudes`
  // gets the bins. REQUIRES: bands() and bins() elements.
  void solve(std::span<const double> values, std::span<double> magnitudes) const;

 private:
  // The two bands that a bin lies in; a weight is 0 where it lies in fewer.
  struct Bin {
    std::array<std::size_t, 2> band{};
    std::array<double, 2> weight{};
    double square = 0;  // of the weights, summed
  };

  std::vector<Bin> bins_;
  std::vector<double> diagonal_;  // of A A^T
  std::vector<double> beside_;    // element i: row i, column i + 1
};

}  // namespace strata
