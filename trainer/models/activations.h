// Activations of the networks with one exponential and one division for each number, forward and
// backward, where torch takes two or three of them: of a training step they were a fourteenth.
// What is not finite gives NaN. Differentiable once.
#pragma once

#include "base/torch/torch.h"

namespace strata::trainer {

// x * tanh(log(1 + e^x)), as at::mish. Any shape.
[[nodiscard]] at::Tensor mish(const at::Tensor& x);

// x / (1 + e^(-2u)) with u = sqrt(2 / pi) * (x + 0.044715 x^3): at::gelu(x, "tanh"). Any shape.
[[nodiscard]] at::Tensor gelu_tanh(const at::Tensor& x);

}  // namespace strata::trainer
