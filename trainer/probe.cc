#include "trainer/probe.h"

#include <cmath>
#include <cstdio>
#include <numbers>

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "base/torch/guard.h"
#include "base/torch/runtime.h"
#include "trainer/losses/objective.h"
#include "trainer/stage_spec.h"

namespace strata::trainer {
namespace {

// Which arithmetic sequence an input is drawn from; parameters use their index.
constexpr std::uint64_t kMelSequence = 1000;
constexpr std::uint64_t kNoiseSequence = 1001;
constexpr std::uint64_t kFeatureSequence = 1002;
constexpr std::int64_t kProbeFramesMax = 4096;

}  // namespace

// S(p)[i] = 2u - 1, u the upper 53 bits of splitmix64(p * 2^32 + i); row-major.
at::Tensor probe_sequence(std::uint64_t p, at::IntArrayRef shape) {
  at::Tensor values = at::empty(shape, at::kDouble);
  double* out = values.data_ptr<double>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const std::uint64_t h = Random::hash((p << 32) + static_cast<std::uint64_t>(i));
    out[i] = 2 * (static_cast<double>(h >> 11) * 0x1.0p-53) - 1;
  }
  return values;
}

// Gains of norms get 1 + 0.1 S, other vectors 0.1 S, matrices S scaled to the variance of their
// fan-in.
void fill_probe_parameters(torch::nn::Module& model) {
  const torch::NoGradGuard no_grad;
  std::uint64_t p = 0;
  for (auto& entry : model.named_parameters()) {
    const std::string& name = entry.key();
    at::Tensor parameter = entry.value();
    at::Tensor values = probe_sequence(p++, parameter.sizes());
    const auto wide = std::count_if(parameter.sizes().begin(), parameter.sizes().end(),
                                    [](std::int64_t e) { return e != 1; });
    if (wide <= 1) {
      const std::size_t dot = name.rfind('.');
      const std::string_view owner = std::string_view(name).substr(0, dot);
      const bool norm =
          owner.ends_with(".norm") || owner.ends_with(".norm1") || owner.ends_with(".norm2");
      const bool gain = (norm && name.ends_with(".weight")) || name.ends_with(".g");
      values = 0.1 * values + (gain ? 1.0 : 0.0);
    } else {
      values *= std::sqrt(3.0 / static_cast<double>(parameter.numel() / parameter.size(0)));
    }
    parameter.copy_(values);
  }
}

