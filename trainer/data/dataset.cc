#include "trainer/data/dataset.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>

#include "base/assert.h"
#include "base/audio/audio_file.h"
#include "base/audio/resample.h"
#include "base/log.h"
#include "base/torch/guard.h"
#include "base/torch/torch.h"
#include "trainer/data/features.h"
#include "trainer/data/manifest.h"
#include "trainer/data/tokenizer.h"

namespace strata::trainer {
namespace {

constexpr double kSayEverySeconds = 30;

void normalise_mel(at::Tensor& mel, const Normalisation& by) {
  mel.sub_(by.mean).div_(by.deviation);
}

// Frames by the manifest: what the recording will give, without reading it.
Result<std::int64_t> mel_frames(const Corpus& corpus, const Item& item, const MelConfig& config) {
  const std::int64_t samples = resampled_length(item.samples, item.rate, config.rate);
  const std::int64_t frames = config.frames(samples);
  if (samples > config.pad && frames > 0) return frames;
  return fail(ErrorCode::kInvalid, "{}: {} samples at {} Hz are too few for a mel",
              corpus.audio_path(item).string(), item.samples, item.rate);
}

// f(0) … f(count - 1), begun in this order until `stop` says yes; the error of the first one that
// has one. An exception in a helper thread would end the process: f may call torch.
Status for_each_index(std::size_t count, int threads, const std::function<bool()>& stop,
                      const std::function<Status(std::size_t)>& f) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;  // of the two below
  std::size_t failed_at = count;
  Status failure;
  const auto work = [&] {
    for (std::size_t i = next++; i < count && !(stop && stop()); i = next++) {
      auto status = from_torch("reading the corpus", [&] { return f(i); });
      if (status) continue;
      const std::scoped_lock lock(mutex);
      if (i < failed_at) {
        failed_at = i;
        failure = std::move(status);
      }
      next = count;
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (int i = 1; i < threads; ++i) helpers.emplace_back(work);
    work();
  }
  return failure;
}

// Tells people how a long pass goes.
class Pass {
 public:
  Pass(std::size_t count, bool silent) : count_(count), silent_(silent) {}
  void one_more() {
    const std::scoped_lock lock(mutex_);
    ++done_;
    const Clock::time_point now = Clock::now();
    if (silent_ || seconds(now - said_) < kSayEverySeconds) return;
    said_ = now;
    log_info(
        "trainer", "mels of {} of {} recordings, about {:.0f} s to go", done_, count_,
        seconds(now - began_) * static_cast<double>(count_ - done_) / static_cast<double>(done_));
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds(Clock::duration time) {
    return std::chrono::duration<double>(time).count();
  }
  std::size_t count_;
  bool silent_;
  std::mutex mutex_{};
  std::size_t done_ = 0;
  Clock::time_point began_ = Clock::now();
  Clock::time_point said_ = began_;
};

// What a mel adds to mean and deviation.
struct Sums {
  double count = 0, sum = 0, squares = 0;
};
static_assert(sizeof(Sums) == 3 * sizeof(double));

Sums sums_of(const at::Tensor& mel) {
  const at::Tensor wide = mel.to(at::kDouble);
  return {.count = static_cast<double>(wide.numel()),
          .sum = wide.sum().item<double>(),
          .squares = wide.square().sum().item<double>()};
}

// Mean and deviation (of the population) over all elements. An error where there are none, or all
// are equal.
Result<Normalisation> normalisation_of(const std::vector<Sums>& of_mels) {
  Sums all;
  for (const Sums& one : of_mels) {
    all.count += one.count;
    all.sum += one.sum;
    all.squares += one.squares;
  }
  if (all.count == 0) return fail(ErrorCode::kInvalid, "there is no training item to normalise by");
  const double mean = all.sum / all.count;
  const double variance = all.squares / all.count - mean * mean;
  if (!(variance > 0))
    return fail(ErrorCode::kInvalid,
                "all mel values of the training items are equal: the recordings are silent");
  return Normalisation{.mean = mean, .deviation = std::sqrt(variance)};
}

// Recordings and features on disk.
class CorpusSource final : public UtteranceSource {
 public:
  CorpusSource(Corpus corpus, const MelConfig& mel, std::optional<FeatureFolder> features)
      : corpus_(std::move(corpus)),
        front_(mel),
        features_(std::move(features)),
        kept_(corpus_.items.size()) {}

  [[nodiscard]] const Corpus& corpus() const { return corpus_; }
  [[nodiscard]] const MelFrontEnd& front() const { return front_; }
  [[nodiscard]] const FeatureFolder* features() const { return features_ ? &*features_ : nullptr; }

