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
  // How many heads are rotated; nothing: all of them.
  std::optional<std::int64_t> pe_attn_heads = 1;
  bool long_skip = false;
  SkipConnection skip = SkipConnection::kConcat;
  double dropout = 0.1;
};

// `vocabulary` and `mel` may stand in the map (probe, model.json) or come from the corpus (train):
// then pass them.
[[nodiscard]] Result<ModelConfig> read_model_config(const Value& value, const std::string& where,
                                                    std::optional<std::int64_t> vocabulary = {},
                                                    std::optional<std::int64_t> mel = {});
// Reads back to the same configuration.
[[nodiscard]] Value to_value(const ModelConfig& config);

enum class SpeechLoss { kNegCosine, kNegLogSigmoid, kL1 };

// The alignment heads of A-DMA. Layer k is the output of block k, counted from 1; 0 means no head.
struct AlignConfig {
  std::int64_t text_layer = 0;
  double text_weight = 0.1;
  std::int64_t speech_layer = 0;
  double speech_weight = 1.0;
  std::int64_t speech_width = 1024;  // width of the teacher's features
  SpeechLoss speech_loss = SpeechLoss::kNegCosine;
  std::int64_t hidden = 2048;

  [[nodiscard]] bool has_text() const { return text_layer > 0; }
  [[nodiscard]] bool has_speech() const { return speech_layer > 0; }
};

// {"text": {"layer", "weight"}, "speech": {"layer", "weight", "width", "loss"}, "hidden"}; null or
// absent: no heads. `speech_width` stands in for an absent "width".
[[nodiscard]] Result<AlignConfig> read_align_config(const Value* value, const std::string& where,
                                                    std::int64_t depth,
                                                    std::optional<std::int64_t> speech_width = {});

}  // namespace strata::trainer
