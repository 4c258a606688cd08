// What makes a model: sizes and switches, read from the parameters of a run and stored beside its
// weights (model.json).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/value.h"

namespace strata::trainer {

enum class Architecture { kDit, kUnett };
enum class SkipConnection { kConcat, kAdd, kNone };  // U-skips of UNetT

// What padded frames are allowed to do; both generations of the original.
//   kOriginal   A-DMA, and F5-TTS up to 2025-06: nothing is masked in training. In a sampled batch
//               attention sees no padded frame.
//   kUpstream   F5-TTS since then, in training as in a sampled batch: the outputs of attention are
//               0 at padded frames, which others still see unless `attention_mask`. DiT also clears
//               them around both position convolutions, and gives them neither text nor position.
enum class Masks { kOriginal, kUpstream };

inline constexpr std::int64_t kWidthMax = 1 << 16;
inline constexpr std::int64_t kDepthMax = 512;

struct ModelConfig {
  Architecture architecture = Architecture::kDit;
  std::int64_t dim = 768;
  std::int64_t depth = 18;
  std::int64_t heads = 12;
  std::int64_t dim_head = 64;
  std::int64_t ff_mult = 2;
  std::int64_t mel = 100;  // mel bands
  // Entries of the vocabulary, V; the embedding has V+1 rows, row 0 is filler.
  std::int64_t vocabulary = 0;
  std::int64_t text_dim = 512;
  // ConvNeXtV2 blocks of the text encoder; 0: bare embedding without positions.
  std::int64_t conv_layers = 4;
  bool text_mask_padding = false;
  // DiT with text_mask_padding: the encoded text is spread over the frames, each token over as many
  // as any other, instead of standing in the first ones.
  bool average_upsampling = false;
  // How many heads are rotated; nothing: all of them.
  std::optional<std::int64_t> pe_attn_heads = 1;
  // Queries and keys of every head are divided by their root mean square before they are rotated,
  // and have gains: "rms_norm".
  bool qk_norm = false;
  bool long_skip = false;
  SkipConnection skip = SkipConnection::kConcat;
  Masks masks = Masks::kOriginal;
  bool attention_mask = false;  // with kUpstream: padded frames are no keys either
  double dropout = 0.1;
};

// `vocabulary` and `mel` may stand in the map (probe, model.json) or come from the corpus (train):
// then pass them.
[[nodiscard]] Result<ModelConfig> read_model_config(const Value& value, const std::string& where,
                                                    std::optional<std::int64_t> vocabulary = {},
                                                    std::optional<std::int64_t> mel = {});
// Reads back to the same configuration.
[[nodiscard]] Value to_value(const ModelConfig& config);

}  // namespace strata::trainer
