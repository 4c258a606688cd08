// Learning rate, weight average and data order: arithmetic with golden values of the reference
// trainer.
#include "trainer/optim/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "trainer/data/order.h"

namespace strata::trainer {
namespace {

TEST(Schedule, LearningRatesAreThoseOfTheReference) {
  const Schedule schedule{.base = 7.5e-5, .warmup = 10, .total = 50};
  const std::vector<std::pair<std::int64_t, double>> expected{
      {0, 7.5e-13},    {1, 7.500001e-6}, {5, 3.75e-5},      {9, 6.75e-5},  {10, 7.5e-5},
      {11, 7.3125e-5}, {30, 3.75e-5},    {49, 1.875001e-6}, {50, 7.5e-13}, {99, 7.5e-13}};
  for (const auto& [update, rate] : expected)
    EXPECT_NEAR(learning_rate(schedule, update), rate, 1e-6 * rate + 1e-15) << update;
}

TEST(Schedule, TheAverageFollowsTheReference) {
  // The weight is the number of the call, counted from 1.
  double average = 0;
  const std::vector<std::pair<int, double>> expected{
      {101, 101}, {111, 103.0218}, {121, 105.38373}, {131, 107.97955}};
  auto next = expected.begin();
  for (int call = 1; call <= 131; ++call) {
    const EmaDecision decision = ema_decision({}, call - 1);
    if (decision.step == EmaStep::kCopy) average = call;
    if (decision.step == EmaStep::kBlend)
      average = decision.decay * average + (1 - decision.decay) * call;
    if (next == expected.end() || call != next->first) continue;
    EXPECT_NEAR(average, (next++)->second, 1e-4) << call;
  }
  EXPECT_EQ(next, expected.end());
}

TEST(Schedule, TheDecayGrowsAsInTheReference) {
  const std::vector<std::pair<std::int64_t, double>> expected{
      {110, 0.79782}, {1000, 0.98928}, {20000, 0.998638}, {100000, 0.999536}, {200000, 0.999708}};
  for (const auto& [calls, decay] : expected)
    EXPECT_NEAR(ema_decision({}, calls).decay, decay, 5e-6) << calls;
}

TEST(Order, ThePermutationsAreThoseOfTorch) {
  using Order = std::vector<std::size_t>;
  EXPECT_EQ(torch_permutation(666, 10), (Order{0, 4, 7, 6, 1, 2, 5, 3, 8, 9}));
  EXPECT_EQ(torch_permutation(667, 10), (Order{1, 0, 3, 2, 5, 7, 8, 4, 6, 9}));
  EXPECT_EQ(torch_permutation(1, 1), Order{0});
}

TEST(Order, BatchesOfLikeLengthAreThoseOfTheReference) {
  using Batches = std::vector<std::vector<std::size_t>>;
  std::vector<double> lengths;
  for (const double seconds : {3.1, 0.5, 9.9, 2.2, 14.0, 1.0, 7.5, 31.0, 2.2, 5.0, 0.9, 12.0})
    lengths.push_back(seconds * 24'000 / 256);
  const FrameBudget budget{.frames = 2'000, .utterances = 4};
  EXPECT_EQ(batches_of_like_length(lengths, budget),
            (Batches{{1, 10, 5, 3}, {8, 0, 9, 6}, {2}, {11}, {4}}))
      << "31 s are 2,906 frames: in no batch";
  BatchOrder order = BatchOrder::of_like_length(666, lengths, budget);
  Batches epochs;
  for (std::int64_t update = 0; update < 10; ++update) epochs.push_back(order.batch(update));
  EXPECT_EQ(epochs, (Batches{{1, 10, 5, 3},
                             {11},
                             {8, 0, 9, 6},
                             {2},
                             {4},
                             {8, 0, 9, 6},
                             {4},
                             {1, 10, 5, 3},
                             {11},
                             {2}}));
}

TEST(Order, AnEpochTakesEveryUtteranceAtMostOnceAndEpochsDiffer) {
  BatchOrder order = BatchOrder::of_fixed_size(1, 22, 4);
  std::set<std::size_t> seen;
  for (std::int64_t update = 0; update < 5; ++update) {
    for (const std::size_t i : order.batch(update)) EXPECT_TRUE(seen.insert(i).second);
  }
  EXPECT_EQ(seen.size(), 20U);
  EXPECT_NE(order.batch(0), order.batch(5));
}

TEST(Order, ABatchDoesNotDependOnWhichWereAskedForBefore) {
  BatchOrder order = BatchOrder::of_fixed_size(1, 22, 4);
  const auto third = order.batch(3);
  (void)order.batch(17);
  EXPECT_EQ(order.batch(3), third);
  EXPECT_EQ(BatchOrder::of_fixed_size(1, 22, 4).batch(3), third);
}

TEST(Order, EpochsMayAllHaveTheFirstOnesOrder) {
  BatchOrder fixed = BatchOrder::of_fixed_size(1, 22, 4, Epochs::kRepeated);
  EXPECT_EQ(fixed.batch(7), BatchOrder::of_fixed_size(1, 22, 4).batch(2));
  const FrameBudget budget{.frames = 10, .utterances = 1};
  BatchOrder like = BatchOrder::of_like_length(666, {1, 2, 3, 4, 5}, budget, Epochs::kRepeated);
  BatchOrder first = BatchOrder::of_like_length(666, {1, 2, 3, 4, 5}, budget);
  for (std::int64_t update = 0; update < 15; ++update)
    EXPECT_EQ(like.batch(update), first.batch(update % 5)) << update;
}

TEST(Order, SharesOfRanksTogetherAreTheBatch) {
  const auto batch = BatchOrder::of_fixed_size(1, 22, 7).batch(0);
  for (const int ranks : {1, 2, 3, 7}) {
    std::vector<std::size_t> together;
    for (int rank = 0; rank < ranks; ++rank) {
      const auto share = share_of_rank(batch, rank, ranks);
      EXPECT_GE(share.size(), 7U / static_cast<std::size_t>(ranks));
      together.insert(together.end(), share.begin(), share.end());
    }
    EXPECT_EQ(together, batch) << ranks;
  }
}

}  // namespace
}  // namespace strata::trainer
