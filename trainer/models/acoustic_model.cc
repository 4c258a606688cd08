#include "trainer/models/acoustic_model.h"

#include "base/random.h"
#include "base/torch/guard.h"
#include "trainer/models/activations.h"
#include "trainer/models/dit.h"
#include "trainer/models/fixed_sizes.h"
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

// "text_aligner", "text_aligner_2" ...
std::string head_name(const char* kind, std::size_t tap) {
  return tap == 0 ? fmt::format("{}_aligner", kind) : fmt::format("{}_aligner_{}", kind, tap + 1);
}

std::string seed_name(const char* kind, std::size_t tap) {
  return tap == 0 ? fmt::format("init/{}", kind) : fmt::format("init/{}/{}", kind, tap + 1);
}

}  // namespace

Aligner::Aligner(std::int64_t dim, std::int64_t hidden, std::int64_t width, std::int64_t stride)
    : first_(nullptr),
      second_(nullptr),
      last_(nullptr),
      first_norm_(nullptr),
      second_norm_(nullptr) {
  first_ = register_module("conv1", conv(dim, hidden, kHeadKernel, stride));
  first_norm_ = register_module("norm1", whole_norm(hidden));
  second_ = register_module("conv2", conv(hidden, hidden, kHeadKernel));
  second_norm_ = register_module("norm2", whole_norm(hidden));
  last_ = register_module("conv3", conv(hidden, width, 1));
}

at::Tensor Aligner::convolve(const at::Tensor& x) {
  at::Tensor h = trainer::mish(first_norm_(first_(x)));  // (B, hidden, ceil(T / stride))
  h = trainer::mish(second_norm_(second_(h)));           // the same
  return last_(h).transpose(1, 2);                       // (B, ceil(T / stride), width)
}

at::Tensor SpeechAligner::forward(const at::Tensor& block, std::int64_t frames) {
  // One ratio for the whole batch, from the padded length: source = (i + 0.5) * N / frames - 0.5,
  // clamped.
  return convolve(at::upsample_linear1d(block.transpose(1, 2), {frames},
                                        /*align_corners=*/false));  // (B, Z, width)
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
  for (std::size_t i = 0; i < align.text.size(); ++i) {
    torch::manual_seed(derive_seed(seed, seed_name("text", i)));
    text_.push_back(register_module(
        head_name("text", i),
        std::make_shared<TextAligner>(config.dim, align.hidden, config.vocabulary)));
  }
  for (std::size_t i = 0; i < align.speech.size(); ++i) {
    torch::manual_seed(derive_seed(seed, seed_name("speech", i)));
    speech_.push_back(register_module(
        head_name("speech", i),
        std::make_shared<SpeechAligner>(config.dim, align.hidden, align.speech_width)));
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
