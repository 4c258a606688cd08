#include "trainer/models/unett.h"

#include <cmath>

#include "trainer/models/precision.h"
#include "trainer/models/recompute.h"

namespace strata::trainer {
namespace {

constexpr double kNormFloor = 1e-12;

}  // namespace

RmsNorm::RmsNorm(std::int64_t dim) : gain_(register_parameter("g", torch::ones({dim}))) {}

at::Tensor RmsNorm::forward(const at::Tensor& x) {
  const at::Tensor length =
      at::linalg_vector_norm(x, 2, at::IntArrayRef{-1}, true).clamp_min(kNormFloor);  // (B, N, 1)
  return x / length * std::sqrt(static_cast<double>(x.size(-1))) * gain_;
}

UnettLayer::UnettLayer(const ModelConfig& config, bool joins) {
  // Registered under the numbers that the published checkpoints use.
  if (joins) {
    join_ = register_module(
        "0", torch::nn::Linear(torch::nn::LinearOptions(2 * config.dim, config.dim).bias(false)));
  }
  attention_norm_ = register_module("1", std::make_shared<RmsNorm>(config.dim));
  attention_ = register_module("2", std::make_shared<Attention>(config));
  feed_forward_norm_ = register_module("3", std::make_shared<RmsNorm>(config.dim));
  feed_forward_ = register_module("4", std::make_shared<FeedForward>(config.dim, config.ff_mult));
}

at::Tensor UnettLayer::forward(at::Tensor x, const at::Tensor& skip, const RotaryTable& table,
                               const at::Tensor& mask, const BackboneInput& input,
                               std::int64_t number) {
  if (skip.defined())
    x = join_.is_empty()
            ? x + skip
            : linear(join_, at::cat({x, skip}, 2)).to(x.scalar_type());  // (B, N+1, dim)
  x = attention_->forward(attention_norm_->forward(x), table, mask, input.dropout.at(2 * number)) +
      x;
  return feed_forward_->forward(feed_forward_norm_->forward(x), input.dropout.at(2 * number + 1)) +
         x;
}

Unett::Unett(const ModelConfig& config)
    : config_(config),
      time_(register_module("time_embed", std::make_shared<TimeEmbedding>(config.dim))),
      text_(register_module("text_embed", std::make_shared<TextEmbedding>(config))),
      input_(register_module("input_embed", std::make_shared<InputEmbedding>(config))),
      norm_(nullptr),
      project_(nullptr) {
  for (std::int64_t i = 0; i < config.depth; ++i) {
    const bool joins = i >= config.depth / 2 && config.skip == SkipConnection::kConcat;
    layers_.push_back(
        adopt(*this, fmt::format("layers.{}", i), std::make_shared<UnettLayer>(config, joins)));
  }
  norm_ = register_module("norm_out", std::make_shared<RmsNorm>(config.dim));
  project_ = register_module("proj_out", torch::nn::Linear(config.dim, config.mel));
}

at::Tensor Unett::embed_text(const at::Tensor& text, std::int64_t frames, bool drop_text,
                             const at::Tensor&) {
  return text_->forward(text, frames, drop_text, {}, recomputes());
}

BackboneOutput Unett::forward(const BackboneInput& input) {
  const auto observe = [&](std::string_view name, const at::Tensor& value) {
    if (input.observe) input.observe(name, value);
  };
  const at::Tensor time = time_->forward(input.time);  // (B, dim)
  observe("time", time);
  observe("text", input.text);
  const at::Tensor embedded = input_->forward(input, {});  // (B, N, dim)
  observe("input", embedded);
  // (B, N+1, dim): the time token in front.
  at::Tensor x = at::cat({time.unsqueeze(1), embedded}, 1);
  const RotaryTable table = rotary_table(x.size(1), config_.dim_head, x.options());
  const at::Tensor mask =
      input.mask.defined() ? at::constant_pad_nd(input.mask, {1, 0}, 1) : at::Tensor();  // (B, N+1)
  BackboneOutput output;
  std::vector<at::Tensor> skips;  // inputs of the first half, taken back last in, first out
  for (std::size_t k = 0; k < layers_.size(); ++k) {
    at::Tensor skip;
    if (k < layers_.size() / 2) {
      skips.push_back(x);
    } else if (config_.skip != SkipConnection::kNone) {
      skip = skips.back();
      skips.pop_back();
    }
    const auto layer = static_cast<std::int64_t>(k + 1);
    const bool joins = skip.defined();
    const auto run = [one = layers_[k], joins, table, mask, input, layer](const at::Tensor& h,
                                                                          const at::Tensor& s) {
      return one->forward(h, joins ? s : at::Tensor(), table, mask, input, layer - 1);
    };
    if (!joins) skip = x.new_zeros({0}).requires_grad_(x.requires_grad());
    x = recomputes() ? recomputed(run, x, skip) : run(x, skip);
    const at::Tensor frames = x.slice(1, 1);  // (B, N, dim)
    if (input.taps.contains(layer)) output.blocks.emplace(layer, frames);
    observe(fmt::format("block{}", layer), frames);
  }
  output.velocity = linear(project_, norm_->forward(x).slice(1, 1));  // (B, N, mel)
  return output;
}

}  // namespace strata::trainer
