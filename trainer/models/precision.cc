#include "trainer/models/precision.h"

#include <ATen/autocast_mode.h>

#include <algorithm>

namespace strata::trainer {

ComputeIn::ComputeIn(Precision precision) : before_(at::autocast::is_autocast_enabled(at::kCPU)) {
  at::autocast::set_autocast_enabled(at::kCPU, precision == Precision::kBfloat16);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  at::autocast::increment_nesting();
}

ComputeIn::~ComputeIn() {
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, before_);
}

Precision compute_precision() {
  return at::autocast::is_autocast_enabled(at::kCPU) ? Precision::kBfloat16 : Precision::kFloat32;
}

double matrix_rate(const Clock& clock) {
  constexpr std::int64_t kWidth = 768;
  constexpr int kTimes = 4;  // the first one warms up
  const torch::NoGradGuard no_grad;
  const at::Tensor a = as_computed(at::ones({kWidth, kWidth}));
  double best = 0;
  for (int i = 0; i < kTimes; ++i) {
    const Instant begun = clock.now();
    const at::Tensor product = at::mm(a, a);
    const double seconds = std::chrono::duration<double>(clock.now() - begun).count();
    if (i > 0 && seconds > 0) best = std::max(best, 2.0 * kWidth * kWidth * kWidth / seconds);
  }
  return best;
}

at::Tensor as_computed(const at::Tensor& x) {
  return compute_precision() == Precision::kBfloat16 ? x.to(at::kBFloat16) : x;
}

at::Tensor linear(const torch::nn::Linear& layer, const at::Tensor& x) {
  if (compute_precision() == Precision::kFloat32) return layer.ptr()->forward(x);
  const at::Tensor bias = layer->bias.defined() ? as_computed(layer->bias) : at::Tensor();
  return at::linear(as_computed(x), as_computed(layer->weight), bias);
}

}  // namespace strata::trainer
