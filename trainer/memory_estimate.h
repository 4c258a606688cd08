// How much memory a training run needs, told from its sizes alone. The parameters are exact; what a
// forward and backward pass needs beside them is an estimate whose coefficients were fitted to
// measured peaks (docs/models.md, "Memory before training", with its errors).
#pragma once

#include <cstdint>

#include "trainer/models/align_config.h"
#include "trainer/models/config.h"

namespace strata::trainer {

// As many as the models have: AcousticModel::parameter_count() is the sum.
[[nodiscard]] std::int64_t backbone_parameters(const ModelConfig& model);
[[nodiscard]] std::int64_t head_parameters(const ModelConfig& model, const AlignConfig& align);

// What one forward of a rank takes, padded.
struct ForwardShape {
  std::int64_t utterances = 0;
  std::int64_t frames = 0;          // of the mel, of the longest utterance
  std::int64_t teacher_frames = 0;  // of the longest; 0 without a speech head
};

// Bytes that the forward pass keeps for the backward pass, as if all of them were float32.
[[nodiscard]] double kept_for_backward(const ModelConfig& model, const AlignConfig& align,
                                       const ForwardShape& shape, bool recompute);

// Bytes of data that a rank holds.
struct HeldBytes {
  double corpus = 0;   // mels and features
  double batches = 0;  // made of them ahead
};

// Bytes of one rank.
struct MemoryEstimate {
  std::int64_t parameters = 0;  // how many, heads included
  double weights = 0;           // the parameters themselves
  double gradients = 0;
  double moments = 0;      // both of AdamW
  double average = 0;      // of the weights
  double early = 0;        // the early weights, which stay until the end
  double activations = 0;  // the estimate: of a forward and backward pass
  double checkpoint = 0;   // of rank 0 while it writes one: the bytes of the file
  HeldBytes held{};
  double program = 0;  // libraries

  // Exact but for a few bytes a tensor.
  [[nodiscard]] double fixed() const { return weights + gradients + moments + average + early; }
  // Passes and checkpoints take turns.
  [[nodiscard]] double peak() const {
    return program + held.corpus + held.batches + fixed() +
           (activations > checkpoint ? activations : checkpoint);
  }
};

struct PassOptions {
  bool recompute = false;
  bool bfloat16 = false;
};

[[nodiscard]] MemoryEstimate estimate_memory(const ModelConfig& model, const AlignConfig& align,
                                             const ForwardShape& shape, const PassOptions& pass,
                                             const HeldBytes& held);

}  // namespace strata::trainer