  // Not normalised.
  [[nodiscard]] Result<at::Tensor> read_item_mel(const Item& item) const;
  [[nodiscard]] Result<at::Tensor> read_features(const Item& item) const {
    return features_->load(item.id, item.sha256);
  }

  // Mels of so many bytes are kept from now on.
  void make_room(std::int64_t bytes) { room_ = bytes; }
  void keep(const Item& item, const at::Tensor& mel) const;
  // From now on mels are; those that are kept become so.
  void normalise_by(const Normalisation& by);

  [[nodiscard]] Result<Utterance> load(const Utterance& utterance) const override;

 private:
  [[nodiscard]] at::Tensor& kept(const Item& item) const {
    return kept_[static_cast<std::size_t>(&item - corpus_.items.data())];
  }
  [[nodiscard]] Result<at::Tensor> mel_of_item(const Item& item) const;

  Corpus corpus_;
  MelFrontEnd front_;
  std::optional<FeatureFolder> features_;
  std::optional<Normalisation> by_{};
  mutable std::mutex mutex_{};  // of the two below
  mutable std::vector<at::Tensor> kept_;
  mutable std::int64_t room_ = 0;
};

Result<at::Tensor> CorpusSource::read_item_mel(const Item& item) const {
  const std::filesystem::path path = corpus_.audio_path(item);
  STRATA_TRY(const Audio sound, read_audio(path));
  if (std::ssize(sound.samples) != item.samples || sound.rate != item.rate) {
    return fail(ErrorCode::kDamaged,
                "{}: it has {} samples at {} Hz, the manifest says {} at {}: prepare the corpus "
                "again",
                path.string(), sound.samples.size(), sound.rate, item.samples, item.rate);
  }
  auto mel = from_torch(path.string(), [&] { return mel_of(sound, front_); });
  if (!mel) return tl::unexpected(mel.error().while_doing(path.string()));
  STRATA_TRY(const std::int64_t frames, mel_frames(corpus_, item, front_.config()));
  STRATA_ASSERT(mel->size(0) == frames);
  return mel;
}

void CorpusSource::keep(const Item& item, const at::Tensor& mel) const {
  const std::scoped_lock lock(mutex_);
  const auto bytes = static_cast<std::int64_t>(mel.nbytes());
  if (bytes > room_ || kept(item).defined()) return;
  room_ -= bytes;
  kept(item) = mel;
}

void CorpusSource::normalise_by(const Normalisation& by) {
  by_ = by;
  for (at::Tensor& mel : kept_) {
    if (mel.defined()) normalise_mel(mel, by);
  }
}

Result<at::Tensor> CorpusSource::mel_of_item(const Item& item) const {
  {
    const std::scoped_lock lock(mutex_);
    if (const at::Tensor& mel = kept(item); mel.defined()) return mel;
  }
  STRATA_TRY(at::Tensor mel, read_item_mel(item));
  if (by_) normalise_mel(mel, *by_);
  keep(item, mel);
  return mel;
}

Result<Utterance> CorpusSource::load(const Utterance& utterance) const {
  const Item* item = corpus_.find(utterance.id);
  STRATA_ASSERT(item != nullptr);
  Utterance whole = utterance;
  if (!whole.mel.defined()) {
    STRATA_TRY(whole.mel, mel_of_item(*item));
  }
  if (!whole.features.defined() && utterance.absent.feature_frames > 0) {
    STRATA_TRY(whole.features, read_features(*item));
  }
  return whole;
}

}  // namespace

// Makes one dataset.
class DatasetLoader {
 public:
  DatasetLoader(CorpusSource& source, Dataset& dataset, const DatasetOptions& options)
      : source_(source), dataset_(dataset), options_(options) {}

  Status load() {
    STRATA_CHECK_OK(list());
    STRATA_TRY(const bool fits, fits_everywhere());
    dataset_.resident_ = fits;
    STRATA_CHECK_OK(fits ? read_all() : read_heldout());
    if (options_.normalise == Normalise::kCorpus && !fits) STRATA_CHECK_OK(measure_training_mels());
    STRATA_TRY(dataset_.stopped_, some_rank_stops());
    if (dataset_.stopped_ || options_.normalise == Normalise::kNone) return {};
    STRATA_CHECK_OK(add_up());
    STRATA_TRY(dataset_.normalise_, normalisation_of(sums_));
    source_.normalise_by(dataset_.normalise_);
    for (auto* list : {&dataset_.train_, &dataset_.heldout_}) {
      for (Utterance& utterance : *list) {
        if (utterance.mel.defined()) normalise_mel(utterance.mel, dataset_.normalise_);
      }
    }
    return {};
  }

 private:
  struct Rejects {  // training items
    std::int64_t count = 0;
    std::string first{};  // and why
  };

