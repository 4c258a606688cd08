#include "cli/table_claim.h"

#include <algorithm>

#include "base/assert.h"

namespace strata::cli {

std::string_view name_of(Lack lack) {
  switch (lack) {
    case Lack::kSeedsMissing: return "seeds missing";
    case Lack::kNoCommonSeed: return "no common seed";
    case Lack::kOneSeed: return "one seed";
    case Lack::kNoInterval: return "no interval";
    case Lack::kFewUtterances: return "too few utterances";
    case Lack::kSeedsDisagree: return "seeds disagree";
    case Lack::kInsideNoise: return "inside the noise";
    case Lack::kNotAfterHolm: return "not after Holm";
  }
  return "";
}

std::vector<Lack> lacks_of(const Difference* difference, bool complete) {
  std::vector<Lack> out;
  const auto need = [&](bool holds, Lack otherwise) {
    if (!holds) out.push_back(otherwise);
  };
  need(complete, Lack::kSeedsMissing);
  if (difference == nullptr) {
    out.push_back(Lack::kNoCommonSeed);
    return out;
  }
  const Difference& d = *difference;
  const bool interval = d.low && d.high;
  need(d.seeds >= kClaimSeedsMin, Lack::kOneSeed);
  need(interval, Lack::kNoInterval);
  need(!interval || d.utterances >= kClaimUtterancesMin, Lack::kFewUtterances);
  need(d.seeds < kClaimSeedsMin || d.seeds_agree(), Lack::kSeedsDisagree);
  need(!interval || d.excludes_zero(), Lack::kInsideNoise);
  need(!interval || !d.excludes_zero() || (d.p_holm && *d.p_holm < kClaimLevel),
       Lack::kNotAfterHolm);
  return out;
}

void adjust_for_comparisons(const std::vector<Difference*>& column) {
  std::vector<double> p_values;
  for (const Difference* difference : column) {
    if (difference != nullptr && difference->p) p_values.push_back(*difference->p);
  }
  const std::vector<double> adjusted = evaluator::holm(p_values);
  STRATA_ASSERT(adjusted.size() == p_values.size());
  std::size_t next = 0;
  for (Difference* difference : column) {
    if (difference == nullptr || !difference->p) continue;
    difference->p_holm = adjusted[next++];
    difference->comparisons = adjusted.size();
  }
}

}  // namespace strata::cli
