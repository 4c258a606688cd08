#include "trainer/models/layers.h"

#include <cmath>

#include "base/assert.h"
#include "trainer/models/activations.h"
#include "trainer/models/fixed_sizes.h"
#include "trainer/models/fused.h"
#include "trainer/models/precision.h"
#include "trainer/models/recompute.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kTimeFrequencies = kTimeWidth / 2;
constexpr double kTimeScale = 1000;
constexpr double kWaveBase = 10000;
constexpr double kNormEpsilon = 1e-6;

torch::nn::Conv1d convolution(std::int64_t channels, std::int64_t kernel, std::int64_t groups) {
  return torch::nn::Conv1d(
      torch::nn::Conv1dOptions(channels, channels, kernel).padding(kernel / 2).groups(groups));
}

// f of each float32 in double, rounded once: the tables are then the same whichever vector library
// torch was built with.
template <class F>
at::Tensor exact(const at::Tensor& x, F f) {
  at::Tensor y = at::empty_like(x);
  const float* from = x.const_data_ptr<float>();
  float* to = y.data_ptr<float>();
  for (std::int64_t i = 0; i < x.numel(); ++i)
    to[i] = static_cast<float>(f(static_cast<double>(from[i])));
  return y;
}

}  // namespace

TimeEmbedding::TimeEmbedding(std::int64_t dim)
    : first_(adopt(*this, "time_mlp.0", torch::nn::Linear(kTimeWidth, dim))),
      second_(adopt(*this, "time_mlp.2", torch::nn::Linear(dim, dim))) {}

at::Tensor TimeEmbedding::sinusoids(const at::Tensor& time) {
  const auto step =
      static_cast<float>(-std::log(kWaveBase) / static_cast<double>(kTimeFrequencies - 1));
  const at::Tensor exponents = at::arange(kTimeFrequencies, at::kFloat) * step;  // (128)
  // (128).
  const at::Tensor omega = exact(exponents, [](double e) { return std::exp(e); }).to(time.dtype());
  const at::Tensor angles = kTimeScale * time.unsqueeze(1) * omega.unsqueeze(0);  // (B, 128)
  return at::cat({angles.sin(), angles.cos()}, 1);                                // (B, 256)
}

at::Tensor TimeEmbedding::forward(const at::Tensor& time) {
  return linear(second_, at::silu(linear(first_, sinusoids(time))));
}

GlobalResponseNorm::GlobalResponseNorm(std::int64_t width)
    : gamma_(register_parameter("gamma", torch::zeros({1, 1, width}))),
      beta_(register_parameter("beta", torch::zeros({1, 1, width}))) {}

at::Tensor GlobalResponseNorm::forward(const at::Tensor& x) {
  return response_norm(x, gamma_, beta_, kNormEpsilon);
}

