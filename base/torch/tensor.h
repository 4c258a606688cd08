// The narrow door: at::Tensor (the same type as torch::Tensor) for headers that only pass tensors
// around. Costs 5 s to compile where torch.h costs 20.
#pragma once

#include <ATen/core/Tensor.h>  // IWYU pragma: export
