#include "trainer/data/batch.h"

#include <algorithm>

#include "base/assert.h"
#include "base/torch/torch.h"

namespace strata::trainer {

PaddedSizes padded_sizes(const std::vector<const Utterance*>& utterances) {
  PaddedSizes sizes;
  for (const Utterance* utterance : utterances) {
    sizes.frames = std::max(sizes.frames, utterance->frames());
    sizes.text = std::max(sizes.text, static_cast<std::int64_t>(utterance->text.size()));
    sizes.feature_frames = std::max(sizes.feature_frames, utterance->feature_frames());
  }
  return sizes;
}

Batch collate(const std::vector<const Utterance*>& utterances, const PaddedSizes& at_least,
              double padding) {
  STRATA_ASSERT(!utterances.empty());
  const auto count = static_cast<std::int64_t>(utterances.size());
  PaddedSizes sizes = padded_sizes(utterances);
  sizes.frames = std::max(sizes.frames, at_least.frames);
  sizes.text = std::max(sizes.text, at_least.text);
  sizes.feature_frames = std::max(sizes.feature_frames, at_least.feature_frames);
  const Utterance& first = *utterances.front();
  const auto integers = at::TensorOptions(at::kLong);

  Batch batch;
  batch.mel =
      at::full({count, sizes.frames, first.mel.size(1)}, padding, at::kFloat);  // (B, N, mel)
  batch.lengths = at::zeros({count}, integers);                                 // (B)
  batch.text = at::full({count, sizes.text}, -1, integers);                     // (B, T)
  batch.text_lengths = at::zeros({count}, integers);                            // (B)
  if (first.features.defined()) {
    batch.features = at::zeros({count, sizes.feature_frames, first.features.size(1)},
                               at::kFloat);                // (B, Z, width)
    batch.feature_lengths = at::zeros({count}, integers);  // (B)
  }
  for (std::int64_t b = 0; b < count; ++b) {
    const Utterance& utterance = *utterances[static_cast<std::size_t>(b)];
    STRATA_ASSERT(utterance.is_whole());
    STRATA_ASSERT(utterance.mel.size(1) == first.mel.size(1));
    STRATA_ASSERT(utterance.features.defined() == first.features.defined());
    const auto letters = static_cast<std::int64_t>(utterance.text.size());
    batch.ids.push_back(utterance.id);
    batch.mel[b].slice(0, 0, utterance.frames()).copy_(utterance.mel);
    batch.lengths[b] = utterance.frames();
    std::copy(utterance.text.begin(), utterance.text.end(),
              batch.text.data_ptr<std::int64_t>() + b * sizes.text);
    batch.text_lengths[b] = letters;
    if (first.features.defined()) {
      batch.features[b].slice(0, 0, utterance.feature_frames()).copy_(utterance.features);
      batch.feature_lengths[b] = utterance.feature_frames();
    }
  }
  return batch;
}

Result<Utterance> whole_utterance(const Utterance& utterance, const UtteranceSource* source) {
  if (utterance.is_whole()) return utterance;
  STRATA_ASSERT(source != nullptr);
  STRATA_TRY(Utterance whole, source->load(utterance));
  STRATA_ASSERT(whole.is_whole());
  STRATA_ASSERT(whole.frames() == utterance.frames());
  STRATA_ASSERT(whole.feature_frames() == utterance.feature_frames());
  return whole;
}

}  // namespace strata::trainer
