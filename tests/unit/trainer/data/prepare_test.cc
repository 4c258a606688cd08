#include "trainer/data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/audio/audio_file.h"
#include "base/sha256.h"
#include "tests/unit/trainer/data/corpus_fixture.h"
#include "trainer/data/manifest.h"
#include "trainer/data/tokenizer.h"

namespace strata::trainer {
namespace {

using ::testing::HasSubstr;

class PrepareList : public CorpusFixture {};

TEST_F(PrepareList, WritesWavsManifestVocabularyPairsAndReport) {
  const auto folder = make_corpus(6, 2);
  const auto corpus = read_corpus(folder);
  ASSERT_TRUE(corpus.has_value()) << corpus.error().message;
  EXPECT_EQ(corpus->of(Split::kTrain).size(), 4U);
  EXPECT_EQ(corpus->of(Split::kHeldout).size(), 2U);
  EXPECT_EQ(corpus->of(Split::kReference).size(), 2U);
  EXPECT_EQ(corpus->prompts.size(), 2U);
  for (const Item& item : corpus->items) {
    const auto audio = read_audio(corpus->audio_path(item));
    ASSERT_TRUE(audio.has_value());
    EXPECT_EQ(audio->rate, kCorpusRate);
    EXPECT_EQ(std::ssize(audio->samples), item.samples);
    EXPECT_EQ(*sha256_file(corpus->audio_path(item)), item.sha256);
  }
  EXPECT_TRUE(read_file(folder / "vocab.txt")->starts_with(" \n"));
  EXPECT_EQ(parse_json(*read_file(folder / "report.json"))
                ->find("kept.train.count")
                ->if_number()
                ->to_integer(),
            4);
  const std::string progress = *read_file("progress.jsonl");
  EXPECT_THAT(progress, HasSubstr("\"step\":8,\"total\":8"));
}

TEST_F(PrepareList, TheSameRecordingsGiveTheSameBytes) {
  const auto list = write_list(6);
  ASSERT_TRUE(run_prepare(prepare_spec(list, "one")).has_value());
  ASSERT_TRUE(run_prepare(prepare_spec(list, "two")).has_value());
  const auto one = all_files(folder_ / "one");
  EXPECT_EQ(one.size(), 8U + 4U);
  EXPECT_EQ(one, all_files(folder_ / "two"));
}

TEST_F(PrepareList, ATabSeparatedListWithCrLfReadsAsWell) {
  write_list(6);
  std::string tsv;
  for (int i = 0; i < 6; ++i)
    tsv += "clip" + std::to_string(i) + ".wav\tText " + std::string(1, static_cast<char>('a' + i)) +
           "\tann\r\n";
  ASSERT_TRUE(write_file_atomic(folder_ / "source" / "list.tsv", tsv).has_value());
  const auto code = run_prepare(prepare_spec(folder_ / "source" / "list.tsv"));
  ASSERT_TRUE(code.has_value()) << code.error().message;
  const auto corpus = read_corpus(folder_ / "corpus");
  EXPECT_EQ(corpus->find("clip3")->text, "Text d");
  EXPECT_EQ(corpus->find("clip3")->speaker, "ann");
}

TEST_F(PrepareList, AHashThatIsNotTheListsIsRefusedAndTheRightOneIsSaid) {
  const auto list = write_list(6);
  auto spec = prepare_spec(list);
  ASSERT_TRUE(spec.parameters.set("corpus.sha256", std::string(64, '0')).has_value());
  const auto refused = run_prepare(spec);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(refused.error().message, HasSubstr(*sha256_file(list)));
  ASSERT_TRUE(spec.parameters.set("corpus.sha256", *sha256_file(list)).has_value());
  EXPECT_TRUE(run_prepare(spec).has_value());
}

TEST_F(PrepareList, TheSameSoundOnBothSidesOfTheSplitIsRefusedByName) {
  const auto list = write_list(6);
  for (int i = 1; i < 6; ++i) {
    std::filesystem::copy_file(folder_ / "source" / "clip0.wav",
                               folder_ / "source" / ("clip" + std::to_string(i) + ".wav"),
                               std::filesystem::copy_options::overwrite_existing);
  }
  const auto refused = run_prepare(prepare_spec(list));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(refused.error().message, HasSubstr("2 held-out recordings are the same sound"));
  EXPECT_THAT(refused.error().message, HasSubstr("clip"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "corpus" / "manifest.jsonl"));
}

TEST_F(PrepareList, PromptsFromTrainingStandInTheReport) {
  const auto list = write_list(6);
  ASSERT_TRUE(run_prepare(prepare_spec(list, "pair", 2)).has_value());
  EXPECT_EQ(parse_json(*read_file(folder_ / "pair/report.json"))->find("prompts_from_training"),
            nullptr);
  ASSERT_TRUE(run_prepare(prepare_spec(list, "alone", 1)).has_value());
  EXPECT_EQ(*parse_json(*read_file(folder_ / "alone/report.json"))->find("prompts_from_training"),
            Value(1));
}

TEST_F(PrepareList, WrongSpecsAndBrokenRecordingsAreNamed) {
  const auto list = write_list(6);
  auto spec = prepare_spec(list);
  ASSERT_TRUE(spec.parameters.set("corpus.colour", "red").has_value());
  EXPECT_THAT(run_prepare(spec).error().message, HasSubstr("colour"));
  spec = prepare_spec(list);
  ASSERT_TRUE(spec.parameters.set("corpus.seconds", Array{4, 1}).has_value());
  EXPECT_THAT(run_prepare(spec).error().message, HasSubstr("parameters.corpus.seconds"));
  spec = prepare_spec(list);
  ASSERT_TRUE(spec.parameters.set("corpus.kind", "radio").has_value());
  EXPECT_THAT(run_prepare(spec).error().message, HasSubstr("asterisk"));
  EXPECT_EQ(run_prepare(prepare_spec(folder_ / "none.jsonl")).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(write_file_atomic(folder_ / "source" / "clip0.wav", "garbage").has_value());
  EXPECT_THAT(run_prepare(prepare_spec(list)).error().message, HasSubstr("clip0.wav"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "corpus" / "manifest.jsonl"));
}

// Lines of the user's over the tones of write_list: clip0 to clip7, 0.6 to 0.9 s each.
class PrepareLines : public CorpusFixture {
 protected:
  StageSpec spec_of(const std::vector<std::string>& lines, const Object& more = {}) {
    write_list(6);
    EXPECT_TRUE(write_file_atomic(folder_ / "source" / "own.jsonl",
                                  fmt::format("{}\n", fmt::join(lines, "\n")))
                    .has_value());
    Object corpus{{"kind", "list"},
                  {"file", (folder_ / "source" / "own.jsonl").string()},
                  {"seconds", Array{0.5, 2.0}}};
    corpus.insert(more.begin(), more.end());
    StageSpec spec;
    spec.parameters = Object{{"corpus", std::move(corpus)}};
    spec.outputs.emplace("corpus", folder_ / "corpus");
    return spec;
  }
  Corpus prepared(const StageSpec& spec) {
    const auto code = run_prepare(spec);
    EXPECT_TRUE(code.has_value()) << code.error().message;
    return code ? *read_corpus(folder_ / "corpus") : Corpus{};
  }
  std::string refused(const StageSpec& spec) {
    const auto code = run_prepare(spec);
    EXPECT_FALSE(code.has_value());
    return code ? "" : code.error().message;
  }
};

TEST_F(PrepareLines, SayTheirSplitsAndPrompts) {
  const Corpus corpus = prepared(spec_of({
      R"({"audio": "clip0.wav", "text": "a", "split": "train"})",
      R"({"audio": "clip1.wav", "text": "b", "split": "train"})",
      R"({"audio": "clip2.wav", "text": "c", "split": "heldout", "prompt": "clip1"})",
      R"({"audio": "clip3.wav", "text": "d", "split": "heldout", "prompt": "clip2"})",
      R"({"audio": "clip4.wav", "text": "e", "split": "heldout"})",
      R"({"audio": "clip5.wav", "text": "f", "split": "prompt"})",
      R"({"audio": "clip6.wav", "split": "reference", "speaker": "bob"})",
      R"({"audio": "clip7.wav", "reference": true, "speaker": "bob"})",
  }));
  EXPECT_EQ(corpus.of(Split::kTrain).size(), 2U);
  EXPECT_EQ(corpus.of(Split::kReference).size(), 2U);
  EXPECT_EQ(corpus.of(Split::kPrompt).front()->id, "clip5");
  EXPECT_EQ(corpus.prompts, (std::map<std::string, std::string>{
                                {"clip2", "clip1"}, {"clip3", "clip2"}, {"clip4", "clip5"}}));
  EXPECT_EQ(*parse_json(*read_file(folder_ / "corpus/report.json"))->find("prompts_from_training"),
            Value(1));
}

TEST_F(PrepareLines, SplitsAndPromptsThatCannotBeAreNamed) {
  const std::string train = R"({"audio": "clip0.wav", "text": "a", "split": "train"})";
  const std::string held = R"({"audio": "clip1.wav", "text": "b", "split": "heldout"})";
  EXPECT_THAT(refused(spec_of({train, R"({"audio": "clip2.wav", "text": "b"})"})),
              HasSubstr("own.jsonl: entry 2: clip2 says no split"));
  EXPECT_THAT(refused(spec_of({train, held}, {{"heldout", 1}})),
              HasSubstr("parameters.corpus.heldout: the list"));
  EXPECT_THAT(
      refused(spec_of({held, R"({"audio": "clip2.wav", "text": "c", "split": "heldout"})"})),
      HasSubstr("none is left to train on"));
  const auto prompted = [&](const std::string& prompt) {
    return refused(spec_of(
        {train,
         R"({"audio": "clip3.wav", "text": "c", "split": "heldout", "prompt": ")" + prompt + "\"}",
         R"({"audio": "none.wav", "text": "d", "split": "prompt"})"}));
  };
  EXPECT_THAT(prompted("nobody"), HasSubstr("entry 2: the prompt nobody of clip3: there is no"));
  EXPECT_THAT(prompted("clip3"), HasSubstr("its own prompt"));
  EXPECT_THAT(prompted("none"), HasSubstr("that recording was left out (no audio)"));
  EXPECT_THAT(refused(spec_of({R"({"audio": "clip0.wav", "text": "a", "prompt": "clip1"})"})),
              HasSubstr("only an item with the split heldout has one"));
  EXPECT_THAT(refused(spec_of({R"({"audio": "clip0.wav", "text": "a", "split": "dev"})"})),
              HasSubstr("heldout"));
}

TEST_F(PrepareLines, ATextMayBeAListOfTokensOfAGivenVocabulary) {
  ASSERT_TRUE(write_file_atomic(folder_ / "tokens.txt", " \r\nni3\r\nhao3\r\n!").has_value());
  Object pinyin{{"tokenizer", "pinyin"}, {"vocabulary", (folder_ / "tokens.txt").string()}};
  const std::vector<std::string> lines{
      R"({"audio": "clip0.wav", "text": ["ni3", " ", "hao3"], "split": "train"})",
      R"({"audio": "clip1.wav", "text": "\u4f60", "tokens": ["ni3", "?"], "split": "train"})",
      R"({"audio": "clip2.wav", "text": "!b", "split": "heldout", "prompt": "clip1"})"};
  const Corpus corpus = prepared(spec_of(lines, pinyin));
  EXPECT_EQ(corpus.find("clip0")->text, "ni3 hao3");
  EXPECT_EQ(corpus.find("clip0")->tokens, (std::vector<std::string>{"ni3", " ", "hao3"}));
  EXPECT_EQ(corpus.find("clip1")->text, "\xE4\xBD\xA0");
  const auto vocabulary = Vocabulary::load(folder_ / "corpus/vocab.txt");
  ASSERT_TRUE(vocabulary.has_value()) << vocabulary.error().message;
  EXPECT_EQ(vocabulary->tokenizer(), Tokenizer::kPinyin);
  EXPECT_EQ(token_ids(*vocabulary, *corpus.find("clip0")), (std::vector<std::int64_t>{1, 0, 2}));
  EXPECT_EQ(token_ids(*vocabulary, *corpus.find("clip2")), (std::vector<std::int64_t>{3, 0}));
  const Value report = *parse_json(*read_file(folder_ / "corpus/report.json"));
  EXPECT_EQ(*report.find("tokenizer"), Value("pinyin"));
  EXPECT_EQ(*report.find("unknown_training_tokens"), Value(Array{"?"}));
  EXPECT_EQ(*report.find("unknown_heldout_characters"), Value(Array{"b"}));

  pinyin.emplace("vocabulary_sha256", std::string(64, '0'));
  EXPECT_THAT(refused(spec_of(lines, pinyin)), HasSubstr("corpus.vocabulary_sha256"));
  EXPECT_THAT(refused(spec_of(lines, {{"tokenizer", "custom"}})),
              HasSubstr("the tokenizer custom needs a file"));
  EXPECT_THAT(refused(spec_of(lines, {{"tokenizer", "words"}})), HasSubstr("pinyin"));
  EXPECT_THAT(refused(spec_of({R"({"audio": "clip0.wav", "text": ["a"], "tokens": ["b"]})"})),
              HasSubstr("entry 1.tokens"));
}

TEST_F(PrepareLines, BytesNeedNoVocabularyAndAnyTextMayBeKept) {
  const std::vector<std::string> lines{R"({"audio": "clip0.wav", "text": "An odd [sign] & a *"})",
                                       R"({"audio": "clip1.wav", "text": "Said twice."})",
                                       R"({"audio": "clip2.wav", "text": "Said twice."})",
                                       R"({"audio": "clip3.wav", "text": " "})"};
  EXPECT_EQ(prepared(spec_of(lines, {{"heldout", 0}})).items.size(), 1U);
  const Corpus all =
      prepared(spec_of(lines, {{"heldout", 0}, {"texts", "any"}, {"tokenizer", "byte"}}));
  EXPECT_EQ(all.items.size(), 3U);
  EXPECT_EQ(*read_file(folder_ / "corpus/vocab.txt"), "#tokenizer byte\n");
}

TEST_F(PrepareLines, TheRateIsThatOfTheCorpusWhereRecordingsHoldMoreThan16Khz) {
  const Corpus corpus = prepared(
      spec_of({R"({"audio": "clip0.wav", "text": "a"})", R"({"audio": "clip1.wav", "text": "b"})"},
              {{"heldout", 0}, {"rate", 24'000}}));
  const Item& low = *corpus.find("clip0");   // 0.6 s at 16 kHz
  const Item& high = *corpus.find("clip1");  // 0.7 s at 24 kHz
  EXPECT_EQ(low.rate, 24'000);
  EXPECT_EQ(low.samples, 14'400);
  EXPECT_EQ(read_audio(corpus.audio_path(low))->rate, 24'000);
  EXPECT_EQ(*read_file(corpus.audio_path(high)), *read_file(folder_ / "source/clip1.wav"));
  EXPECT_THAT(refused(spec_of({"{}"}, {{"rate", 100}})), HasSubstr("expected 8000 to 192000 Hz"));
  StageSpec asterisk;
  asterisk.parameters =
      Object{{"corpus", Object{{"kind", "asterisk"}, {"version", "1"}, {"rate", 24'000}}}};
  asterisk.outputs.emplace("corpus", folder_ / "corpus");
  EXPECT_THAT(refused(asterisk), HasSubstr("hold nothing above 16000 Hz"));
}

}  // namespace
}  // namespace strata::trainer
