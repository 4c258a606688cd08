// Which of two systems is better: numbers of the fixture that statistics_test has, verdicts on
// samples whose answer is known, and what is refused.
#include "evaluator/core/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace strata::evaluator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<std::string> kSpeakers{"61",  "61",  "61",  "121",  "121",  "237",
                                         "237", "237", "237", "1089", "1089", "1089"};
const std::vector<double> kWords{18, 9, 25, 12, 7, 30, 16, 22, 5, 14, 20, 11};
const std::vector<double> kErrorsA{1, 0, 3, 2, 0, 4, 1, 0, 2, 0, 5, 1};
const std::vector<double> kErrorsB{0, 0, 2, 2, 1, 3, 1, 0, 0, 0, 4, 1};

std::string id_of(std::size_t i) { return fmt::format("u{:04}", i); }

System twelve(const std::vector<double>& errors) {
  System system{.protocol = "f5@1"};
  ScoreColumn wer{.unit = "fraction", .better = "lower", .judge = "whisper@1"};
  ScoreColumn corpus = wer;
  corpus.counts = true;
  for (std::size_t i = 0; i < errors.size(); ++i) {
    wer.items[id_of(i)] = {.numerator = errors[i] / kWords[i]};
    corpus.items[id_of(i)] = {.numerator = errors[i], .denominator = kWords[i]};
    system.speakers[id_of(i)] = kSpeakers[i];
    system.references[id_of(i)] = fmt::format("text {}", i);
  }
  system.scores = {{"wer", wer}, {"wer_corpus", corpus}};
  return system;
}

System of_values(const std::vector<double>& values, const char* better) {
  ScoreColumn score{.better = better};
  for (std::size_t i = 0; i < values.size(); ++i) score.items[id_of(i)] = {.numerator = values[i]};
  return {.scores = {{"score", score}}};
}

TEST(Comparison, HasTheNumbersOfTheFixture) {
  const auto compared = compare_systems(twelve(kErrorsB), twelve(kErrorsA), {}).value();
  ASSERT_EQ(compared.scores.size(), 2U);
  const ComparedScore& wer = compared.scores[0];
  EXPECT_EQ(wer.name, "wer");
  EXPECT_NEAR(wer.a, 0.070244408369, 1e-12);
  EXPECT_NEAR(wer.b, 0.106580387205, 1e-12);
  EXPECT_DOUBLE_EQ(wer.sign_flip_p, 1920.0 / 4096);
  EXPECT_DOUBLE_EQ(wer.wilcoxon.p, 20.0 / 64);
  EXPECT_NEAR(wer.paired_t.p, 0.336910453, 1e-9);
  EXPECT_FALSE(wer.matched_pairs) << "of rates";
  const ComparedScore& corpus = compared.scores[1];
  EXPECT_NEAR(corpus.by_utterance.mean, 0.026074188, 1e-9);
  EXPECT_NEAR(corpus.by_utterance.high, 0.056962845, 1e-9);
  EXPECT_DOUBLE_EQ(corpus.sign_flip_p, 768.0 / 4096);
  EXPECT_DOUBLE_EQ(corpus.sign_flip_p_holm, 2 * 768.0 / 4096);
  EXPECT_NEAR(corpus.matched_pairs->statistic, 1.820234329, 1e-9);
  EXPECT_EQ(corpus.speakers, 4U);
  EXPECT_TRUE(corpus.by_speaker.has_value());
  EXPECT_EQ(corpus.verdict, Verdict::kInsideNoise);
  // The other way round: now B has fewer errors in nearly all resamples, and no more in the rest.
  const auto reverse = compare_systems(twelve(kErrorsA), twelve(kErrorsB), {}).value();
  EXPECT_NEAR(reverse.scores[1].b_is_better.value(), 0.9578, 1e-9);
  EXPECT_LT(corpus.b_is_better.value(), 1 - 0.9578);
}

TEST(Comparison, SaysWhichIsBetterByTheScoresOwnDirection) {
  Random random(2);
  std::vector<double> low;
  std::vector<double> high;
  std::vector<double> same;
  for (int i = 0; i < 100; ++i) {
    low.push_back(random.uniform());
    high.push_back(low.back() + 0.1 + 0.1 * random.uniform());
    same.push_back(low.back() + 0.1 * (random.uniform() - 0.5));
  }
  const auto verdict = [](const std::vector<double>& a, const std::vector<double>& b,
                          const char* better) {
    return compare_systems(of_values(a, better), of_values(b, better), {})
        .value()
        .scores[0]
        .verdict;
  };
  EXPECT_EQ(verdict(low, high, "higher"), Verdict::kBetter);
  EXPECT_EQ(verdict(low, high, "lower"), Verdict::kWorse);
  EXPECT_EQ(verdict(high, low, "lower"), Verdict::kBetter);
  EXPECT_EQ(verdict(low, same, "lower"), Verdict::kInsideNoise);
  EXPECT_EQ(verdict({1, 1, 1, 1}, {2, 2, 2, 2}, "lower"), Verdict::kTooFew);
  // Of a score without a better side nobody wins.
  EXPECT_EQ(verdict(low, high, "none"), Verdict::kDiffers);
  EXPECT_FALSE(
      compare_systems(of_values(low, ""), of_values(high, ""), {}).value().scores[0].b_is_better);
}

