// The interface behind which a velocity model stands: DiT (F5-TTS) or UNetT (E2-TTS).
// Source: "Accelerating diffusion TTS training by alignment" (A-DMA), F5-TTS and E2-TTS;
// docs/models.md has the equations.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "base/torch/torch.h"
#include "trainer/models/config.h"
#include "trainer/models/dropout.h"

namespace strata::trainer {

// Gets named intermediate values as they are born: "time", "text", "input", "block1" ...
using Observer = std::function<void(std::string_view name, const at::Tensor& value)>;

struct BackboneInput {
  at::Tensor noisy{};       // (B, N, mel): x_t
  at::Tensor condition{};   // (B, N, mel): the known part of the mel, 0 elsewhere
  at::Tensor text{};        // (B, N, text_dim), from embed_text
  at::Tensor time{};        // (B), in [0, 1]
  bool drop_audio = false;  // for guidance: the condition is hidden
  // (B, N) bool, true on frames; undefined: all are. What it hides is ModelConfig::masks; with
  // Masks::kOriginal training passes none.
  at::Tensor mask{};
  RowDropout dropout{};
  std::set<std::int64_t> taps{};  // layers whose output is wanted: that of block k, from 1
  Observer observe{};
};

struct BackboneOutput {
  at::Tensor velocity{};                        // (B, N, mel)
  std::map<std::int64_t, at::Tensor> blocks{};  // (B, N, dim) by layer: those of `taps`
};

class Backbone : public torch::nn::Module {
 public:
  // `text` (B, T) ids 0..V-1 padded with -1 -> (B, frames, text_dim). `drop_text` hides the text,
  // for guidance. `mask` as in forward. Apart from forward so that a sampler embeds once and steps
  // many times.
  [[nodiscard]] virtual at::Tensor embed_text(const at::Tensor& text, std::int64_t frames,
                                              bool drop_text, const at::Tensor& mask = {}) = 0;
  [[nodiscard]] virtual BackboneOutput forward(const BackboneInput& input) = 0;

  // Whether blocks, those of the text encoder too, are computed again in the backward pass
  // (recompute.h).
  void set_recompute(bool recompute) { recompute_ = recompute; }
  [[nodiscard]] bool recomputes() const { return recompute_; }

 private:
  bool recompute_ = false;
};

// Freshly initialised from torch's global generator.
[[nodiscard]] std::shared_ptr<Backbone> make_backbone(const ModelConfig& config);

}  // namespace strata::trainer
