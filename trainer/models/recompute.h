// Activation checkpointing: what a block needs for its backward pass is not kept, but computed a
// second time from the block's input. A third more work for a fraction of the memory, and the same
// numbers, since nothing in a block is drawn (dropout.h). Only where a block has several readers
// (the next one, and a head) are their gradients added in another order.
#pragma once

#include <functional>

#include "base/torch/tensor.h"

namespace strata::trainer {

using TwoToOne = std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>;

// f(a, b). Both need a gradient or neither does; what else `f` needs it holds by value, or it
// outlives the backward pass.
[[nodiscard]] at::Tensor recomputed(TwoToOne f, const at::Tensor& a, const at::Tensor& b);

}  // namespace strata::trainer