// Ten scores, of which one differs by what is seen once in thirty samples without any difference.
TEST(Comparison, WhatIsSeenOnceInThirtyIsNoNewsAmongTen) {
  System a;
  System b;
  Random random(8);
  for (int score = 0; score < 10; ++score) {
    ScoreColumn column{.better = "lower"};
    ScoreColumn other = column;
    for (std::size_t i = 0; i < 16; ++i) {
      column.items[id_of(i)] = {.numerator = 0};
      const double shift = score == 0 ? 0.65 : 0;
      other.items[id_of(i)] = {.numerator = (i % 2 == 0 ? 1 : -1) + shift};
    }
    a.scores[fmt::format("s{}", score)] = column;
    b.scores[fmt::format("s{}", score)] = other;
  }
  const auto compared = compare_systems(a, b, {}).value();
  const ComparedScore& first = compared.scores[0];
  EXPECT_LT(first.sign_flip_p, 0.05);
  EXPECT_GT(first.sign_flip_p_holm, 0.05);
  EXPECT_EQ(first.verdict, Verdict::kNotAfterHolm);
  EXPECT_EQ(compared.scores[1].verdict, Verdict::kInsideNoise);
}

TEST(Comparison, TheLevelOfTheWordsIsNotThatOfTheIntervals) {
  const auto a = twelve(kErrorsA);
  const auto b = twelve(kErrorsB);
  const auto narrow = compare_systems(a, b, {.confidence = 0.3}).value();
  EXPECT_LT(narrow.scores[1].by_utterance.high, 0) << "zero is outside";
  EXPECT_EQ(narrow.scores[1].verdict, Verdict::kInsideNoise) << "p is 0.19";
}

TEST(Comparison, WhatOneOfThemLacksIsNamedAndNotCompared) {
  System a = of_values({1, 2, 3, 4, 5, 6}, "lower");
  System b = of_values({1, 2, 3, 4, 5, 6, 7, 8}, "lower");
  a.scores.at("score").items.erase("u0001");
  a.scores["other"] = a.scores.at("score");
  const auto compared = compare_systems(a, b, {}).value();
  EXPECT_EQ(compared.scores[0].utterances, 5U);
  EXPECT_THAT(compared.only_in_b, ElementsAre("u0001", "u0006", "u0007"));
  EXPECT_TRUE(compared.only_in_a.empty());
  EXPECT_THAT(compared.scores_of_one, ElementsAre("other"));
  EXPECT_EQ(compared.scores[0].speakers, 0U) << "nobody knows them";
}

TEST(Comparison, OtherProtocolsJudgesAndTextsAreRefused) {
  const System a = twelve(kErrorsA);
  const auto refusal = [&](auto change) {
    System b = twelve(kErrorsB);
    change(b);
    const auto compared = compare_systems(a, b, {});
    return compared ? std::string() : compared.error().message;
  };
  EXPECT_EQ(refusal([](System&) {}), "");
  EXPECT_THAT(refusal([](System& b) { b.protocol = "seed-tts@1"; }),
              HasSubstr("by the protocol f5@1 and B by seed-tts@1"));
  EXPECT_THAT(refusal([](System& b) { b.scores.at("wer").judge = "other@2"; }),
              HasSubstr("wer is whisper@1's in A and other@2's in B"));
  EXPECT_THAT(refusal([](System& b) { b.references.at("u0003") = "another"; }),
              HasSubstr(R"(the utterance "u0003" has the reference "text 3" in A and "another")"));
  EXPECT_THAT(refusal([](System& b) { b.speakers.at("u0003") = "9"; }),
              HasSubstr(R"(the utterance "u0003" is by "121" in A and by "9" in B)"));
  EXPECT_THAT(refusal([](System& b) { b.scores.at("wer").better = "higher"; }),
              HasSubstr(R"(wer is in "fraction", better "lower", in A)"));
  EXPECT_THAT(refusal([](System& b) { b.scores.at("wer").unit = "points"; }),
              HasSubstr("two scores of one name"));
  EXPECT_THAT(refusal([](System& b) { b.scores.clear(); }), HasSubstr("A has 12 utterances, B 0"));
}

}  // namespace
}  // namespace strata::evaluator
