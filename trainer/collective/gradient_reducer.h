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
  explicit FlatParameters(torch::nn::Module& module);

  [[nodiscard]] at::Tensor& values() { return values_; }        // (total), float32
  [[nodiscard]] at::Tensor& gradients() { return gradients_; }  // (total)
  [[nodiscard]] std::int64_t total() const { return values_.numel(); }
  // Views of another flat tensor (moments, averages) under the names of the parameters.
  [[nodiscard]] NamedTensors named(const at::Tensor& flat) const;

 private:
  struct Piece {
    std::string name;
    std::int64_t offset;
    std::vector<std::int64_t> shape;
  };
  std::vector<Piece> pieces_;
  at::Tensor values_;
  at::Tensor gradients_;
};

// Handed to the training loop: start() before the first backward of an update, finish() after the
// last one. A parameter that no rank used keeps the gradient 0; one that only some ranks used gets
// their sum. Several backward passes between start() and finish() accumulate.
class GradientReducer {
 public:
  GradientReducer(FlatParameters& parameters, Communicator& communicator)
      : parameters_(parameters), communicator_(communicator) {}
  void start();
  [[nodiscard]] Status finish();

 private:
  FlatParameters& parameters_;
  Communicator& communicator_;
};

}  // namespace strata::trainer
