#include "trainer/collective/gradient_reducer.h"

#include <algorithm>

#include "base/assert.h"

namespace strata::trainer {
namespace {

// The buckets that a piece lies in: first, and one past the last.
std::pair<std::size_t, std::size_t> buckets_of(const FlatParameters::Piece& piece,
                                               std::int64_t bucket) {
  const std::int64_t last = piece.offset + std::max<std::int64_t>(1, piece.parameter.numel()) - 1;
  return {static_cast<std::size_t>(piece.offset / bucket),
          static_cast<std::size_t>(last / bucket) + 1};
}

}  // namespace

FlatParameters::FlatParameters(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  const auto parameters = module.named_parameters().items();
  std::int64_t total = 0;
  for (auto it = parameters.rbegin(); it != parameters.rend(); ++it) {
    STRATA_ASSERT(it->value().scalar_type() == at::kFloat);
    pieces_.push_back({.name = it->key(), .parameter = it->value(), .offset = total});
    const std::int64_t size = it->value().numel();
    total += (size + kAlignmentElements - 1) / kAlignmentElements * kAlignmentElements;
  }
  values_ = at::zeros({total}, at::kFloat);
  gradients_ = at::zeros({total}, at::kFloat);
  for (Piece& piece : pieces_) {
    const at::Tensor& parameter = piece.parameter;
    const std::int64_t end = piece.offset + parameter.numel();
    const at::Tensor view = values_.slice(0, piece.offset, end).view(parameter.sizes());
    view.copy_(parameter);
    piece.parameter.set_data(view);
    piece.gradient = gradients_.slice(0, piece.offset, end).view(parameter.sizes());
  }
}

NamedTensors FlatParameters::named(const at::Tensor& flat) const {
  STRATA_ASSERT(flat.numel() == total());
  NamedTensors tensors;
  for (const Piece& piece : pieces_) {
    const std::int64_t end = piece.offset + piece.parameter.numel();
    tensors.emplace(piece.name, flat.slice(0, piece.offset, end).view(piece.parameter.sizes()));
  }
  return tensors;
}

// Called by autograd when a parameter's gradient of one backward pass is whole.
struct GradientReducer::Arrival : torch::autograd::PostAccumulateGradHook {
  Arrival(GradientReducer& to, std::size_t index) : reducer(to), piece(index) {}
  void operator()(const at::Tensor& parameter) override {
    reducer.arrived(piece, parameter.grad());
    parameter.mutable_grad().reset();
  }
  GradientReducer& reducer;
  std::size_t piece;
};

GradientReducer::GradientReducer(FlatParameters& parameters, Communicator& communicator,
                                 std::int64_t bucket)
    : parameters_(parameters), communicator_(communicator), bucket_(bucket) {
  for (std::size_t i = 0; i < parameters_.pieces().size(); ++i) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameters_.pieces()[i].parameter,
                                                   std::make_unique<Arrival>(*this, i));
  }
}

GradientReducer::~GradientReducer() {
  for (const FlatParameters::Piece& piece : parameters_.pieces())
    torch::autograd::impl::set_post_acc_grad_hooks(piece.parameter, nullptr);
}

void GradientReducer::start(std::int64_t passes) {
  passes_ = passes;
  times_.assign(parameters_.pieces().size(), 0);
  missing_.assign(static_cast<std::size_t>((parameters_.total() + bucket_ - 1) / bucket_), 0);
  for (const FlatParameters::Piece& piece : parameters_.pieces()) {
    const auto [first, end] = buckets_of(piece, bucket_);
    for (std::size_t bucket = first; bucket < end; ++bucket) ++missing_[bucket];
  }
  sent_ = 0;
  send_status_ = {};
}

void GradientReducer::arrived(std::size_t index, const at::Tensor& gradient) {
  const torch::NoGradGuard no_grad;
  STRATA_ASSERT(index < times_.size() && times_[index] < passes_);
  const FlatParameters::Piece& piece = parameters_.pieces()[index];
  if (times_[index]++ == 0) {
    piece.gradient.copy_(gradient);
  } else {
    piece.gradient.add_(gradient);
  }
  if (communicator_.size() == 1) return;
  if (times_[index] == passes_) {
    const auto [first, end] = buckets_of(piece, bucket_);
    for (std::size_t bucket = first; bucket < end; ++bucket) --missing_[bucket];
    while (sent_ < missing_.size() && missing_[sent_] == 0) send(sent_);
  }
  if (send_status_) send_status_ = communicator_.advance();
}

void GradientReducer::send(std::size_t bucket) {
  const std::int64_t begin = static_cast<std::int64_t>(bucket) * bucket_;
  const std::int64_t size = std::min(bucket_, parameters_.total() - begin);
  float* data = parameters_.gradients().data_ptr<float>() + begin;
  if (send_status_)
    send_status_ = communicator_.begin_sum(std::span(data, static_cast<std::size_t>(size)));
  ++sent_;
}

Status GradientReducer::finish() {
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < times_.size(); ++i) {
    if (times_[i] == 0) parameters_.pieces()[i].gradient.zero_();
  }
  if (communicator_.size() == 1) return {};
  while (sent_ < missing_.size()) send(sent_);
  STRATA_CHECK_OK(send_status_);
  return communicator_.finish_sums();
}

}  // namespace strata::trainer
