// Dropout whose mask is a function of (row's seed, place in the network, place in the row): it does
// not depend on who shares the batch or on what was drawn before, costs no memory until the
// backward pass, and comes out the same when a block is computed again.
#pragma once

#include <cstdint>
#include <vector>

#include "base/torch/tensor.h"

namespace strata::trainer {

// One place in the network. Drops nothing where there are no rows (evaluation).
struct Dropout {
  double rate = 0;
  std::vector<std::int64_t> keys{};  // of each row of a batch, for this place

  // x (B, ...), B = keys.size(); float32, float64 or bfloat16.
  [[nodiscard]] at::Tensor operator()(const at::Tensor& x) const;
};

// All places.
struct RowDropout {
  double rate = 0;
  std::vector<std::uint64_t> seeds{};  // of each row; empty: nothing is dropped

  [[nodiscard]] Dropout at(std::int64_t place) const;
};

}  // namespace strata::trainer