  [[nodiscard]] bool first() const {
    return options_.ranks == nullptr || options_.ranks->rank() == 0;
  }
  const Corpus& corpus() const { return source_.corpus(); }

  // All that needs no recording: texts, sizes, which features there are.
  Status list();
  Result<Utterance> describe(const Item& item);
  void tell(const Rejects& rejects) const;
  // The same answer on every rank: machines may differ in memory, and what does not fit is measured
  // by all ranks together.
  Result<bool> fits_everywhere() const;
  // Everything.
  Status read_all();
  // Mels of held-out items, where they fit.
  Status read_heldout();
  Status measure_training_mels();  // this rank's share
  Status add_up();                 // the shares
  Result<bool> some_rank_stops() const;

  CorpusSource& source_;
  Dataset& dataset_;
  const DatasetOptions& options_;
  std::int64_t bytes_ = 0;          // of all mels and features
  std::int64_t heldout_bytes_ = 0;  // of held-out mels
  std::vector<Sums> sums_{};        // of each training mel
};

Result<Utterance> DatasetLoader::describe(const Item& item) {
  Utterance utterance{.id = item.id, .seconds = item.seconds()};
  utterance.text = token_ids(dataset_.vocabulary_, item);
  if (utterance.text.empty())
    return fail(ErrorCode::kInvalid, "the item {} of {} has no text", item.id,
                corpus().folder.string());
  utterance.absent.bands = dataset_.mel_bands_;
  STRATA_TRY(utterance.absent.frames, mel_frames(corpus(), item, source_.front().config()));
  const std::int64_t mel_bytes =
      utterance.absent.frames * utterance.absent.bands * static_cast<std::int64_t>(sizeof(float));
  bytes_ += mel_bytes;
  if (item.split == Split::kHeldout) heldout_bytes_ += mel_bytes;
  if (source_.features() == nullptr || source_.features()->rejected(item.id) != nullptr)
    return utterance;
  STRATA_TRY(const auto stored, source_.features()->find(item.id, item.sha256));
  utterance.absent.feature_frames = stored.frames();
  bytes_ += stored.entry->bytes;
  return utterance;
}

void DatasetLoader::tell(const Rejects& rejects) const {
  if (rejects.count == 0 || !first()) return;
  log_warning("trainer",
              "{} of {} training items have no features, `extract` rejected them, and are not "
              "trained on; the first: {}",
              rejects.count, std::ssize(dataset_.train_) + rejects.count, rejects.first);
}

Status DatasetLoader::list() {
  Rejects rejects;
  for (const Item& item : corpus().items) {
    if (item.split != Split::kTrain && item.split != Split::kHeldout) continue;
    const bool trained = item.split == Split::kTrain;
    const std::string* reason =
        source_.features() == nullptr ? nullptr : source_.features()->rejected(item.id);
    if (reason != nullptr && trained) {
      if (rejects.count++ == 0) rejects.first = fmt::format("{}: {}", item.id, *reason);
      continue;
    }
    STRATA_TRY(Utterance utterance, describe(item));
    (trained ? dataset_.train_ : dataset_.heldout_).push_back(std::move(utterance));
  }
  tell(rejects);
  sums_.resize(dataset_.train_.size());
  return {};
}

Result<bool> DatasetLoader::fits_everywhere() const {
  const bool here = bytes_ <= options_.memory;
  double without_room = here ? 0 : 1;  // ranks
  if (options_.ranks != nullptr)
    STRATA_CHECK_OK(options_.ranks->all_reduce_sum(std::span(&without_room, 1)));
  if (without_room == 0) return true;
  if (first() && here) {
    log_info("trainer",
             "mels and features need {} bytes of memory, too much for {} of the ranks: they are "
             "read as they are needed",
             bytes_, without_room);
  } else if (first()) {
    log_info("trainer",
             "mels and features need {} bytes of memory, {} may be used: the rest is read as it "
             "is needed",
             bytes_, options_.memory);
  }
  return false;
}

Status DatasetLoader::read_all() {
  struct Place {
    const Item* item = nullptr;
    Utterance* utterance = nullptr;
    Sums* sums = nullptr;
  };
  std::vector<Place> places;  // in the order of the ids
  for (std::size_t i = 0; i < dataset_.train_.size(); ++i)
    places.push_back({.utterance = &dataset_.train_[i], .sums = &sums_[i]});
  for (Utterance& utterance : dataset_.heldout_) places.push_back({.utterance = &utterance});
  for (Place& place : places) place.item = corpus().find(place.utterance->id);
  std::ranges::sort(places, {}, &Place::item);
  Pass pass(places.size(), !first());
  return for_each_index(
      places.size(), options_.threads, options_.stop_requested, [&](std::size_t i) -> Status {
        const Place& place = places[i];
        STRATA_TRY(place.utterance->mel, source_.read_item_mel(*place.item));
        if (place.utterance->absent.feature_frames > 0) {
          STRATA_TRY(place.utterance->features, source_.read_features(*place.item));
        }
        if (place.sums != nullptr) *place.sums = sums_of(place.utterance->mel);
        pass.one_more();
        return {};
      });
}

Status DatasetLoader::read_heldout() {
  const bool fits = heldout_bytes_ <= options_.memory;
  source_.make_room(options_.memory - (fits ? heldout_bytes_ : 0));
  if (!fits) return {};
  std::vector<Utterance>& heldout = dataset_.heldout_;
  return for_each_index(
      heldout.size(), options_.threads, options_.stop_requested, [&](std::size_t i) -> Status {
        STRATA_TRY(heldout[i].mel, source_.read_item_mel(*corpus().find(heldout[i].id)));
        return {};
      });
}

Status DatasetLoader::measure_training_mels() {
  const std::size_t ranks =
      options_.ranks == nullptr ? 1 : static_cast<std::size_t>(options_.ranks->size());
  const std::size_t rank =
      options_.ranks == nullptr ? 0 : static_cast<std::size_t>(options_.ranks->rank());
  const std::size_t count = sums_.size();
  const std::size_t mine = count > rank ? (count - rank + ranks - 1) / ranks : 0;
  if (first())
    log_info("trainer", "measuring the mels of {} recordings{}", count,
             ranks > 1 ? fmt::format(", shared among {} ranks", ranks) : "");
  Pass pass(mine, !first());
  return for_each_index(mine, options_.threads, options_.stop_requested,
                        [&](std::size_t i) -> Status {
                          const std::size_t index = i * ranks + rank;
                          const Item& item = *corpus().find(dataset_.train_[index].id);
                          STRATA_TRY(const at::Tensor mel, source_.read_item_mel(item));
                          sums_[index] = sums_of(mel);
                          source_.keep(item, mel);
                          pass.one_more();
                          return {};
                        });
}

Status DatasetLoader::add_up() {
  if (dataset_.resident_ || options_.ranks == nullptr || sums_.empty()) return {};
  // Exact: each number is one rank's.
  return options_.ranks->all_reduce_sum(std::span(&sums_.front().count, 3 * sums_.size()));
}

Result<bool> DatasetLoader::some_rank_stops() const {
  double stopping = options_.stop_requested && options_.stop_requested() ? 1 : 0;
  if (options_.ranks != nullptr)
    STRATA_CHECK_OK(options_.ranks->all_reduce_sum(std::span(&stopping, 1)));
  return stopping > 0;
}

Result<at::Tensor> mel_of(const Audio& sound, const MelFrontEnd& front) {
  STRATA_TRY(const Mel mel,
             front.compute(resample(sound.samples, sound.rate, front.config().rate)));
  at::Tensor tensor = at::empty({mel.frames, mel.bands}, at::kFloat);  // (frames, bands)
  std::memcpy(tensor.data_ptr(), mel.values.data(), tensor.nbytes());
  return tensor;
}

Result<at::Tensor> read_mel(const std::filesystem::path& audio, const MelFrontEnd& front) {
  STRATA_TRY(const Audio sound, read_audio(audio));
  auto mel = mel_of(sound, front);
  if (!mel) return tl::unexpected(mel.error().while_doing(audio.string()));
  return mel;
}

double Normalisation::silence() const {
  return (std::log(static_cast<double>(kMelFloor)) - mean) / deviation;
}

Result<Dataset> Dataset::load(const std::filesystem::path& corpus_folder,
                              const std::optional<std::filesystem::path>& features,
                              const DatasetOptions& options) {
  STRATA_TRY(Corpus corpus, read_corpus(corpus_folder));
  STRATA_TRY(Vocabulary vocabulary, Vocabulary::load(corpus_folder / "vocab.txt"));
  std::optional<FeatureFolder> teacher;
  if (features) {
    STRATA_TRY(teacher, FeatureFolder::open(*features));
  }
  Dataset dataset(std::move(vocabulary));
  dataset.feature_width_ = teacher ? teacher->width() : 0;
  auto source = std::make_unique<CorpusSource>(std::move(corpus), mel_config(options.mel),
                                               std::move(teacher));
  dataset.mel_bands_ = source->front().config().bands;
  STRATA_CHECK_OK(DatasetLoader(*source, dataset, options).load());
  dataset.source_ = std::move(source);
  return dataset;
}

}  // namespace strata::trainer
