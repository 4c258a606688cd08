// UNetT: the flat U-Net transformer of E2-TTS. Time is one more token in front; the first half's
// inputs are skipped to the second half. Nothing starts at zero.
#pragma once

#include "trainer/models/layers.h"

namespace strata::trainer {

// x / max(|x|, 1e-12) * sqrt(dim) * g
class RmsNorm : public torch::nn::Module {
 public:
  explicit RmsNorm(std::int64_t dim);
  at::Tensor forward(const at::Tensor& x);

 private:
  at::Tensor gain_;
};

class UnettLayer : public torch::nn::Module {
 public:
  // `joins`: the layer takes a skip by concatenation and so has the weight for it.
  UnettLayer(const ModelConfig& config, bool joins);
  // x (B, N+1, dim); `skip` of the same shape, or undefined; mask (B, N+1) or undefined.
  // `number` of the layer, from 0: where its dropout is.
  at::Tensor forward(at::Tensor x, const at::Tensor& skip, const RotaryTable& table,
                     const at::Tensor& mask, const BackboneInput& input, std::int64_t number);

 private:
  torch::nn::Linear join_ = nullptr;
  std::shared_ptr<RmsNorm> attention_norm_;
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<RmsNorm> feed_forward_norm_;
  std::shared_ptr<FeedForward> feed_forward_;
};

class Unett final : public Backbone {
 public:
  explicit Unett(const ModelConfig& config);
  at::Tensor embed_text(const at::Tensor& text, std::int64_t frames, bool drop_text,
                        const at::Tensor& mask) override;
  // The blocks handed out have the time token removed, so that frame i is row i.
  BackboneOutput forward(const BackboneInput& input) override;

 private:
  ModelConfig config_;
  std::shared_ptr<TimeEmbedding> time_;
  std::shared_ptr<TextEmbedding> text_;
  std::shared_ptr<InputEmbedding> input_;
  std::vector<std::shared_ptr<UnettLayer>> layers_;
  std::shared_ptr<RmsNorm> norm_;
  torch::nn::Linear project_;
};

}  // namespace strata::trainer
