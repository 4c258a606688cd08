#include "cli/table_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace strata::cli {
namespace {

Sample sample(std::uint64_t seed, const std::map<std::string, double>& items) {
  double sum = 0;
  for (const auto& [item, value] : items) sum += value;
  return {.seed = seed, .value = sum / static_cast<double>(items.size()), .items = items};
}

// Two utterances: a resample is both of the first (1/4), one of each (1/2) or both of the second
// (1/4), so the 2.5 % and 97.5 % points are the two values themselves.
TEST(TableStatistics, TwoUtterancesGiveAnIntervalFromOneToTheOther) {
  const std::vector<Sample> samples = {sample(1, {{"a", 0.0}, {"b", 1.0}})};
  const auto out = estimate(samples, {});
  ASSERT_TRUE(out.has_value()) << out.error().message;
  EXPECT_DOUBLE_EQ(out->value, 0.5);
  EXPECT_DOUBLE_EQ(out->low.value(), 0.0);
  EXPECT_DOUBLE_EQ(out->high.value(), 1.0);
  EXPECT_EQ(out->utterances, 2);
}

TEST(TableStatistics, SeedsArePooledByUtteranceBeforeUtterancesAreDrawn) {
  const std::vector<Sample> samples = {sample(1, {{"a", 0.0}, {"b", 1.0}}),
                                       sample(2, {{"a", 0.2}, {"b", 0.6}})};
  const auto out = estimate(samples, {});
  ASSERT_TRUE(out.has_value());
  EXPECT_DOUBLE_EQ(out->value, 0.45);        // mean of 0.5 and 0.4
  EXPECT_DOUBLE_EQ(out->low.value(), 0.1);   // utterance a over both seeds
  EXPECT_DOUBLE_EQ(out->high.value(), 0.8);  // utterance b
  EXPECT_DOUBLE_EQ(out->seed_low, 0.4);
  EXPECT_DOUBLE_EQ(out->seed_high, 0.5);
  EXPECT_EQ(out->seeds, 2U);
}

TEST(TableStatistics, AScoreWithoutItemsKeepsTheIntervalOfItsJudgeOnlyWhenItStandsAlone) {
  const Sample reported{.seed = 1, .value = 3.0, .low = 2.5, .high = 3.5, .count = 40};
  const std::vector<Sample> one = {reported};
  const auto alone = estimate(one, {});
  ASSERT_TRUE(alone.has_value());
  EXPECT_EQ(alone->interval, IntervalKind::kAsReported);
  EXPECT_DOUBLE_EQ(alone->low.value(), 2.5);
  Sample second = reported;
  second.seed = 2;
  const std::vector<Sample> two = {reported, second};
  const auto both = estimate(two, {});
  ASSERT_TRUE(both.has_value());
  EXPECT_EQ(both->interval, IntervalKind::kNone);
  EXPECT_FALSE(both->low.has_value());
}

TEST(TableStatistics, PairedDifferencesCancelWhatUtterancesHaveInCommon) {
  const std::vector<Sample> cell = {sample(1, {{"a", 0.5}, {"b", 1.5}})};
  const std::vector<Sample> base = {sample(1, {{"a", 0.0}, {"b", 1.0}})};
  const auto out = paired_difference(cell, base, {});
  ASSERT_TRUE(out.has_value());
  ASSERT_TRUE(out->has_value());
  EXPECT_DOUBLE_EQ((*out)->value, 0.5);
  EXPECT_DOUBLE_EQ((*out)->low.value(), 0.5);
  EXPECT_DOUBLE_EQ((*out)->high.value(), 0.5);
  EXPECT_TRUE((*out)->excludes_zero());
}

TEST(TableStatistics, ShufflingUtterancesChangesThePairedIntervalAndNotTheMean) {
  const std::vector<Sample> cell = {
      sample(1, {{"a", 1.5}, {"b", 0.5}})};  // the values of a and b exchanged
  const std::vector<Sample> base = {sample(1, {{"a", 0.0}, {"b", 1.0}})};
  const auto out = paired_difference(cell, base, {});
  ASSERT_TRUE(out.has_value() && out->has_value());
  EXPECT_DOUBLE_EQ((*out)->value, 0.5);
  EXPECT_DOUBLE_EQ((*out)->low.value(), -0.5);
  EXPECT_DOUBLE_EQ((*out)->high.value(), 1.5);
  EXPECT_FALSE((*out)->excludes_zero());
}

TEST(TableStatistics, OnlyCommonSeedsAreCompared) {
  const std::vector<Sample> cell = {sample(1, {{"a", 1.0}}), sample(3, {{"a", 9.0}})};
  const std::vector<Sample> base = {sample(1, {{"a", 0.0}}), sample(2, {{"a", 5.0}})};
  const auto out = paired_difference(cell, base, {});
  ASSERT_TRUE(out.has_value() && out->has_value());
  EXPECT_DOUBLE_EQ((*out)->value, 1.0);
  EXPECT_EQ((*out)->seeds, 1U);
  const std::vector<Sample> stranger = {sample(7, {{"a", 0.0}})};
  const auto none = paired_difference(cell, stranger, {});
  ASSERT_TRUE(none.has_value());
  EXPECT_FALSE(none->has_value());
}

}  // namespace
}  // namespace strata::cli
