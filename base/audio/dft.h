// The discrete Fourier transform of a power of two of points, and what every short-time transform
// needs besides: the window and the reflection at the ends. Radix-2 decimation in time in double:
// one transform of 1024 points costs about 50k multiplications. The models that work on its results
// dwarf it, so no faster one is worth a library.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace strata {

// Holds the twiddles; may be used from several threads.
class Dft {
 public:
  // REQUIRES: a power of two, at least 2.
  explicit Dft(int points);

  [[nodiscard]] int points() const { return static_cast<int>(reversed_.size()); }
  // In place: X[k] = sum over n of x[n] exp(-2 pi i k n / points). REQUIRES: `points` elements in
  // each.
  void forward(std::span<double> re, std::span<double> im) const;
  // Undoes forward(), the division by `points` included.
  void inverse(std::span<double> re, std::span<double> im) const;

 private:
  std::vector<double> cos_;  // of -2 pi k / points, for k < points / 2
  std::vector<double> sin_;
  std::vector<std::uint32_t> reversed_;  // bit-reversed index
};

// The periodic Hann window.
[[nodiscard]] std::vector<double> hann_window(int points);

// The index into x of position i of x with its ends reflected, the edge samples not repeated; as
// often as i lies outside. REQUIRES: length >= 1.
[[nodiscard]] std::size_t reflected(std::int64_t i, std::int64_t length);

}  // namespace strata
