// The pieces of which both backbones are made. Names of parameters are those of the F5-TTS
// checkpoints.
#pragma once

#include <string>
#include <string_view>

#include "trainer/models/backbone.h"

namespace strata::trainer {

// Registers `module` below `owner` at a dotted path ("time_mlp.0"), making plain containers on the
// way, so that parameter names are those of the published checkpoints. Returns the module.
template <class M>
M adopt(torch::nn::Module& owner, std::string_view path, M module) {
  const std::size_t dot = path.find('.');
  const std::string head(path.substr(0, dot));
  if (dot == std::string_view::npos) return owner.register_module(head, std::move(module));
  const auto* known = owner.named_children().find(head);
  auto container = known == nullptr
                       ? owner.register_module(head, std::make_shared<torch::nn::Module>())
                       : *known;
  return adopt(*container, path.substr(dot + 1), std::move(module));
}

// (B) in [0,1] -> (B, dim).
class TimeEmbedding : public torch::nn::Module {
 public:
  explicit TimeEmbedding(std::int64_t dim);
  at::Tensor forward(const at::Tensor& time);
  static at::Tensor sinusoids(const at::Tensor& time);  // (B) -> (B, 256)

 private:
  torch::nn::Linear first_, second_;
};

// y = gamma * (x * Nx) + beta + x, with norms over time; the identity at initialisation.
class GlobalResponseNorm : public torch::nn::Module {
 public:
  explicit GlobalResponseNorm(std::int64_t width);
  at::Tensor forward(const at::Tensor& x);  // (B, N, C)

 private:
  at::Tensor gamma_, beta_;
};

class ConvNextBlock : public torch::nn::Module {
 public:
  explicit ConvNextBlock(std::int64_t width);
  at::Tensor forward(const at::Tensor& x);  // (B, N, C)

 private:
  torch::nn::Conv1d depthwise_;
  torch::nn::LayerNorm norm_;
  torch::nn::Linear widen_;
  std::shared_ptr<GlobalResponseNorm> response_;
  torch::nn::Linear narrow_;
};

class TextEmbedding : public torch::nn::Module {
 public:
  explicit TextEmbedding(const ModelConfig& config);
  // (B, T) ids padded with -1 -> (B, frames, text_dim). Longer texts are cut to `frames`. `shown`
  // (B, frames) bool or undefined: the other frames have no text, not even filler, and no position.
  // With ModelConfig::average_upsampling the tokens of each text are spread over its `shown`
  // frames.
  at::Tensor forward(const at::Tensor& text, std::int64_t frames, bool drop_text,
                     const at::Tensor& shown, bool recompute);
  // (frames, width) float32; frames past the table's end share its last row.
  static at::Tensor positions(std::int64_t width, std::int64_t frames, std::int64_t rows);
  static constexpr std::int64_t kRows = 4096;
  static constexpr std::int64_t kUpstreamRows = 8192;  // DiT with Masks::kUpstream

 private:
  at::Tensor encode(at::Tensor x, const at::Tensor& filler, bool recompute);

  bool mask_padding_;
  bool upsamples_;
  std::int64_t rows_;
  std::int64_t width_;
  torch::nn::Embedding embedding_;
  std::vector<std::shared_ptr<ConvNextBlock>> blocks_;
};

// Spreads the first `tokens` rows of each x over its first `frames` rows, in their order; the rest
// is 0. Each row takes floor(frames / tokens) frames, and so many of the last ones, as that leaves
// over, one more: 3 tokens in 8 frames are 1 1 2 2 2 3 3 3. x (B, N, C); tokens, frames (B) long,
// with tokens <= frames <= N; without tokens all is 0.
[[nodiscard]] at::Tensor average_upsampled(const at::Tensor& x, const at::Tensor& tokens,
                                           const at::Tensor& frames);

// x_t, condition and text side by side -> (B, N, dim), plus a convolution that knows where a frame
// stands.
class InputEmbedding : public torch::nn::Module {
 public:
  InputEmbedding(const ModelConfig& config);
  // `shown` (B, N) bool or undefined: other frames are 0 before and after each convolution.
  at::Tensor forward(const BackboneInput& input, const at::Tensor& shown);

 private:
  torch::nn::Linear project_;
  torch::nn::Conv1d first_, second_;
};

// The angles of rotary positions: frame i, pair k -> i * 10000^(-2k/d). cos and sin are (N, d/2).
struct RotaryTable {
  at::Tensor cos{}, sin{};
};
[[nodiscard]] RotaryTable rotary_table(std::int64_t frames, std::int64_t dim_head,
                                       const at::TensorOptions& options);
// Rotates adjacent channel pairs of x (B, H, N, d) in the first `heads` heads; the others pass.
[[nodiscard]] at::Tensor rotate(const at::Tensor& x, const RotaryTable& table, std::int64_t heads);

// x / sqrt(mean(x^2) + 1e-6) * weight over the channels of one head.
class HeadNorm : public torch::nn::Module {
 public:
  explicit HeadNorm(std::int64_t dim_head);
  at::Tensor forward(const at::Tensor& x);  // (B, N, H, d)

 private:
  at::Tensor weight_;
};

class Attention : public torch::nn::Module {
 public:
  explicit Attention(const ModelConfig& config);
  // x (B, N, dim); mask (B, N) bool or undefined: hidden frames get 0, and are no keys unless
  // ModelConfig::masks lets them.
  at::Tensor forward(const at::Tensor& x, const RotaryTable& table, const at::Tensor& mask,
                     const Dropout& dropout);

 private:
  std::int64_t heads_, dim_head_, rotated_heads_;
  bool hides_keys_;
  torch::nn::Linear query_, key_, value_;
  std::shared_ptr<HeadNorm> query_norm_, key_norm_;  // with ModelConfig::qk_norm
  torch::nn::Linear out_;
};

class FeedForward : public torch::nn::Module {
 public:
  FeedForward(std::int64_t dim, std::int64_t mult);
  at::Tensor forward(const at::Tensor& x, const Dropout& dropout);

 private:
  torch::nn::Linear widen_, narrow_;
};

}  // namespace strata::trainer
