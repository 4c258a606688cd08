#include "trainer/models/dit.h"

#include "trainer/models/fused.h"
#include "trainer/models/precision.h"
#include "trainer/models/recompute.h"

namespace strata::trainer {
namespace {

constexpr double kNormEpsilon = 1e-6;

}  // namespace

DitBlock::DitBlock(const ModelConfig& config)
    : modulation_(adopt(*this, "attn_norm.linear", torch::nn::Linear(config.dim, 6 * config.dim))),
      attention_(register_module("attn", std::make_shared<Attention>(config))),
      feed_forward_(
          register_module("ff", std::make_shared<FeedForward>(config.dim, config.ff_mult))) {}

at::Tensor DitBlock::forward(const at::Tensor& x, const at::Tensor& time, const RotaryTable& table,
                             const BackboneInput& input, std::int64_t number) {
  const auto e =
      linear(modulation_, at::silu(time))
          .chunk(6, 1);  // shift, scale, gate of attention; then of feed-forward: (B, dim)
  const at::Tensor attended = attention_->forward(modulated_norm(x, e[1], e[0], kNormEpsilon),
                                                  table, input.mask, input.dropout.at(2 * number));
  const at::Tensor h = gated_sum(x, e[2], attended);  // (B, N, dim)
  const at::Tensor fed = feed_forward_->forward(modulated_norm(h, e[4], e[3], kNormEpsilon),
                                                input.dropout.at(2 * number + 1));
  return gated_sum(h, e[5], fed);  // (B, N, dim)
}

Dit::Dit(const ModelConfig& config)
    : config_(config),
      time_(register_module("time_embed", std::make_shared<TimeEmbedding>(config.dim))),
      text_(register_module("text_embed", std::make_shared<TextEmbedding>(config))),
      input_(register_module("input_embed", std::make_shared<InputEmbedding>(config))) {
  for (std::int64_t i = 0; i < config.depth; ++i) {
    blocks_.push_back(
        adopt(*this, fmt::format("transformer_blocks.{}", i), std::make_shared<DitBlock>(config)));
  }
  if (config.long_skip) {
    long_skip_ = register_module(
        "long_skip_connection",
        torch::nn::Linear(torch::nn::LinearOptions(2 * config.dim, config.dim).bias(false)));
  }
  final_modulation_ =
      adopt(*this, "norm_out.linear", torch::nn::Linear(config.dim, 2 * config.dim));
  project_ = register_module("proj_out", torch::nn::Linear(config.dim, config.mel));
  zero_what_starts_at_zero();
}

void Dit::zero_what_starts_at_zero() {
  const torch::NoGradGuard no_grad;
  for (auto& entry : named_parameters()) {
    const std::string& name = entry.key();
    const bool modulates =
        name.find("attn_norm.linear.") != std::string::npos || name.starts_with("norm_out.linear.");
    if (modulates || name.starts_with("proj_out.")) entry.value().zero_();
  }
}

at::Tensor Dit::embed_text(const at::Tensor& text, std::int64_t frames, bool drop_text,
                           const at::Tensor& mask) {
  const at::Tensor shown = config_.masks == Masks::kUpstream ? mask : at::Tensor();
  return text_->forward(text, frames, drop_text, shown, recomputes());
}

BackboneOutput Dit::forward(const BackboneInput& input) {
  const auto observe = [&](std::string_view name, const at::Tensor& value) {
    if (input.observe) input.observe(name, value);
  };
  const at::Tensor time = time_->forward(input.time);  // (B, dim)
  observe("time", time);
  observe("text", input.text);
  const at::Tensor shown = config_.masks == Masks::kUpstream ? input.mask : at::Tensor();
  const at::Tensor embedded = input_->forward(input, shown);  // (B, N, dim)
  observe("input", embedded);
  const RotaryTable table = rotary_table(embedded.size(1), config_.dim_head, embedded.options());
  BackboneOutput output;
  at::Tensor x = embedded;
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    const auto layer = static_cast<std::int64_t>(k + 1);
    const auto block = [one = blocks_[k], table, input, layer](const at::Tensor& h,
                                                               const at::Tensor& t) {
      return one->forward(h, t, table, input, layer - 1);
    };
    x = recomputes() ? recomputed(block, x, time) : block(x, time);
    if (input.taps.contains(layer)) output.blocks.emplace(layer, x);
    observe(fmt::format("block{}", layer), x);
  }
  if (config_.long_skip) x = linear(long_skip_, at::cat({x, embedded}, 2)).to(x.scalar_type());
  const auto e =
      linear(final_modulation_, at::silu(time)).chunk(2, 1);  // scale, then shift: (B, dim)
  output.velocity = linear(project_, modulated_norm(x, e[0], e[1], kNormEpsilon));  // (B, N, mel)
  return output;
}

}  // namespace strata::trainer
