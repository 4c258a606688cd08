#include "trainer/data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/audio/audio_file.h"
#include "base/sha256.h"
#include "tests/unit/trainer/data/corpus_fixture.h"
#include "trainer/data/manifest.h"

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

}  // namespace
}  // namespace strata::trainer