namespace {

struct Request {
  ModelConfig model{};
  AlignConfig align{};
  std::vector<std::int64_t> frames{};
  std::string drop{};
  at::ScalarType type = at::kDouble;
};

Result<Request> read_request(const Value& value) {
  if (value.if_object() == nullptr)
    return fail(ErrorCode::kInvalid, "probe: expected a map, found a {}", value.kind());
  Request request;
  Object model = *value.if_object();
  Object own;  // what is not the model's
  for (const char* key : {"align", "drop", "dtype", "frames", "sample"}) {
    if (auto it = model.find(key); it != model.end()) own.insert(model.extract(it));
  }
  if (!model.contains("model"))
    return fail(ErrorCode::kInvalid, "probe: \"model\" is missing: dit or unett");
  const bool dit = model.at("model") == Value("dit");
  // The tiny model: small enough to check by hand, large enough to have every part.
  const Object tiny{{"dim", 64},
                    {"depth", 4},
                    {"heads", 2},
                    {"dim_head", 32},
                    {"ff_mult", dit ? 2 : 4},
                    {"mel", 20},
                    {"vocab", 10},
                    {"text_dim", dit ? 16 : 20},
                    {"conv_layers", dit ? 2 : 0},
                    {"dropout", 0}};
  for (const auto& [key, item] : tiny) model.emplace(key, item);
  STRATA_TRY(request.model, read_model_config(model, "probe"));
  const Value rest(std::move(own));
  Fields fields(rest, "probe");
  request.drop = fields.choice("drop", {"none", "audio", "both"}, "none");
  request.type = fields.choice("dtype", {"float64", "float32"}, "float64") == "float64"
                     ? at::kDouble
                     : at::kFloat;
  request.frames = fields.integers("frames", std::vector<std::int64_t>{37, 30});
  for (const std::int64_t frames : request.frames) {
    fields.require(frames >= 1 && frames <= kProbeFramesMax, "frames",
                   fmt::format("expected 1 to {}", kProbeFramesMax));
  }
  fields.require(!request.frames.empty(), "frames", "expected at least one utterance");
  fields.require(request.model.dropout == 0, "dropout", "a probe draws no random numbers");
  const Value* align = fields.child("align");
  fields.require(fields.child("sample") == nullptr, "sample", "sampling is not part of this probe");
  STRATA_CHECK_OK(fields.finish());
  STRATA_TRY(request.align, read_align_config(align, "probe: align", request.model.depth, 24));
  if (align != nullptr && align->find("hidden") == nullptr) request.align.hidden = 32;
  return request;
}

Batch make_batch(const Request& request) {
  const std::vector<std::vector<std::int64_t>> texts{{3, 1, 4, 1, 5, 9, 2, 6}, {2, 7, 1, 8, 2}};
  const auto count = static_cast<std::int64_t>(request.frames.size());
  const std::int64_t longest = *std::max_element(request.frames.begin(), request.frames.end());
  const std::int64_t halved = text_aligner_frames(longest);
  Batch batch;
  batch.mel = probe_sequence(kMelSequence, {count, longest, request.model.mel});  // (B, N, mel)
  batch.features = probe_sequence(kFeatureSequence,
                                  {count, halved, request.align.speech_width});  // (B, Z, width)
  batch.lengths = at::tensor(request.frames, at::kLong);                         // (B)
  batch.feature_lengths = (batch.lengths + 1).div(2, "floor");                   // (B)
  batch.text = at::full({count, 8}, -1, at::kLong);                              // (B, T)
  batch.text_lengths = at::empty({count}, at::kLong);                            // (B)
  for (std::int64_t b = 0; b < count; ++b) {
    const auto& text = texts[static_cast<std::size_t>(b) % texts.size()];
    batch.ids.push_back(fmt::format("probe-{}", b));
    batch.mel[b].slice(0, request.frames[static_cast<std::size_t>(b)]).zero_();
    batch.features[b]
        .slice(0, text_aligner_frames(request.frames[static_cast<std::size_t>(b)]))
        .zero_();
    batch.text[b]
        .slice(0, 0, static_cast<std::int64_t>(text.size()))
        .copy_(at::tensor(text, at::kLong));
    batch.text_lengths[b] = static_cast<std::int64_t>(text.size());
  }
  batch.mel = batch.mel.to(request.type);
  batch.features = batch.features.to(request.type);
  return batch;
}

Draws make_draws(const Request& request, const Batch& batch) {
  constexpr double kFractions[] = {0.75, 0.9};
  constexpr double kStarts[] = {0.5, 0.25};
  constexpr double kTimes[] = {0.3, 0.8};
  Draws draws;
  draws.noise = (std::numbers::sqrt3 * probe_sequence(kNoiseSequence, batch.mel.sizes()))
                    .to(request.type);                                // (B, N, mel)
  draws.span = at::zeros({batch.size(), batch.frames()}, at::kBool);  // (B, N)
  draws.time = at::empty({batch.size()}, request.type);               // (B)
  for (std::int64_t b = 0; b < batch.size(); ++b) {
    const Span span =
        span_of(request.frames[static_cast<std::size_t>(b)], kFractions[b % 2], kStarts[b % 2]);
    draws.span[b].slice(0, span.start, span.start + span.length).fill_(true);
    draws.time[b].fill_(kTimes[b % 2]);
  }
  draws.drop_text = request.drop == "both";
  draws.drop_audio = request.drop != "none";
  return draws;
}

Value describe(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).flatten();
  Array first;
  for (std::int64_t i = 0; i < std::min<std::int64_t>(2, flat.numel()); ++i)
    first.emplace_back(flat[i].item<double>());
  return Object{{"sum", flat.sum().item<double>()},
                {"l1", flat.abs().sum().item<double>()},
                {"first", std::move(first)}};
}

Value number_or_null(const at::Tensor& loss) {
  return loss.defined() ? Value(loss.item<double>()) : Value();
}

Value run(const Request& request) {
  AcousticModel model(request.model, request.align, 0);
  model.to(request.type);
  fill_probe_parameters(model);
  const Batch batch = make_batch(request);
  const Draws draws = make_draws(request, batch);
  Object tensors;
  const Losses losses =
      compute_losses(model, batch, draws, count(batch, draws),
                     [&](std::string_view name, const at::Tensor& value) {
                       tensors.insert_or_assign(std::string(name), describe(value));
                     });
  losses.total.backward();
  Object gradients;
  double squares = 0;
  for (const auto& entry : model.named_parameters()) {
    const at::Tensor& gradient = entry.value().grad();
    const double norm = gradient.defined() ? gradient.to(at::kDouble).norm().item<double>() : 0.0;
    gradients.emplace(entry.key(), norm);
    squares += norm * norm;
  }
  return Object{{"parameters", model.parameter_count()},
                {"loss", Object{{"total", number_or_null(losses.total)},
                                {"cfm", number_or_null(losses.flow)},
                                {"speech", number_or_null(losses.speech)},
                                {"text", number_or_null(losses.text)}}},
                {"grad_norm", std::sqrt(squares)},
                {"gradients", std::move(gradients)},
                {"tensors", std::move(tensors)}};
}

}  // namespace

Result<Value> probe(const Value& request) {
  STRATA_TRY(const Request parsed, read_request(request));
  return from_torch("probe", [&] { return run(parsed); });
}

int run_probe(const std::filesystem::path& file) {
  const auto report = [&]() -> Result<Value> {
    STRATA_CHECK_OK(set_up_torch(1));
    STRATA_TRY(const std::string text, read_file(file));
    STRATA_TRY(const Value request, parse_json(text));
    return probe(request);
  }();
  if (!report) {
    std::fprintf(stderr, "strata-trainer probe: %s\n", report.error().message.c_str());
    return exit_code_of(report.error());
  }
  std::fputs(to_pretty_json(*report).c_str(), stdout);
  return exit_code::kSucceeded;
}

}  // namespace strata::trainer
