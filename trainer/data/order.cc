#include "trainer/data/order.h"

#include <fmt/format.h>

#include <numeric>
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

std::vector<std::size_t> global_batch(std::uint64_t seed, std::size_t count, std::size_t batch,
                                      std::int64_t update) {
  STRATA_ASSERT(batch > 0);
  STRATA_ASSERT(batch <= count);
  const std::size_t per_epoch = count / batch;
  const auto u = static_cast<std::size_t>(update);
  const auto order = permutation(derive_seed(seed, fmt::format("epoch/{}", u / per_epoch)), count);
  const auto begin = order.begin() + static_cast<std::ptrdiff_t>(u % per_epoch * batch);
  return {begin, begin + static_cast<std::ptrdiff_t>(batch)};
}

std::vector<std::size_t> share_of_rank(const std::vector<std::size_t>& batch, int rank, int ranks) {
  STRATA_ASSERT(rank >= 0);
  STRATA_ASSERT(rank < ranks);
  const auto n = static_cast<std::ptrdiff_t>(batch.size());
  return {batch.begin() + n * rank / ranks, batch.begin() + n * (rank + 1) / ranks};
}

}  // namespace strata::trainer
