// A prepared corpus in memory, ready for batches: normalised log-mels, token ids, and teacher
// features where given.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/audio/audio_file.h"
#include "base/audio/mel.h"
#include "base/result.h"
#include "base/torch/tensor.h"
#include "trainer/data/batch.h"
#include "trainer/data/vocabulary.h"

namespace strata::trainer {

inline constexpr std::int64_t kDatasetBytesMax = 64LL << 30;  // mels and features together

// The model sees (mel - mean) / deviation: one scalar each, over all frames and bands of the
// training items; or mels as they are.
struct Normalisation {
  double mean = 0;
  double deviation = 1;
  // What the model sees of silence.
  [[nodiscard]] double silence() const;
};
enum class Normalise { kCorpus, kNone };

// Immutable after load; both lists are ordered by id.
class Dataset {
 public:
  // `features` is a folder that `extract` wrote. An error names the first item whose audio, text or
  // features are unusable: nothing is skipped in silence. Mels are computed here, about a second
  // for five minutes of speech.
  [[nodiscard]] static Result<Dataset> load(const std::filesystem::path& corpus,
                                            const std::optional<std::filesystem::path>& features,
                                            MelKind mel = MelKind::kHifigan,
                                            Normalise normalise = Normalise::kCorpus);

  [[nodiscard]] const std::vector<Utterance>& train() const { return train_; }
  [[nodiscard]] const std::vector<Utterance>& heldout() const { return heldout_; }
  [[nodiscard]] const Vocabulary& vocabulary() const { return vocabulary_; }
  [[nodiscard]] Normalisation normalise() const { return normalise_; }
  [[nodiscard]] int mel_bands() const { return mel_bands_; }
  // 0 without features.
  [[nodiscard]] std::int64_t feature_width() const { return feature_width_; }

 private:
  explicit Dataset(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  Vocabulary vocabulary_;
  std::vector<Utterance> train_{};
  std::vector<Utterance> heldout_{};
  Normalisation normalise_{};
  int mel_bands_ = 0;
  std::int64_t feature_width_ = 0;
};

// The log-mel of a sound, resampled to the front end's rate: (frames, bands) float32, not
// normalised.
[[nodiscard]] Result<at::Tensor> mel_of(const Audio& sound, const MelFrontEnd& front);
// Of a recording.
[[nodiscard]] Result<at::Tensor> read_mel(const std::filesystem::path& audio,
                                          const MelFrontEnd& front);

// Mean and deviation (of the population) over all elements. An error where there are none, or all
// are equal.
[[nodiscard]] Result<Normalisation> measure(const std::vector<Utterance>& utterances);

}  // namespace strata::trainer
