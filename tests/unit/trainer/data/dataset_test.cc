#include "trainer/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <torch/torch.h>

#include <atomic>
#include <mutex>

#include "base/sha256.h"
#include "tests/unit/trainer/data/corpus_fixture.h"
#include "tests/unit/trainer/data/thread_gang.h"
#include "trainer/data/features.h"
#include "trainer/data/manifest.h"

namespace strata::trainer {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::int64_t kNothing = 0;  // bytes of memory

// The same utterances, sizes and tensors, whoever holds them.
void expect_same(const Dataset& ours, const Dataset& theirs) {
  EXPECT_EQ(ours.normalise().mean, theirs.normalise().mean);
  EXPECT_EQ(ours.normalise().deviation, theirs.normalise().deviation);
  for (const auto list : {&Dataset::train, &Dataset::heldout}) {
    ASSERT_EQ((ours.*list)().size(), (theirs.*list)().size());
    for (std::size_t i = 0; i < (ours.*list)().size(); ++i) {
      const Utterance& a = (ours.*list)()[i];
      const Utterance& b = (theirs.*list)()[i];
      EXPECT_EQ(a.id, b.id);
      EXPECT_EQ(a.text, b.text);
      EXPECT_EQ(a.frames(), b.frames());
      EXPECT_EQ(a.bands(), b.bands());
      EXPECT_EQ(a.feature_frames(), b.feature_frames());
      const auto c = whole_utterance(a, &ours.source());
      const auto d = whole_utterance(b, &theirs.source());
      ASSERT_TRUE(c.has_value()) << c.error().message;
      ASSERT_TRUE(d.has_value()) << d.error().message;
      EXPECT_TRUE(at::equal(c->mel, d->mel)) << a.id;
      ASSERT_EQ(c->features.defined(), d->features.defined());
      if (c->features.defined()) {
        EXPECT_TRUE(at::equal(c->features, d->features)) << a.id;
      }
    }
  }
}

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
  // Takes an item out of the lists of `features`, and out of its shard's reach.
  static void forget(const std::filesystem::path& features, const std::string& id) {
    std::string kept;
    const std::string index = *read_file(features / "index.jsonl");
    for (std::size_t at = 0; at < index.size();) {
      const std::string line = index.substr(at, index.find('\n', at) + 1 - at);
      at += line.size();
      if (line.find('"' + id + '"') == std::string::npos) kept += line;
    }
    ASSERT_NE(kept, index);
    ASSERT_TRUE(write_file_atomic(features / "index.jsonl", kept).has_value());
  }
  static std::vector<Item> items_of(const std::filesystem::path& corpus, Split split) {
    std::vector<Item> items;
    const Corpus read = *read_corpus(corpus);
    for (const Item* item : read.of(split)) items.push_back(*item);
    return items;
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
  const auto raw = Dataset::load(corpus, std::nullopt, {.normalise = Normalise::kNone});
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
  const auto dataset = Dataset::load(folder_ / "corpus", std::nullopt, {.mel = MelKind::kVocos});
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
      EXPECT_EQ(utterance.features.scalar_type(), at::kHalf) << "as it is stored";
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

TEST_F(DatasetOfTones, WithoutMemoryItGivesTheSameBits) {
  const auto corpus = make_corpus();
  const auto features = make_features(corpus, 100);
  for (const MelKind mel : {MelKind::kHifigan, MelKind::kVocos, MelKind::kBigvgan}) {
    for (const Normalise normalise : {Normalise::kCorpus, Normalise::kNone}) {
      DatasetOptions options{.mel = mel, .normalise = normalise};
      const auto whole = Dataset::load(corpus, features, options);
      ASSERT_TRUE(whole.has_value()) << whole.error().message;
      EXPECT_TRUE(whole->is_resident());
      for (const std::int64_t memory : {kNothing, std::int64_t{50'000}, std::int64_t{100'000}}) {
        options.memory = memory;
        options.threads = memory == kNothing ? 1 : 3;
        const auto read = Dataset::load(corpus, features, options);
        ASSERT_TRUE(read.has_value()) << read.error().message;
        EXPECT_FALSE(read->is_resident());
        EXPECT_FALSE(read->train()[0].is_whole());
        expect_same(*read, *whole);
        expect_same(*read, *whole);  // some of it is kept by now
      }
    }
  }
}

TEST_F(DatasetOfTones, ThreadsChangeNothing) {
  const auto corpus = make_corpus();
  const auto features = make_features(corpus, 100);
  const auto one = Dataset::load(corpus, features);
  const auto three = Dataset::load(corpus, features, {.threads = 3});
  ASSERT_TRUE(one.has_value());
  ASSERT_TRUE(three.has_value());
  expect_same(*three, *one);
}

TEST_F(DatasetOfTones, HeldOutMelsAreReadFirst) {
  const auto corpus = make_corpus(6, 2);
  const auto read = Dataset::load(corpus, std::nullopt, {.memory = 60'000});
  ASSERT_TRUE(read.has_value());
  EXPECT_FALSE(read->is_resident());
  for (const Utterance& utterance : read->heldout()) EXPECT_TRUE(utterance.is_whole());
  for (const Utterance& utterance : read->train()) EXPECT_FALSE(utterance.is_whole());
}

TEST_F(DatasetOfTones, RanksShareThePassOverACorpusThatDoesNotFit) {
  const auto corpus = make_corpus();
  const auto whole = Dataset::load(corpus, std::nullopt);
  ASSERT_TRUE(whole.has_value());
  for (const int ranks : {2, 7}) {  // more of them than items
    std::mutex mutex;
    ThreadGang::run(ranks, [&](Communicator& rank) {
      const auto read = Dataset::load(corpus, std::nullopt, {.memory = kNothing, .ranks = &rank});
      const std::scoped_lock lock(mutex);
      ASSERT_TRUE(read.has_value()) << read.error().message;
      expect_same(*read, *whole);
    });
  }
}

TEST_F(DatasetOfTones, RanksOfDifferentMemoryTakeTheSameWay) {
  const auto corpus = make_corpus();
  const auto whole = Dataset::load(corpus, std::nullopt);
  ASSERT_TRUE(whole.has_value());
  for (const int small : {0, 1, 2}) {
    std::mutex mutex;
    ThreadGang::run(3, [&](Communicator& rank) {
      const std::int64_t memory = rank.rank() == small ? kNothing : kDatasetBytesMax;
      const auto read = Dataset::load(corpus, std::nullopt, {.memory = memory, .ranks = &rank});
      const std::scoped_lock lock(mutex);
      ASSERT_TRUE(read.has_value()) << read.error().message;
      EXPECT_FALSE(read->is_resident());
      expect_same(*read, *whole);
    });
  }
}

// Where they fit and where they do not, asked at once and after some recordings.
TEST_F(DatasetOfTones, OneRanksStopEndsTheReadingOnAllOfThem) {
  const auto corpus = make_corpus();
  for (const std::int64_t memory : {kNothing, kDatasetBytesMax}) {
    for (const int after : {0, 1}) {
      std::mutex mutex;
      ThreadGang::run(3, [&](Communicator& rank) {
        std::atomic<int> asked{0};
        const auto stop = [&] { return rank.rank() == 1 && asked++ >= after; };
        const auto read = Dataset::load(corpus, std::nullopt,
                                        {.memory = memory, .ranks = &rank, .stop_requested = stop});
        const std::scoped_lock lock(mutex);
        ASSERT_TRUE(read.has_value()) << read.error().message;
        EXPECT_TRUE(read->was_stopped());
      });
    }
  }
  EXPECT_FALSE(
      Dataset::load(corpus, std::nullopt, {.stop_requested = [] { return false; }})->was_stopped());
}

TEST_F(DatasetOfTones, WhatIsDamagedAfterTheStartIsNamedWhenItIsMet) {
  const auto corpus = make_corpus();
  const auto features = make_features(corpus, 100);
  const auto dataset =
      Dataset::load(corpus, features, {.normalise = Normalise::kNone, .memory = kNothing});
  ASSERT_TRUE(dataset.has_value()) << dataset.error().message;
  const Utterance& utterance = dataset->train()[0];
  const Item item = *read_corpus(corpus)->find(utterance.id);
  const auto whole = dataset->source().load(utterance);
  ASSERT_TRUE(whole.has_value());

  const auto shard = features / "features-00000.safetensors";
  const std::string bytes = *read_file(shard);
  ASSERT_TRUE(write_file_atomic(shard, bytes.substr(0, bytes.size() - 3)).has_value());
  int changed = 0;
  for (const Utterance& one : dataset->train()) {
    const auto loaded = dataset->source().load(one);
    if (loaded) continue;
    ++changed;
    EXPECT_EQ(loaded.error().code, ErrorCode::kDamaged);
    EXPECT_THAT(loaded.error().message, HasSubstr(shard.string()));
  }
  EXPECT_GT(changed, 0);
  std::filesystem::remove(shard);
  ASSERT_TRUE(write_file_atomic(shard, bytes).has_value());

  const auto wav = corpus / item.audio;
  ASSERT_TRUE(write_file_atomic(wav, "garbage").has_value());
  const auto eager = Dataset::load(corpus, features);
  const auto late = dataset->source().load(utterance);
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().message, eager.error().message) << "as it would have been told at once";
  EXPECT_THAT(late.error().message, HasSubstr(wav.string()));
}

TEST_F(DatasetOfTones, AManifestThatDoesNotFitItsRecordingsIsRefused) {
  const auto corpus = make_corpus();
  const auto item = items_of(corpus, Split::kTrain).front();
  std::string manifest = *read_file(corpus / "manifest.jsonl");
  const std::string samples = fmt::format("\"samples\":{}", item.samples);
  manifest.replace(manifest.find(samples, manifest.find("\"id\":\"" + item.id + "\"")),
                   samples.size(), fmt::format("\"samples\":{}", item.samples + 1));
  ASSERT_TRUE(write_file_atomic(corpus / "manifest.jsonl", manifest).has_value());
  const auto refused = Dataset::load(corpus, std::nullopt);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kDamaged);
  EXPECT_THAT(
      refused.error().message,
      HasSubstr(fmt::format("{}: it has {} samples at 16000 Hz, the manifest says {}",
                            (corpus / item.audio).string(), item.samples, item.samples + 1)));
}

TEST_F(DatasetOfTones, RejectedItemsAreNotTrainedOnButHeldOutAndOthersWithoutFeaturesAreAnError) {
  const auto corpus = make_corpus(8, 4);
  const auto features = make_features(corpus, kFeatureShardBytes);
  const auto trained = items_of(corpus, Split::kTrain)[1];
  const auto heldout = items_of(corpus, Split::kHeldout)[0];
  forget(features, trained.id);
  forget(features, heldout.id);
  std::string rejects =
      to_canonical_json(Object{{"id", trained.id}, {"reason", "too loud"}}) + "\n";
  ASSERT_TRUE(write_file_atomic(features / "rejects.jsonl", rejects).has_value());
  EXPECT_THAT(Dataset::load(corpus, features).error().message,
              HasSubstr("no features of the item " + heldout.id));
  rejects += to_canonical_json(Object{{"id", heldout.id}, {"reason", "too soft"}}) + "\n";
  ASSERT_TRUE(write_file_atomic(features / "rejects.jsonl", rejects).has_value());

  ::testing::internal::CaptureStderr();
  const auto dataset = Dataset::load(corpus, features);
  const std::string log = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(dataset.has_value()) << dataset.error().message;
  EXPECT_EQ(dataset->train().size(), 3U);
  EXPECT_EQ(std::ranges::find(dataset->train(), trained.id, &Utterance::id),
            dataset->train().end());
  EXPECT_THAT(log, HasSubstr("1 of 4 training items have no features, `extract` rejected them, and "
                             "are not trained on; the first: " +
                             trained.id + ": too loud"));
  EXPECT_THAT(log, Not(HasSubstr(heldout.id)));
  // Validated as without features, whoever holds the mels.
  for (const std::int64_t memory : {kDatasetBytesMax, kNothing}) {
    const auto read = Dataset::load(corpus, features, {.memory = memory});
    ASSERT_TRUE(read.has_value()) << read.error().message;
    ASSERT_EQ(read->heldout().size(), 4U);
    const auto found = std::ranges::find(read->heldout(), heldout.id, &Utterance::id);
    ASSERT_NE(found, read->heldout().end());
    const auto whole = whole_utterance(*found, &read->source());
    ASSERT_TRUE(whole.has_value()) << whole.error().message;
    EXPECT_TRUE(whole->mel.defined());
    EXPECT_FALSE(whole->features.defined());
    EXPECT_EQ(whole->feature_frames(), 0);
    EXPECT_EQ(collate({&*whole}).size(), 1);
  }
  // Who trains without features does not miss them.
  EXPECT_EQ(Dataset::load(corpus, std::nullopt)->train().size(), 4U);
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
