// A prepared corpus, ready for batches: token ids and sizes of every utterance in memory; its
// normalised log-mels and teacher features in memory where all of them fit, on every rank, else
// read as they are asked for.
//
//   all fit        every recording and feature is read once, by load(): what is damaged is told
//                  before training begins.
//   they do not    a mel is computed from its recording when it is asked for (about a second for
//                  five minutes of speech), and kept while the memory lasts; features are read from
//                  their shards, through the page cache. Held-out mels are read by load(), if they
//                  fit. With Normalise::kCorpus load() computes all training mels once, shared
//                  among the ranks. What is damaged is told when it is met.
//
// Both give the same values, bit for bit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/audio/audio_file.h"
#include "base/audio/mel.h"
#include "base/result.h"
#include "base/torch/tensor.h"
#include "trainer/collective/communicator.h"
#include "trainer/data/batch.h"
#include "trainer/data/vocabulary.h"

namespace strata::trainer {

inline constexpr std::int64_t kDatasetBytesMax = 1LL << 50;  // that may be asked for
inline constexpr int kDatasetThreadsMax = 256;

// The model sees (mel - mean) / deviation: one scalar each, over all frames and bands of the
// training items; or mels as they are.
struct Normalisation {
  double mean = 0;
  double deviation = 1;
  // What the model sees of silence.
  [[nodiscard]] double silence() const;
};
enum class Normalise { kCorpus, kNone };

// Memory, threads and ranks decide nothing about the values.
struct DatasetOptions {
  MelKind mel = MelKind::kHifigan;
  Normalise normalise = Normalise::kCorpus;
  std::int64_t memory = kDatasetBytesMax;  // bytes of mels and features to hold
  int threads = 1;                         // that compute mels in load()
  // They share the pass over a corpus that does not fit; rank 0 logs. None: one rank.
  Communicator* ranks = nullptr;
  // Asked before every recording, from several threads. One rank's yes ends load() on all of them.
  std::function<bool()> stop_requested{};
};

// Immutable after load; both lists are ordered by id. A training item that `extract` rejected is
// left out, and the log says how many are. A held-out one is there without features: validation
// reads none, and every run on the corpus is measured on the same utterances.
class Dataset {
 public:
  // `features` is a folder that `extract` wrote. An error names the first item whose audio, text or
  // features are unusable, and the file: nothing but rejects is skipped. Takes all ranks.
  [[nodiscard]] static Result<Dataset> load(const std::filesystem::path& corpus,
                                            const std::optional<std::filesystem::path>& features,
                                            const DatasetOptions& options = {});

  [[nodiscard]] const std::vector<Utterance>& train() const { return train_; }
  [[nodiscard]] const std::vector<Utterance>& heldout() const { return heldout_; }
  [[nodiscard]] const Vocabulary& vocabulary() const { return vocabulary_; }
  [[nodiscard]] Normalisation normalise() const { return normalise_; }
  [[nodiscard]] int mel_bands() const { return mel_bands_; }
  // 0 without features.
  [[nodiscard]] std::int64_t feature_width() const { return feature_width_; }
  // load() was asked to stop: nothing in here is complete.
  [[nodiscard]] bool was_stopped() const { return stopped_; }
  // Whether every utterance is whole.
  [[nodiscard]] bool is_resident() const { return resident_; }
  // Of those that are not. Lives as long as the dataset.
  [[nodiscard]] const UtteranceSource& source() const { return *source_; }

 private:
  friend class DatasetLoader;
  explicit Dataset(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  Vocabulary vocabulary_;
  std::vector<Utterance> train_{};
  std::vector<Utterance> heldout_{};
  Normalisation normalise_{};
  int mel_bands_ = 0;
  std::int64_t feature_width_ = 0;
  bool resident_ = true;
  bool stopped_ = false;
  std::unique_ptr<UtteranceSource> source_{};
};

// The log-mel of a sound, resampled to the front end's rate: (frames, bands) float32, not
// normalised.
[[nodiscard]] Result<at::Tensor> mel_of(const Audio& sound, const MelFrontEnd& front);
// Of a recording.
[[nodiscard]] Result<at::Tensor> read_mel(const std::filesystem::path& audio,
                                          const MelFrontEnd& front);

}  // namespace strata::trainer
