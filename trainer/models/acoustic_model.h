// A backbone with the two alignment heads of A-DMA, which are trained with it and dropped
// afterwards.
#pragma once

#include "trainer/models/backbone.h"
#include "trainer/tensor_file.h"

namespace strata::trainer {

// Predicts the teacher's frames from a block's output.
class SpeechAligner : public torch::nn::Module {
 public:
  SpeechAligner(std::int64_t dim, std::int64_t hidden, std::int64_t width);
  // block (B, N, dim) -> (B, frames, width): interpolated from N to `frames`, then convolved.
  at::Tensor forward(const at::Tensor& block, std::int64_t frames);

 private:
  torch::nn::Conv1d first_, second_, last_;
  torch::nn::GroupNorm first_norm_, second_norm_;
};

// Spells the text from a block's output at half the frame rate.
class TextAligner : public torch::nn::Module {
 public:
  TextAligner(std::int64_t dim, std::int64_t hidden, std::int64_t vocabulary);
  // block (B, N, dim) -> (B, ceil(N/2), V+2) logits; class V is never used, class V+1 is the blank.
  at::Tensor forward(const at::Tensor& block);

 private:
  torch::nn::Conv1d first_, second_, last_;
  torch::nn::GroupNorm first_norm_, second_norm_;
};

[[nodiscard]] constexpr std::int64_t text_aligner_frames(std::int64_t frames) {
  return (frames + 1) / 2;
}

// Parameters: first the backbone's, then the text head's, then the speech head's.
class AcousticModel : public torch::nn::Module {
 public:
  // The backbone is drawn first, from its own seed: cells that differ only in their heads start
  // from the same backbone.
  AcousticModel(const ModelConfig& config, const AlignConfig& align, std::uint64_t seed);

  [[nodiscard]] Backbone& backbone() { return *backbone_; }
  [[nodiscard]] TextAligner* text_aligner() { return text_.get(); }
  [[nodiscard]] SpeechAligner* speech_aligner() { return speech_.get(); }
  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const AlignConfig& align() const { return align_; }
  [[nodiscard]] std::int64_t parameter_count() const;

 private:
  ModelConfig config_;
  AlignConfig align_;
  std::shared_ptr<Backbone> backbone_;
  std::shared_ptr<TextAligner> text_;
  std::shared_ptr<SpeechAligner> speech_;
};

// Copies `weights` (names as in Backbone::named_parameters) into the backbone; a missing, left-over
// or wrongly shaped tensor is an error that names it.
[[nodiscard]] Status load_weights(Backbone& backbone, const NamedTensors& weights);

}  // namespace strata::trainer
