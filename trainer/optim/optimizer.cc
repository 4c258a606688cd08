#include "trainer/optim/optimizer.h"

#include <algorithm>

#include "base/torch/torch.h"

namespace strata::trainer {
namespace {

constexpr double kClipFloor = 1e-6;

}  // namespace

Clip clip_to(const at::Tensor& gradients, double limit) {
  const double norm = gradients.norm().item<double>();
  return {.norm = norm, .divisor = std::max(1.0, (norm + kClipFloor) / limit)};
}

AdamW::AdamW(const AdamWOptions& options, std::int64_t total)
    : options_(options),
      first_(at::zeros({total}, at::kFloat)),
      second_(at::zeros({total}, at::kFloat)) {}

void AdamW::step(at::Tensor& values, at::Tensor& gradients, double learning_rate,
                 std::int64_t update, double divisor) {
  const torch::NoGradGuard no_grad;
  const at::Tensor count = at::full({}, static_cast<double>(update + 1), at::kFloat);
  std::optional<at::Tensor> scale;
  if (divisor != 1) scale = at::full({}, divisor, at::kFloat);
  at::_fused_adamw_({values}, {gradients}, {first_}, {second_}, {}, {count}, learning_rate,
                    options_.beta1, options_.beta2, options_.weight_decay, options_.epsilon,
                    /*amsgrad=*/false, /*maximize=*/false, scale);
}

WeightAverage::WeightAverage(const EmaOptions& options, const at::Tensor& values)
    : options_(options), average_(values.clone()) {}

void WeightAverage::after_update(const at::Tensor& values) {
  const torch::NoGradGuard no_grad;
  const EmaDecision decision = ema_decision(options_, calls_++);
  if (decision.step == EmaStep::kCopy) average_.copy_(values);
  if (decision.step == EmaStep::kBlend) average_.lerp_(values, 1 - decision.decay);
}

}  // namespace strata::trainer
