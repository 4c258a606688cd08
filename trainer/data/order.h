// Which utterances an update sees. Pure: a function of (seed, update), so that resuming needs no
// state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace strata::trainer {

// A permutation of 0..count-1 (Fisher-Yates, base/random.h).
[[nodiscard]] std::vector<std::size_t> permutation(std::uint64_t seed, std::size_t count);

// The global batch of an update: every epoch is a fresh permutation cut into floor(count / batch)
// full batches; what is left over waits for the next epoch's shuffle. REQUIRES: 0 < batch <= count.
[[nodiscard]] std::vector<std::size_t> global_batch(std::uint64_t seed, std::size_t count,
                                                    std::size_t batch, std::int64_t update);

// The contiguous share of a rank; shares differ in size by at most one and together are the batch,
// in order.
[[nodiscard]] std::vector<std::size_t> share_of_rank(const std::vector<std::size_t>& batch,
                                                     int rank, int ranks);

}  // namespace strata::trainer
