// How fast micro-batches are made of a corpus that is not in memory: recordings and features on
// disk, as `prepare` and `extract` write them, through the dataset and the feed of `train`, with a
// consumer that does nothing. An update that takes longer than its batch does here never waits.
//
//   strata-bench-loading --items 400 --threads 1 --folder /tmp/corpus
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <string>

#include "base/audio/audio_file.h"
#include "base/files.h"
#include "base/random.h"
#include "base/sha256.h"
#include "base/torch/runtime.h"
#include "base/torch/torch.h"
#include "trainer/data/batch_feed.h"
#include "trainer/data/dataset.h"
#include "trainer/data/features.h"
#include "trainer/data/manifest.h"

namespace strata::trainer {
namespace {

// Of LibriTTS with features of a large SSL model.
constexpr int kRate = 24'000;
constexpr double kSeconds = 5.6;
constexpr std::int64_t kTeacherFrames = 280;
constexpr std::int64_t kTeacherWidth = 1024;
constexpr std::int64_t kGibibyte = 1LL << 30;

template <class T>
T need(Result<T> result) {
  if (result) {
    if constexpr (std::is_void_v<T>) {
      return;
    } else {
      return std::move(*result);
    }
  }
  std::fprintf(stderr, "strata-bench-loading: %s\n", result.error().message.c_str());
  std::exit(1);
}

struct Wanted {
  std::string folder{};
  int items = 200;
  int batch = 32;
  int threads = 1;
  double memory_gib = 0;
  bool without_features = false;
};

void write_corpus(const Wanted& wanted) {
  const std::filesystem::path corpus = std::filesystem::path(wanted.folder) / "corpus";
  const std::filesystem::path features = std::filesystem::path(wanted.folder) / "features";
  need(make_folder(corpus / "wavs"));
  need(make_folder(features));
  FeatureWriter writer(features);
  std::vector<Item> items;
  Random random(1);
  for (int i = 0; i < wanted.items; ++i) {
    std::vector<float> samples(static_cast<std::size_t>(kSeconds * kRate));
    const double hz = 100 + random.uniform() * 300;
    for (std::size_t n = 0; n < samples.size(); ++n) {
      samples[n] =
          static_cast<float>(0.3 * std::sin(6.283185307 * hz * static_cast<double>(n) / kRate) +
                             0.1 * (random.uniform() - 0.5));
    }
    Item item{.id = fmt::format("item-{:05}", i),
              .audio = fmt::format("wavs/item-{:05}.wav", i),
              .samples = std::ssize(samples),
              .rate = kRate,
              .text = "some words that nobody says",
              .split = i < 2 ? Split::kHeldout : Split::kTrain};
    const std::string bytes = encode_wav(samples, kRate);
    need(write_file_unsynced(corpus / item.audio, bytes));
    item.sha256 = sha256_hex(bytes);
    need(
        writer.add(item.id, at::randn({kTeacherFrames, kTeacherWidth}).to(at::kHalf), item.sha256));
    items.push_back(std::move(item));
  }
  need(writer.finish(Object{{"width", kTeacherWidth}}));
  need(write_file_unsynced(corpus / "manifest.jsonl", format_manifest(items)));
  need(write_file_unsynced(corpus / "pairs.jsonl", ""));
  need(write_file_unsynced(corpus / "vocab.txt",
                           need(Vocabulary::of_texts({items.front().text})).format()));
}

int run(const Wanted& wanted) {
  need(set_up_torch(1));
  const std::filesystem::path folder(wanted.folder);
  if (!std::filesystem::exists(folder / "corpus" / "manifest.jsonl")) write_corpus(wanted);
  const SystemClock clock;
  const auto seconds_since = [&](Instant then) {
    return std::chrono::duration<double>(clock.now() - then).count();
  };
  const Instant began = clock.now();
  const Dataset data = need(Dataset::load(
      folder / "corpus",
      wanted.without_features ? std::nullopt : std::optional(folder / "features"),
      {.mel = MelKind::kVocos,
       .normalise = Normalise::kNone,
       .memory = static_cast<std::int64_t>(wanted.memory_gib * static_cast<double>(kGibibyte)),
       .threads = wanted.threads}));
  std::printf("seconds to begin        %8.3f  (%s)\n", seconds_since(began),
              data.is_resident() ? "all in memory" : "not in memory");
  const auto batch = static_cast<std::size_t>(wanted.batch);
  const auto epoch = static_cast<std::int64_t>(data.train().size() / batch);
  BatchFeed feed(
      data.train(), &data.source(), BatchOrder::of_fixed_size(1, data.train().size(), batch),
      {.updates = 2 * epoch, .threads = wanted.threads, .batches = 2 * wanted.threads}, clock, 0);
  for (const char* pass : {"first epoch", "second epoch"}) {
    const Instant start = clock.now();
    double heard = 0;
    for (std::int64_t update = 0; update < epoch; ++update) {
      const Batch made = need(feed.next());
      heard += static_cast<double>(made.size()) * kSeconds;
    }
    const double seconds = seconds_since(start);
    std::printf("%-14s %9.1f s of speech a second, %8.4f s a batch of %d (%.0f s)\n", pass,
                heard / seconds, seconds / static_cast<double>(epoch), wanted.batch,
                wanted.batch * kSeconds);
  }
  return 0;
}

}  // namespace
}  // namespace strata::trainer

int main(int argc, char** argv) {
  strata::trainer::Wanted wanted;
  CLI::App app{"How fast batches are made of a corpus on disk.", "strata-bench-loading"};
  app.add_option("--folder", wanted.folder, "of the corpus, which is made where there is none")
      ->required();
  app.add_option("--items", wanted.items)->capture_default_str()->check(CLI::Range(4, 1'000'000));
  app.add_option("--batch", wanted.batch)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--threads", wanted.threads)->capture_default_str()->check(CLI::Range(1, 256));
  app.add_option("--memory", wanted.memory_gib, "GiB of mels and features to hold")
      ->capture_default_str();
  app.add_flag("--without-features", wanted.without_features, "mels alone");
  CLI11_PARSE(app, argc, argv);
  return strata::trainer::run(wanted);
}
