// Intervals and tests for scores of utterances. Deterministic: resampling draws come from
// base/random.h, so that a seed gives the same interval on every machine. Pure. Every score here is
// a ratio of sums over utterances: a mean has denominators of one, a corpus WER has errors over
// words.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace strata::evaluator {

inline constexpr int kResamplesMax = 1'000'000;
inline constexpr std::size_t kSignFlipExactMax = 20;  // 2^20 sign patterns take about 10 ms

// One utterance's part of a ratio of sums.
struct Share {
  double numerator = 0;
  double denominator = 1;
};
[[nodiscard]] std::vector<Share> shares_of(std::span<const double> values);
// Sum over sum. A zero denominator gives the numerator, as jiwer does for an empty reference.
[[nodiscard]] double ratio(std::span<const Share> shares);

// Units that are drawn together: {{0}, {1}} for utterances, one list for each speaker for speakers.
using Blocks = std::vector<std::vector<std::size_t>>;
[[nodiscard]] Blocks each_alone(std::size_t count);
// In order of first appearance.
[[nodiscard]] Blocks blocks_by_label(std::span<const std::string> labels);

// One score of all utterances, or two of the same utterances whose difference is asked for.
struct Estimand {
  std::vector<Share> shares{};
  std::vector<Share> minus{};  // empty, or as many
};

struct BootstrapOptions {
  int resamples = 10'000;
  std::uint64_t seed = 12345;
  double confidence = 0.95;
};

// Every option in its range.
[[nodiscard]] Status check_options(const BootstrapOptions& options);

// Over the resampled statistics: mean, standard deviation (n in the denominator), the percentile
// interval (linear interpolation), and the shares that are strictly above and below zero.
struct Bootstrap {
  double mean = 0;
  double sd = 0;
  double low = 0;
  double high = 0;
  double above_zero = 0;
  double below_zero = 0;
};

// Each resample draws as many blocks as there are, with replacement, and takes all utterances of
// each. Bisani and Ney 2004 for utterances, Liu and Peng 2019 for blocks. Errors: no block, a
// non-finite share, an option out of range.
[[nodiscard]] Result<Bootstrap> bootstrap(std::span<const Share> shares, const Blocks& blocks,
                                          const BootstrapOptions& options);
// Of ratio(a) - ratio(b) with the same draws for both. REQUIRES: a[i] and b[i] belong to the same
// utterance.
[[nodiscard]] Result<Bootstrap> bootstrap_difference(std::span<const Share> a,
                                                     std::span<const Share> b, const Blocks& blocks,
                                                     const BootstrapOptions& options);
// Of many columns with the same draws for all of them, each with the numbers that it would have
// alone: the draws, which are most of the work, are made once. REQUIRES: all columns are over the
// same utterances.
[[nodiscard]] Result<std::vector<Bootstrap>> bootstrap_together(std::span<const Estimand> columns,
                                                                const Blocks& blocks,
                                                                const BootstrapOptions& options);

// Two-sided p of "the differences are symmetric around zero": the share of sign patterns whose
// |sum| reaches the observed one. Exact up to kSignFlipExactMax differences, else (1 + hits) / (1 +
// resamples) over seeded draws.
[[nodiscard]] Result<double> sign_flip_p(std::span<const double> differences,
                                         const BootstrapOptions& options = {});

// Holm's step-down adjustment, in the order given.
[[nodiscard]] std::vector<double> holm(std::span<const double> p_values);

struct Moments {
  double mean = 0;
  double sd = 0;  // n - 1 in the denominator; 0 for one value
  std::size_t count = 0;
};
[[nodiscard]] Moments moments(std::span<const double> values);

// Student's t, for few replicates (seeds) where a bootstrap has nothing to draw from.
struct Interval {
  double low = 0;
  double high = 0;
};
// Two-sided p of |t| with `degrees` degrees of freedom. REQUIRES: degrees > 0.
[[nodiscard]] double student_t_p(double t, double degrees);
// mean -+ t * sd / sqrt(n); both infinite for a single value. REQUIRES: 0 < confidence < 1.
[[nodiscard]] Interval student_t_interval(const Moments& moments, double confidence = 0.95);

// The q-quantile by linear interpolation (numpy's default). REQUIRES: sorted, not empty, 0 <= q
// <= 1.
[[nodiscard]] double quantile(std::span<const double> sorted, double q);

}  // namespace strata::evaluator
