#include "evaluator/core/convergence.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"

namespace strata::evaluator {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using Where = Crossing::Where;
using Which = ValidationLoss::Which;

const std::vector<std::int64_t> kUpdates{100, 200, 300};

Crossing crossing(std::vector<double> losses, double target) {
  return first_reached(kUpdates, losses, target);
}

TEST(Convergence, StraightLinesBetweenMeasurementsAreCutWhereTheyFirstReachTheTarget) {
  EXPECT_EQ(crossing({3, 1.5, 1}, 2).where, Where::kBetween);
  EXPECT_DOUBLE_EQ(crossing({3, 1.5, 1}, 2).update, 100 + 100 * 2.0 / 3);
  EXPECT_DOUBLE_EQ(crossing({3, 1.5, 1}, 1.5).update, 200) << "a measurement at the target";
  EXPECT_DOUBLE_EQ(crossing({3, 1.5, 1}, 1).update, 300);
  EXPECT_DOUBLE_EQ(crossing({3, 1, 2.5}, 2).update, 150) << "the first time, whatever comes after";
  EXPECT_DOUBLE_EQ(crossing({2, 2.5, 1.5}, 1.75).update, 275) << "on the way down";
}

TEST(Convergence, WhatWasNotSeenHasABoundAndNoNumber) {
  const Crossing never = crossing({3, 1.5, 1}, 0.9);
  EXPECT_EQ(never.where, Where::kNever);
  EXPECT_EQ(never.update, 300);
  const Crossing before = crossing({3, 1.5, 1}, 3);
  EXPECT_EQ(before.where, Where::kBefore);
  EXPECT_EQ(before.update, 100);
}

// a: 2, 1, 0.5; b: 4, 2, 1.5. Means: 3, 1.5, 1.
std::vector<ValidationLoss> two_utterances() {
  return {{.id = "b", .which = Which::kLast, .update = 300, .loss = 1.5},
          {.id = "a", .which = Which::kLast, .update = 300, .loss = 0.5},
          {.id = "a", .which = Which::kEarly, .update = 100, .loss = 2},
          {.id = "b", .which = Which::kEarly, .update = 100, .loss = 4},
          {.id = "a", .which = Which::kPeriodic, .update = 100, .loss = 2},
          {.id = "b", .which = Which::kPeriodic, .update = 100, .loss = 4},
          {.id = "b", .which = Which::kPeriodic, .update = 200, .loss = 2},
          {.id = "a", .which = Which::kPeriodic, .update = 200, .loss = 1}};
}

TEST(Convergence, EveryMeasuredUpdateIsOnePointOfTheCurve) {
  const LossCurve curve = loss_curve(two_utterances()).value();
  EXPECT_THAT(curve.ids, ElementsAre("a", "b"));
  EXPECT_THAT(curve.updates, ElementsAre(100, 200, 300));
  EXPECT_THAT(curve.means(), ElementsAre(3, 1.5, 1));
}

TEST(Convergence, MeansOverDifferentUtterancesAreRefused) {
  auto lines = two_utterances();
  lines.pop_back();
  EXPECT_THAT(loss_curve(lines).error().message,
              HasSubstr("update 200 lacks utterance \"a\", which update 300 has"));
  lines = two_utterances();
  lines[4].loss = 2.5;
  EXPECT_THAT(loss_curve(lines).error().message, HasSubstr("update 100 has two losses"));
}

// The pull of an utterance is a derivative: 100 (2 - 1.5) / 1.5^2 of its first loss and
// 100 (3 - 2) / 1.5^2 of its second.
TEST(Convergence, ItemsAreTheAnswerPlusThePullOfEachUtterance) {
  const auto found = convergence(loss_curve(two_utterances()).value(), 2, {}).value();
  const double answer = 100 + 100 * 2.0 / 3;
  EXPECT_DOUBLE_EQ(found.mean.update, answer);
  EXPECT_NEAR(found.items.at("a"), answer - 200.0 / 9 - 0.5 * 400 / 9, 1e-9);
  EXPECT_NEAR(found.items.at("b"), answer + 200.0 / 9 + 0.5 * 400 / 9, 1e-9);
  EXPECT_EQ(found.in_words(2),
            "reached 2 after 167 updates, between the measurements at 100 and 200");
  EXPECT_EQ(found.utterances_before, 1U) << "a begins at 2";
  EXPECT_EQ(found.utterances_between, 1U);
}

TEST(Convergence, ThePullIsWhatALittleMoreWeightOfTheUtteranceChanges) {
  const LossCurve curve = loss_curve(two_utterances()).value();
  const auto found = convergence(curve, 2, {}).value();
  constexpr double kLittle = 1e-6;
  std::vector<double> means;
  for (const auto& losses : curve.losses)
    means.push_back(((1 + kLittle) * losses[0] + (1 - kLittle) * losses[1]) / 2);
  const double moved = first_reached(curve.updates, means, 2).update;
  EXPECT_NEAR((moved - found.mean.update) / kLittle,
              (found.items.at("a") - found.items.at("b")) / 2, 1e-3);
}

// 80 utterances of different difficulty that all learn alike, with a little noise.
LossCurve many(double slowness) {
  Random random(3);
  LossCurve curve{.periodic = true};
  for (int i = 0; i < 80; ++i) curve.ids.push_back(fmt::format("utt-{:02}", i));
  std::vector<double> level;
  for (int i = 0; i < 80; ++i) level.push_back(0.4 * random.uniform());
  for (int k = 1; k <= 20; ++k) {
    curve.updates.push_back(100 * k);
    curve.losses.emplace_back();
    for (int i = 0; i < 80; ++i) {
      curve.losses.back().push_back(0.5 + level[static_cast<std::size_t>(i)] +
                                    std::exp(-k / slowness) + 0.02 * random.uniform());
    }
  }
  return curve;
}

TEST(Convergence, ResamplingItemsGivesTheIntervalOfResamplingUtterances) {
  const auto found = convergence(many(6), 0.9, {}).value();
  std::vector<double> items;
  for (const auto& [id, item] : found.items) items.push_back(item);
  EXPECT_NEAR(std::accumulate(items.begin(), items.end(), 0.0) / 80, found.mean.update, 1e-9);
  const auto drawn = bootstrap(shares_of(items), each_alone(items.size()), {}).value();
  const double width = *found.high - *found.low;
  EXPECT_GT(width, 20) << "there is something to compare";
  EXPECT_NEAR(drawn.low, *found.low, 0.1 * width);
  EXPECT_NEAR(drawn.high, *found.high, 0.1 * width);
  EXPECT_LT(*found.low, found.mean.update);
  EXPECT_GT(*found.high, found.mean.update);
  EXPECT_EQ(found.resamples_never, 0);
}

TEST(Convergence, AnEndOfTheIntervalThatWasNotSeenIsOpen) {
  const LossCurve curve = many(6);
  const auto barely = convergence(curve, curve.means().back() + 1e-4, {}).value();
  EXPECT_EQ(barely.mean.where, Where::kBetween);
  EXPECT_TRUE(barely.low.has_value());
  EXPECT_FALSE(barely.high.has_value());
  EXPECT_GT(barely.resamples_never, 0.3);
  EXPECT_LT(barely.resamples_never, 0.6);
  const auto at_once = convergence(curve, curve.means().front() - 1e-4, {}).value();
  EXPECT_FALSE(at_once.low.has_value());
  EXPECT_TRUE(at_once.high.has_value());
  EXPECT_GT(at_once.resamples_before, 0.3);
}

// Two utterances on exp(-update / 1000), one a little above it and one a little below.
LossCurve measured_at(std::vector<std::int64_t> updates, bool periodic = true) {
  LossCurve curve{.updates = std::move(updates), .ids = {"a", "b"}, .periodic = periodic};
  for (const std::int64_t update : curve.updates) {
    const double loss = std::exp(-static_cast<double>(update) / 1000);
    curve.losses.push_back({loss * 1.01, loss * 0.99});
  }
  return curve;
}

// Along the straight line from 2000 to 10000 that loss would be reached at about 7,000 and not at
// 3,000, where it is.
TEST(Convergence, FromTwoMeasurementsThereIsABoundAndNoNumber) {
  const double target = std::exp(-3.0);
  EXPECT_NEAR(first_reached(std::vector<std::int64_t>{2000, 10'000},
                            measured_at({2000, 10'000}).means(), target)
                  .update,
              7000, 1000)
      << "what would be said";
  for (const LossCurve& curve :
       {measured_at({2000, 10'000}, false), measured_at({2000, 10'000}, true)}) {
    const auto found = convergence(curve, target, {}).value();
    EXPECT_FALSE(found.has_value());
    EXPECT_TRUE(found.in_hole);
    EXPECT_EQ(found.above_at, 2000);
    EXPECT_EQ(found.reached_by, 10'000);
    EXPECT_TRUE(found.items.empty());
    EXPECT_FALSE(found.low.has_value());
    EXPECT_FALSE(found.high.has_value());
    EXPECT_EQ(found.resamples_in_hole, 1);
    EXPECT_THAT(found.in_words(0.05),
                HasSubstr("reached 0.05 within 10000 updates and not by 2000; nothing was measured "
                          "between these two, with too few measurements on the way"));
  }
}

TEST(Convergence, WithoutAMeasurementOnTheWayNoGapIsKnownToBeUsual) {
  EXPECT_FALSE(convergence(measured_at({1000, 2000, 3000}, false), 0.1, {})->has_value());
  EXPECT_TRUE(convergence(measured_at({1000, 2000, 3000}, true), 0.1, {})->has_value());
}

// As of a run that went on from a checkpoint which had no measurements: 3000 to 5000 are missing.
TEST(Convergence, InAHoleOfTheCurveThereIsABoundAndBesideItANumber) {
  const LossCurve curve = measured_at({1000, 2000, 6000, 7000, 8000, 9000, 10'000});
  EXPECT_EQ(curve.usual_gap(), 1000);
  const auto in_it = convergence(curve, std::exp(-3.0), {}).value();
  EXPECT_TRUE(in_it.in_hole);
  EXPECT_EQ(in_it.above_at, 2000);
  EXPECT_EQ(in_it.reached_by, 6000);
  EXPECT_THAT(in_it.in_words(0.05), HasSubstr("while other measurements are 1000 apart"));
  for (const auto& [at, below, above] :
       {std::tuple{1500.0, 1000, 2000}, std::tuple{6500.0, 6000, 7000}}) {
    const auto beside = convergence(curve, std::exp(-at / 1000), {}).value();
    EXPECT_TRUE(beside.has_value()) << at;
    EXPECT_GT(beside.mean.update, below);
    EXPECT_LT(beside.mean.update, above);
    EXPECT_EQ(beside.above_at, below);
    EXPECT_EQ(beside.reached_by, above);
    EXPECT_EQ(beside.items.size(), 2U);
  }
}

TEST(Convergence, TwiceTheUsualGapIsNoHoleAndMoreIsOne) {
  EXPECT_FALSE(measured_at({1000, 2000, 4000, 5000}).is_hole(2));
  EXPECT_TRUE(measured_at({1000, 2000, 4001, 5000}).is_hole(2));
  EXPECT_FALSE(measured_at({1000, 2000, 4001, 5000}).is_hole(1));
  EXPECT_FALSE(measured_at({20, 30, 60, 90, 100}).is_hole(2))
      << "the early and the last measurement may lie anywhere between two others";
}

TEST(Convergence, OfTwoGapsTheLongerOneIsMeasuredAgainstTheShorter) {
  EXPECT_TRUE(measured_at({2000, 9000, 10'000}).is_hole(1)) << "their median is 4000";
  EXPECT_FALSE(measured_at({2000, 9000, 10'000}).is_hole(2));
  EXPECT_FALSE(measured_at({2000, 4000, 8000}).is_hole(2));
}

// A number whose resamples partly lie in the hole before it: that end of the interval is not seen.
TEST(Convergence, AnEndOfTheIntervalThatLiesInAHoleIsOpen) {
  LossCurve curve = measured_at({1000, 2000, 6000, 7000, 8000, 9000, 10'000});
  curve.losses[2] = {0.01, 0.09};  // 0.05 on average; a resample of "a" alone is below before it
  const auto found = convergence(curve, 0.049, {}).value();
  EXPECT_TRUE(found.has_value());
  EXPECT_FALSE(found.low.has_value());
  EXPECT_TRUE(found.high.has_value());
  EXPECT_NEAR(found.resamples_in_hole, 0.25, 0.03);
}

TEST(Convergence, ARunThatNeverGetsThereSaysSoAndHowFarItGot) {
  const auto found = convergence(loss_curve(two_utterances()).value(), 0.75, {}).value();
  EXPECT_EQ(found.in_words(0.75),
            "never reached 0.75 in 300 updates; the least loss was 1, at update 300");
  EXPECT_TRUE(found.items.empty());
  EXPECT_FALSE(found.has_value());
  EXPECT_FALSE(found.high.has_value());
  EXPECT_EQ(found.above_at, 300);
  EXPECT_FALSE(found.reached_by.has_value());
  EXPECT_EQ(found.utterances_between, 1U) << "one of the two got there by itself";
  EXPECT_EQ(found.utterances_never, 1U);
}

}  // namespace
}  // namespace strata::evaluator
