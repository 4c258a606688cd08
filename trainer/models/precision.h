// In which precision the matrix products of a forward pass are computed.
#pragma once

#include "base/clock.h"
#include "base/torch/torch.h"

namespace strata::trainer {

// kBfloat16: torch's automatic mixed precision on the CPU. Weights, their gradients, the sums that
// run from block to block, norms and losses stay float32; linear maps, convolutions and attention
// take and give bfloat16.
enum class Precision { kFloat32, kBfloat16 };

// While it lives, this thread computes in that precision.
class ComputeIn {
 public:
  explicit ComputeIn(Precision precision);
  ~ComputeIn();
  ComputeIn(const ComputeIn&) = delete;
  ComputeIn& operator=(const ComputeIn&) = delete;

 private:
  bool before_;
};

// The precision of this thread now.
[[nodiscard]] Precision compute_precision();

// Floating-point operations a second of this machine's matrix products with torch's threads as they
// are, in the precision of this thread: the best of a few, some ten milliseconds in all. 0 where
// the clock stands still.
[[nodiscard]] double matrix_rate(const Clock& clock);

// What feeds a linear map alone, in the precision that the map takes.
[[nodiscard]] at::Tensor as_computed(const at::Tensor& x);

// layer(x), x (..., in) -> (..., out). torch's mixed precision would add its bias in float32, by
// way of two copies of the result.
[[nodiscard]] at::Tensor linear(const torch::nn::Linear& layer, const at::Tensor& x);

}  // namespace strata::trainer
