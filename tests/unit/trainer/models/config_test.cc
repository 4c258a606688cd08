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

TEST(ModelConfig, TextIsSpreadOverFramesOnlyWhereFillerIsToldFromIt) {
  expect_refused({{"average_upsampling", true}}, "average_upsampling");
  expect_refused({{"model", "unett"}, {"text_mask_padding", true}, {"average_upsampling", true}},
                 "average_upsampling");
  EXPECT_TRUE(
      read({{"text_mask_padding", true}, {"average_upsampling", true}})->average_upsampling);
}

TEST(ModelConfig, QueriesAndKeysHaveTheOnePublishedNormOrNone) {
  expect_refused({{"qk_norm", "layer_norm"}}, "qk_norm");
  expect_refused({{"qk_norm", true}}, "qk_norm");
  EXPECT_TRUE(read({{"model", "unett"}, {"qk_norm", "rms_norm"}})->qk_norm);
  EXPECT_FALSE(read({{"qk_norm", Value()}})->qk_norm);
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
  const auto read_back = [](Object model) {
    return read_model_config(to_value(read(std::move(model)).value()), "model.json").value();
  };
  EXPECT_TRUE(read_back({{"qk_norm", "rms_norm"}}).qk_norm);
  EXPECT_TRUE(
      read_back({{"text_mask_padding", true}, {"average_upsampling", true}}).average_upsampling);
}

}  // namespace
}  // namespace strata::trainer
