// Learning rate by update, and the decay of the weight average: pure arithmetic.
#pragma once

#include <cstdint>

namespace strata::trainer {

// Linear from ~0 over `warmup` updates to `base`, then linear to ~0 at `total`. `update` counts
// from 0.
struct Schedule {
  double base = 7.5e-5;
  std::int64_t warmup = 20'000;
  // REQUIRES: > warmup; the reference misbehaves otherwise, so the spec is refused before.
  std::int64_t total = 0;
};
[[nodiscard]] double learning_rate(const Schedule& schedule, std::int64_t update);

// The averaging of ema-pytorch. `calls` = earlier calls.
struct EmaOptions {
  double beta = 0.9999;
  std::int64_t update_after = 100;
  std::int64_t update_every = 10;
  double inv_gamma = 1;
  double power = 2.0 / 3;
};
enum class EmaStep { kCopy, kNothing, kBlend };
struct EmaDecision {
  EmaStep step = EmaStep::kNothing;
  double decay = 0;  // average = decay * average + (1 - decay) * weights, when blending
};
[[nodiscard]] EmaDecision ema_decision(const EmaOptions& options, std::int64_t calls);

}  // namespace strata::trainer
