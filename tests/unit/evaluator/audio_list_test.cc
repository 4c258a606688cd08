#include "evaluator/audio_list.h"

#include <gmock/gmock.h>

#include "tests/unit/evaluator/scratch_folder.h"

namespace strata::evaluator {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string line(const std::string& id, const std::string& set = "generated") {
  return fmt::format(
             R"({{"id": "{}", "set": "{}", "audio": "{}.wav", "text": "hello", "prompt": null, "speaker": "s", "seconds": 1}})",
             id, set, id) +
         "\n";
}

std::string error_of(const std::string& text, const std::vector<std::string>& sets = {}) {
  const auto rows = parse_audio_list(text, sets);
  return rows ? "no error" : rows.error().message;
}

TEST(AudioList, RowsComeOrderedWhateverTheOrderOfTheLines) {
  const auto rows =
      parse_audio_list("\xEF\xBB\xBF" + line("b") + line("a", "recordings") + "\r\n" + line("a"),
                       {})
          .value();
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].id, "a");
  EXPECT_EQ(rows[1].id, "b");
  EXPECT_EQ(rows[2].set, "recordings");
  EXPECT_FALSE(rows[0].prompt.has_value());
  EXPECT_EQ(
      list_hash(rows),
      list_hash(parse_audio_list(line("a") + line("b") + line("a", "recordings"), {}).value()));
  EXPECT_NE(
      list_hash(rows),
      list_hash(parse_audio_list(line("a") + line("b") + line("c", "recordings"), {}).value()));
}

TEST(AudioList, OnlyTheWantedSetsAreTakenAndEachMustBeThere) {
  EXPECT_EQ(parse_audio_list(line("a") + line("a", "recordings"), {"recordings"}).value().size(),
            1U);
  EXPECT_THAT(error_of(line("a"), {"generated", "other"}), HasSubstr("no row of set \"other\""));
}

TEST(AudioList, EveryWrongLineIsNamed) {
  EXPECT_THAT(error_of(line("a") + "{oops\n"), HasSubstr("list.jsonl:2: "));
  EXPECT_THAT(
      error_of(line("a") + line("a")),
      HasSubstr("list.jsonl:2: utterance \"a\" of set generated is already at list.jsonl:1"));
  EXPECT_THAT(error_of(R"({"id": "a", "audio": "../a.wav"})"),
              HasSubstr("must be a path inside the folder"));
  EXPECT_THAT(error_of(R"({"id": "a", "audio": "/a.wav"})"),
              HasSubstr("must be a path inside the folder"));
  EXPECT_THAT(error_of(R"({"id": "a", "audio": "a.wav", "prompt": "../p.wav"})"),
              HasSubstr("prompt"));
  EXPECT_THAT(error_of(R"({"id": "a", "audio": "a.wav", "texts": "x"})"), HasSubstr("texts"));
  EXPECT_THAT(error_of(R"({"id": "a"})"), HasSubstr("\"audio\" is missing"));
  EXPECT_THAT(error_of(R"({"id": "a", "set": "x/y", "audio": "a.wav"})"),
              HasSubstr("without \"/\""));
  EXPECT_THAT(error_of(""), HasSubstr("no row to score"));
}

TEST(AudioList, SeveralWrongLinesAreNamedTogether) {
  EXPECT_THAT(error_of("{oops\n" + line("a") + R"({"id": "b"})" + "\n" + line("a")),
              AllOf(HasSubstr("list.jsonl: 3 problems:\n  list.jsonl:1: "),
                    HasSubstr("\n  list.jsonl:3: \"audio\" is missing"),
                    HasSubstr("\n  list.jsonl:4: utterance \"a\"")));
}

