#include "trainer/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "base/sha256.h"
#include "tests/unit/trainer/data/corpus_fixture.h"
#include "trainer/data/features.h"
#include "trainer/data/manifest.h"

namespace strata::trainer {
namespace {

using ::testing::HasSubstr;

class DatasetOfTones : public CorpusFixture {
 protected:
  // Features whose values say which item they belong to.
  std::filesystem::path make_features(const std::filesystem::path& corpus,
                                      std::int64_t shard_bytes) {
    const auto read = read_corpus(corpus);
    FeatureWriter writer(folder_ / "features", shard_bytes);
    std::filesystem::create_directories(folder_ / "features");
    for (std::size_t i = 0; i < read->items.size(); ++i) {
      const Item& item = read->items[i];
      if (item.split == Split::kReference) continue;
      EXPECT_TRUE(writer
                      .add(item.id,
                           at::full({5 + static_cast<std::int64_t>(i), 3}, static_cast<double>(i),
                                    at::kHalf),
                           item.sha256)
                      .has_value());
    }
    EXPECT_TRUE(writer.finish(Object{{"width", 3}}).has_value());
    return folder_ / "features";
  }
};

TEST_F(DatasetOfTones, HoldsNormalisedMelsAndTokensOrderedById) {
  const auto corpus = make_corpus(6, 2);
  const auto dataset = Dataset::load(corpus, std::nullopt);
  ASSERT_TRUE(dataset.has_value()) << dataset.error().message;
  ASSERT_EQ(dataset->train().size(), 4U);
  ASSERT_EQ(dataset->heldout().size(), 2U);
  EXPECT_TRUE(std::ranges::is_sorted(dataset->train(), {}, &Utterance::id));
  EXPECT_EQ(dataset->mel_bands(), 80);
  EXPECT_EQ(dataset->feature_width(), 0);
  EXPECT_FALSE(dataset->train()[0].features.defined());
  std::vector<at::Tensor> all;
  for (const Utterance& utterance : dataset->train()) {
    EXPECT_EQ(utterance.mel.size(1), 80);
    EXPECT_EQ(utterance.mel.size(0),
              static_cast<std::int64_t>(std::ceil(utterance.seconds * 22'050 - 1e-6)) / 256);
    all.push_back(utterance.mel.flatten());
  }
  const at::Tensor flat = at::cat(all).to(at::kDouble);
  EXPECT_NEAR(flat.mean().item<double>(), 0, 1e-5);
  EXPECT_NEAR(flat.std(/*unbiased=*/false).item<double>(), 1, 1e-5);
  EXPECT_EQ(dataset->train()[0].text,
            dataset->vocabulary().encode(read_corpus(corpus)->find(dataset->train()[0].id)->text));
}

TEST_F(DatasetOfTones, MayKeepItsMelsAsTheyAre) {
  const auto corpus = make_corpus(6, 2);
  const auto raw = Dataset::load(corpus, std::nullopt, MelKind::kHifigan, Normalise::kNone);
  const auto scaled = Dataset::load(corpus, std::nullopt);
  ASSERT_TRUE(raw.has_value()) << raw.error().message;
  const Normalisation by = scaled->normalise();
  EXPECT_EQ(raw->normalise().mean, 0);
  EXPECT_EQ(raw->normalise().deviation, 1);
  const at::Tensor& mel = raw->train()[0].mel;
  EXPECT_LT(((mel - by.mean) / by.deviation - scaled->train()[0].mel).abs().max().item<double>(),
            1e-5);
  EXPECT_NEAR(raw->normalise().silence(), -11.512925, 1e-6);
  EXPECT_NEAR(by.silence() * by.deviation + by.mean, -11.512925, 1e-6);
}

TEST_F(DatasetOfTones, AnotherRateIsResampledAndWhatIsOnlyAPromptIsNotLoaded) {
  write_list(4);
  ASSERT_TRUE(write_file_atomic(folder_ / "source" / "own.jsonl",
                                R"({"audio": "clip1.wav", "text": ["a", "bc"], "split": "train"}
{"audio": "clip2.wav", "text": "ab", "split": "heldout", "prompt": "clip3"}
{"audio": "clip3.wav", "text": "b", "split": "prompt"}
)")
                  .has_value());
  ASSERT_TRUE(write_file_atomic(folder_ / "tokens.txt", "<unk>\na\nbc\n").has_value());
  StageSpec spec;
  spec.parameters = Object{{"corpus", Object{{"kind", "list"},
                                             {"file", (folder_ / "source/own.jsonl").string()},
                                             {"seconds", Array{0.5, 2.0}},
                                             {"rate", 24'000},
                                             {"tokenizer", "custom"},
                                             {"vocabulary", (folder_ / "tokens.txt").string()}}}};
  spec.outputs.emplace("corpus", folder_ / "corpus");
  const auto code = run_prepare(spec);
  ASSERT_TRUE(code.has_value()) << code.error().message;
  const auto dataset = Dataset::load(folder_ / "corpus", std::nullopt, MelKind::kVocos);
  ASSERT_TRUE(dataset.has_value()) << dataset.error().message;
  ASSERT_EQ(dataset->train().size(), 1U);
  ASSERT_EQ(dataset->heldout().size(), 1U);
  EXPECT_EQ(dataset->train()[0].text, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(dataset->heldout()[0].text, (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(dataset->vocabulary().size(), 3U);
  // The recording is at 24 kHz as the front end, and 0.7 s long.
  EXPECT_EQ(dataset->train()[0].mel.size(0), 16'800 / 256 + 1);
  EXPECT_DOUBLE_EQ(dataset->train()[0].seconds, 0.7);
}

TEST_F(DatasetOfTones, FeaturesComeBackFromShardsOfAnySize) {
  const auto corpus = make_corpus();
  for (const std::int64_t shard : {std::int64_t{1}, std::int64_t{100}, kFeatureShardBytes}) {
    std::filesystem::remove_all(folder_ / "features");
    const auto dataset = Dataset::load(corpus, make_features(corpus, shard));
    ASSERT_TRUE(dataset.has_value()) << dataset.error().message;
    EXPECT_EQ(dataset->feature_width(), 3);
    const auto items = read_corpus(corpus)->items;
    for (const Utterance& utterance : dataset->train()) {
      const auto index = std::ranges::find(items, utterance.id, &Item::id) - items.begin();
      EXPECT_EQ(utterance.features.scalar_type(), at::kFloat);
      EXPECT_EQ(utterance.feature_frames(), 5 + index);
      EXPECT_EQ(utterance.features[0][0].item<float>(), static_cast<float>(index));
    }
  }
}

TEST_F(DatasetOfTones, FeaturesOfAnotherRecordingOrOfNoneAreRefused) {
  const auto corpus = make_corpus();
  const auto features = make_features(corpus, kFeatureShardBytes);
  std::string index = *read_file(features / "index.jsonl");
  const auto items = read_corpus(corpus)->items;
  std::string other = index;
  other.replace(other.find(items[0].sha256), 4, "0000");
  ASSERT_TRUE(write_file_atomic(features / "index.jsonl", other).has_value());
  EXPECT_THAT(Dataset::load(corpus, features).error().message,
              HasSubstr("belong to another recording"));
  ASSERT_TRUE(
      write_file_atomic(features / "index.jsonl", index.substr(index.find('\n') + 1)).has_value());
  EXPECT_THAT(Dataset::load(corpus, features).error().message,
              HasSubstr("no features of the item"));
}

TEST_F(DatasetOfTones, ABrokenRecordingIsNamed) {
  const auto corpus = make_corpus();
  const auto wav = corpus / "wavs" / "clip0.wav";
  ASSERT_TRUE(write_file_atomic(wav, "garbage").has_value());
  EXPECT_THAT(Dataset::load(corpus, std::nullopt).error().message, HasSubstr("clip0.wav"));
  std::filesystem::remove(wav);
  EXPECT_EQ(Dataset::load(corpus, std::nullopt).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace strata::trainer
