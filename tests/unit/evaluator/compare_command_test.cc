// `strata-evaluator compare` on the files that `score` leaves.
#include "evaluator/compare_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/files.h"
#include "base/json.h"
#include "evaluator/core/report.h"
#include "tests/unit/evaluator/scratch_folder.h"

namespace strata::evaluator {
namespace {

using ::testing::HasSubstr;

class CompareFiles : public ScratchFolder {
 protected:
  // Twenty utterances of two speakers with ten words each, and a report beside them.
  void write_system(const std::string& name, std::int64_t errors,
                    const std::string& judge = "whisper") {
    const auto attempt = folder() / name;
    ASSERT_TRUE(make_folder(attempt));
    std::string lines;
    std::vector<Score> scores(1);
    scores[0] = {.name = "wer", .unit = "fraction", .count = 20, .better = "lower"};
    for (int i = 0; i < 20; ++i) {
      UtteranceScore u{.id = fmt::format("u{:02}", i), .set = kGeneratedSet, .key = "k"};
      u.speaker = i < 10 ? "ann" : "bob";
      u.reference = u.normalized_reference = "one two three four five six seven eight nine ten";
      u.hypothesis = u.normalized_hypothesis = "...";
      const std::int64_t wrong = errors + i % 3;
      u.words = {.substitutions = wrong, .hits = 10 - wrong};
      u.sim_o = 0.5;
      lines += to_canonical_json(to_value(u)) + "\n";
      u.set = "recordings";
      u.words = {.hits = 10};
      lines += to_canonical_json(to_value(u)) + "\n";
      scores[0].items[u.id] = static_cast<double>(wrong) / 10;
    }
    const Value report =
        Object{{"protocol", Object{{"name", "f5"}, {"version", 1}}},
               {"utterances", 40},
               {"judges",
                Object{{"asr", Object{{"name", judge}, {"version", 1}, {"identity", "abcdef"}}}}}};
    ASSERT_TRUE(write_file_atomic(attempt / "utterances.jsonl", lines));
    ASSERT_TRUE(write_file_atomic(attempt / "report.json", to_pretty_json(report)));
    ASSERT_TRUE(write_file_atomic(attempt / "scores.json", to_pretty_json(scores_value(scores))));
  }
  [[nodiscard]] Result<std::string> compare(const std::string& a, const std::string& b,
                                            CompareOptions options = {}) const {
    options.bootstrap.resamples = 200;
    return compare_files(folder() / a, folder() / b, options);
  }
};

TEST_F(CompareFiles, TellsTheSameOfAFolderAndOfTheFilesInIt) {
  write_system("a", 2);
  write_system("b", 1);
  const std::string whole = compare("a", "b", {.json = true}).value();
  EXPECT_EQ(compare("a/report.json", "b/utterances.jsonl", {.json = true}).value(), whole);
  const Value value = parse_json(whole).value();
  const Array& scores = *value.find("scores")->if_array();
  ASSERT_EQ(scores.size(), 3U);
  EXPECT_EQ(*scores[0].find("name"), Value("sim_o"));
  EXPECT_EQ(*scores[0].find("says"), Value("inside the noise"));
  EXPECT_EQ(*scores[2].find("name"), Value("wer_corpus"));
  EXPECT_EQ(*scores[2].find("says"), Value("B is better"));
  EXPECT_NEAR(scores[2].find("b_minus_a")->to_double().value(), -0.1, 1e-12);
  EXPECT_EQ(*scores[2].find("speakers"), Value(2));
  const std::string text = compare("a", "b").value();
  EXPECT_THAT(text, HasSubstr("protocol f5@1"));
  EXPECT_THAT(text, HasSubstr("-0.10000"));
}

TEST_F(CompareFiles, ReadsScoresFilesToo) {
  write_system("a", 2);
  write_system("b", 1);
  const Value value =
      parse_json(compare("a/scores.json", "b/scores.json", {.json = true}).value()).value();
  const Array& scores = *value.find("scores")->if_array();
  ASSERT_EQ(scores.size(), 1U);
  EXPECT_NEAR(scores[0].find("b_minus_a")->to_double().value(), -0.1, 1e-12);
  EXPECT_EQ(scores[0].find("speakers"), nullptr);
}

TEST_F(CompareFiles, OfAnotherSet) {
  write_system("a", 2);
  write_system("b", 1);
  EXPECT_THAT(compare("a", "b", {.set = "recordings"}).value(), HasSubstr("inside the noise"));
  EXPECT_THAT(compare("a", "b", {.set = "early"}).error().message,
              HasSubstr(R"(has no scores of the set "early")"));
}

TEST_F(CompareFiles, OfAScoresFileTakesTheScoresOfThatSetAlone) {
  std::string scores;
  for (const char* name : {"wer", "wer/y", "wer/x/y", "a_score_with_a_long_name/y"})
    scores += fmt::format(
        R"({}{{"name": "{}", "unit": "u", "better": "lower", "count": 2, "value": 1, "items": {{"p": 1, "q": 1}}}})",
        scores.empty() ? "" : ",", name);
  ASSERT_TRUE(write_file_atomic(folder() / "s.json", "{\"scores\": [" + scores + "]}"));
  const Value value =
      parse_json(compare("s.json", "s.json", {.set = "y", .json = true}).value()).value();
  const Array& found = *value.find("scores")->if_array();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(*found[0].find("name"), Value("a_score_with_a_long_name"));
  EXPECT_EQ(*found[1].find("name"), Value("wer"));
  // Every column stays under its head.
  std::istringstream lines(compare("s.json", "s.json", {.set = "y"}).value());
  std::vector<std::size_t> ends;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("+0.00000 ..") != std::string::npos) ends.push_back(line.find("+0.00000 .."));
  }
  ASSERT_EQ(ends.size(), 2U);
  EXPECT_EQ(ends[0], ends[1]);
}

TEST_F(CompareFiles, WhatCannotBeReadIsNamed) {
  write_system("a", 2);
  EXPECT_EQ(compare("a", "nowhere").error().code, ErrorCode::kNotFound);
  write_system("b", 1, "another");
  EXPECT_THAT(compare("a", "b").error().message, HasSubstr("figures of two judges"));
  const auto lines = folder() / "b/utterances.jsonl";
  const std::string whole = read_file(lines).value();
  ASSERT_TRUE(write_file_atomic(lines, whole + "{\"id\": 3}\n"));
  EXPECT_THAT(compare("a", "b").error().message, HasSubstr("utterances.jsonl:41"));
  ASSERT_TRUE(write_file_atomic(lines, whole + whole.substr(0, whole.find('\n') + 1)));
  EXPECT_THAT(compare("a", "b").error().message, HasSubstr("is there twice"));
  // As a run leaves it that scores the folder anew and was stopped.
  ASSERT_TRUE(write_file_atomic(lines, whole.substr(0, whole.find('\n') + 1)));
  EXPECT_THAT(compare("a", "b").error().message, HasSubstr("has not ended"));
  const auto report = folder() / "b/report.json";
  ASSERT_TRUE(write_file_atomic(report, R"({"protocol": {"name": 7, "version": 1}})"));
  EXPECT_THAT(compare("a", "b").error().message, HasSubstr("report.json: protocol"));
  ASSERT_TRUE(write_file_atomic(report, "{"));
  EXPECT_THAT(compare("a", "b").error().message, HasSubstr(report.string()));
  ASSERT_TRUE(write_file_atomic(folder() / "c.json", "[1]"));
  EXPECT_THAT(compare("a", "c.json").error().message, HasSubstr("no list \"scores\""));
}

}  // namespace
}  // namespace strata::evaluator