ConvNextBlock::ConvNextBlock(std::int64_t width)
    : depthwise_(register_module("dwconv", convolution(width, kTextKernel, width))),
      norm_(register_module(
          "norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(kNormEpsilon)))),
      widen_(register_module("pwconv1", torch::nn::Linear(width, 2 * width))),
      response_(register_module("grn", std::make_shared<GlobalResponseNorm>(2 * width))),
      narrow_(register_module("pwconv2", torch::nn::Linear(2 * width, width))) {}

at::Tensor ConvNextBlock::forward(const at::Tensor& x) {
  const at::Tensor mixed =
      depthwise_convolution(x, depthwise_->weight, depthwise_->bias);  // (B, N, C)
  const at::Tensor wide = at::gelu(linear(widen_, norm_(mixed)));      // (B, N, 2C)
  return x + linear(narrow_, response_->forward(wide));
}

TextEmbedding::TextEmbedding(const ModelConfig& config)
    : mask_padding_(config.text_mask_padding),
      upsamples_(config.average_upsampling),
      rows_(config.architecture == Architecture::kDit && config.masks == Masks::kUpstream
                ? kUpstreamRows
                : kRows),
      width_(config.text_dim),
      embedding_(register_module("text_embed",
                                 torch::nn::Embedding(config.vocabulary + 1, config.text_dim))) {
  for (std::int64_t i = 0; i < config.conv_layers; ++i) {
    blocks_.push_back(
        adopt(*this, fmt::format("text_blocks.{}", i), std::make_shared<ConvNextBlock>(width_)));
  }
}

at::Tensor TextEmbedding::positions(std::int64_t width, std::int64_t frames, std::int64_t rows) {
  // Computed in float32 as the reference does.
  const at::Tensor exponent =
      at::arange(0, width, 2, at::kFloat) / static_cast<double>(width);  // (C/2)
  const at::Tensor theta =
      1.0 / exact(exponent, [](double e) { return std::pow(kWaveBase, e); });  // (C/2)
  const at::Tensor row = at::arange(frames, at::kFloat).clamp_max(static_cast<double>(rows - 1));
  const at::Tensor angles = row.unsqueeze(1) * theta.unsqueeze(0);      // (N, C/2)
  return at::cat({exact(angles, [](double a) { return std::cos(a); }),  // (N, C)
                  exact(angles, [](double a) { return std::sin(a); })},
                 1);
}

at::Tensor TextEmbedding::forward(const at::Tensor& text, std::int64_t frames, bool drop_text,
                                  const at::Tensor& shown, bool recompute) {
  at::Tensor ids = text.slice(1, 0, frames) + 1;                 // 0 is filler and padding
  ids = at::constant_pad_nd(ids, {0, frames - ids.size(1)}, 0);  // (B, N)
  at::Tensor hidden;                                             // (B, N, 1)
  if (shown.defined()) {
    hidden = shown.logical_not().unsqueeze(2);
    ids = ids.masked_fill(hidden.squeeze(2), 0);
  }
  const at::Tensor filler = (ids == 0).unsqueeze(2);  // (B, N, 1): before the drop
  if (drop_text) ids = at::zeros_like(ids);
  at::Tensor x = embedding_(ids);  // (B, N, C)
  if (!blocks_.empty()) x = x + positions(width_, frames, rows_).to(x.options());
  if (hidden.defined()) x = x.masked_fill(hidden, 0);
  if (!blocks_.empty()) x = encode(x, filler, recompute);
  if (!upsamples_) return x;
  const at::Tensor tokens = filler.squeeze(2).logical_not().sum(1);  // (B)
  return average_upsampled(x, tokens,
                           shown.defined() ? shown.sum(1) : at::full_like(tokens, frames));
}

at::Tensor TextEmbedding::encode(at::Tensor x, const at::Tensor& filler, bool recompute) {
  if (mask_padding_) x = x.masked_fill(filler, 0);
  for (const auto& block : blocks_) {
    const auto run = [this, block, filler](const at::Tensor& h, const at::Tensor&) {
      const at::Tensor y = block->forward(h);
      return mask_padding_ ? y.masked_fill(filler, 0) : y;
    };
    x = recompute ? recomputed(run, x, x.new_zeros({0}).requires_grad_()) : run(x, {});
  }
  return x;
}

at::Tensor average_upsampled(const at::Tensor& x, const at::Tensor& tokens,
                             const at::Tensor& frames) {
  const at::Tensor of = tokens.clamp_min(1).unsqueeze(1);          // (B, 1)
  const at::Tensor each = frames.unsqueeze(1).div(of, "floor");    // (B, 1): of a row at least
  const at::Tensor even = of - frames.unsqueeze(1).remainder(of);  // (B, 1): rows without one more
  const at::Tensor place = at::arange(x.size(1), at::kLong).unsqueeze(0);  // (1, N)
  const at::Tensor after = place - even * each;                            // (B, N)
  const at::Tensor row = at::where(after < 0, place.div(each.clamp_min(1), "floor"),
                                   even + after.div(each + 1, "floor"));  // (B, N)
  const at::Tensor taken = (place < frames.unsqueeze(1)).logical_and(tokens.unsqueeze(1) > 0);
  const at::Tensor index = row.masked_fill(taken.logical_not(), 0).unsqueeze(2).expand_as(x);
  return x.gather(1, index).masked_fill(taken.logical_not().unsqueeze(2), 0);
}

InputEmbedding::InputEmbedding(const ModelConfig& config)
    : project_(
          register_module("proj", torch::nn::Linear(2 * config.mel + config.text_dim, config.dim))),
      first_(adopt(*this, "conv_pos_embed.conv1d.0",
                   convolution(config.dim, kPositionKernel, kPositionGroups))),
      second_(adopt(*this, "conv_pos_embed.conv1d.2",
                    convolution(config.dim, kPositionKernel, kPositionGroups))) {}

at::Tensor InputEmbedding::forward(const BackboneInput& input, const at::Tensor& shown) {
  const at::Tensor condition = input.drop_audio ? at::zeros_like(input.condition) : input.condition;
  const at::Tensor x = linear(project_, at::cat({input.noisy, condition, input.text}, 2))
                           .to(input.noisy.scalar_type());  // (B, N, dim)
  const auto cleared = [&](const at::Tensor& h) {
    return shown.defined() ? h.masked_fill(shown.logical_not().unsqueeze(1), 0) : h;
  };
  at::Tensor h = cleared(x.transpose(1, 2));  // (B, dim, N)
  h = trainer::mish(cleared(first_(h)));      // (B, dim, N)
  h = trainer::mish(cleared(second_(h)));     // (B, dim, N)
  return x + h.transpose(1, 2);
}

RotaryTable rotary_table(std::int64_t frames, std::int64_t dim_head,
                         const at::TensorOptions& options) {
  // Frame numbers and angles need more digits than a half precision has.
  const at::ScalarType type = options.dtype() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor exponent =
      at::arange(0, dim_head, 2, at::kFloat) / static_cast<double>(dim_head);
  const at::Tensor omega =
      (1.0 / exact(exponent, [](double e) { return std::pow(kWaveBase, e); })).to(type);  // (d/2)
  // (N, d/2).
  const at::Tensor angles = at::arange(frames, type).unsqueeze(1) * omega.unsqueeze(0);
  return {angles.cos().to(options), angles.sin().to(options)};
}

namespace {

// A copy of x whose first heads are turned by the angles of the table, `sign` times.
at::Tensor turned(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                  std::int64_t heads, double sign) {
  at::Tensor y = x.clone();
  const at::Tensor from = x.slice(1, 0, heads);     // (B, heads, N, d)
  const at::Tensor even = from.slice(3, 0, {}, 2);  // (B, heads, N, d/2)
  const at::Tensor odd = from.slice(3, 1, {}, 2);   // (B, heads, N, d/2)
  const at::Tensor to = y.slice(1, 0, heads);
  to.slice(3, 0, {}, 2).mul_(cos).addcmul_(odd, sin, -sign);
  to.slice(3, 1, {}, 2).mul_(cos).addcmul_(even, sin, sign);
  return y;
}

// The gradient is turned back.
struct Rotation : torch::autograd::Function<Rotation> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& cos, const at::Tensor& sin, std::int64_t heads) {
    context->save_for_backward({cos, sin});
    context->saved_data["heads"] = heads;
    return turned(x, cos, sin, heads, 1);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    return {turned(gradients[0], saved[0], saved[1], context->saved_data["heads"].toInt(), -1),
            {},
            {},
            {}};
  }
};

}  // namespace

