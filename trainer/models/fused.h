// Operations of the backbones that torch would run as several passes over (B, N, C) tensors, each
// here in one or two, forward and backward, and of which no other tensor of that size is kept than
// the input. The results are those of the formulas within rounding, whatever the number of threads.
#pragma once

#include "base/torch/torch.h"

namespace strata::trainer {

// layer_norm(x) * (1 + scale) + shift over the last dimension, without parameters of its own.
// x (B, N, C); scale, shift (B, C).
[[nodiscard]] at::Tensor modulated_norm(const at::Tensor& x, const at::Tensor& scale,
                                        const at::Tensor& shift, double epsilon);

// x + gate * y: x, y (B, N, C), gate (B, C).
[[nodiscard]] at::Tensor gated_sum(const at::Tensor& x, const at::Tensor& gate,
                                   const at::Tensor& y);

// x * (1 + gamma * Nx) + beta with Nx = |x|_n / (mean over C of |x|_n + epsilon), the norms over
// time: global response norm with its residual inside. x (B, N, C); gamma, beta (1, 1, C). Frames
// that are 0 in all channels count for nothing.
[[nodiscard]] at::Tensor response_norm(const at::Tensor& x, const at::Tensor& gamma,
                                       const at::Tensor& beta, double epsilon);

// x / sqrt(mean(x^2) + epsilon) * weight over the last dimension, in the precision of the weight
// and given in that of x. x (..., C), weight (C).
[[nodiscard]] at::Tensor root_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon);

// Every channel convolved over time with its own odd kernel, 0 beyond both ends: x (B, N, C),
// weight (C, 1, K), bias (C) -> (B, N, C).
[[nodiscard]] at::Tensor depthwise_convolution(const at::Tensor& x, const at::Tensor& weight,
                                               const at::Tensor& bias);

}  // namespace strata::trainer
