// What `train` refuses of train.checkpoints, by name, and what the words mean.
#include "trainer/train_config.h"

#include <gtest/gtest.h>

namespace strata::trainer {
namespace {

Result<TrainConfig> read(Value checkpoints, std::int64_t validate_every = 50) {
  StageSpec spec;
  spec.seed = 1;
  spec.parameters = Object{{"model", Object{{"dim", 32}}},
                           {"train", Object{{"updates", 100},
                                            {"warmup", 10},
                                            {"validate_every", validate_every},
                                            {"checkpoints", std::move(checkpoints)}}}};
  return read_train_config(spec);
}

void expect_refused(Value checkpoints, const std::string& where, std::int64_t validate_every = 50) {
  const auto config = read(std::move(checkpoints), validate_every);
  ASSERT_FALSE(config) << where;
  EXPECT_EQ(config.error().code, ErrorCode::kInvalid);
  EXPECT_NE(config.error().message.find("parameters.train.checkpoints" + where), std::string::npos)
      << config.error().message;
}

TEST(TrainConfig, WithoutAPolicyEveryCheckpointIsKept) { EXPECT_EQ(read(Value())->keep.last, 0); }

TEST(TrainConfig, APolicyKeepsTheNewestTwoUnlessItSaysMore) {
  const KeepPolicy least = read(Object{})->keep;
  EXPECT_EQ(least.last, 2);
  EXPECT_EQ(least.every, 0);
  EXPECT_EQ(least.best, 0);
  const KeepPolicy all =
      read(Object{{"last", 5}, {"every", 20}, {"best", Object{{"metric", "text_use"}}}})->keep;
  EXPECT_EQ(all.last, 5);
  EXPECT_EQ(all.every, 20);
  EXPECT_EQ(all.best, 1);
  EXPECT_EQ(all.metric, "text_use");
  EXPECT_TRUE(all.higher_is_better);
  EXPECT_FALSE(read(Object{{"best", Object{{"count", 3}}}})->keep.higher_is_better);
}

TEST(TrainConfig, APolicyThatCouldLoseTheLastWholeCheckpointOrMeansNothingIsRefused) {
  expect_refused(Object{{"last", 1}}, "");
  expect_refused(Object{{"every", -1}}, "");
  expect_refused(Object{{"newest", 2}}, "");
  expect_refused(Object{{"best", Object{{"metric", "loss"}}}}, ".best");
  expect_refused(Object{{"best", Object{{"count", 1}}}}, ".best", 0);
}

}  // namespace
}  // namespace strata::trainer
