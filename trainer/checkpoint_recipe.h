// What a training state depends on: the parameters and the seed of its run, and the weights that it
// started from, where they were given (initial_weights.h). A checkpoint holds them as they were
// given, and is gone on from only where they mean the same.
//
// Two parameters maps mean the same when they differ
//   - in kNoPartOfTheResult only: when something is told, kept or measured. The weights and the
//     early and last held-out losses stay the same; the periodic ones of validation.jsonl are those
//     of train.validate_every as it was at each update. (train.micro_batch is not there: it changes
//     the order of additions, and so the last bits);
//   - or in a parameter of kNeutral that one of them leaves out, and the other has at that value: a
//     checkpoint from before the parameter existed.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/value.h"

namespace strata::trainer {

inline constexpr std::array<std::string_view, 5> kNoPartOfTheResult{
    "train.progress_every", "train.checkpoint_every", "train.checkpoints", "train.loading",
    "train.validate_every"};

// The value in JSON at which the parameter means what its absence means. Those of `neutral:` in
// sweeps/pipelines/tts_alignment.yaml that `train` reads are all here; a test compares.
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 16> kNeutral{
    {{"align.skip_dropped", R"("never")"},
     {"align.speech.more", "null"},
     {"align.text.more", "null"},
     {"align.warmup", "0"},
     {"model.attention_mask", "false"},
     {"model.average_upsampling", "false"},
     {"model.long_skip", "false"},
     {"model.masks", R"("original")"},
     {"model.model", R"("dit")"},
     {"model.qk_norm", "null"},
     {"train.batch_frames", "null"},
     {"train.compat.repeated_order", "false"},
     {"train.compat.zero_padding", "false"},
     {"train.normalise", R"("corpus")"},
     {"train.recompute", "false"},
     {"train.seed_data", "null"}}};

// `init`: the SHA-256 of the weights that training starts from; empty: it starts from its seed.
[[nodiscard]] Value recipe_of(const Value& parameters, std::uint64_t seed,
                              const std::string& init = {});

// Nothing when both mean the same; else the first difference, for people: "parameters.train.lr is
// 0.001, there 0.002".
[[nodiscard]] std::optional<std::string> recipe_difference(const Value& here, const Value& there);

}  // namespace strata::trainer
