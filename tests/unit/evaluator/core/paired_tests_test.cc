// The tests beside the sign flip, on the twelve utterances that were also given to scipy and SCTK's
// formula, and on samples whose answer is known.
#include "evaluator/core/paired_tests.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/random.h"

namespace strata::evaluator {
namespace {

const std::vector<double> kWords{18, 9, 25, 12, 7, 30, 16, 22, 5, 14, 20, 11};
const std::vector<double> kErrorsA{1, 0, 3, 2, 0, 4, 1, 0, 2, 0, 5, 1};
const std::vector<double> kErrorsB{0, 0, 2, 2, 1, 3, 1, 0, 0, 0, 4, 1};

std::vector<double> of_counts() {
  std::vector<double> d;
  for (std::size_t i = 0; i < kWords.size(); ++i) d.push_back(kErrorsA[i] - kErrorsB[i]);
  return d;
}
std::vector<double> of_rates() {
  std::vector<double> d = of_counts();
  for (std::size_t i = 0; i < kWords.size(); ++i) d[i] /= kWords[i];
  return d;
}

TEST(PairedTests, AreThoseOfTheFixture) {
  EXPECT_NEAR(paired_t(of_rates()).statistic, 1.004093129, 1e-9);
  EXPECT_NEAR(paired_t(of_rates()).p, 0.336910453, 1e-9);
  EXPECT_NEAR(matched_pairs(of_counts()).statistic, 1.820234329, 1e-9);
  EXPECT_NEAR(matched_pairs(of_counts()).p, 0.068723327, 1e-9);
  EXPECT_DOUBLE_EQ(wilcoxon(of_rates()).statistic, 5);
  EXPECT_DOUBLE_EQ(wilcoxon(of_rates()).p, 20.0 / 64);
  EXPECT_EQ(wilcoxon(of_rates()).count, 6U);
  EXPECT_DOUBLE_EQ(wilcoxon(of_counts()).statistic, 3);
  EXPECT_DOUBLE_EQ(wilcoxon(of_counts()).p, 12.0 / 64);
  EXPECT_DOUBLE_EQ(sign_test(of_rates()).statistic, 5);
  EXPECT_NEAR(sign_test(of_rates()).p, 0.21875, 1e-12);
}

TEST(PairedTests, WilcoxonIsExactByItsDefinition) {
  Random random(11);
  for (int sample = 0; sample < 50; ++sample) {
    std::vector<double> d;
    const auto n = 1 + random.bounded(10);
    for (std::uint64_t i = 0; i < n; ++i)  // few sizes, so that many are tied
      d.push_back((random.bounded(2) == 0 ? -1.0 : 1.0) *
                  static_cast<double>(1 + random.bounded(4)));
    // Mean ranks, and all signs of them.
    std::vector<double> ranks;
    for (const double one : d) {
      double rank = 0.5;
      for (const double other : d)
        rank += std::abs(other) < std::abs(one) ? 1 : std::abs(other) == std::abs(one) ? 0.5 : 0;
      ranks.push_back(rank);
    }
    const double all = std::accumulate(ranks.begin(), ranks.end(), 0.0);
    const auto rarer = [&](auto positive) {
      double sum = 0;
      for (std::size_t i = 0; i < ranks.size(); ++i) sum += positive(i) ? ranks[i] : 0;
      return std::min(sum, all - sum);
    };
    const double observed = rarer([&](std::size_t i) { return d[i] > 0; });
    int hits = 0;
    for (int mask = 0; mask < 1 << n; ++mask)
      hits += rarer([&](std::size_t i) { return (mask >> i & 1) != 0; }) <= observed ? 1 : 0;
    EXPECT_DOUBLE_EQ(wilcoxon(d).statistic, observed);
    EXPECT_NEAR(wilcoxon(d).p, static_cast<double>(hits) / (1 << n), 1e-12);
  }
}

// The two ways of computing p meet where one gives place to the other.
TEST(PairedTests, WilcoxonOfManyIsNearTheExactValue) {
  Random random(3);
  std::vector<double> d;
  for (std::size_t i = 0; i < kWilcoxonExactMax; ++i) d.push_back(random.uniform() - 0.4);
  const double exact = wilcoxon(d).p;
  d.push_back(1e-9);  // the smallest rank: next to nothing
  EXPECT_NEAR(wilcoxon(d).p, exact, 0.01);
}

TEST(PairedTests, ManyUtterancesAreNoTrouble) {
  const std::vector<double> d(200'000, 1.0);
  EXPECT_LT(sign_test(d).p, 1e-300);
  EXPECT_LT(wilcoxon(d).p, 1e-12);
}

TEST(PairedTests, OfNothingAndOfNoDifferenceSayNothing) {
  for (const std::vector<double>& d : {std::vector<double>{}, {0.0}, {0.0, 0.0, 0.0}}) {
    for (const auto& test : {paired_t(d), matched_pairs(d), wilcoxon(d), sign_test(d)}) {
      EXPECT_EQ(test.p, 1) << d.size();
      EXPECT_EQ(test.statistic, 0) << d.size();
    }
  }
  EXPECT_EQ(paired_t(std::vector<double>{0.5}).p, 1) << "one has no spread";
  EXPECT_EQ(paired_t(std::vector<double>{0.5, 0.5}).p, 0);
  EXPECT_EQ(matched_pairs(std::vector<double>{2, 2}).p, 0);
}

}  // namespace
}  // namespace strata::evaluator
