#include "trainer/sampling/speech_plan.h"

#include <gtest/gtest.h>

#include <cmath>

namespace strata::trainer {
namespace {

using Texts = std::vector<std::string>;

// What F5-TTS's chunk_text gives for the same texts and limits.
TEST(ChunkText, CutsWhereTheReferenceCuts) {
  EXPECT_EQ(chunk_text("Hello there. How are you? I am fine, thanks!", 20),
            (Texts{"Hello there.", "How are you?", "I am fine, thanks!"}));
  EXPECT_EQ(chunk_text("Hello there. How are you? I am fine, thanks!", 26),
            (Texts{"Hello there. How are you?", "I am fine, thanks!"}));
  EXPECT_EQ(chunk_text("One; two: three, four", 100), (Texts{"One; two: three, four"}));
  EXPECT_EQ(chunk_text("No punctuation at all but rather long text", 10),
            (Texts{"No punctuation at all but rather long text"}));
  EXPECT_EQ(chunk_text("你好，世界。今天天气很好！走吧", 24),
            (Texts{"你好，世界。", "今天天气很好！", "走吧"}));
  EXPECT_EQ(chunk_text("Mixed 你好，and more. 世界。 Next", 15),
            (Texts{"Mixed 你好，", "and more.", "世界。 Next"}));
  EXPECT_EQ(chunk_text("a,b,c. d", 3), (Texts{"a,b,c.", "d"}));
  EXPECT_EQ(chunk_text("  leading. trailing.  ", 8), (Texts{"leading.", "trailing."}));
  EXPECT_EQ(chunk_text("First.\tSecond.\n\nThird.", 6), (Texts{"First.", "Second.", "Third."}));
  EXPECT_EQ(chunk_text("Ends in é. Next é, ok", 12), (Texts{"Ends in é.", "Next é, ok"}));
  EXPECT_EQ(chunk_text("e.g. this, that", 0), (Texts{"e.g.", "this,", "that"}));
}

TEST(ChunkText, GivesNoEmptyChunk) {
  EXPECT_TRUE(chunk_text("", 10).empty());
  EXPECT_TRUE(chunk_text("   ", 10).empty());
  EXPECT_TRUE(chunk_text("\xFF", 10).size() == 1U) << "a bad byte is kept as U+FFFD";
}

// Line 1 of LibriSpeech-PC's cross-sentence list: 4.355 s at 16 kHz, 104,520 samples at 24 kHz, a
// prompt of 72 bytes and a text of 109, both before their spaces.
TEST(PlanSpeech, GivesTheReferencesFramesForItsFirstPair) {
  SpeechRules rules{.length = Length::kRule, .join = Join::kEval};
  const Prompt prompt{.text = std::string(72, 'a'), .seconds = 4.355, .frames = 104'520 / 256};
  ASSERT_EQ(prompt.frames, 408);
  const auto chunks = plan_speech(rules, prompt, std::string(109, 'b'), 0, 93.75);
  ASSERT_EQ(chunks.size(), 1U);
  EXPECT_EQ(chunks[0].frames, 1022);
  EXPECT_EQ(chunks[0].text.size(), 73U + 110U);
}

TEST(PlanSpeech, JoinsTextsAsEachProgramDoes) {
  const auto text = [](Join join, const std::string& prompt) {
    SpeechRules rules{.length = Length::kRule, .join = join};
    return plan_speech(rules, {.text = prompt, .seconds = 1, .frames = 94}, "new text, long", 0,
                       93.75)
        .front()
        .text;
  };
  EXPECT_EQ(text(Join::kSpace, "old."), "old. new text, long");
  EXPECT_EQ(text(Join::kSpace, "旧。"), "旧。 new text, long");
  EXPECT_EQ(text(Join::kCli, "old."), "old. new text, long");
  EXPECT_EQ(text(Join::kCli, "旧。"), "旧。new text, long");
  EXPECT_EQ(text(Join::kEval, "old."), "old.  new text, long");
}

TEST(PlanSpeech, TakesTheLengthOfTheRealRecording) {
  const auto chunks =
      plan_speech({}, {.text = "old", .seconds = 1, .frames = 94}, "new. And more.", 55, 93.75);
  ASSERT_EQ(chunks.size(), 1U);
  EXPECT_EQ(chunks[0].frames, 94 + 55);
}

TEST(PlanSpeech, CutsLongTextsAtThePromptsPace) {
  // 40 bytes in 4 s: chunks of int(10 * (22 - 4)) = 180 bytes.
  const Prompt prompt{.text = std::string(40, 'a'), .seconds = 4, .frames = 375};
  SpeechRules rules{.length = Length::kRule, .join = Join::kCli, .chunk_seconds = 22};
  std::string text;
  for (int i = 0; i < 10; ++i) text += std::string(48, 'b') + ". ";
  const auto chunks = plan_speech(rules, prompt, text, 0, 93.75);
  ASSERT_EQ(chunks.size(), 4U);  // three sentences of 50 bytes, thrice, and one
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(chunks[i].text.size(), 41U + 149U);
    EXPECT_EQ(chunks[i].frames, estimated_duration(375, prompt.text + " ", std::string(149, 'b')));
  }
  rules.speed = 0.5;  // half as many bytes in the same time
  EXPECT_EQ(plan_speech(rules, prompt, text, 0, 93.75).size(), 10U);
}

TEST(PlanSpeech, SharesGivenSecondsByBytes) {
  const Prompt prompt{.text = std::string(40, 'a'), .seconds = 4, .frames = 375};
  SpeechRules rules{.length = Length::kSeconds, .seconds = 24, .join = Join::kCli};
  const auto whole = plan_speech(rules, prompt, "Some text.", 0, 93.75);
  ASSERT_EQ(whole.size(), 1U);
  EXPECT_EQ(whole[0].frames, 2250);
  rules.chunk_seconds = 10;  // 60 bytes
  rules.cross_fade = 0.5;
  const std::string text = std::string(49, 'b') + ". " + std::string(24, 'c') + ".";
  const auto chunks = plan_speech(rules, prompt, text, 0, 93.75);
  ASSERT_EQ(chunks.size(), 2U);  // 50 and 25 bytes of 20.5 s, which the seam makes 20
  EXPECT_EQ(chunks[0].frames, static_cast<std::int64_t>((4 + 20.5 * 50 / 75) * 93.75));
  EXPECT_EQ(chunks[1].frames, static_cast<std::int64_t>((4 + 20.5 * 25 / 75) * 93.75));
}

TEST(CrossFade, IsLinearWithBothEnds) {
  using Sounds = std::vector<std::vector<float>>;
  const Sounds two{{1, 2, 3, 4}, {10, 20, 30}};
  EXPECT_EQ(cross_fade(two, 0), (std::vector<float>{1, 2, 3, 4, 10, 20, 30}));
  EXPECT_EQ(cross_fade(two, 1), (std::vector<float>{1, 2, 3, 4, 20, 30}));
  EXPECT_EQ(cross_fade(two, 2), (std::vector<float>{1, 2, 3, 20, 30}));
  EXPECT_EQ(cross_fade(two, 3), (std::vector<float>{1, 2, 11.5, 30}));
  EXPECT_EQ(cross_fade(two, 99), (std::vector<float>{1, 2, 11.5, 30})) << "no more than there is";
  EXPECT_TRUE(cross_fade({}, 5).empty());
  EXPECT_EQ(cross_fade(Sounds{{1, 1}, {}, {2, 2}}, 1), (std::vector<float>{1, 1, 2}));
}

TEST(PromptGain, RaisesAQuietPromptOnly) {
  const std::vector<float> quiet{0.05F, -0.05F, 0.05F, -0.05F};
  EXPECT_FLOAT_EQ(prompt_gain(quiet, 0.1), 2);
  EXPECT_EQ(prompt_gain(quiet, 0.05), 1) << "as loud already";
  EXPECT_EQ(prompt_gain(quiet, 0), 1);
  EXPECT_EQ(prompt_gain(std::vector<float>(4, 0.0F), 0.1), 1) << "silence stays silence";
  EXPECT_EQ(prompt_gain({}, 0.1), 1);
}

TEST(TimeGrid, PrunedStepsAreThoseOfTheReference) {
  const auto in_32nds = [](std::int64_t steps) {
    std::vector<int> grid;
    for (const double t : time_grid(steps, {}, StepGrid::kEpss))
      grid.push_back(static_cast<int>(std::lround(32 * t)));
    return grid;
  };
  EXPECT_EQ(in_32nds(5), (std::vector<int>{0, 2, 4, 8, 16, 32}));
  EXPECT_EQ(in_32nds(7), (std::vector<int>{0, 2, 4, 6, 8, 16, 24, 32}));
  EXPECT_EQ(in_32nds(10), (std::vector<int>{0, 2, 4, 6, 8, 12, 16, 20, 24, 28, 32}));
  EXPECT_EQ(in_32nds(8), (std::vector<int>{0, 4, 8, 12, 16, 20, 24, 28, 32})) << "not pruned";
  for (const std::int64_t steps : {5, 6, 7, 10, 12, 16})
    EXPECT_EQ(std::ssize(time_grid(steps, -1, StepGrid::kEpss)), steps + 1);
}

}  // namespace
}  // namespace strata::trainer
