// A backbone with the two alignment heads of A-DMA, which are trained with it and dropped
// afterwards.
#pragma once

#include "trainer/models/align_config.h"
#include "trainer/models/backbone.h"
#include "trainer/tensor_file.h"

namespace strata::trainer {

// What both heads are: convolution (3), group norm, Mish, the same again, convolution (1).
class Aligner : public torch::nn::Module {
 public:
  Aligner(std::int64_t dim, std::int64_t hidden, std::int64_t width, std::int64_t stride);

 protected:
  at::Tensor convolve(const at::Tensor& x);  // (B, dim, T) -> (B, ceil(T / stride), width)

 private:
  torch::nn::Conv1d first_, second_, last_;
  torch::nn::GroupNorm first_norm_, second_norm_;
};

// Predicts the teacher's frames from a block's output.
class SpeechAligner final : public Aligner {
 public:
  SpeechAligner(std::int64_t dim, std::int64_t hidden, std::int64_t width)
      : Aligner(dim, hidden, width, 1) {}
  // block (B, N, dim) -> (B, frames, width): interpolated from N to `frames`, then convolved.
  at::Tensor forward(const at::Tensor& block, std::int64_t frames);
};

// Spells the text from a block's output at half the frame rate.
class TextAligner final : public Aligner {
 public:
  TextAligner(std::int64_t dim, std::int64_t hidden, std::int64_t vocabulary)
      : Aligner(dim, hidden, vocabulary + 2, 2) {}
  // block (B, N, dim) -> (B, ceil(N/2), V+2) logits; class V is never used, class V+1 is the blank.
  at::Tensor forward(const at::Tensor& block) { return convolve(block.transpose(1, 2)); }
};

[[nodiscard]] constexpr std::int64_t text_aligner_frames(std::int64_t frames) {
  return (frames + 1) / 2;
}

// Parameters: first the backbone's, then the text heads', then the speech heads'. The first head of
// a kind is "text_aligner", the next one "text_aligner_2".
class AcousticModel : public torch::nn::Module {
 public:
  // The backbone is drawn first, from its own seed: cells that differ only in their heads start
  // from the same backbone.
  AcousticModel(const ModelConfig& config, const AlignConfig& align, std::uint64_t seed);

  [[nodiscard]] Backbone& backbone() { return *backbone_; }
  [[nodiscard]] TextAligner& text_aligner(std::size_t tap) { return *text_.at(tap); }
  [[nodiscard]] SpeechAligner& speech_aligner(std::size_t tap) { return *speech_.at(tap); }
  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const AlignConfig& align() const { return align_; }
  [[nodiscard]] std::int64_t parameter_count() const;

 private:
  ModelConfig config_;
  AlignConfig align_;
  std::shared_ptr<Backbone> backbone_;
  std::vector<std::shared_ptr<TextAligner>> text_;  // as align().text has them
  std::vector<std::shared_ptr<SpeechAligner>> speech_;
};

// Copies `weights` (names as in Backbone::named_parameters) into the backbone; a missing, left-over
// or wrongly shaped tensor is an error that names it.
[[nodiscard]] Status load_weights(Backbone& backbone, const NamedTensors& weights);

}  // namespace strata::trainer
