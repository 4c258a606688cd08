#include "evaluator/core/statistics.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "base/random.h"

namespace strata::evaluator {
namespace {

using testing::ElementsAre;

constexpr double kTolerance = 1e-9;  // the fixtures carry nine decimals

// Two systems on twelve utterances of four speakers.
struct Fixture {
  std::vector<std::string> speakers{"61",  "61",  "61",  "121",  "121",  "237",
                                    "237", "237", "237", "1089", "1089", "1089"};
  std::vector<double> words{18, 9, 25, 12, 7, 30, 16, 22, 5, 14, 20, 11};
  std::vector<double> errors_a{1, 0, 3, 2, 0, 4, 1, 0, 2, 0, 5, 1};
  std::vector<double> errors_b{0, 0, 2, 2, 1, 3, 1, 0, 0, 0, 4, 1};

  [[nodiscard]] std::vector<Share> micro(const std::vector<double>& errors) const {
    std::vector<Share> shares;
    for (std::size_t i = 0; i < errors.size(); ++i)
      shares.push_back({.numerator = errors[i], .denominator = words[i]});
    return shares;
  }
  [[nodiscard]] std::vector<double> rates(const std::vector<double>& errors) const {
    std::vector<double> rates;
    for (std::size_t i = 0; i < errors.size(); ++i) rates.push_back(errors[i] / words[i]);
    return rates;
  }
};

TEST(Statistics, RatiosOfTheFixture) {
  const Fixture f;
  EXPECT_NEAR(ratio(f.micro(f.errors_a)), 0.100529100529, 1e-12);
  EXPECT_NEAR(ratio(f.micro(f.errors_b)), 0.074074074074, 1e-12);
  EXPECT_NEAR(ratio(shares_of(f.rates(f.errors_a))), 0.106580387205, 1e-12);
  EXPECT_NEAR(ratio(shares_of(f.rates(f.errors_b))), 0.070244408369, 1e-12);
  EXPECT_EQ(ratio(std::vector<Share>{{.numerator = 3, .denominator = 0}}), 3);
}

TEST(Statistics, DrawsAreTheHighBitsOfSplitmix64) {
  Random raw(12345);
  EXPECT_EQ(raw.next(), 0x22118258a9d111a0ULL);
  EXPECT_EQ(raw.next(), 0x346edce5f713f8edULL);
  EXPECT_EQ(raw.next(), 0x1e9a57bc80e6721dULL);
  Random random(12345);
  std::vector<std::uint64_t> draws(12);
  for (auto& draw : draws) draw = random.bounded(12);
  EXPECT_THAT(draws, ElementsAre(1, 2, 1, 2, 6, 4, 1, 5, 5, 10, 2, 4));
}

TEST(Statistics, BootstrapOverUtterancesMatchesTheFixture) {
  const Fixture f;
  const Blocks alone = each_alone(12);
  const auto a = bootstrap(f.micro(f.errors_a), alone, {}).value();
  EXPECT_NEAR(a.mean, 0.099782019, kTolerance);
  EXPECT_NEAR(a.sd, 0.025617153, kTolerance);
  EXPECT_NEAR(a.low, 0.051282051, kTolerance);
  EXPECT_NEAR(a.high, 0.151515152, kTolerance);
  const auto macro = bootstrap(shares_of(f.rates(f.errors_a)), alone, {}).value();
  EXPECT_NEAR(macro.mean, 0.105741492, kTolerance);
  EXPECT_NEAR(macro.low, 0.048133260, kTolerance);
  EXPECT_NEAR(macro.high, 0.176388889, kTolerance);
  const auto b = bootstrap(f.micro(f.errors_b), alone, {}).value();
  EXPECT_NEAR(b.low, 0.033898305, kTolerance);
  EXPECT_NEAR(b.high, 0.115044248, kTolerance);
}

TEST(Statistics, PairedDifferenceUsesTheSameDrawsForBoth) {
  const Fixture f;
  const auto d =
      bootstrap_difference(f.micro(f.errors_a), f.micro(f.errors_b), each_alone(12), {}).value();
  EXPECT_NEAR(d.mean, 0.026074188, kTolerance);
  EXPECT_NEAR(d.low, 0.0, kTolerance);
  EXPECT_NEAR(d.high, 0.056962845, kTolerance);
  EXPECT_NEAR(d.above_zero, 0.9578, kTolerance);
}

TEST(Statistics, ManyColumnsTogetherHaveTheNumbersThatEachHasAlone) {
  const Fixture f;
  const auto a = f.micro(f.errors_a);
  const auto b = f.micro(f.errors_b);
  const auto mean = shares_of(f.rates(f.errors_a));
  const std::vector<Estimand> columns{{a, {}}, {mean, {}}, {a, b}, {b, {}}, {mean, a}};
  for (const Blocks& blocks : {each_alone(12), blocks_by_label(f.speakers)}) {
    const auto together = bootstrap_together(columns, blocks, {.seed = 9}).value();
    ASSERT_EQ(together.size(), columns.size());
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const auto& [shares, minus] = columns[i];
      const auto alone = minus.empty()
                             ? bootstrap(shares, blocks, {.seed = 9}).value()
                             : bootstrap_difference(shares, minus, blocks, {.seed = 9}).value();
      EXPECT_EQ(together[i].mean, alone.mean) << i;
      EXPECT_EQ(together[i].sd, alone.sd) << i;
      EXPECT_EQ(together[i].low, alone.low) << i;
      EXPECT_EQ(together[i].high, alone.high) << i;
      EXPECT_EQ(together[i].above_zero, alone.above_zero) << i;
    }
  }
  EXPECT_TRUE(bootstrap_together({}, each_alone(12), {}).value().empty());
}

TEST(Statistics, BlocksDrawAllUtterancesOfASpeaker) {
  const Fixture f;
  const Blocks speakers = blocks_by_label(f.speakers);
  ASSERT_EQ(speakers.size(), 4U);
  EXPECT_THAT(speakers[2], ElementsAre(5, 6, 7, 8));
  const auto d =
      bootstrap_difference(f.micro(f.errors_a), f.micro(f.errors_b), speakers, {.seed = 777})
          .value();
  EXPECT_NEAR(d.mean, 0.023923245, kTolerance);
  EXPECT_NEAR(d.low, -0.009174312, kTolerance);
  EXPECT_NEAR(d.high, 0.040000000, kTolerance);
}

TEST(Statistics, SignFlipIsExactForFewUtterances) {
  const Fixture f;
  std::vector<double> rates;
  std::vector<double> counts;
  for (std::size_t i = 0; i < 12; ++i) {
    rates.push_back(f.errors_a[i] / f.words[i] - f.errors_b[i] / f.words[i]);
    counts.push_back(f.errors_a[i] - f.errors_b[i]);
  }
  EXPECT_EQ(sign_flip_p(rates).value(), 1920.0 / 4096);
  EXPECT_EQ(sign_flip_p(counts).value(), 768.0 / 4096);
}

TEST(Statistics, SignFlipOfManyUtterancesIsSeededAndNearTheExactValue) {
  // Twenty-two equal differences: only the all-plus and all-minus patterns reach the observed sum.
  const std::vector<double> same(22, 1.0);
  EXPECT_EQ(sign_flip_p(same, {.resamples = 999}).value(), 1.0 / 1000);
  std::vector<double> mixed;
  for (int i = 0; i < 30; ++i) mixed.push_back(i % 3 == 0 ? -1.0 : 0.7);
  const double p = sign_flip_p(mixed).value();
  EXPECT_EQ(p, sign_flip_p(mixed).value());
  EXPECT_NE(p, sign_flip_p(mixed, {.seed = 1}).value());
  EXPECT_NEAR(p, sign_flip_p(mixed, {.resamples = 200'000, .seed = 9}).value(), 0.02);
}

TEST(Statistics, HolmOfTheFixture) {
  const std::vector<double> p{0.01, 0.04, 0.03, 0.005};
  EXPECT_THAT(holm(p), testing::Pointwise(testing::DoubleNear(1e-15),
                                          std::vector<double>{0.03, 0.06, 0.06, 0.02}));
  EXPECT_TRUE(holm({}).empty());
}

TEST(Statistics, StudentTOfTheFixture) {
  const Fixture f;
  std::vector<double> differences;
  for (std::size_t i = 0; i < 12; ++i)
    differences.push_back(f.errors_a[i] / f.words[i] - f.errors_b[i] / f.words[i]);
  const Moments m = moments(differences);
  const double t = m.mean / (m.sd / std::sqrt(12.0));
  EXPECT_NEAR(t, 1.004093129, kTolerance);
  EXPECT_NEAR(student_t_p(t, 11), 0.336910453, kTolerance);
}

TEST(Statistics, StudentTIntervalInvertsItsP) {
  for (const double confidence : {0.5, 0.95, 0.999}) {
    for (const std::size_t count : {2U, 3U, 12U, 1000U}) {
      const Interval interval = student_t_interval(
          {.mean = 0, .sd = std::sqrt(static_cast<double>(count)), .count = count}, confidence);
      EXPECT_NEAR(student_t_p(interval.high, static_cast<double>(count - 1)), 1 - confidence,
                  kTolerance);
      EXPECT_EQ(interval.low, -interval.high);
    }
  }
  // One degree of freedom is the Cauchy distribution: the quartile is exactly 1.
  EXPECT_NEAR(student_t_interval({.mean = 0, .sd = std::sqrt(2.0), .count = 2}, 0.5).high, 1.0,
              kTolerance);
  EXPECT_TRUE(std::isinf(student_t_interval({.mean = 1, .sd = 0, .count = 1}).high));
}

TEST(Statistics, BadInputIsRefusedWithTheReason) {
  EXPECT_EQ(bootstrap({}, {}, {}).error().message, "nothing to resample: there are no utterances");
  const std::vector<double> bad{0.0, std::numeric_limits<double>::quiet_NaN()};
  EXPECT_EQ(bootstrap(shares_of(bad), each_alone(2), {}).error().message,
            "the score of utterance 1 is not a finite number");
  EXPECT_FALSE(
      bootstrap(shares_of(std::vector<double>{1.0}), each_alone(1), {.resamples = 0}).has_value());
  EXPECT_FALSE(
      bootstrap(shares_of(std::vector<double>{1.0}), each_alone(1), {.confidence = 1}).has_value());
}

TEST(Statistics, QuantilesInterpolateLinearly) {
  const std::vector<double> sorted{0, 10, 20, 40};
  EXPECT_EQ(quantile(sorted, 0), 0);
  EXPECT_EQ(quantile(sorted, 0.5), 15);
  EXPECT_EQ(quantile(sorted, 1), 40);
}

}  // namespace
}  // namespace strata::evaluator
