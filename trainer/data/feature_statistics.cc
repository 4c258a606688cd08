#include "trainer/data/feature_statistics.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "base/assert.h"
#include "base/torch/torch.h"

namespace strata::trainer {
namespace {

std::size_t place(std::int64_t row, std::int64_t columns, std::int64_t column) {
  return static_cast<std::size_t>(row * columns + column);
}

// Torch may add up in another order on another machine: that reaches no digit that is written.
double six_digits(double value) {
  return std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr);
}

}  // namespace

FeatureStatistics::FeatureStatistics(std::int64_t items, std::int64_t shards, std::int64_t width)
    : items_(items),
      shards_(shards),
      width_(width),
      of_items_(place(items, kColumns, 0)),
      of_shards_(place(shards, width, 0)) {}

void FeatureStatistics::add(std::int64_t item, std::int64_t shard, const at::Tensor& features) {
  STRATA_ASSERT(item < items_ && shard < shards_);
  STRATA_ASSERT(features.dim() == 2 && features.size(1) == width_);
  const at::Tensor wide = features.to(at::kDouble);
  const at::Tensor norms = wide.square().sum(1).sqrt();  // (frames)
  double* row = &of_items_[place(item, kColumns, 0)];
  row[kFrames] = static_cast<double>(features.size(0));
  if (features.size(0) == 0) return;
  row[kNorms] = norms.sum().item<double>();
  row[kSquares] = norms.square().sum().item<double>();
  row[kLeast] = norms.min().item<double>();
  row[kMost] = norms.max().item<double>();
  const at::Tensor sums = wide.sum(0).contiguous();  // (width)
  const double* values = sums.const_data_ptr<double>();
  for (std::int64_t d = 0; d < width_; ++d) of_shards_[place(shard, width_, d)] += values[d];
}

Status FeatureStatistics::sum_over(Communicator& communicator) {
  // Exact: of every number only one rank has another value than 0.
  STRATA_CHECK_OK(communicator.all_reduce_sum(std::span(of_items_)));
  return communicator.all_reduce_sum(std::span(of_shards_));
}

std::int64_t FeatureStatistics::frames() const {
  double frames = 0;
  for (std::int64_t i = 0; i < items_; ++i) frames += of_items_[place(i, kColumns, kFrames)];
  return static_cast<std::int64_t>(frames);
}

Object FeatureStatistics::describe() const {
  const std::int64_t count = frames();
  if (count == 0) return {{"frames", count}};
  const auto all = static_cast<double>(count);
  double norms = 0;
  double squares = 0;
  double least = std::numeric_limits<double>::infinity();
  double most = 0;
  for (std::int64_t i = 0; i < items_; ++i) {
    if (of_items_[place(i, kColumns, kFrames)] == 0) continue;
    norms += of_items_[place(i, kColumns, kNorms)];
    squares += of_items_[place(i, kColumns, kSquares)];
    least = std::min(least, of_items_[place(i, kColumns, kLeast)]);
    most = std::max(most, of_items_[place(i, kColumns, kMost)]);
  }
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (std::int64_t d = 0; d < width_; ++d) {
    double sum = 0;
    for (std::int64_t s = 0; s < shards_; ++s) sum += of_shards_[place(s, width_, d)];
    low = std::min(low, sum / all);
    high = std::max(high, sum / all);
  }
  const double mean = norms / all;
  const double variance = std::max(squares / all - mean * mean, 0.0);
  return {{"frames", count},
          {"norm", Object{{"mean", six_digits(mean)},
                          {"std", six_digits(std::sqrt(variance))},
                          {"min", six_digits(least)},
                          {"max", six_digits(most)}}},
          {"dimension_mean", Object{{"min", six_digits(low)}, {"max", six_digits(high)}}}};
}

}  // namespace strata::trainer
