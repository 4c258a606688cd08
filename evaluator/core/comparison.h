// Whether B is better than A, over the utterances that both have scored: the difference with its
// intervals, the test that decides, and in words what may be said. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "evaluator/core/paired_tests.h"
#include "evaluator/core/statistics.h"

namespace strata::evaluator {

// One score of the utterances of a system, under the names of docs/stages.md.
struct ScoreColumn {
  std::string unit{};
  std::string better{};  // "lower", "higher", or neither
  std::string judge{};   // whose figures are compared with nobody else's; may be empty
  bool counts = false;   // numerators are error counts, denominators words
  std::map<std::string, Share> items{};  // by utterance
};

struct System {
  std::map<std::string, ScoreColumn> scores{};
  std::map<std::string, std::string> speakers{};    // of the utterances where they are known
  std::map<std::string, std::string> references{};  // what a WER counts words of
  std::string protocol{};                           // "f5@1"; may be empty
};

// kDiffers: of a score of which neither side is the better one.
enum class Verdict { kBetter, kWorse, kDiffers, kInsideNoise, kNotAfterHolm, kTooFew };

// All differences are B minus A.
struct ComparedScore {
  std::string name{};
  std::string unit{};
  std::string better{};
  std::size_t utterances = 0;
  double a = 0;
  double b = 0;
  double difference = 0;
  Bootstrap by_utterance{};
  std::size_t speakers = 0;               // 0: not known of all utterances
  std::optional<Bootstrap> by_speaker{};  // from two speakers on
  std::optional<double> b_is_better{};    // share of the resamples, of utterances, strictly
  double sign_flip_p = 1;                 // decides
  double sign_flip_p_holm = 1;            // over the scores that are compared here
  PairedTest wilcoxon{};
  PairedTest sign{};
  PairedTest paired_t{};
  std::optional<PairedTest> matched_pairs{};  // of error counts
  Verdict verdict = Verdict::kInsideNoise;    // of B
};

struct Comparison {
  std::vector<ComparedScore> scores{};   // by name
  std::vector<std::string> only_in_a{};  // utterances, and not compared
  std::vector<std::string> only_in_b{};
  std::vector<std::string> scores_of_one{};  // not compared either
};

inline constexpr std::size_t kComparedUtterancesMin = 5;  // with fewer nothing is said
inline constexpr double kComparedLevel = 0.05;  // of p after Holm, whatever the intervals are

// Errors, kInvalid: nothing in common; another protocol, judge, unit, direction, reference text or
// speaker, which are named.
[[nodiscard]] Result<Comparison> compare_systems(const System& a, const System& b,
                                                 const BootstrapOptions& options);

// "B is better", "inside the noise", ...
[[nodiscard]] std::string_view in_words(Verdict verdict);

}  // namespace strata::evaluator
