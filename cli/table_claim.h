// What a table may say of a cell's difference to the baseline. Pure.
//
// "better" and "worse" are claims, and a claim needs all of the conditions below; where one is
// missing, the cell says which. The last two are about the same utterances at the same training
// seeds: no test over utterances speaks for other seeds, which is what the first, second and fifth
// conditions are for (spec: evaluation.md 7.1, 5).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cli/table_statistics.h"

namespace strata::cli {

// One training says nothing about training: the smallest number whose signs can disagree.
inline constexpr std::size_t kClaimSeedsMin = 2;
// A percentile interval of a mean is too narrow when there is little to draw from: against
// Student's t by 9 % at 20 utterances, by 15 % at 12, by 37 % at 5.
inline constexpr std::int64_t kClaimUtterancesMin = 20;
inline constexpr double kClaimLevel = 0.05;  // of the p-values after Holm

// In the order in which they are told: first what more seeds or utterances would mend.
enum class Lack {
  kSeedsMissing,   // of the cell or of the baseline
  kNoCommonSeed,   // nothing to pair
  kOneSeed,        // fewer than kClaimSeedsMin are common
  kNoInterval,     // the score has no values per utterance
  kFewUtterances,  // fewer than kClaimUtterancesMin
  kSeedsDisagree,  // the paired differences of the seeds do not all have one sign
  kInsideNoise,    // the 95 % interval of the paired difference includes zero
  kNotAfterHolm,   // p after Holm over the column's comparisons is not below kClaimLevel
};
[[nodiscard]] std::string_view name_of(Lack lack);

// `complete`: the cell and the baseline have all the seeds that were planned for them. `difference`
// null: no seed is common. Empty: the difference may be claimed.
[[nodiscard]] std::vector<Lack> lacks_of(const Difference* difference, bool complete);

// Holm's adjustment over those of `column` that have a p-value, written into them. Null entries are
// passed over. They are one family: all comparisons that the column shows.
void adjust_for_comparisons(const std::vector<Difference*>& column);

}  // namespace strata::cli
