// What stands in a checkpoint of F5-TTS, E2-TTS or A-DMA, told by names and shapes alone.
//
//   <prefix>time_embed…, text_embed…, input_embed…, transformer_blocks… or layers…, norm_out…,
//   proj_out…                 parameters; prefix: "ema_model.transformer." (published files),
//                             "transformer." (a model's own state) or none (a backbone's)
//   <prefix>rotary_embed.inv_freq       a buffer that is the same in every model
//   <prefix>…align…                     the heads of A-DMA, of use in training only
//   ema_model.mel_spec.…, mel_spec.…    buffers of the front end, in older files
//   initted, step                       the state of the average
//
// docs/models.md, "Official weights"; F5-TTS: infer/utils_infer.py (load_checkpoint).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/models/config.h"

namespace strata::trainer {

using Shapes = std::map<std::string, std::vector<std::int64_t>, std::less<>>;

inline constexpr const char* kAveragePrefix = "ema_model.transformer.";
inline constexpr const char* kModelPrefix = "transformer.";
inline constexpr const char* kRotaryBuffer = "rotary_embed.inv_freq";
inline constexpr const char* kAverageStarted = "initted";
inline constexpr const char* kAverageStep = "step";

// Every key of the file is in one of these.
struct CheckpointKeys {
  std::string prefix{};
  std::map<std::string, std::string, std::less<>> parameters{};  // name in our backbone -> key
  std::optional<std::string> rotary{};                           // key of the buffer
  bool started = false, step = false;                            // the average's state is there
  std::map<std::string, std::string> dropped{};                  // key -> why
  std::vector<std::string> unknown{};                            // outside of the prefix
};
[[nodiscard]] CheckpointKeys sort_keys(const Shapes& file);

// Sizes come from the shapes of the parameters (by our names), and dim_head from the length of the
// rotary buffer where there is one. `choices` says what shapes cannot:
//   generation         "v0" (also E2-TTS), "v1" or "adma": the defaults of the next three
//   text_mask_padding  false, true, false
//   average_upsampling false
//   pe_attn_heads      1, null (all), 1
//   masks              original, upstream, original
//   attention_mask     false
//   dim_head           64 where there is no buffer
//   skip               of a UNetT without joining weights: "add" or "none", required there
//   dropout            0.1
// Keys of `choices` that are read are added to `assumed`, with the values that count.
[[nodiscard]] Result<ModelConfig> config_of_shapes(const Shapes& parameters,
                                                   std::optional<std::int64_t> rotary_pairs,
                                                   const Value& choices, const std::string& where,
                                                   Object& assumed);

// What is there and not wanted, wanted and not there, or there in another shape: an error that
// names it all (the first kNamesMax of each).
inline constexpr std::size_t kNamesMax = 12;
[[nodiscard]] Status check_complete(const CheckpointKeys& keys, const Shapes& file,
                                    const Shapes& wanted);

}  // namespace strata::trainer
