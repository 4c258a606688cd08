#include "trainer/models/align_config.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace strata::trainer {
namespace {

Result<AlignConfig> read(const char* json) {
  const auto value = parse_json(json);
  EXPECT_TRUE(value.has_value()) << json;
  return read_align_config(&*value, "align", 4, 24);
}

TEST(AlignConfig, NothingAndLayerZeroAreNoHeads) {
  EXPECT_FALSE(read_align_config(nullptr, "align", 4)->has_text());
  const auto zero = read(R"({"text": {"layer": 0}, "speech": {"layer": 0}})");
  ASSERT_TRUE(zero.has_value());
  EXPECT_FALSE(zero->has_text());
  EXPECT_FALSE(zero->has_speech());
  EXPECT_EQ(zero->speech_width, 24);
}

TEST(AlignConfig, FurtherTapsTakeOverWhatTheyDoNotSay) {
  const auto align = read(R"({"text": {"layer": 2, "weight": 0.2, "more": [{"layer": 4}]},
      "speech": {"layer": 3, "loss": "l1", "width": 7,
                 "more": [{"layer": 1, "weight": 0.5}, {"layer": 4, "loss": "neg_log_sigmoid"}]}})");
  ASSERT_TRUE(align.has_value()) << align.error().message;
  ASSERT_EQ(align->text.size(), 2U);
  EXPECT_EQ(align->text[1].layer, 4);
  EXPECT_EQ(align->text[1].weight, 0.2);
  ASSERT_EQ(align->speech.size(), 3U);
  EXPECT_EQ(align->speech[1].weight, 0.5);
  EXPECT_EQ(align->speech[1].loss, SpeechLoss::kL1);
  EXPECT_EQ(align->speech[2].weight, 1.0);
  EXPECT_EQ(align->speech[2].loss, SpeechLoss::kNegLogSigmoid);
  EXPECT_EQ(align->speech_width, 7);
}

TEST(AlignConfig, WhatCannotBeIsRefusedWithItsPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"text": {"layer": 5}})", "align.text.layer"},
      {R"({"text": {"layer": -1}})", "align.text.layer"},
      {R"({"text": {"layer": 2, "more": [{"layer": 2}]}})", "align.text.more[0].layer"},
      {R"({"text": {"layer": 2, "more": {"layer": 3}}})", "align.text.more"},
      {R"({"text": {"layer": 0, "more": [{"layer": 3}]}})", "align.text.layer"},
      {R"({"speech": {"layer": 2, "more": [{"layer": 3, "width": 4}]}})", "more[0]"},
      {R"({"speech": {"layer": 2, "loss": "cosine"}})", "align.speech.loss"},
      {R"({"speech": {"layer": 2, "weight": -1}})", "align.speech.weight"},
      {R"({"warmup": -1})", "align.warmup"},
      {R"({"skip_dropped": "audio"})", "align.skip_dropped"},
      {R"({"hidden": 0})", "align.hidden"}};
  for (const auto& [json, place] : cases) {
    const auto align = read(json);
    ASSERT_FALSE(align.has_value()) << json;
    EXPECT_NE(align.error().message.find(place), std::string::npos) << align.error().message;
  }
}

TEST(AlignConfig, TheWeightsRiseAndAreLeftOutOnDroppedUpdates) {
  AlignConfig align;
  EXPECT_EQ(align_factor(align, 0, true, true), 1);
  align.warmup = 10;
  EXPECT_EQ(align_factor(align, 0, false, false), 0);
  EXPECT_EQ(align_factor(align, 5, false, false), 0.5);
  EXPECT_EQ(align_factor(align, 10, false, false), 1);
  align.skip_dropped = SkipDropped::kText;
  EXPECT_EQ(align_factor(align, 10, false, true), 1);
  EXPECT_EQ(align_factor(align, 10, true, true), 0);
  align.skip_dropped = SkipDropped::kAny;
  EXPECT_EQ(align_factor(align, 10, false, true), 0);
  EXPECT_EQ(align_factor(align, 10, false, false), 1);
}

}  // namespace
}  // namespace strata::trainer
