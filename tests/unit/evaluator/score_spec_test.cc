#include "evaluator/score_spec.h"

#include <gmock/gmock.h>

#include "base/json.h"

namespace strata::evaluator {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Value spec_with(const std::string& parameters) {
  return parse_json(
             R"({"contract": 1, "task": "9f", "stage": "score", "attempt": 1, "seed": 3, "slots": 1, "ranks": 1, "threads": 2,
    "inputs": {"audio": "/in/audio", "corpus": "/in/corpus"}, "outputs": {"report": "/out/report"}, "models": "/models",
    "resume": null, "parameters": )" +
             parameters + "}")
      .value();
}

TEST(ScoreSpec, EveryFieldIsRead) {
  const auto spec =
      parse_score_spec(
          spec_with(R"({"protocol": "seed-tts", "sets": ["generated"], "seed": 7, "resamples": 100,
    "judges": {"asr": {"name": "whisper-base", "identity": "abc"}, "mos": {"name": "toy"}}})"),
          "spec.json")
          .value();
  EXPECT_EQ(spec.protocol.protocol, Protocol::kSeedTts);
  EXPECT_THAT(spec.sets, ElementsAre("generated"));
  EXPECT_EQ(spec.bootstrap.seed, 7U);
  EXPECT_EQ(spec.bootstrap.resamples, 100);
  EXPECT_EQ(spec.asr.value().identity, "abc");
  EXPECT_EQ(spec.mos.value().name, "toy");
  EXPECT_FALSE(spec.speaker.has_value());
  EXPECT_EQ(spec.threads, 2);
  EXPECT_EQ(spec.audio, "/in/audio");
  EXPECT_EQ(spec.corpus.value(), "/in/corpus");
  EXPECT_FALSE(spec.validation.has_value());
  EXPECT_FALSE(spec.resume.has_value());
}

TEST(ScoreSpec, ParametersMayStandUnderScore) {
  const auto spec =
      parse_score_spec(spec_with(R"({"score": {"resamples": 50}})"), "spec.json").value();
  EXPECT_EQ(spec.bootstrap.resamples, 50);
  EXPECT_EQ(spec.bootstrap.seed, 12345U);
  EXPECT_EQ(spec.protocol.name, "f5");
}

TEST(ScoreSpec, ATargetOfTheHeldOutLossIsANumberAboveZeroOrAbsent) {
  const auto read = [](const std::string& parameters) {
    return parse_score_spec(spec_with(parameters), "spec.json");
  };
  EXPECT_EQ(read(R"({"target_loss": 0.7})").value().target_loss, 0.7);
  EXPECT_FALSE(read(R"({"target_loss": null})").value().target_loss.has_value());
  EXPECT_FALSE(read("{}").value().target_loss.has_value());
  EXPECT_THAT(read(R"({"target_loss": 0})").error().message,
              HasSubstr("target_loss: must be above 0"));
}

TEST(ScoreSpec, WhatIsWrongIsNamedWithItsPath) {
  const auto error_of = [](const std::string& parameters) {
    return parse_score_spec(spec_with(parameters), "spec.json").error().message;
  };
  EXPECT_THAT(error_of(R"({"protocol": "f6"})"),
              HasSubstr("spec.json: parameters.protocol: there is no protocol \"f6\""));
  EXPECT_THAT(error_of(R"({"resamples": 0})"), HasSubstr("resamples"));
  EXPECT_THAT(error_of(R"({"judges": {"wer": {"name": "x"}}})"), HasSubstr("wer"));
  EXPECT_THAT(error_of(R"({"judges": {"asr": {"name": "../x"}}})"), HasSubstr("not a path"));
  EXPECT_THAT(error_of(R"({"judges": {"asr": {}}})"), HasSubstr("judges.asr: \"name\" is missing"));
  EXPECT_THAT(error_of(R"({"beam": 5})"), HasSubstr("beam"));
  const auto old = parse_score_spec(
      parse_json(R"({"contract": 2, "inputs": {}, "outputs": {}, "parameters": {}})").value(), "s");
  EXPECT_THAT(old.error().message, HasSubstr("this program keeps version 1"));
}

}  // namespace
}  // namespace strata::evaluator
