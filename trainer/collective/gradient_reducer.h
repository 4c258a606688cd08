// Parameters, gradients and optimizer state as flat buffers, and the reduction of gradients over
// ranks. Every parameter and its gradient are views into two long tensors, laid out in the order in
// which backward reaches them (last registered first), so that a bucket is a slice and the
// optimizer is one call.
#pragma once

#include <string>
#include <vector>

#include "base/torch/torch.h"
#include "trainer/collective/communicator.h"
#include "trainer/tensor_file.h"

namespace strata::trainer {

inline constexpr std::int64_t kBucketElements = 1 << 20;  // 4 MiB of float32 a message
// 64 bytes: every parameter starts on a cache line.
inline constexpr std::int64_t kAlignmentElements = 16;

// REQUIRES: all parameters are float32 on the CPU. Takes over the storage of the module's
// parameters.
class FlatParameters {
 public:
  struct Piece {
    std::string name{};
    at::Tensor parameter{};
    at::Tensor gradient{};  // its view of the flat gradients
    std::int64_t offset = 0;
  };
  explicit FlatParameters(torch::nn::Module& module);

  [[nodiscard]] const std::vector<Piece>& pieces() const { return pieces_; }

  [[nodiscard]] at::Tensor& values() { return values_; }        // (total), float32
  [[nodiscard]] at::Tensor& gradients() { return gradients_; }  // (total)
  [[nodiscard]] std::int64_t total() const { return values_.numel(); }
  // Views of another flat tensor (moments, averages) under the names of the parameters.
  [[nodiscard]] NamedTensors named(const at::Tensor& flat) const;

 private:
  std::vector<Piece> pieces_;
  at::Tensor values_;
  at::Tensor gradients_;
};

// Moves gradients into the flat buffer as backward brings them forth, and sums each bucket over the
// ranks as soon as it and those before it are complete, while backward goes on. start() before the
// first of `passes` backward passes of an update, finish() after the last one, or after fewer. They
// accumulate. A parameter that no rank used gets the gradient 0; one that only some ranks used gets
// their sum. REQUIRES: a backward pass reaches a parameter at most once, and only between start()
// and finish(). Parameters have no gradient of their own (`grad()`) in between.
class GradientReducer {
 public:
  // Both outlive the reducer, the module of the parameters too. Buckets of `bucket` elements.
  GradientReducer(FlatParameters& parameters, Communicator& communicator,
                  std::int64_t bucket = kBucketElements);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  void start(std::int64_t passes);
  [[nodiscard]] Status finish();

 private:
  struct Arrival;
  void arrived(std::size_t piece, const at::Tensor& gradient);
  void send(std::size_t bucket);

  FlatParameters& parameters_;
  Communicator& communicator_;
  std::int64_t bucket_;  // elements
  std::int64_t passes_ = 0;
  std::vector<std::int64_t> times_{};    // that a piece arrived, since start()
  std::vector<std::int64_t> missing_{};  // pieces of a bucket that have not arrived for good
  std::size_t sent_ = 0;                 // buckets
  Status send_status_{};                 // of what was sent
};

}  // namespace strata::trainer
