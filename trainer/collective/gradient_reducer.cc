#include "trainer/collective/gradient_reducer.h"

#include <algorithm>

#include "base/assert.h"

namespace strata::trainer {

FlatParameters::FlatParameters(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  const auto parameters = module.named_parameters().items();
  std::int64_t total = 0;
  for (auto it = parameters.rbegin(); it != parameters.rend(); ++it) {
    STRATA_ASSERT(it->value().scalar_type() == at::kFloat);
    pieces_.push_back({it->key(), total, it->value().sizes().vec()});
    const std::int64_t size = it->value().numel();
    total += (size + kAlignmentElements - 1) / kAlignmentElements * kAlignmentElements;
  }
  values_ = at::zeros({total}, at::kFloat);
  gradients_ = at::zeros({total}, at::kFloat);
  auto piece = pieces_.begin();
  for (auto it = parameters.rbegin(); it != parameters.rend(); ++it, ++piece) {
    at::Tensor parameter = it->value();
    const std::int64_t end = piece->offset + parameter.numel();
    const at::Tensor view = values_.slice(0, piece->offset, end).view(piece->shape);
    view.copy_(parameter);
    parameter.set_data(view);
    // Autograd adds into a gradient that is there already, in place: it stays a view of the flat
    // buffer.
    parameter.mutable_grad() = gradients_.slice(0, piece->offset, end).view(piece->shape);
  }
}

NamedTensors FlatParameters::named(const at::Tensor& flat) const {
  STRATA_ASSERT(flat.numel() == total());
  NamedTensors tensors;
  for (const Piece& piece : pieces_) {
    const std::int64_t size = c10::multiply_integers(piece.shape);
    tensors.emplace(piece.name, flat.slice(0, piece.offset, piece.offset + size).view(piece.shape));
  }
  return tensors;
}

void GradientReducer::start() { parameters_.gradients().zero_(); }

Status GradientReducer::finish() {
  float* data = parameters_.gradients().data_ptr<float>();
  for (std::int64_t at = 0; at < parameters_.total() && communicator_.size() > 1;
       at += kBucketElements) {
    const std::int64_t size = std::min(kBucketElements, parameters_.total() - at);
    STRATA_CHECK_OK(
        communicator_.all_reduce_sum(std::span(data + at, static_cast<std::size_t>(size))));
  }
  return {};
}

}  // namespace strata::trainer
