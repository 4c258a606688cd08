#include "trainer/data/order.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>

#include "base/random.h"

namespace strata::trainer {

std::vector<std::size_t> permutation(std::uint64_t seed, std::size_t count) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random random(seed);
  for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.bounded(i)]);
  return order;
}

// randperm_cpu of ATen: one 32-bit draw of the Mersenne twister for each place but the last.
std::vector<std::size_t> torch_permutation(std::uint32_t seed, std::size_t count) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::mt19937 twister(seed);
  for (std::size_t i = 0; i + 1 < count; ++i)
    std::swap(order[i], order[i + static_cast<std::size_t>(twister()) % (count - i)]);
  return order;
}

std::vector<std::vector<std::size_t>> batches_of_like_length(const std::vector<double>& lengths,
                                                             const FrameBudget& budget) {
  std::vector<std::size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return lengths[i]; });
  std::vector<std::vector<std::size_t>> batches;
  double sum = 0;
  bool open = false;
  for (const std::size_t i : order) {
    if (lengths[i] > budget.frames) break;  // and so are all that follow
    const bool fits =
        open && sum + lengths[i] <= budget.frames && batches.back().size() < budget.utterances;
    if (!fits) {
      batches.emplace_back();
      sum = 0;
      open = true;
    }
    batches.back().push_back(i);
    sum += lengths[i];
  }
  return batches;
}

BatchOrder BatchOrder::of_fixed_size(std::uint64_t seed, std::size_t count, std::size_t batch,
                                     Epochs epochs) {
  STRATA_ASSERT(batch > 0);
  STRATA_ASSERT(batch <= count);
  BatchOrder order;
  order.seed_ = seed;
  order.count_ = count;
  order.fixed_ = batch;
  order.epochs_ = epochs;
  return order;
}

BatchOrder BatchOrder::of_like_length(std::uint64_t seed, const std::vector<double>& lengths,
                                      const FrameBudget& budget, Epochs epochs) {
  BatchOrder order;
  order.epochs_ = epochs;
  order.seed_ = seed;
  order.count_ = lengths.size();
  order.batches_ = batches_of_like_length(lengths, budget);
  STRATA_ASSERT(!order.batches_.empty());
  return order;
}

std::vector<std::size_t> BatchOrder::order_of_epoch(std::uint64_t epoch) const {
  if (fixed_ > 0) return permutation(derive_seed(seed_, fmt::format("epoch/{}", epoch)), count_);
  return torch_permutation(static_cast<std::uint32_t>(seed_ + epoch), batches_.size());
}

std::vector<std::size_t> BatchOrder::batch(std::int64_t update) {
  const auto u = static_cast<std::size_t>(update);
  const std::size_t per_epoch = fixed_ > 0 ? count_ / fixed_ : batches_.size();
  const std::uint64_t epoch = epochs_ == Epochs::kRepeated ? 0 : u / per_epoch;
  if (epoch_ != epoch) order_ = order_of_epoch(epoch);
  epoch_ = epoch;
  const std::size_t place = u % per_epoch;
  if (fixed_ == 0) return batches_[order_[place]];
  const auto begin = order_.begin() + static_cast<std::ptrdiff_t>(place * fixed_);
  return {begin, begin + static_cast<std::ptrdiff_t>(fixed_)};
}

std::vector<std::size_t> share_of_rank(const std::vector<std::size_t>& batch, int rank, int ranks) {
  STRATA_ASSERT(rank >= 0);
  STRATA_ASSERT(rank < ranks);
  const auto n = static_cast<std::ptrdiff_t>(batch.size());
  return {batch.begin() + n * rank / ranks, batch.begin() + n * (rank + 1) / ranks};
}

}  // namespace strata::trainer
