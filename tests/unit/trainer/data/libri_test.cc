#include "trainer/data/libri.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/audio/resample.h"
#include "base/sha256.h"
#include "tests/unit/trainer/data/libri_fixture.h"
#include "trainer/sampling/grid.h"

namespace strata::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LibriTts : public LibriFixture {
 protected:
  Object parameters() {
    return {{"kind", "libritts"},
            {"root", (folder_ / "LibriTTS").string()},
            {"rate", 24'000},
            {"heldout", 2}};
  }
};

TEST_F(LibriTts, AllTextsOfTheThreeSetsMakeTheVocabulary) {
  make_tts_tree();
  add_tts("train-clean-360", "14_9_000000_000000", 9'000, "zZ");  // too short to be trained on
  const Corpus corpus = prepared(parameters());
  EXPECT_EQ(corpus.of(Split::kTrain).size(), 10U);
  EXPECT_EQ(corpus.of(Split::kHeldout).size(), 2U);
  EXPECT_EQ(*read_file(folder_ / "corpus" / "vocab.txt"),
            " \n\"\n,\n.\n1\n2\nY\nZ\na\nd\ne\ni\ns\nz\n\xC3\xA9\n");
  // The same with a part of them: the ids of the characters do not depend on how many are used.
  Object few = parameters();
  few.emplace("limit", 3);
  EXPECT_EQ(prepared(few, "few").items.size(), 3U);
  EXPECT_EQ(*read_file(folder_ / "few" / "vocab.txt"), *read_file(folder_ / "corpus/vocab.txt"));
}

TEST_F(LibriTts, ItemsAreTheRecordingsAtTheirOwnRateUnderTheirOwnNames) {
  make_tts_tree();
  const Corpus corpus = prepared(parameters());
  const Item* item = corpus.find("14_1240_000000_000002");
  ASSERT_NE(item, nullptr);
  EXPECT_EQ(item->speaker, "14");
  EXPECT_EQ(item->text, "\"Yes,\" said 1\xC3\xA9.");  // as another one's, and kept
  EXPECT_EQ(item->rate, 24'000);
  EXPECT_EQ(item->samples, 14'000);
  EXPECT_EQ(*read_file(corpus.audio_path(*item)),
            *read_file(folder_ / "LibriTTS/train-clean-360/14/1240/14_1240_000000_000002.wav"));
  EXPECT_EQ(*report().find("rate"), Value(24'000));
  EXPECT_EQ(*report().find("found"),
            Value(Object{{"train-clean-100", 4}, {"train-clean-360", 4}, {"train-other-500", 4}}));
  Object at_16 = parameters();
  at_16.erase("rate");
  const Corpus narrow = prepared(at_16, "narrow");
  EXPECT_EQ(narrow.find(item->id)->rate, 16'000);
  EXPECT_EQ(narrow.find(item->id)->samples, 9'334);  // ceil(14,000 * 2 / 3)
}

TEST_F(LibriTts, FourTenthsOfASecondToThirtyAreUsedAndTheRestIsCounted) {
  make_tts_tree();
  add_tts("train-clean-100", "103_7_000000_000000", 9'600, "just long enough");
  add_tts("train-clean-100", "103_7_000000_000001", 9'599, "a sample less");
  add_tts("train-clean-100", "103_7_000000_000002", 720'000, "just short enough");
  add_tts("train-clean-100", "103_7_000000_000003", 720'001, "a sample more");
  add_tts("train-clean-100", "103_7_000000_000004", 12'000, "");
  add_tts("train-clean-100", "103_7_000000_000005", 0, "Nobody says it.");
  add_tts("train-clean-100", "103_7_000000_000006", 12'000, "An odd [sign] & another *");
  // At 16 kHz a sample less would round to 0.4 s: the recording itself decides.
  Object at_16 = parameters();
  at_16.erase("rate");
  const Corpus corpus = prepared(at_16);
  EXPECT_NE(corpus.find("103_7_000000_000000"), nullptr);
  EXPECT_NE(corpus.find("103_7_000000_000002"), nullptr);
  EXPECT_NE(corpus.find("103_7_000000_000006"), nullptr);
  const Value dropped = *report().find("dropped");
  EXPECT_EQ(dropped.if_object()->size(), 4U);
  for (const auto& [reason, id] :
       std::map<std::string, std::string>{{"too short", "103_7_000000_000001"},
                                          {"too long", "103_7_000000_000003"},
                                          {"no transcript", "103_7_000000_000004"},
                                          {"no audio", "103_7_000000_000005"}}) {
    EXPECT_EQ(dropped.if_object()->at(reason), Value(Object{{"count", 1}, {"examples", Array{id}}}))
        << reason;
  }
}

TEST_F(LibriTts, TreesThatCannotBeReadAreNamed) {
  make_tts_tree();
  Object other = parameters();
  other.insert_or_assign("sets", Array{"train-clean-100", "dev-clean"});
  EXPECT_THAT(refused(other), HasSubstr("LibriTTS/dev-clean"));
  std::filesystem::create_directories(folder_ / "LibriTTS/dev-clean/84");
  EXPECT_THAT(refused(other), HasSubstr("no recording"));
  other.insert_or_assign("sets", Array{"../../etc"});
  EXPECT_THAT(refused(other), HasSubstr("parameters.corpus.sets"));
  add_tts("train-clean-100", "103_7_000000_000000", 12'000, "bad \xff byte");
  EXPECT_THAT(refused(parameters()), HasSubstr("103_7_000000_000000.normalized.txt"));
  add_tts("train-clean-100", "103_7_000000_000000", 12'000, "a\x07 bell");
  EXPECT_THAT(refused(parameters()), HasSubstr("103_7_000000_000000.normalized.txt: the transcript "
                                               "holds the control character 0x7"));
  add_tts("train-clean-100", "103_7_000000_000000", 12'000, "good");
  add_tts("train-other-500", "103_7_000000_000000", 12'000, "good");
  EXPECT_THAT(refused(parameters()), HasSubstr("two recordings share the id 103_7_000000_000000"));
}

class LibriSpeech : public LibriFixture {
 protected:
  void SetUp() override {
    LibriFixture::SetUp();
    for (const std::string number : {"0000", "0001", "0002"})
      add_flac("train-clean-100", "84-121123-" + number, 8'000);
    write(chapter(),
          "84-121123-0000 GO DO YOU HEAR\r\n84-121123-0001 BUT IN LESS\n84-121123-0002 GO DO YOU "
          "HEAR");
  }
  static std::string chapter() {
    return "LibriSpeech/train-clean-100/84/121123/84-121123.trans.txt";
  }
  Object parameters() {
    return {{"kind", "librispeech"},
            {"root", (folder_ / "LibriSpeech").string()},
            {"sets", Array{"train-clean-100"}},
            {"heldout", 0}};
  }
};

TEST_F(LibriSpeech, TranscriptsAreLinesOfTheirChapter) {
  const Corpus corpus = prepared(parameters());
  EXPECT_THAT(ids_in(corpus, Split::kTrain),
              ElementsAre("84-121123-0000", "84-121123-0001", "84-121123-0002"));
  EXPECT_EQ(corpus.items[0].text, "GO DO YOU HEAR");
  EXPECT_EQ(corpus.items[2].text, "GO DO YOU HEAR");
  EXPECT_EQ(corpus.items[0].speaker, "84");
  EXPECT_EQ(corpus.items[0].samples, 8'000);
}

TEST_F(LibriSpeech, BadLinesAreNamedByFileAndNumber) {
  write(chapter(), "84-121123-0000 GO\n84-121123-0001\n");
  EXPECT_THAT(refused(parameters()), HasSubstr("84-121123.trans.txt: line 2: expected the name"));
  write(chapter(), "84-121123-0000 GO\n84-121123-0000 DO\n");
  EXPECT_THAT(refused(parameters()), HasSubstr("84-121123.trans.txt: line 2: the utterance "
                                               "84-121123-0000 has a transcript already"));
  write(chapter(), "84/121123/0000 GO\n");
  EXPECT_THAT(refused(parameters()), HasSubstr("line 1: \"84/121123/0000\" is no name"));
}

// Three targets; the second is the prompt of the third.
class CrossSentence : public LibriFixture {
 protected:
  void SetUp() override {
    LibriFixture::SetUp();
    add_flac("test-clean", "61-1-0000", 40'000);
    add_flac("test-clean", "61-1-0001", 64'000);
    add_flac("test-clean", "61-2-0000", 65'001);
    add_flac("test-clean", "61-2-0001", 80'000);
    write("list.lst",
          "61-1-0000\t2.5\tOh! (he) said\".\t61-1-0001\t4\tAnd [then] he did.\r\n"
          "61-1-0000\t2.5\tOh! (he) said\".\t61-2-0000\t4.062563\tThe same again.\r\n"
          "61-2-0000\t4.062563\tThe same again.\t61-2-0001\t5.0\tThe same again.\r\n");
  }
  Object test() {
    return {{"file", (folder_ / "list.lst").string()},
            {"root", (folder_ / "LibriSpeech/test-clean").string()}};
  }
  Object parameters() {
    Object all = test();
    all.emplace("kind", "librispeech-pc");
    return all;
  }
};

TEST_F(CrossSentence, PromptsAndTargetsAreThoseOfTheFile) {
  const Corpus corpus = prepared(parameters());
  EXPECT_THAT(ids_in(corpus, Split::kHeldout), ElementsAre("61-1-0001", "61-2-0000", "61-2-0001"));
  EXPECT_THAT(ids_in(corpus, Split::kPrompt), ElementsAre("61-1-0000"));
  EXPECT_THAT(corpus.of(Split::kTrain), IsEmpty());
  EXPECT_EQ(corpus.prompts, (std::map<std::string, std::string>{{"61-1-0001", "61-1-0000"},
                                                                {"61-2-0000", "61-1-0000"},
                                                                {"61-2-0001", "61-2-0000"}}));
  EXPECT_EQ(corpus.find("61-1-0000")->text, "Oh! (he) said\".");
  EXPECT_EQ(corpus.find("61-1-0001")->speaker, "61");
  EXPECT_EQ(corpus.find("61-2-0000")->samples, 65'001);
  EXPECT_EQ(*report().find("kept.heldout.count"), Value(3));
  EXPECT_EQ(*report().find("kept.prompt.count"), Value(1));
  EXPECT_EQ(report().find("prompts_from_training"), nullptr);
  EXPECT_THAT(*read_file(folder_ / "corpus/vocab.txt"), HasSubstr("\n(\n)\n"));
}

TEST_F(CrossSentence, APromptWhoseTextIsAnotherOneAsATargetIsAnItemOfItsOwn) {
  add_flac("test-clean", "61-2-0002", 80'000);
  write("list.lst", *read_file(folder_ / "list.lst") +
                        "61-1-0001\t4\tAND THEN he did.\t61-2-0002\t5\tNew.\r\n");
  const Corpus corpus = prepared(parameters());
  EXPECT_THAT(ids_in(corpus, Split::kPrompt), ElementsAre("61-1-0000", "61-1-0001.prompt"));
  EXPECT_EQ(corpus.prompts.at("61-2-0002"), "61-1-0001.prompt");
  EXPECT_EQ(corpus.find("61-1-0001.prompt")->text, "AND THEN he did.");
  EXPECT_EQ(corpus.find("61-1-0001")->text, "And [then] he did.");
  EXPECT_EQ(corpus.find("61-1-0001")->sha256, corpus.find("61-1-0001.prompt")->sha256);
  EXPECT_EQ(corpus.prompts.at("61-2-0001"), "61-2-0000");  // of equal texts
}

TEST_F(CrossSentence, TheyAreTheTestOfACorpusThatIsTrainedOnElsewhere) {
  make_tts_tree();
  Object both{{"kind", "libritts"},
              {"root", (folder_ / "LibriTTS").string()},
              {"rate", 24'000},
              {"test", test()}};
  const Corpus corpus = prepared(both);
  EXPECT_EQ(corpus.of(Split::kTrain).size(), 12U);
  EXPECT_EQ(corpus.of(Split::kHeldout).size(), 3U);
  EXPECT_EQ(corpus.prompts.at("61-2-0001"), "61-2-0000");
  EXPECT_EQ(corpus.find("61-1-0001")->rate, 24'000);
  EXPECT_EQ(corpus.find("61-1-0001")->samples, 96'000);
  // The vocabulary is that of what is trained on.
  EXPECT_THAT(*read_file(folder_ / "corpus/vocab.txt"), Not(HasSubstr("\n(\n")));
  EXPECT_THAT(to_canonical_json(*report().find("unknown_heldout_characters")), HasSubstr("\"[\""));
  both.emplace("heldout", 2);
  EXPECT_THAT(refused(both), HasSubstr("parameters.corpus.heldout: the held-out items are those"));
}

TEST_F(CrossSentence, BadLinesAreNamedByFileAndNumber) {
  const std::string good = *read_file(folder_ / "list.lst");
  const auto error_of = [&](const std::string& line) {
    write("list.lst", good + line);
    return refused(parameters());
  };
  EXPECT_THAT(error_of("61-1-0000\t2.5\tOh\n"), HasSubstr("list.lst: line 4: 3 fields"));
  EXPECT_THAT(error_of("61-1-0000\t2.5\tOh\t61-1-0000\t2.5\tOh\n"),
              HasSubstr("line 4: 61-1-0000 is its own prompt"));
  EXPECT_THAT(error_of("61-1-0001\t4\tAnd [then] he did.\t61-2-0001\t5\tThe same again.\n"),
              HasSubstr("line 4: 61-2-0001 is a target already"));
  add_flac("test-clean", "61-2-0002", 80'000);
  EXPECT_THAT(error_of("61-1-0000\t2.5\tHe said.\t61-2-0002\t5\tNew.\n"),
              HasSubstr("line 4: the text of the prompt 61-1-0000 is not the one that it has in"));
  EXPECT_THAT(error_of("61-1-0000\t2.5\tOh! (he) said\".\t61-9-0000\t5\tNew.\n"),
              HasSubstr("line 4: there is no recording"));
  EXPECT_THAT(error_of("61-1-0000\t2.5\tOh! (he) said\".\t619\t5\tNew.\n"),
              HasSubstr("line 4: \"619\" is no utterance"));
  EXPECT_THAT(error_of("61-1-0000\t2.5\tOh! (he) said\".\t61-9-0000\tlong\tNew.\n"),
              HasSubstr("line 4: \"long\" is no length"));
  add_flac("test-clean", "61-9-0000", 70'000);
  EXPECT_THAT(error_of("61-1-0000\t2.5\tOh! (he) said\".\t61-9-0000\t5\tNew.\n"),
              HasSubstr("line 4: 61-9-0000 should last 5 s"));
  EXPECT_THAT(error_of("61-1-0000\t2.5\tOh! (he) said\".\t61-9-0000\t4.375\t \n"),
              HasSubstr("line 4: 61-9-0000 cannot be used (no transcript)"));
  write("list.lst", "\r\n");
  EXPECT_THAT(refused(parameters()), HasSubstr("holds no line"));
  write("list.lst", good);
  Object pinned = parameters();
  pinned.emplace("sha256", std::string(64, '0'));
  EXPECT_THAT(refused(pinned), HasSubstr(*sha256_file(folder_ / "list.lst")));
}

TEST_F(CrossSentence, TheFirstLineOfTheReferenceGivesItsNumberOfFrames) {
  // 4.355 s at 16 kHz are 69,680 samples, 104,520 at 24 kHz, 408 hops of 256; with 73 bytes of
  // prompt and 110 of target, spaces included, 1022 frames in all.
  add_flac("test-clean", "62-1-0000", 69'680);
  add_flac("test-clean", "62-1-0001", 106'320);
  write("list.lst", "62-1-0000\t4.355\t" + std::string(72, 'p') + "\t62-1-0001\t6.645\t" +
                        std::string(109, 't') + "\r\n");
  Object at_24 = parameters();
  at_24.emplace("rate", 24'000);
  const Corpus corpus = prepared(at_24);
  const Item& prompt = *corpus.find("62-1-0000");
  EXPECT_EQ(prompt.samples, 104'520);
  EXPECT_EQ(prompt.samples / 256, 408);
  EXPECT_EQ(estimated_duration(prompt.samples / 256, prompt.text + " ",
                               " " + corpus.find("62-1-0001")->text),
            1022);
}

}  // namespace
}  // namespace strata::trainer
