// From noise to mel: integrates the model's velocity from t = 0 to 1 with classifier-free guidance.
// Source: F5-TTS, CFM.sample; Euler and midpoint as torchdiffeq's fixed grid solvers take them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/torch/tensor.h"
#include "base/value.h"
#include "trainer/models/backbone.h"
#include "trainer/sampling/grid.h"

namespace strata::trainer {

enum class Solver { kEuler, kMidpoint };

// Weaker guidance is none: the unconditional half is not computed.
inline constexpr double kGuidanceNone = 1e-5;
inline constexpr double kGuidanceMax = 100;

struct SamplingOptions {
  Solver solver = Solver::kEuler;
  std::int64_t steps = 32;
  std::optional<double> sway = -1;
  StepGrid grid = StepGrid::kUniform;
  double cfg = 2;
};

// All utterances of one call. N is the longest duration.
struct SampleInput {
  at::Tensor condition{};                     // (B, N, mel): the prompt's frames, 0 after them
  std::vector<std::int64_t> prompt_frames{};  // B
  std::vector<std::int64_t> durations{};      // B, prompt included, <= N
  at::Tensor text{};                          // (B, T) ids, padded with -1
  at::Tensor noise{};                         // (B, N, mel), 0 after an utterance's duration
};

using Velocity = std::function<at::Tensor(const at::Tensor& y, double t)>;
// y at grid.back(), from y at grid.front().
[[nodiscard]] at::Tensor integrate(const Velocity& velocity, at::Tensor y,
                                   const std::vector<double>& grid, Solver solver);

// (B, N, mel): the prompt's frames are the condition's own. Frames after an utterance's duration
// mean nothing. Guidance runs as one batch of 2B rows: v_c + cfg (v_c - v_u). With B > 1 padding is
// masked as ModelConfig::masks says, but the text encoder's norm over time sees it: only B = 1
// gives what an utterance gives alone. Puts the backbone into evaluation mode.
[[nodiscard]] at::Tensor sample(Backbone& backbone, const SampleInput& input,
                                const SamplingOptions& options);

// Standard normal values (frames, mel) float32 that depend on the seed alone.
[[nodiscard]] at::Tensor seeded_noise(std::uint64_t seed, std::int64_t frames, std::int64_t mel);

}  // namespace strata::trainer
