#include "trainer/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/audio/audio_file.h"
#include "base/audio/resample.h"
#include "base/torch/torch.h"
#include "trainer/data/features.h"
#include "trainer/data/manifest.h"
#include "trainer/data/tokenizer.h"

namespace strata::trainer {
namespace {

Result<Utterance> load_utterance(const Corpus& corpus, const Item& item, const MelFrontEnd& front,
                                 const Vocabulary& vocabulary) {
  Utterance utterance{.id = item.id, .seconds = item.seconds()};
  utterance.text = token_ids(vocabulary, item);
  if (utterance.text.empty())
    return fail(ErrorCode::kInvalid, "the item {} of {} has no text", item.id,
                corpus.folder.string());
  STRATA_TRY(utterance.mel, read_mel(corpus.audio_path(item), front));
  return utterance;
}

void normalise_all(std::vector<Utterance>& utterances, const Normalisation& by) {
  for (Utterance& utterance : utterances) utterance.mel.sub_(by.mean).div_(by.deviation);
}

}  // namespace

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

Result<Normalisation> measure(const std::vector<Utterance>& utterances) {
  std::int64_t count = 0;
  double sum = 0;
  double squares = 0;
  for (const Utterance& utterance : utterances) {
    const at::Tensor wide = utterance.mel.to(at::kDouble);
    count += wide.numel();
    sum += wide.sum().item<double>();
    squares += wide.square().sum().item<double>();
  }
  if (count == 0) return fail(ErrorCode::kInvalid, "there is no training item to normalise by");
  const double mean = sum / static_cast<double>(count);
  const double variance = squares / static_cast<double>(count) - mean * mean;
  if (!(variance > 0))
    return fail(ErrorCode::kInvalid,
                "all mel values of the training items are equal: the recordings are silent");
  return Normalisation{.mean = mean, .deviation = std::sqrt(variance)};
}

Result<Dataset> Dataset::load(const std::filesystem::path& corpus_folder,
                              const std::optional<std::filesystem::path>& features, MelKind mel,
                              Normalise normalise) {
  STRATA_TRY(const Corpus corpus, read_corpus(corpus_folder));
  STRATA_TRY(Vocabulary vocabulary, Vocabulary::load(corpus_folder / "vocab.txt"));
  std::optional<FeatureFolder> teacher;
  if (features) {
    STRATA_TRY(teacher, FeatureFolder::open(*features));
  }
  const MelFrontEnd front(mel_config(mel));
  Dataset dataset(std::move(vocabulary));
  dataset.mel_bands_ = front.config().bands;
  if (teacher) dataset.feature_width_ = teacher->width();
  std::int64_t bytes = 0;
  for (const Item& item : corpus.items) {
    if (item.split != Split::kTrain && item.split != Split::kHeldout) continue;
    STRATA_TRY(Utterance utterance, load_utterance(corpus, item, front, dataset.vocabulary_));
    if (teacher) {
      STRATA_TRY(utterance.features, teacher->load(item.id, item.sha256));
    }
    bytes += static_cast<std::int64_t>(utterance.mel.nbytes()) +
             (teacher ? static_cast<std::int64_t>(utterance.features.nbytes()) : 0);
    if (bytes > kDatasetBytesMax) {
      return fail(ErrorCode::kTooLarge,
                  "{}: mels and features need more than {} bytes of memory; set corpus.limit",
                  corpus_folder.string(), kDatasetBytesMax);
    }
    (item.split == Split::kTrain ? dataset.train_ : dataset.heldout_)
        .push_back(std::move(utterance));
  }
  if (normalise == Normalise::kNone) return dataset;
  STRATA_TRY(dataset.normalise_, measure(dataset.train_));
  normalise_all(dataset.train_, dataset.normalise_);
  normalise_all(dataset.heldout_, dataset.normalise_);
  return dataset;
}

}  // namespace strata::trainer
