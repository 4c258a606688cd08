#include "schema/score.h"

#include <gtest/gtest.h>

#include <cmath>

#include "schema/artifact.h"

namespace strata {
namespace {

TEST(Scores, AreReadWithTheirItemsAndNonFiniteValues) {
  const auto scores = parse_scores(
      R"({"scores":[{"name":"wer","value":0.25,"unit":"fraction","low":0.1,"high":0.4,"count":2,
    "better":"lower","judge":"whisper-base@1","items":{"u1":0.5,"u2":0}},{"name":"loss","value":"NaN"}]})");
  ASSERT_TRUE(scores.has_value()) << scores.error().message;
  EXPECT_EQ(scores->at(0).items.at("u1"), 0.5);
  EXPECT_EQ(scores->at(0).low, 0.1);
  EXPECT_TRUE(std::isnan(scores->at(1).value));
}

TEST(Scores, MistakesAreNamedWithTheirPlace) {
  EXPECT_EQ(parse_scores(R"({"scores":[{"name":"a","value":"x"}]})").error().message,
            "scores.json: scores[0].value: expected a number, found \"x\"");
  EXPECT_EQ(
      parse_scores(R"({"scores":[{"name":"a","value":1},{"name":"a","value":2}]})").error().message,
      "scores.json: the score \"a\" occurs twice");
  EXPECT_FALSE(parse_scores("{}").has_value());
  EXPECT_EQ(parse_scores("{b").error().message.find("scores.json: JSON: line 1, column 2:"), 0U)
      << parse_scores("{b").error().message;
}

TEST(Scores, WhoseItemsHaveAnotherMeanAreRefusedBeforeATableMeetsThem) {
  const auto of = [](const std::string& value, const std::string& items) {
    return parse_scores(
        fmt::format(R"({{"scores":[{{"name":"a","value":{},"items":{}}}]}})", value, items));
  };
  EXPECT_TRUE(of("0.5", R"({"x":0,"y":1})"));
  EXPECT_TRUE(of("0.1", "{}"));
  const auto other = of("0.1", R"({"x":0.5})");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message.find("scores.json: score 'a' says 0.1 but its 1 items have"), 0U)
      << other.error().message;
  EXPECT_FALSE(of("NaN", R"({"x":NaN})"));
}

TEST(Scores, ThatWouldNotTravelInOneFrameAreRefusedInWords) {
  std::string items;
  for (int i = 0; i < 90'000; ++i)
    items += fmt::format(R"({}"utterance-{:030}":0.5)", i ? "," : "", i);
  const std::string text = R"({"scores":[{"name":"wer","value":1,"items":{)" + items + "}}]}";
  ASSERT_GT(text.size(), kScoresBytesMax);
  const auto scores = parse_scores(text);
  ASSERT_FALSE(scores);
  EXPECT_EQ(scores.error().code, ErrorCode::kTooLarge);
}

TEST(Progress, LinesMayLeaveOutAllButTheStep) {
  const auto full =
      parse_progress(R"({"step": 20, "total": 100, "metrics": {"loss": 0.5, "bad": "Infinity"}})");
  ASSERT_TRUE(full.has_value());
  EXPECT_EQ(full->total, 100);
  EXPECT_TRUE(std::isinf(full->metrics.at("bad")));
  const auto of_python = parse_progress(R"({"step": 3, "metrics": {"a": NaN, "b": -Infinity}})");
  ASSERT_TRUE(of_python.has_value());
  EXPECT_TRUE(std::isnan(of_python->metrics.at("a")));
  EXPECT_EQ(parse_progress(R"({"step": 3, "checkpoint": "c/3"})")->checkpoint, "c/3");
  EXPECT_FALSE(parse_progress(R"({"total": 3})").has_value());
  EXPECT_FALSE(parse_progress(R"({"step": 3, "metrcs": {}})").has_value());
}

TEST(Manifest, NamesItsContentAndReadsBack) {
  const Manifest manifest{{"a/b.wav", {.bytes = 3, .sha256 = "x"}},
                          {"c", {.bytes = 4, .sha256 = "y"}}};
  EXPECT_EQ(*parse_manifest(manifest_text(manifest)), manifest);
  EXPECT_EQ(ref_of(manifest).bytes, 7);
  EXPECT_EQ(ref_of(manifest).files, 2);
  for (const char* path : {"../a", "/a", "a//b", "a/./b", "a/.."}) {
    EXPECT_FALSE(parse_manifest(manifest_text({{path, {.bytes = 1, .sha256 = "x"}}})).has_value())
        << path;
  }
  Manifest other = manifest;
  other["c"].sha256 = "z";
  EXPECT_NE(ref_of(other).hash, ref_of(manifest).hash);
}

}  // namespace
}  // namespace strata
