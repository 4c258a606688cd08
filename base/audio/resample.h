// Changing the sample rate with torchaudio's default kernel (sinc under a Hann window,
// lowpass_filter_width 6, rolloff 0.99), so that judges, teachers and front ends hear what the
// reference programs hear. No other kernel is used anywhere.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace strata {

// Output length ceil(to * n / from); equal rates copy. Sums in double, with the kernel rounded to
// float as torchaudio rounds it. REQUIRES: both rates are positive.
[[nodiscard]] std::vector<float> resample(std::span<const float> samples, int from, int to);

// How many samples that gives.
[[nodiscard]] std::int64_t resampled_length(std::int64_t samples, int from, int to);

}  // namespace strata