at::Tensor rotate(const at::Tensor& x, const RotaryTable& table, std::int64_t heads) {
  if (heads == 0) return x;
  return Rotation::apply(x, table.cos, table.sin, heads);
}

HeadNorm::HeadNorm(std::int64_t dim_head)
    : weight_(register_parameter("weight", torch::ones({dim_head}))) {}

at::Tensor HeadNorm::forward(const at::Tensor& x) { return root_norm(x, weight_, kNormEpsilon); }

Attention::Attention(const ModelConfig& config)
    : heads_(config.heads),
      dim_head_(config.dim_head),
      rotated_heads_(config.pe_attn_heads.value_or(config.heads)),
      hides_keys_(config.masks == Masks::kOriginal || config.attention_mask),
      query_(register_module("to_q", torch::nn::Linear(config.dim, heads_ * dim_head_))),
      key_(register_module("to_k", torch::nn::Linear(config.dim, heads_ * dim_head_))),
      value_(register_module("to_v", torch::nn::Linear(config.dim, heads_ * dim_head_))),
      out_(nullptr) {
  if (config.qk_norm) {
    query_norm_ = register_module("q_norm", std::make_shared<HeadNorm>(dim_head_));
    key_norm_ = register_module("k_norm", std::make_shared<HeadNorm>(dim_head_));
  }
  out_ = adopt(*this, "to_out.0", torch::nn::Linear(heads_ * dim_head_, config.dim));
}

at::Tensor Attention::forward(const at::Tensor& x, const RotaryTable& table, const at::Tensor& mask,
                              const Dropout& dropout) {
  const auto split = [&](const at::Tensor& h,  // (B, N, H*d) -> (B, H, N, d)
                         const std::shared_ptr<HeadNorm>& norm = {}) {
    const at::Tensor heads = h.view({h.size(0), h.size(1), heads_, dim_head_});
    return (norm ? norm->forward(heads) : heads).transpose(1, 2);
  };
  const at::Tensor q = rotate(split(linear(query_, x), query_norm_), table, rotated_heads_);
  const at::Tensor k = rotate(split(linear(key_, x), key_norm_), table, rotated_heads_);
  const at::Tensor v = split(linear(value_, x));
  std::optional<at::Tensor> keys;
  if (mask.defined() && hides_keys_)
    keys =
        mask.unsqueeze(1).unsqueeze(1).expand({mask.size(0), heads_, mask.size(1), mask.size(1)});
  // (B, H, N, d), scale 1/sqrt(d).
  const at::Tensor mixed = at::scaled_dot_product_attention(q, k, v, keys);
  const at::Tensor out = dropout(linear(out_, mixed.transpose(1, 2).flatten(2)));  // (B, N, dim)
  return mask.defined() ? out.masked_fill(mask.logical_not().unsqueeze(2), 0) : out;
}

FeedForward::FeedForward(std::int64_t dim, std::int64_t mult)
    : widen_(adopt(*this, "ff.0.0", torch::nn::Linear(dim, dim * mult))),
      narrow_(adopt(*this, "ff.2", torch::nn::Linear(dim * mult, dim))) {}

at::Tensor FeedForward::forward(const at::Tensor& x, const Dropout& dropout) {
  return linear(narrow_, dropout(gelu_tanh(linear(widen_, x))));
}

}  // namespace strata::trainer
