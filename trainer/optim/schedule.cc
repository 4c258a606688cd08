#include "trainer/optim/schedule.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"

namespace strata::trainer {
namespace {

// Where warm-up begins and decay ends; the reference never uses exactly 0.
constexpr double kLeastFactor = 1e-8;

}  // namespace

double learning_rate(const Schedule& schedule, std::int64_t update) {
  STRATA_ASSERT(schedule.total > schedule.warmup);
  const auto u = static_cast<double>(update);
  const auto warmup = static_cast<double>(schedule.warmup);
  if (update < schedule.warmup)
    return schedule.base * (kLeastFactor + (1 - kLeastFactor) * u / warmup);
  const auto decay = static_cast<double>(schedule.total - schedule.warmup);
  return schedule.base * (1 + (kLeastFactor - 1) * std::min(u - warmup, decay) / decay);
}

EmaDecision ema_decision(const EmaOptions& options, std::int64_t calls) {
  if (calls == 0) return {.step = EmaStep::kCopy};
  if (calls % options.update_every != 0) return {.step = EmaStep::kNothing};
  if (calls <= options.update_after) return {.step = EmaStep::kCopy};
  const auto age = static_cast<double>(calls - options.update_after);
  const double decay = 1 - std::pow(1 + age / options.inv_gamma, -options.power);
  return {.step = EmaStep::kBlend, .decay = std::clamp(decay, 0.0, options.beta)};
}

}  // namespace strata::trainer
