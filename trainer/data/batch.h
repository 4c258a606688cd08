// One utterance and a padded batch of them, as the model takes them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/torch/tensor.h"

namespace strata::trainer {

struct Utterance {
  std::string id{};
  at::Tensor mel{};                  // (frames, mel) float32, normalised
  std::vector<std::int64_t> text{};  // token ids 0..vocabulary-1, one per code point
  at::Tensor features{};             // (teacher frames, width) float32 or float16, or undefined
  double seconds = 0;
  // Sizes of what is not in memory: its tensor is undefined, an UtteranceSource gives it.
  struct Absent {
    std::int64_t frames = 0;
    std::int64_t bands = 0;
    std::int64_t feature_frames = 0;
  } absent{};

  [[nodiscard]] std::int64_t frames() const { return mel.defined() ? mel.size(0) : absent.frames; }
  [[nodiscard]] std::int64_t bands() const { return mel.defined() ? mel.size(1) : absent.bands; }
  [[nodiscard]] std::int64_t feature_frames() const {
    return features.defined() ? features.size(0) : absent.feature_frames;
  }
  // Whether all that it has is in memory.
  [[nodiscard]] bool is_whole() const {
    return mel.defined() && (features.defined() || absent.feature_frames == 0);
  }
};

// Where the mels and features come from that are not in memory. Safe to call from several threads.
class UtteranceSource {
 public:
  virtual ~UtteranceSource() = default;
  // The utterance with its tensors, of the sizes that it says. They may be shared with other
  // callers: nobody writes into them. An error names the item and its file.
  [[nodiscard]] virtual Result<Utterance> load(const Utterance& utterance) const = 0;
};

struct Batch {
  std::vector<std::string> ids{};
  at::Tensor mel{};              // (B, N, mel), padded
  at::Tensor lengths{};          // (B) int64, mel frames
  at::Tensor text{};             // (B, T) int64 padded with -1
  at::Tensor text_lengths{};     // (B) int64
  at::Tensor features{};         // (B, Z, width) padded with 0, or undefined
  at::Tensor feature_lengths{};  // (B) int64, or undefined

  [[nodiscard]] std::int64_t size() const { return mel.size(0); }
  [[nodiscard]] std::int64_t frames() const { return mel.size(1); }
};

// The least padded sizes. Unmasked attention, GRN over time and the heads' interpolation all see
// the padding, so every rank pads its share to the sizes of the whole global batch: then the result
// does not depend on how it was divided.
struct PaddedSizes {
  std::int64_t frames = 0;          // N
  std::int64_t text = 0;            // T
  std::int64_t feature_frames = 0;  // Z
};
// Needs no tensors.
[[nodiscard]] PaddedSizes padded_sizes(const std::vector<const Utterance*>& utterances);

// Mels are padded with `padding`. REQUIRES: at least one utterance; all are whole and have the same
// mel width; features either in all of them, of one width, or in none (as all training items of a
// dataset; held-out ones may differ, and each is validated alone).
[[nodiscard]] Batch collate(const std::vector<const Utterance*>& utterances,
                            const PaddedSizes& at_least = {}, double padding = 0);

// The same utterance, whole. REQUIRES: a source, where it is not whole already.
[[nodiscard]] Result<Utterance> whole_utterance(const Utterance& utterance,
                                                const UtteranceSource* source);

}  // namespace strata::trainer
