// Numbers of one cell of a table. Pure and seeded: the same answers give the same digits on every
// machine.
//
// The pooling: every utterance's values of all seeds are taken together (their mean), and
// utterances are resampled. So the interval says how much the mean over these seeds depends on
// which utterances were read; what training seeds do stands beside it as the range over seeds,
// since two or three seeds carry no interval worth the name.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evaluator/core/statistics.h"

namespace strata::cli {

// One seed's score of a cell.
struct Sample {
  std::uint64_t seed = 0;
  std::string run{};
  double value = 0;
  std::optional<double> low{};
  std::optional<double> high{};
  std::int64_t count = 0;
  std::map<std::string, double> items{};  // by utterance; may be empty
};

enum class IntervalKind { kNone, kBootstrap, kAsReported };

struct Estimate {
  double value = 0;             // mean over seeds
  std::optional<double> low{};  // 95 %
  std::optional<double> high{};
  IntervalKind interval = IntervalKind::kNone;
  double seed_low = 0;  // range of the seeds' means
  double seed_high = 0;
  std::size_t seeds = 0;
  std::int64_t utterances = 0;
};

// REQUIRES: samples is not empty and all samples have the same item names (the caller has checked,
// and refused otherwise).
[[nodiscard]] Result<Estimate> estimate(std::span<const Sample> samples,
                                        const evaluator::BootstrapOptions& options);

// Sign flips are drawn at least so often: the smallest p is 1 / (draws + 1), and it must stay below
// 0.05 when it is multiplied by the number of a column's comparisons.
inline constexpr int kSignFlipDrawsMin = 10'000;

struct Difference {
  double value = 0;  // mean over common seeds and utterances of cell - baseline
  std::optional<double> low{};
  std::optional<double> high{};
  std::size_t seeds = 0;              // that both have
  std::vector<double> seed_deltas{};  // one for each of them, ascending seed
  std::int64_t utterances = 0;        // that were drawn from; 0: no values per utterance
  std::optional<double> p{};          // sign-flip test over utterances, two-sided
  std::optional<double> p_holm{};     // after Holm over `comparisons` of the column
  std::size_t comparisons = 0;
  // Nothing to claim: the interval holds zero. Without an interval nothing is claimed either.
  [[nodiscard]] bool excludes_zero() const { return low && high && (*low > 0 || *high < 0); }
  // All seeds differ from the baseline to the same side; a seed that does not differ disagrees.
  [[nodiscard]] bool seeds_agree() const;
};

// Seed against the same seed, utterance against the same utterance. Nothing when no seed is common.
// REQUIRES: all samples of both have the same item names.
[[nodiscard]] Result<std::optional<Difference>> paired_difference(
    std::span<const Sample> cell, std::span<const Sample> baseline,
    const evaluator::BootstrapOptions& options);

}  // namespace strata::cli
