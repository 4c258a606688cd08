// DiT with a ConvNeXtV2 text encoder: the backbone of F5-TTS.
#pragma once

#include "trainer/models/layers.h"

namespace strata::trainer {

// x += gate_a * Attention(AdaLN(x)); x += gate_m * FeedForward(AdaLN(x)). The identity at
// initialisation.
class DitBlock : public torch::nn::Module {
 public:
  explicit DitBlock(const ModelConfig& config);
  // x (B, N, dim), time (B, dim). `number` of the block, from 0: where its dropout is.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& time, const RotaryTable& table,
                     const BackboneInput& input, std::int64_t number);

 private:
  torch::nn::Linear modulation_;
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<FeedForward> feed_forward_;
};

class Dit final : public Backbone {
 public:
  explicit Dit(const ModelConfig& config);
  at::Tensor embed_text(const at::Tensor& text, std::int64_t frames, bool drop_text,
                        const at::Tensor& mask) override;
  BackboneOutput forward(const BackboneInput& input) override;

 private:
  void zero_what_starts_at_zero();

  ModelConfig config_;
  std::shared_ptr<TimeEmbedding> time_;
  std::shared_ptr<TextEmbedding> text_;
  std::shared_ptr<InputEmbedding> input_;
  std::vector<std::shared_ptr<DitBlock>> blocks_;
  torch::nn::Linear long_skip_ = nullptr;
  torch::nn::Linear final_modulation_ = nullptr;
  torch::nn::Linear project_ = nullptr;
};

}  // namespace strata::trainer
