#include "trainer/data/flite_digits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <set>

#include "tests/unit/trainer/data/corpus_fixture.h"
#include "trainer/data/manifest.h"

namespace strata::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(DigitTexts, DigitsAreSpelledAsWordsThatASpaceSeparates) {
  EXPECT_EQ(spell_digits("4710"), "four seven one zero");
  EXPECT_EQ(spell_digits("235689"), "two three five six eight nine");
}

TEST(DigitTexts, StringsAreDifferentAndEveryLengthIsAboutAsOften) {
  const auto drawn = draw_digits(900, 3, 5, 1);
  EXPECT_THAT(drawn, SizeIs(900));
  EXPECT_THAT(std::set<std::string>(drawn.begin(), drawn.end()), SizeIs(900));
  std::map<std::size_t, int> of_length;
  std::map<char, int> of_digit;
  for (const std::string& digits : drawn) {
    ++of_length[digits.size()];
    for (const char digit : digits) ++of_digit[digit];
  }
  ASSERT_THAT(of_length, SizeIs(3));
  ASSERT_THAT(of_digit, SizeIs(10));
  for (const auto& [length, count] : of_length) EXPECT_NEAR(count, 300, 60) << length;
  for (const auto& [digit, count] : of_digit) EXPECT_NEAR(count, 360, 90) << digit;
}

TEST(DigitTexts, EveryStringThereIsCanBeDrawn) {
  EXPECT_EQ(possible_strings(1, 2), 110);
  EXPECT_EQ(possible_strings(3, 5), 111'000);
  const auto all = draw_digits(110, 1, 2, 7);
  const std::set<std::string> unique(all.begin(), all.end());
  EXPECT_THAT(unique, SizeIs(110));
  EXPECT_TRUE(unique.contains("0"));
  EXPECT_TRUE(unique.contains("99"));
}

TEST(DigitTexts, TheSeedDecidesThemAndMoreBeginWithTheSame) {
  EXPECT_EQ(draw_digits(50, 2, 4, 3), draw_digits(50, 2, 4, 3));
  EXPECT_NE(draw_digits(50, 2, 4, 3), draw_digits(50, 2, 4, 4));
  const auto few = draw_digits(20, 2, 4, 3);
  const auto many = draw_digits(50, 2, 4, 3);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
}

TEST(FliteVoices, AreReadFromWhatTheProgramLists) {
  EXPECT_THAT(parse_voices("Voices available: kal awb_time kal16 awb rms slt \n"),
              ElementsAre("awb", "awb_time", "kal", "kal16", "rms", "slt"));
  EXPECT_TRUE(parse_voices("flite: no such option\n").empty());
}

Object corpus_of(Array voices, int utterances, Array digits = Array{1, 2}) {
  return Object{{"kind", "flite-digits"},
                {"voices", std::move(voices)},
                {"others", Array{"rms"}},
                {"digits", std::move(digits)},
                {"utterances", utterances},
                {"text_seed", 1},
                {"version", "2.2-5"},
                {"seconds", Array{0.3, 6.0}},
                {"heldout", 4},
                {"references_each", 2},
                {"limit", Value()}};
}

class DigitsFixture : public CorpusFixture {
 protected:
  StageSpec spec(Object corpus, const std::string& output = "one") {
    StageSpec made;
    made.parameters = Object{{"corpus", std::move(corpus)}};
    made.outputs.emplace("corpus", folder_ / output);
    return made;
  }
  std::string refusal(Object corpus) {
    const auto code = run_prepare(spec(std::move(corpus)));
    EXPECT_FALSE(code.has_value());
    if (code.has_value()) return "";
    EXPECT_EQ(exit_code_of(code.error()), exit_code::kInvalid) << code.error().message;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "one" / "manifest.jsonl"));
    return code.error().message;
  }
};