TEST(AudioList, ValidationLossesMustBeFiniteAndOfAKnownKind) {
  const auto losses =
      parse_validation(
          R"({"id": "a", "update": 9, "which": "early", "loss": 0.5, "loss_permuted": null})")
          .value();
  EXPECT_EQ(losses.front().which, ValidationLoss::Which::kEarly);
  EXPECT_FALSE(losses.front().loss_permuted.has_value());
  EXPECT_THAT(parse_validation(R"({"id": "a", "which": "last", "loss": "NaN"})").error().message,
              HasSubstr("must be finite"));
  EXPECT_THAT(parse_validation(R"({"id": "a", "which": "middle", "loss": 1})").error().message,
              HasSubstr("which"));
  const auto on_the_way =
      parse_validation(R"({"id": "a", "update": 3, "which": "periodic", "loss": 1})");
  EXPECT_EQ(on_the_way.value().front().which, ValidationLoss::Which::kPeriodic);
  EXPECT_FALSE(parse_validation("").has_value());
}

TEST(AudioList, TextsThatAreNotThoseOfTheCorpusAreRefused) {
  const auto rows = parse_audio_list(line("a"), {}).value();
  EXPECT_TRUE(check_texts(rows, R"({"id": "a", "text": "Hello!", "speaker": "s"})", Protocol::kF5)
                  .has_value());
  EXPECT_TRUE(check_texts(rows, R"({"id": "b", "text": "other"})", Protocol::kF5).has_value());
  EXPECT_TRUE(check_texts(rows, R"({"id": "a", "text": ""})", Protocol::kF5).has_value());
  EXPECT_THAT(
      check_texts(rows, R"({"id": "a", "text": "Goodbye."})", Protocol::kF5).error().message,
      AllOf(HasSubstr("list.jsonl:1: "), HasSubstr("do not belong together")));
}

class AudioListFolder : public ScratchFolder {};

TEST_F(AudioListFolder, AMissingRecordingIsNamedWithItsLine) {
  write("list.jsonl", line("b") + line("a"));
  write("a.wav", "x");
  const auto rows = read_audio_list(folder(), {});
  ASSERT_FALSE(rows.has_value());
  EXPECT_EQ(rows.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(rows.error().message, HasSubstr("list.jsonl:1: \"b.wav\" of utterance \"b\""));
}

TEST_F(AudioListFolder, AllMissingFilesAreNamedAtOnceUpToTwenty) {
  std::string text;
  for (int i = 0; i < 25; ++i) text += line(fmt::format("u{}", i));
  text += R"({"id": "p", "audio": "there.wav", "prompt": "away.wav"})"
          "\n";
  write("list.jsonl", text);
  write("there.wav", "x");
  const auto missing = read_audio_list(folder(), {}).error();
  EXPECT_EQ(missing.code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.message, HasSubstr("list.jsonl: 26 problems, the first 20 of them:"));
  EXPECT_THAT(missing.message, HasSubstr("list.jsonl:20: \"u19.wav\""));
  EXPECT_THAT(missing.message, Not(HasSubstr("list.jsonl:21:")));
  for (int i = 0; i < 25; ++i) write(fmt::format("u{}.wav", i), "x");
  EXPECT_THAT(read_audio_list(folder(), {}).error().message,
              HasSubstr("list.jsonl:26: \"away.wav\" of utterance \"p\""));
}

TEST_F(AudioListFolder, ARecordingInAnotherFormatIsPointedOut) {
  write("list.jsonl", line("a"));
  write("a.flac", "x");
  EXPECT_THAT(read_audio_list(folder(), {}).error().message, HasSubstr("(a.flac is there, but"));
}

TEST_F(AudioListFolder, FilesOfSetsThatNobodyWantsNeedNotBeThere) {
  write("list.jsonl", line("a") + line("b", "other"));
  write("a.wav", "x");
  const auto rows = read_audio_list(folder(), {"generated"}).value();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].line, 1U);
  EXPECT_EQ(rows[0].audio_file, folder() / "a.wav");
}

}  // namespace
}  // namespace strata::evaluator
