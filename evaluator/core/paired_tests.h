// Tests of "A and B are equally good" on the same utterances, beside the sign-flip test of
// statistics.h, which is the one that tables decide by: those that other toolkits print, so that a
// reader finds his number. All two-sided, of the differences A minus B, one for each utterance.
// Pure.
#pragma once

#include <cstddef>
#include <span>

namespace strata::evaluator {

struct PairedTest {
  double statistic = 0;
  double p = 1;
  std::size_t count = 0;  // of the differences that have a part in it
};

// Student's t with count - 1 degrees of freedom. With fewer than two differences, or where all are
// equal, there is nothing to compare with: t is 0 and p 1, or p 0 where all are the same and not 0.
[[nodiscard]] PairedTest paired_t(std::span<const double> differences);

// MAPSSWE (Gillick and Cox 1989; "mp" of SCTK's sc_stats), each utterance a segment: z, the mean
// difference of error COUNTS over its standard error (n - 1), against the normal distribution.
[[nodiscard]] PairedTest matched_pairs(std::span<const double> differences);

// Wilcoxon's signed ranks, differences of 0 dropped, ties sharing their ranks: the statistic is the
// rank sum of the rarer sign. Exact (over all signs of these very ranks) up to kWilcoxonExactMax
// differences, beyond by the normal distribution with the correction for ties.
inline constexpr std::size_t kWilcoxonExactMax = 60;
[[nodiscard]] PairedTest wilcoxon(std::span<const double> differences);

// Binomial test of the signs, differences of 0 dropped: the statistic counts the positive ones.
[[nodiscard]] PairedTest sign_test(std::span<const double> differences);

}  // namespace strata::evaluator
