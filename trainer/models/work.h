// How many floating-point operations a model needs: of its matrix products and convolutions alone
// (two per multiplication and addition), as is usual; norms, activations and the optimizer are none
// of it. For "model_flops_utilisation", docs/models.md.
#pragma once

#include "trainer/models/align_config.h"
#include "trainer/models/config.h"

namespace strata::trainer {

// Of one utterance of `frames` mel frames forward through the backbone.
[[nodiscard]] double backbone_work(const ModelConfig& config, std::int64_t frames);

// Of one utterance forward through all heads, where the teacher has `teacher_frames`.
[[nodiscard]] double heads_work(const ModelConfig& config, const AlignConfig& align,
                                std::int64_t frames, std::int64_t teacher_frames);

// Forward and backward: a product has one on the way there and two on the way back. What
// `recompute` does again is no work of the model.
inline constexpr double kTrainingPasses = 3;

}  // namespace strata::trainer
