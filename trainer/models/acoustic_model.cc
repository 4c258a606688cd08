#include "trainer/models/acoustic_model.h"

#include "base/random.h"
#include "base/torch/guard.h"
#include "trainer/models/dit.h"
#include "trainer/models/unett.h"

namespace strata::trainer {
namespace {

torch::nn::Conv1d conv(std::int64_t from, std::int64_t to, std::int64_t kernel,
                       std::int64_t stride = 1) {
  return torch::nn::Conv1d(
      torch::nn::Conv1dOptions(from, to, kernel).stride(stride).padding(kernel / 2));
}

// One group: normalises over channels and time together, padding included.
torch::nn::GroupNorm whole_norm(std::int64_t width) {
  return torch::nn::GroupNorm(torch::nn::GroupNormOptions(1, width).eps(1e-5));
}

}  // namespace

SpeechAligner::SpeechAligner(std::int64_t dim, std::int64_t hidden, std::int64_t width)
    : first_(nullptr),
      second_(nullptr),
      last_(nullptr),
      first_norm_(nullptr),
      second_norm_(nullptr) {
  first_ = register_module("conv1", conv(dim, hidden, 3));
  first_norm_ = register_module("norm1", whole_norm(hidden));
  second_ = register_module("conv2", conv(hidden, hidden, 3));
  second_norm_ = register_module("norm2", whole_norm(hidden));
  last_ = register_module("conv3", conv(hidden, width, 1));
}

at::Tensor SpeechAligner::forward(const at::Tensor& block, std::int64_t frames) {
  // One ratio for the whole batch, from the padded length: source = (i + 0.5) * N / frames - 0.5,
  // clamped.
  at::Tensor h = at::upsample_linear1d(block.transpose(1, 2), {frames},
                                       /*align_corners=*/false);  // (B, dim, Z)
  h = at::mish(first_norm_(first_(h)));                           // (B, hidden, Z)
  h = at::mish(second_norm_(second_(h)));                         // (B, hidden, Z)
  return last_(h).transpose(1, 2);                                // (B, Z, width)
}

TextAligner::TextAligner(std::int64_t dim, std::int64_t hidden, std::int64_t vocabulary)
    : first_(nullptr),
      second_(nullptr),
      last_(nullptr),
      first_norm_(nullptr),
      second_norm_(nullptr) {
  first_ = register_module("conv1", conv(dim, hidden, 3, 2));
  first_norm_ = register_module("norm1", whole_norm(hidden));
  second_ = register_module("conv2", conv(hidden, hidden, 3));
  second_norm_ = register_module("norm2", whole_norm(hidden));
  last_ = register_module("conv3", conv(hidden, vocabulary + 2, 1));
}

at::Tensor TextAligner::forward(const at::Tensor& block) {
  at::Tensor h = at::mish(first_norm_(first_(block.transpose(1, 2))));  // (B, hidden, ceil(N/2))
  h = at::mish(second_norm_(second_(h)));                               // (B, hidden, ceil(N/2))
  return last_(h).transpose(1, 2);                                      // (B, ceil(N/2), V+2)
}

std::shared_ptr<Backbone> make_backbone(const ModelConfig& config) {
  if (config.architecture == Architecture::kDit) return std::make_shared<Dit>(config);
  return std::make_shared<Unett>(config);
}

AcousticModel::AcousticModel(const ModelConfig& config, const AlignConfig& align,
                             std::uint64_t seed)
    : config_(config), align_(align) {
  torch::manual_seed(derive_seed(seed, "init/backbone"));
  backbone_ = register_module("backbone", make_backbone(config));
  if (align.has_text()) {
    torch::manual_seed(derive_seed(seed, "init/text"));
    text_ = register_module(
        "text_aligner", std::make_shared<TextAligner>(config.dim, align.hidden, config.vocabulary));
  }
  if (align.has_speech()) {
    torch::manual_seed(derive_seed(seed, "init/speech"));
    speech_ = register_module("speech_aligner", std::make_shared<SpeechAligner>(
                                                    config.dim, align.hidden, align.speech_width));
  }
}

std::int64_t AcousticModel::parameter_count() const {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : parameters()) count += parameter.numel();
  return count;
}

Status load_weights(Backbone& backbone, const NamedTensors& weights) {
  return from_torch("loading weights", [&]() -> Status {
    const torch::NoGradGuard no_grad;
    std::size_t used = 0;
    for (auto& entry : backbone.named_parameters()) {
      const auto it = weights.find(entry.key());
      if (it == weights.end())
        return fail(ErrorCode::kInvalid, "the weights hold no tensor {}", entry.key());
      if (it->second.sizes() != entry.value().sizes()) {
        return fail(ErrorCode::kInvalid, "tensor {} has shape [{}], the model needs [{}]",
                    entry.key(), fmt::join(it->second.sizes(), ", "),
                    fmt::join(entry.value().sizes(), ", "));
      }
      entry.value().copy_(it->second);
      ++used;
    }
    if (used != weights.size()) {
      for (const auto& [name, tensor] : weights) {
        if (!backbone.named_parameters().contains(name))
          return fail(ErrorCode::kInvalid, "tensor {} belongs to no part of the model", name);
      }
    }
    return {};
  });
}

}  // namespace strata::trainer
