#include "cli/table_statistics.h"

#include <algorithm>
#include <vector>

#include "base/assert.h"

namespace strata::cli {

namespace {

using evaluator::Share;

// One share for each utterance: the sum of its values over the seeds, over the number of seeds.
std::vector<Share> pooled(const std::vector<const Sample*>& samples) {
  std::map<std::string, Share> by_item;
  for (const Sample* sample : samples) {
    for (const auto& [item, value] : sample->items) {
      auto& share =
          by_item.try_emplace(item, Share{.numerator = 0, .denominator = 0}).first->second;
      share.numerator += value;
      share.denominator += 1;
    }
  }
  std::vector<Share> shares;
  for (const auto& [item, share] : by_item) shares.push_back(share);
  return shares;
}

}  // namespace

bool Difference::seeds_agree() const {
  const auto all = [&](auto holds) {
    return std::all_of(seed_deltas.begin(), seed_deltas.end(), holds);
  };
  return all([](double delta) { return delta > 0; }) || all([](double delta) { return delta < 0; });
}

Result<Estimate> estimate(std::span<const Sample> samples,
                          const evaluator::BootstrapOptions& options) {
  STRATA_ASSERT(!samples.empty());
  Estimate out{.seed_low = samples.front().value,
               .seed_high = samples.front().value,
               .seeds = samples.size()};
  std::vector<const Sample*> pointers;
  double sum = 0;
  for (const Sample& sample : samples) {
    sum += sample.value;
    out.seed_low = std::min(out.seed_low, sample.value);
    out.seed_high = std::max(out.seed_high, sample.value);
    out.utterances = std::max(out.utterances, sample.count);
    pointers.push_back(&sample);
  }
  out.value = sum / static_cast<double>(samples.size());
  if (!samples.front().items.empty()) {
    const std::vector<Share> shares = pooled(pointers);
    STRATA_TRY(const auto drawn,
               evaluator::bootstrap(shares, evaluator::each_alone(shares.size()), options));
    out.low = drawn.low;
    out.high = drawn.high;
    out.interval = IntervalKind::kBootstrap;
    out.utterances = static_cast<std::int64_t>(shares.size());
  } else if (samples.size() == 1 && samples.front().low && samples.front().high) {
    out.low = samples.front().low;
    out.high = samples.front().high;
    out.interval = IntervalKind::kAsReported;
  }
  return out;
}

Result<std::optional<Difference>> paired_difference(std::span<const Sample> cell,
                                                    std::span<const Sample> baseline,
                                                    const evaluator::BootstrapOptions& options) {
  std::vector<const Sample*> left;
  std::vector<const Sample*> right;
  std::vector<double> deltas;
  double sum = 0;
  for (const Sample& a : cell) {
    for (const Sample& b : baseline) {
      if (a.seed != b.seed) continue;
      left.push_back(&a);
      right.push_back(&b);
      deltas.push_back(a.value - b.value);
      sum += deltas.back();
    }
  }
  if (left.empty()) return std::optional<Difference>{};
  Difference out{.value = sum / static_cast<double>(left.size()),
                 .seeds = left.size(),
                 .seed_deltas = std::move(deltas)};
  if (!left.front()->items.empty()) {
    const std::vector<Share> a = pooled(left);
    const std::vector<Share> b = pooled(right);
    STRATA_ASSERT(a.size() == b.size());
    STRATA_TRY(const auto drawn,
               evaluator::bootstrap_difference(a, b, evaluator::each_alone(a.size()), options));
    out.low = drawn.low;
    out.high = drawn.high;
    out.utterances = static_cast<std::int64_t>(a.size());
    std::vector<double> differences;  // of an utterance: the mean over the common seeds
    for (std::size_t i = 0; i < a.size(); ++i)
      differences.push_back(a[i].numerator / a[i].denominator - b[i].numerator / b[i].denominator);
    evaluator::BootstrapOptions flips = options;
    flips.resamples = std::max(flips.resamples, kSignFlipDrawsMin);
    STRATA_TRY(out.p, evaluator::sign_flip_p(differences, flips));
  }
  return std::optional<Difference>{out};
}

}  // namespace strata::cli
