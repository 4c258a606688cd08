#include "evaluator/core/paired_tests.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "evaluator/core/statistics.h"

namespace strata::evaluator {
namespace {

double normal_p(double z) { return std::erfc(std::abs(z) / std::sqrt(2.0)); }

std::vector<double> without_zeros(std::span<const double> differences) {
  std::vector<double> kept;
  for (const double d : differences) {
    if (d != 0) kept.push_back(d);
  }
  return kept;
}

// Mean over its standard error; 0 over 0 is 0.
double standardized(const Moments& m) {
  if (m.mean == 0) return 0;
  return m.mean / (m.sd / std::sqrt(static_cast<double>(m.count)));
}

// Twice the rank of each |difference|, from 2 on; those that are equal share the mean of theirs.
std::vector<std::int64_t> doubled_ranks(const std::vector<double>& differences) {
  std::vector<std::size_t> order(differences.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto size = [&](std::size_t i) { return std::abs(differences[i]); };
  std::ranges::sort(order, {}, size);
  std::vector<std::int64_t> ranks(differences.size());
  for (std::size_t begin = 0; begin < order.size();) {
    std::size_t end = begin + 1;
    while (end < order.size() && size(order[end]) == size(order[begin])) ++end;
    // Of the ranks begin + 1 ... end, twice the mean.
    for (std::size_t i = begin; i < end; ++i)
      ranks[order[i]] = static_cast<std::int64_t>(begin + 1 + end);
    begin = end;
  }
  return ranks;
}

// The share of all sign patterns whose doubled rank sum of positive ones is at most `sum`.
double share_up_to(const std::vector<std::int64_t>& ranks, std::int64_t sum) {
  std::int64_t all = 0;
  for (const std::int64_t rank : ranks) all += rank;
  std::vector<double> share(static_cast<std::size_t>(all) + 1, 0.0);
  share[0] = 1;
  std::int64_t reached = 0;
  for (const std::int64_t rank : ranks) {
    reached += rank;
    for (std::int64_t s = reached; s >= 0; --s) {
      auto& here = share[static_cast<std::size_t>(s)];
      here = 0.5 * (here + (s >= rank ? share[static_cast<std::size_t>(s - rank)] : 0.0));
    }
  }
  double total = 0;
  for (std::int64_t s = 0; s <= sum; ++s) total += share[static_cast<std::size_t>(s)];
  return total;
}

// By the normal distribution: the variance of a rank sum is a quarter of the ranks' squares, which
// counts ties as they are.
double share_by_normal(const std::vector<std::int64_t>& ranks, double doubled_sum) {
  double all = 0;
  double squares = 0;
  for (const std::int64_t rank : ranks) {
    const double r = static_cast<double>(rank) / 2;
    all += r;
    squares += r * r;
  }
  return normal_p((doubled_sum / 2 - all / 2) / std::sqrt(squares / 4));
}

}  // namespace

PairedTest paired_t(std::span<const double> differences) {
  const Moments m = moments(differences);
  PairedTest test{.count = m.count};
  if (m.count < 2) return test;
  test.statistic = standardized(m);
  test.p = std::isfinite(test.statistic)
               ? student_t_p(test.statistic, static_cast<double>(m.count - 1))
               : 0;
  return test;
}

PairedTest matched_pairs(std::span<const double> differences) {
  const Moments m = moments(differences);
  PairedTest test{.count = m.count};
  if (m.count < 2) return test;
  test.statistic = standardized(m);
  test.p = normal_p(test.statistic);
  return test;
}

PairedTest wilcoxon(std::span<const double> differences) {
  const std::vector<double> kept = without_zeros(differences);
  PairedTest test{.count = kept.size()};
  if (kept.empty()) return test;
  const std::vector<std::int64_t> ranks = doubled_ranks(kept);
  std::int64_t positive = 0;
  std::int64_t negative = 0;
  for (std::size_t i = 0; i < kept.size(); ++i) (kept[i] > 0 ? positive : negative) += ranks[i];
  const std::int64_t rarer = std::min(positive, negative);
  test.statistic = static_cast<double>(rarer) / 2;
  test.p = kept.size() <= kWilcoxonExactMax ? std::min(1.0, 2 * share_up_to(ranks, rarer))
                                            : share_by_normal(ranks, static_cast<double>(rarer));
  return test;
}

PairedTest sign_test(std::span<const double> differences) {
  const std::vector<double> kept = without_zeros(differences);
  const auto positive = std::ranges::count_if(kept, [](double d) { return d > 0; });
  PairedTest test{.statistic = static_cast<double>(positive), .count = kept.size()};
  const auto n = static_cast<double>(kept.size());
  const auto rarer = std::min(static_cast<double>(positive), n - static_cast<double>(positive));
  double share = 0;  // of all patterns with at most so many of the rarer sign
  for (double k = 0; k <= rarer; ++k) {
    share += std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) -
                      n * std::log(2.0));
  }
  test.p = std::min(1.0, 2 * share);
  return test;
}

}  // namespace strata::evaluator
