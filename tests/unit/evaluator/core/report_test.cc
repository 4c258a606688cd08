#include "evaluator/core/report.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "base/json.h"

namespace strata::evaluator {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Which = ValidationLoss::Which;

UtteranceScore utterance(const std::string& id, const std::string& set, const Counts& words,
                         double mos) {
  return {.id = id,
          .set = set,
          .speaker = "s" + id.substr(0, 1),
          .seconds = 2,
          .key = "k",
          .reference = "r",
          .hypothesis = "h",
          .normalized_reference = "r",
          .normalized_hypothesis = "h",
          .words = words,
          .windows = 1,
          .sim_o = 0.5,
          .mos = mos};
}

ReportInput small_input() {
  return {.utterances = {utterance("a1", "generated", {.substitutions = 1, .hits = 3}, 3.0),
                         utterance("a2", "generated", {.deletions = 1, .insertions = 1, .hits = 9},
                                   4.0),
                         utterance("b1", "generated", {.hits = 5}, 2.0),
                         utterance("a1", "recordings", {.hits = 4}, 4.5),
                         utterance("b1", "recordings", {.hits = 5}, 4.0)},
          .protocol = find_protocol("f5").value(),
          .judges = {{.name = "toy", .role = "mos", .version = 2}},
          .list_sha256 = "abc"};
}

std::vector<std::string> names(const Report& report) {
  std::vector<std::string> list;
  for (const Score& score : report.scores) list.push_back(score.name);
  return list;
}

const Score& score_named(const Report& report, const std::string& name) {
  return *std::ranges::find(report.scores, name, &Score::name);
}

TEST(Report, ScoresOfTheGeneratedSetCarryNoSuffixAndComeFirst) {
  const Report report = make_report(small_input()).value();
  EXPECT_THAT(names(report),
              ElementsAre("wer", "wer_corpus", "deletion_rate", "insertion_rate", "cer_corpus",
                          "sim_o", "mos", "wer/recordings", "wer_corpus/recordings",
                          "deletion_rate/recordings", "insertion_rate/recordings",
                          "cer_corpus/recordings", "sim_o/recordings", "mos/recordings"));
}

TEST(Report, MeanOfUtterancesAndCorpusRatioAreBothGiven) {
  const Report report = make_report(small_input()).value();
  const Score& wer = score_named(report, "wer");
  EXPECT_DOUBLE_EQ(wer.value, (0.25 + 0.2 + 0.0) / 3);
  EXPECT_THAT(wer.items, ElementsAre(std::pair<const std::string, double>("a1", 0.25),
                                     std::pair<const std::string, double>("a2", 0.2),
                                     std::pair<const std::string, double>("b1", 0.0)));
  EXPECT_EQ(wer.better, "lower");
  EXPECT_EQ(wer.judge, "");
  ASSERT_TRUE(wer.interval.has_value());
  EXPECT_LE(wer.interval->low, wer.value);
  EXPECT_GE(wer.interval->high, wer.value);
  const Score& corpus = score_named(report, "wer_corpus");
  EXPECT_DOUBLE_EQ(corpus.value, 3.0 / 19);
  EXPECT_TRUE(corpus.items.empty());
  EXPECT_EQ(*report.summary.find("sets.generated.wer_corpus.counts.insertions"), Value(1));
  EXPECT_EQ(*report.summary.find("sets.generated.wer.printed"), Value("0.15"));
  EXPECT_EQ(*report.summary.find("sets.generated.wer.zero"), Value(1));
  EXPECT_EQ(score_named(report, "mos").judge, "toy@2");
}

TEST(Report, SkipsAndRepeatsAreApartAndTheMeasuresOfJiwerAreThere) {
  const Report report = make_report(small_input()).value();
  EXPECT_DOUBLE_EQ(score_named(report, "deletion_rate").value, 1.0 / 19);
  EXPECT_DOUBLE_EQ(score_named(report, "insertion_rate").value, 1.0 / 19);
  EXPECT_TRUE(score_named(report, "insertion_rate").interval.has_value());
  const auto corpus = [&](const char* name) {
    return report.summary.find(fmt::format("sets.generated.wer_corpus.{}", name))->to_double();
  };
  // One word wrong, one left out, one put in, seventeen right: jiwer's definitions.
  EXPECT_DOUBLE_EQ(corpus("mer").value(), 3.0 / 20);
  EXPECT_DOUBLE_EQ(corpus("wip").value(), 17.0 / 19 * 17.0 / 19);
  EXPECT_DOUBLE_EQ(corpus("wil").value(), 1 - 17.0 / 19 * 17.0 / 19);
}

TEST(Report, CharactersAreCountedInTheNormalizedTexts) {
  ReportInput input = small_input();
  input.utterances.resize(2);
  input.utterances[0].normalized_reference = "abcd";
  input.utterances[0].normalized_hypothesis = "abxd";
  input.utterances[1].normalized_reference = "abcdef";
  input.utterances[1].normalized_hypothesis = "abcdefgh";
  const Report report = make_report(input).value();
  EXPECT_DOUBLE_EQ(score_named(report, "cer_corpus").value, 3.0 / 10);
  EXPECT_EQ(*report.summary.find("sets.generated.cer_corpus.counts.insertions"), Value(2));
  EXPECT_EQ(*report.summary.find("sets.generated.cer_corpus.counts.reference_characters"),
            Value(10));
  input.utterances[1].normalized_hypothesis = "\xff";
  const Report without = make_report(input).value();
  EXPECT_THAT(*without.summary.find("sets.generated.cer_corpus.not_counted")->if_string(),
              HasSubstr("a2: "));
  EXPECT_EQ(std::ranges::find(without.scores, "cer_corpus", &Score::name), without.scores.end());
}

// As numpy rounds and Python prints: by multiplication, half to even, without zeros at the end.
TEST(Report, TheMeanIsPrintedAsTheProtocolsScriptDoes) {
  const auto printed = [](const char* protocol, std::vector<Counts> words) {
    ReportInput input = small_input();
    input.utterances.clear();
    for (std::size_t i = 0; i < words.size(); ++i)
      input.utterances.push_back(utterance(fmt::format("u{}", i), "generated", words[i], 3));
    input.protocol = find_protocol(protocol).value();
    return *make_report(input).value().summary.find("sets.generated.wer.printed")->if_string();
  };
  const Counts none{.hits = 4};
  EXPECT_EQ(printed("f5", {none}), "0.0");
  EXPECT_EQ(printed("f5", {{.substitutions = 4}}), "1.0");
  EXPECT_EQ(printed("f5", {{.substitutions = 1, .hits = 9}}), "0.1");
  EXPECT_EQ(printed("f5", {{.substitutions = 219, .hits = 101}}), "0.68438") << "0.684375";
  EXPECT_EQ(printed("f5", {{.substitutions = 1, .hits = 2}}), "0.33333");
  EXPECT_EQ(printed("seed-tts", {{.substitutions = 1, .hits = 2}}), "33.333");
  EXPECT_EQ(printed("seed-tts", {{.substitutions = 1, .hits = 9}}), "10.0");
}

TEST(Report, AnIntervalOverSpeakersNeedsTwoOfThem) {
  const Report two = make_report(small_input()).value();
  EXPECT_EQ(*two.summary.find("sets.generated.mos.speakers"), Value(2));
  EXPECT_NE(two.summary.find("sets.generated.mos.interval_by_speaker"), nullptr);
  ReportInput input = small_input();
  for (UtteranceScore& u : input.utterances) u.speaker = "one";
  const Report one = make_report(input).value();
  for (const char* measure : {"mos", "wer", "wer_corpus"}) {
    const std::string block = fmt::format("sets.generated.{}.", measure);
    EXPECT_EQ(*one.summary.find(block + "speakers"), Value(1));
    EXPECT_EQ(one.summary.find(block + "interval_by_speaker"), nullptr);
    EXPECT_NE(one.summary.find(block + "interval_by_utterance"), nullptr);
  }
}

TEST(Report, OtherSetsAreComparedWithTheGeneratedOneOverCommonIds) {
  const Report report = make_report(small_input()).value();
  EXPECT_EQ(*report.summary.find("minus_generated.recordings.mos.count"), Value(2));
  EXPECT_EQ(*report.summary.find("minus_generated.recordings.mos.difference"),
            Value((1.5 + 2.0) / 2));
  EXPECT_EQ(*report.summary.find("minus_generated.recordings.mos.sign_flip_p"), Value(0.5));
}

TEST(Report, WithoutGeneratedSpeechTheRecordingsAreTheBaseline) {
  ReportInput input = small_input();
  for (UtteranceScore& u : input.utterances)
    u.set = u.set == "generated" ? "vocoder_copies" : u.set;
  const Report report = make_report(input).value();
  EXPECT_EQ(*report.summary.find("minus_recordings.vocoder_copies.mos.difference"),
            Value((-1.5 - 2.0) / 2));
  EXPECT_EQ(report.summary.find("minus_generated"), nullptr);
}

TEST(Report, TheOrderOfTheUtterancesChangesNoByte) {
  ReportInput input = small_input();
  const Report forward = make_report(input).value();
  std::ranges::reverse(input.utterances);
  const Report backward = make_report(input).value();
  EXPECT_EQ(to_pretty_json(forward.summary), to_pretty_json(backward.summary));
  EXPECT_EQ(to_canonical_json(scores_value(forward.scores)),
            to_canonical_json(scores_value(backward.scores)));
}

TEST(Report, TheSameUtteranceTwiceInASetIsRefused) {
  ReportInput input = small_input();
  input.utterances.push_back(input.utterances.front());
  EXPECT_THAT(make_report(input).error().message,
              HasSubstr("\"a1\" occurs twice in set \"generated\""));
  EXPECT_FALSE(make_report({}).has_value());
}

TEST(Report, ValidationLossesBecomePairedScores) {
  ReportInput input = small_input();
  input.validation = {
      {.id = "x", .which = Which::kLast, .update = 400, .loss = 0.5, .loss_permuted = 0.7},
      {.id = "y", .which = Which::kLast, .update = 400, .loss = 0.6, .loss_permuted = 0.65},
      {.id = "x", .which = Which::kEarly, .update = 10, .loss = 1.5},
      {.id = "y", .which = Which::kEarly, .update = 10, .loss = 1.0}};
  const Report report = make_report(input).value();
  EXPECT_DOUBLE_EQ(score_named(report, "flow_loss").value, 0.55);
  EXPECT_DOUBLE_EQ(score_named(report, "text_use").value, ((0.7 - 0.5) + (0.65 - 0.6)) / 2);
  EXPECT_DOUBLE_EQ(score_named(report, "flow_loss_gain").value, (1.0 + 0.4) / 2);
  EXPECT_DOUBLE_EQ(score_named(report, "flow_loss_gain").items.at("y"), 0.4);
  EXPECT_EQ(score_named(report, "flow_loss").better, "lower");
  EXPECT_EQ(*report.summary.find("validation.update_last"), Value(400));
  input.validation.push_back(input.validation.front());
  EXPECT_THAT(make_report(input).error().message, HasSubstr("two last losses for utterance \"x\""));
}

ReportInput input_with_curve(double target) {
  ReportInput input = small_input();
  for (const auto& [which, update, loss] : {std::tuple{Which::kEarly, 100, 3.0},
                                            {Which::kPeriodic, 200, 1.5},
                                            {Which::kLast, 300, 1.0}}) {
    input.validation.push_back({.id = "x", .which = which, .update = update, .loss = loss});
    input.validation.push_back({.id = "y", .which = which, .update = update, .loss = loss + 0.25});
  }
  input.target_loss = target;
  return input;
}

TEST(Report, AHeldOutLossThatReachesItsTargetGivesTheUpdatesItTook) {
  const Report report = make_report(input_with_curve(2.375)).value();
  const Score& score = score_named(report, "updates_to_target");
  EXPECT_DOUBLE_EQ(score.value, 150);
  EXPECT_EQ(score.better, "lower");
  EXPECT_EQ(score.unit, "updates");
  EXPECT_EQ(score.items.size(), 2U);
  ASSERT_TRUE(score.interval.has_value());
  EXPECT_LT(score.interval->low, 150);
  EXPECT_GT(score.interval->high, 150);
  EXPECT_EQ(*report.summary.find("validation.updates_to_target.says"),
            Value("reached 2.375 after 150 updates, between the measurements at 100 and 200"));
  EXPECT_EQ(to_canonical_json(*report.summary.find("validation.updates_to_target.bracket")),
            "[100,200]");
  EXPECT_EQ(to_canonical_json(*report.summary.find("validation.curve")),
            "[[100,3.125],[200,1.625],[300,1.125]]");
}

TEST(Report, WithoutATargetThereIsACurveAndNoSuchScore) {
  ReportInput input = input_with_curve(2);
  input.target_loss.reset();
  const Report report = make_report(input).value();
  EXPECT_THAT(names(report), testing::Not(testing::Contains("updates_to_target")));
  EXPECT_NE(report.summary.find("validation.curve"), nullptr);
}

TEST(Report, ATargetThatWasNotSeenToBeReachedIsABoundByAnotherName) {
  const Report never = make_report(input_with_curve(0.5)).value();
  EXPECT_THAT(names(never), testing::Not(testing::Contains("updates_to_target")));
  EXPECT_EQ(score_named(never, "updates_to_target/not_within").value, 300);
  EXPECT_TRUE(score_named(never, "updates_to_target/not_within").items.empty());
  EXPECT_FALSE(score_named(never, "updates_to_target/not_within").interval.has_value());
  EXPECT_EQ(never.summary.find("validation.updates_to_target.value"), nullptr);
  EXPECT_THAT(*never.summary.find("validation.updates_to_target.says")->if_string(),
              HasSubstr("never reached 0.5 in 300 updates"));
  const Report before = make_report(input_with_curve(4)).value();
  EXPECT_EQ(score_named(before, "updates_to_target/within").value, 100);
  EXPECT_EQ(to_canonical_json(*before.summary.find("validation.updates_to_target.bracket")),
            "[null,100]");
}

TEST(Report, ATargetReachedBetweenMeasurementsFarApartIsABoundToo) {
  ReportInput input = input_with_curve(2.375);
  std::erase_if(input.validation, [](const auto& v) { return v.which == Which::kPeriodic; });
  const Report report = make_report(input).value();
  EXPECT_THAT(names(report), testing::Not(testing::Contains("updates_to_target")));
  const Score& score = score_named(report, "updates_to_target/within");
  EXPECT_EQ(score.value, 300);
  EXPECT_TRUE(score.items.empty());
  EXPECT_FALSE(score.interval.has_value());
  EXPECT_EQ(report.summary.find("validation.updates_to_target.value"), nullptr);
  EXPECT_EQ(to_canonical_json(*report.summary.find("validation.updates_to_target.bracket")),
            "[100,300]");
  EXPECT_EQ(*report.summary.find("validation.updates_to_target.resamples_in_hole"), Value(1.0));
  EXPECT_THAT(*report.summary.find("validation.updates_to_target.says")->if_string(),
              HasSubstr("within 300 updates and not by 100"));
}

TEST(Report, AnUtteranceIsTheSameAfterItsLine) {
  UtteranceScore score =
      utterance("a1", "generated", {.substitutions = 1, .insertions = 2, .hits = 3}, 1.0 / 3);
  score.hypothesis = "caf\u00E9 \"x\"";
  score.no_speech_prob = 1e-17;
  const auto line = parse_json(to_canonical_json(to_value(score))).value();
  EXPECT_EQ(utterance_score_from(line).value(), score);
  const UtteranceScore bare{.id = "b", .set = "s", .speaker = "", .seconds = 1, .key = "k"};
  EXPECT_EQ(utterance_score_from(to_value(bare)).value(), bare);
}

}  // namespace
}  // namespace strata::evaluator
