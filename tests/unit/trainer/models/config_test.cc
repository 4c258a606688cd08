// Switches that mean something for one of the two networks only.
#include "trainer/models/config.h"

#include <gtest/gtest.h>

namespace strata::trainer {
namespace {

Result<ModelConfig> read(Object model) {
  model.emplace("depth", 4);
  return read_model_config(std::move(model), "parameters.model", 10, 80);
}

void expect_refused(Object model, const std::string& where) {
  const auto config = read(std::move(model));
  ASSERT_FALSE(config) << where;
  EXPECT_EQ(config.error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(config.error().message.starts_with("parameters.model." + where + ": "))
      << config.error().message;
}

TEST(ModelConfig, ASwitchOfTheOtherNetworkIsRefusedInsteadOfMeaningNothing) {
  expect_refused({{"model", "unett"}, {"long_skip", true}}, "long_skip");
  expect_refused({{"model", "dit"}, {"skip", "add"}}, "skip");
  expect_refused({{"skip", "none"}}, "skip");
}

TEST(ModelConfig, ASwitchOfTheOtherNetworkMayBeGivenAtItsDefault) {
  EXPECT_EQ(read({{"model", "unett"}, {"long_skip", false}, {"skip", "add"}})->skip,
            SkipConnection::kAdd);
  EXPECT_TRUE(read({{"model", "dit"}, {"long_skip", true}, {"skip", "concat"}})->long_skip);
}

TEST(ModelConfig, WhatIsWrittenOfEitherNetworkReadsBack) {
  for (const char* model : {"dit", "unett"}) {
    const Value written = to_value(read({{"model", model}}).value());
    const auto again = read_model_config(written, "model.json");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(to_value(*again), written);
  }
}

}  // namespace
}  // namespace strata::trainer
