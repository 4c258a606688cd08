// One utterance and a padded batch of them, as the model takes them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/torch/tensor.h"

namespace strata::trainer {

struct Utterance {
  std::string id{};
  at::Tensor mel{};                  // (frames, mel) float32, normalised
  std::vector<std::int64_t> text{};  // token ids 0..vocabulary-1, one per code point
  at::Tensor features{};             // (teacher frames, width) float32, or undefined
  double seconds = 0;

  [[nodiscard]] std::int64_t frames() const { return mel.size(0); }
  [[nodiscard]] std::int64_t feature_frames() const {
    return features.defined() ? features.size(0) : 0;
  }
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
[[nodiscard]] PaddedSizes padded_sizes(const std::vector<const Utterance*>& utterances);

// Mels are padded with `padding`. REQUIRES: at least one utterance; all have the same mel width;
// features either in all of them, of one width, or in none.
[[nodiscard]] Batch collate(const std::vector<const Utterance*>& utterances,
                            const PaddedSizes& at_least = {}, double padding = 0);

}  // namespace strata::trainer
