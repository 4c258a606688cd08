// Which utterances an update sees. Pure: a function of (seed, update), so that resuming needs no
// state.
//
// Two kinds of batches: a fixed number of utterances in random order, or, as in the reference
// trainer (DynamicBatchSampler), utterances of like length up to a number of frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace strata::trainer {

// A permutation of 0..count-1 (Fisher-Yates, base/random.h).
[[nodiscard]] std::vector<std::size_t> permutation(std::uint64_t seed, std::size_t count);

// torch.randperm(count) on the CPU after manual_seed(seed): the reference's order of batches.
[[nodiscard]] std::vector<std::size_t> torch_permutation(std::uint32_t seed, std::size_t count);

// Sorted by length (equal ones as given), then cut: a batch has at most `utterances` and at most
// `frames` in all, padding not counted. One that is longer than `frames` is in no batch.
struct FrameBudget {
  double frames = 0;
  std::size_t utterances = 0;
};
[[nodiscard]] std::vector<std::vector<std::size_t>> batches_of_like_length(
    const std::vector<double>& lengths, const FrameBudget& budget);

// Whether every epoch has an order of its own, or all have the first one's: the reference on
// several GPUs, by mistake.
enum class Epochs { kShuffled, kRepeated };

class BatchOrder {
 public:
  // Every epoch is a permutation cut into floor(count / batch) full batches; what is left over
  // waits for the next one. REQUIRES: 0 < batch <= count.
  static BatchOrder of_fixed_size(std::uint64_t seed, std::size_t count, std::size_t batch,
                                  Epochs epochs = Epochs::kShuffled);
  // `lengths` in frames. The order of the batches in epoch e is torch_permutation(seed + e).
  // REQUIRES: at least one utterance fits the budget.
  static BatchOrder of_like_length(std::uint64_t seed, const std::vector<double>& lengths,
                                   const FrameBudget& budget, Epochs epochs = Epochs::kShuffled);

  // Keeps the order of one epoch, so that the next updates need not make it again.
  [[nodiscard]] std::vector<std::size_t> batch(std::int64_t update);

 private:
  [[nodiscard]] std::vector<std::size_t> order_of_epoch(std::uint64_t epoch) const;

  std::uint64_t seed_ = 0;
  Epochs epochs_ = Epochs::kShuffled;
  std::optional<std::uint64_t> epoch_{};  // whose order is kept
  std::vector<std::size_t> order_{};      // of utterances or of batches
  std::size_t count_ = 0;
  std::size_t fixed_ = 0;  // utterances of a batch; 0: `batches_`
  std::vector<std::vector<std::size_t>> batches_{};
};

// The contiguous share of a rank; shares differ in size by at most one and together are the batch,
// in order.
[[nodiscard]] std::vector<std::size_t> share_of_rank(const std::vector<std::size_t>& batch,
                                                     int rank, int ranks);

}  // namespace strata::trainer