// Packages and voices are played by programs in front of the real ones.
class PrepareDigits : public DigitsFixture {
 protected:
  void SetUp() override {
    DigitsFixture::SetUp();
    path_before_ = std::getenv("PATH");
    std::filesystem::create_directories(folder_ / "bin");
    play("dpkg-query", "printf 'installed 2.2-5'");
    // Every recording is 4 s of the same tone, but for a few samples that are the voice and the
    // text.
    ASSERT_TRUE(write_wav(folder_ / "sound.wav", tone(300, 4, 8'000), 8'000).has_value());
    play("flite",
         "case \"$1\" in -lv) echo 'Voices available: slt rms awb '; exit 0;; esac\n"
         "[ \"$4\" != 'six six' ] || exit 9\n"
         "cp '" +
             (folder_ / "sound.wav").string() +
             "' \"$6\"\nprintf '%s %s' \"$2\" \"$4\" |"
             " dd of=\"$6\" bs=1 seek=1000 conv=notrunc status=none");
    setenv("PATH", ((folder_ / "bin").string() + ":" + path_before_).c_str(), 1);
  }
  void TearDown() override {
    setenv("PATH", path_before_.c_str(), 1);
    DigitsFixture::TearDown();
  }
  void play(const std::string& program, const std::string& script) {
    ASSERT_TRUE(write_file_atomic(folder_ / "bin" / program, "#!/bin/sh\n" + script + "\n", 0755)
                    .has_value());
  }
  std::string path_before_;
};

TEST_F(PrepareDigits, HeldOutTextsAreNeverTrainedOnAndPromptsAreOfTheSameVoice) {
  const auto code = run_prepare(spec(corpus_of(Array{"slt", "awb"}, 20, Array{3, 3})));
  ASSERT_TRUE(code.has_value()) << code.error().message;
  const auto corpus = read_corpus(folder_ / "one");
  ASSERT_TRUE(corpus.has_value()) << corpus.error().message;
  std::set<std::string> trained;
  for (const Item* item : corpus->of(Split::kTrain)) trained.insert(item->text);
  EXPECT_THAT(trained, SizeIs(36));
  ASSERT_THAT(corpus->of(Split::kHeldout), SizeIs(4));
  for (const Item* item : corpus->of(Split::kHeldout)) {
    EXPECT_FALSE(trained.contains(item->text)) << item->id;
    const Item* prompt = corpus->find(corpus->prompts.at(item->id));
    EXPECT_EQ(prompt->speaker, item->speaker);
    EXPECT_NE(prompt->text, item->text);
  }
  ASSERT_THAT(corpus->of(Split::kReference), SizeIs(2));
  for (const Item* item : corpus->of(Split::kReference)) EXPECT_EQ(item->speaker, "rms");
  for (const Item& item : corpus->items) {
    EXPECT_EQ(item.id.substr(0, 3), item.speaker);
    EXPECT_EQ(item.text, spell_digits(item.id.substr(4)));
    EXPECT_EQ(item.samples, 4 * kCorpusRate);
  }
  const auto report = parse_json(*read_file(folder_ / "one" / "report.json"));
  EXPECT_EQ(*report->find("packages.flite")->if_string(), "2.2-5");
  EXPECT_EQ(*report->find("packages.libflite1")->if_string(), "2.2-5");
  EXPECT_FALSE(std::filesystem::exists("scratch"));
  EXPECT_THAT(*read_file("progress.jsonl"), HasSubstr("\"step\":84,\"total\":84"));
}

TEST_F(PrepareDigits, TheSplitSeedChoosesWhoIsHeldOutAndTheTextSeedWhatIsSaid) {
  const auto ids = [&](const char* output, const char* key, std::optional<Split> split = {}) {
    Object corpus = corpus_of(Array{"slt"}, 20);
    if (key[0] != 0) corpus[key] = 2;
    EXPECT_TRUE(run_prepare(spec(corpus, output)).has_value());
    std::set<std::string> found;
    const auto made = read_corpus(folder_ / output);
    for (const Item& item : made->items) {
      if (item.split == split.value_or(item.split)) found.insert(item.id);
    }
    return found;
  };
  EXPECT_EQ(ids("a", ""), ids("b", "split_seed"));
  EXPECT_NE(ids("a", "", Split::kHeldout), ids("b", "split_seed", Split::kHeldout));
  EXPECT_NE(ids("a", ""), ids("c", "text_seed"));
}

TEST_F(PrepareDigits, WhatIsTooLongIsDroppedAndReported) {
  Object corpus = corpus_of(Array{"slt"}, 20);
  corpus["seconds"] = Array{0.3, 3.9};
  EXPECT_THAT(refusal(corpus), HasSubstr("0 usable recordings of 0.3 to 3.9 s"));
  corpus["seconds"] = Array{0.3, 4.0};
  corpus["limit"] = 10;
  ASSERT_TRUE(run_prepare(spec(corpus)).has_value());
  const auto report = parse_json(*read_file(folder_ / "one" / "report.json"));
  EXPECT_EQ(report->find("dropped.over the limit.count")->if_number()->to_integer(), 10);
}

TEST_F(PrepareDigits, WrongParametersAreNamedWithWhatToDo) {
  EXPECT_THAT(
      refusal(corpus_of(Array{"slt", "bob"}, 20)),
      HasSubstr("parameters.corpus.voices: flite has no voice \"bob\" built in; it has awb, "
                "rms, slt"));
  EXPECT_THAT(refusal(corpus_of(Array{"slt", "rms"}, 20)), HasSubstr("parameters.corpus.others"));
  EXPECT_THAT(refusal(corpus_of(Array{"slt", "slt"}, 20)), HasSubstr("each voice once"));
  EXPECT_THAT(refusal(corpus_of(Array{}, 20)), HasSubstr("parameters.corpus.voices"));
  EXPECT_THAT(refusal(corpus_of(Array{"slt", "awb"}, 56)),
              HasSubstr("112 different strings of 1 to 2 digits are wanted"));
  EXPECT_THAT(refusal(corpus_of(Array{"slt"}, 0)), HasSubstr("parameters.corpus.utterances"));
  for (const Array& digits : {Array{0, 2}, Array{3, 2}, Array{1, 13}, Array{1}})
    EXPECT_THAT(refusal(corpus_of(Array{"slt"}, 20, digits)),
                HasSubstr("parameters.corpus.digits"));
  Object many = corpus_of(Array{"slt"}, 20);
  many["heldout"] = 20;
  EXPECT_THAT(refusal(many), HasSubstr("none is left to train on"));
}

TEST_F(PrepareDigits, AMissingPackageOrAnotherVersionSaysWhatToDo) {
  play("dpkg-query", "printf 'installed 2.3-1'");
  EXPECT_THAT(refusal(corpus_of(Array{"slt"}, 20)),
              HasSubstr("flite has version 2.3-1, the corpus is pinned to 2.2-5"));
  play("dpkg-query", "exit 1");
  EXPECT_THAT(refusal(corpus_of(Array{"slt"}, 20)),
              HasSubstr("flite is not installed: run 'scripts/bootstrap run'"));
}

TEST_F(PrepareDigits, AFailureOfFliteNamesTheText) {
  const auto code = run_prepare(spec(corpus_of(Array{"slt"}, 110)));
  ASSERT_FALSE(code.has_value());
  EXPECT_EQ(code.error().message, "flite speaking \"six six\" as slt: exit code 9");
  EXPECT_EQ(exit_code_of(code.error()), exit_code::kFailed);
}

}  // namespace
}  // namespace strata::trainer
