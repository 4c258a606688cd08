// What report.json says about teacher features. Gathered by several ranks, each item by one of
// them, and added up in the order of the items: the numbers do not depend on the number of ranks.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "base/torch/tensor.h"
#include "base/value.h"
#include "trainer/collective/communicator.h"

namespace strata::trainer {

class FeatureStatistics {
 public:
  FeatureStatistics(std::int64_t items, std::int64_t shards, std::int64_t width);

  // `features` (frames, width). REQUIRES: each item is added once, by one rank, all items of a
  // shard by the same rank and in their order.
  void add(std::int64_t item, std::int64_t shard, const at::Tensor& features);
  // Every rank then knows what all have added.
  [[nodiscard]] Status sum_over(Communicator& communicator);
  // {"frames", "norm": {"mean", "std", "min", "max"}, "dimension_mean": {"min", "max"}}: the L2
  // norm of frames, and the mean of each of the `width` values over all frames. Six digits.
  [[nodiscard]] Object describe() const;
  [[nodiscard]] std::int64_t frames() const;

 private:
  enum Column { kFrames, kNorms, kSquares, kLeast, kMost, kColumns };
  std::int64_t items_;
  std::int64_t shards_;
  std::int64_t width_;
  std::vector<double> of_items_;   // (items, columns)
  std::vector<double> of_shards_;  // (shards, width): sums over the frames
};

}  // namespace strata::trainer
