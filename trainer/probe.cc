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
#include "trainer/sampling/grid.h"
#include "trainer/sampling/sampler.h"
#include "trainer/stage_spec.h"

namespace strata::trainer {
namespace {

// Which arithmetic sequence an input is drawn from; parameters use their index.
constexpr std::uint64_t kMelSequence = 1000;
constexpr std::uint64_t kNoiseSequence = 1001;
constexpr std::uint64_t kFeatureSequence = 1002;
constexpr std::uint64_t kPromptSequence = 1003;
constexpr std::int64_t kProbeFramesMax = 4096;
constexpr std::size_t kProbeUtterancesMax = 64;

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
      const bool norm = owner.ends_with(".norm") || owner.ends_with(".norm1") ||
                        owner.ends_with(".norm2") || owner.ends_with(".q_norm") ||
                        owner.ends_with(".k_norm");
      const bool gain = (norm && name.ends_with(".weight")) || name.ends_with(".g");
      values = 0.1 * values + (gain ? 1.0 : 0.0);
    } else {
      values *= std::sqrt(3.0 / static_cast<double>(parameter.numel() / parameter.size(0)));
    }
    parameter.copy_(values);
  }
}

namespace {

struct SampleRequest {
  SamplingOptions options{};
  std::vector<std::int64_t> durations{};  // with the prompt
  std::vector<std::int64_t> cond_frames{};
};

struct Request {
  ModelConfig model{};
  AlignConfig align{};
  std::vector<std::int64_t> frames{};
  std::optional<SampleRequest> sample{};
  std::string drop{};
  at::ScalarType type = at::kDouble;
};

// So many utterances of so many frames.
std::vector<std::int64_t> read_frames(Fields& fields, std::string_view key,
                                      const std::vector<std::int64_t>& fallback,
                                      std::int64_t least) {
  std::vector<std::int64_t> frames = fields.integers(key, fallback);
  for (const std::int64_t count : frames) {
    fields.require(count >= least && count <= kProbeFramesMax, key,
                   fmt::format("expected {} to {}", least, kProbeFramesMax));
  }
  fields.require(!frames.empty() && frames.size() <= kProbeUtterancesMax, key,
                 fmt::format("expected 1 to {} utterances", kProbeUtterancesMax));
  return frames;
}

Result<SampleRequest> read_sample(const Value& value) {
  Fields fields(value, "probe: sample");
  SampleRequest sample;
  const bool euler = fields.choice("solver", {"euler", "midpoint"}, "euler") == "euler";
  sample.options.solver = euler ? Solver::kEuler : Solver::kMidpoint;
  sample.options.steps = fields.integer("steps", 4);
  sample.options.grid = fields.choice("grid", {"uniform", "epss"}, "uniform") == "epss"
                            ? StepGrid::kEpss
                            : StepGrid::kUniform;
  sample.options.cfg = fields.number("cfg", 2);
  if (const Value* sway = value.find("sway"); sway != nullptr && sway->is_null()) {
    fields.child("sway");
    sample.options.sway.reset();
  } else {
    sample.options.sway = fields.number("sway", -1);
  }
  sample.durations = read_frames(fields, "durations", {37}, 1);
  sample.cond_frames = read_frames(fields, "cond_frames", {12}, 0);
  fields.require(sample.options.steps >= 1 && sample.options.steps <= kStepsMax, "steps",
                 fmt::format("expected 1 to {}", kStepsMax));
  const double sway = sample.options.sway.value_or(0);
  fields.require(sway >= kSwayMin && sway <= kSwayMax, "sway",
                 fmt::format("expected {} to {}, or null", kSwayMin, kSwayMax));
  fields.require(sample.options.cfg >= 0 && sample.options.cfg <= kGuidanceMax, "cfg",
                 fmt::format("expected 0 to {}", kGuidanceMax));
  fields.require(sample.durations.size() == sample.cond_frames.size(), "cond_frames",
                 fmt::format("expected {} numbers, as many as durations", sample.durations.size()));
  STRATA_CHECK_OK(fields.finish());
  return sample;
}

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
  request.frames = read_frames(fields, "frames", {37, 30}, 1);
  fields.require(request.model.dropout == 0, "dropout", "a probe draws no random numbers");
  const Value* align = fields.child("align");
  const Value* sample = fields.child("sample");
  STRATA_CHECK_OK(fields.finish());
  if (sample != nullptr && !sample->is_null()) {
    STRATA_TRY(request.sample, read_sample(*sample));
  }
  STRATA_TRY(request.align, read_align_config(align, "probe: align", request.model.depth, 24));
  if (align != nullptr && align->find("hidden") == nullptr) request.align.hidden = 32;
  return request;
}

// (B, 8) ids padded with -1, and their lengths (B).
struct Texts {
  at::Tensor ids{}, lengths{};
};
Texts make_texts(std::int64_t count) {
  const std::vector<std::vector<std::int64_t>> known{{3, 1, 4, 1, 5, 9, 2, 6}, {2, 7, 1, 8, 2}};
  Texts texts{.ids = at::full({count, 8}, -1, at::kLong), .lengths = at::empty({count}, at::kLong)};
  for (std::int64_t b = 0; b < count; ++b) {
    const auto& text = known[static_cast<std::size_t>(b) % known.size()];
    const auto length = static_cast<std::int64_t>(text.size());
    texts.ids[b].slice(0, 0, length).copy_(at::tensor(text, at::kLong));
    texts.lengths[b] = length;
  }
  return texts;
}

Batch make_batch(const Request& request) {
  const auto count = static_cast<std::int64_t>(request.frames.size());
  const std::int64_t longest = *std::max_element(request.frames.begin(), request.frames.end());
  const std::int64_t halved = text_aligner_frames(longest);
  Batch batch;
  batch.mel = probe_sequence(kMelSequence, {count, longest, request.model.mel});  // (B, N, mel)
  batch.features = probe_sequence(kFeatureSequence,
                                  {count, halved, request.align.speech_width});  // (B, Z, width)
  batch.lengths = at::tensor(request.frames, at::kLong);                         // (B)
  batch.feature_lengths = (batch.lengths + 1).div(2, "floor");                   // (B)
  const Texts texts = make_texts(count);
  batch.text = texts.ids;              // (B, T)
  batch.text_lengths = texts.lengths;  // (B)
  for (std::int64_t b = 0; b < count; ++b) {
    batch.ids.push_back(fmt::format("probe-{}", b));
    batch.mel[b].slice(0, request.frames[static_cast<std::size_t>(b)]).zero_();
    batch.features[b]
        .slice(0, text_aligner_frames(request.frames[static_cast<std::size_t>(b)]))
        .zero_();
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

// One sum and L1 norm for each utterance, over its own frames.
Array run_sample(Backbone& backbone, const Request& request) {
  const SampleRequest& asked = *request.sample;
  const auto count = static_cast<std::int64_t>(asked.durations.size());
  const Texts texts = make_texts(count);
  SampleInput input{.prompt_frames = asked.cond_frames, .text = texts.ids};
  for (std::size_t b = 0; b < asked.durations.size(); ++b) {
    input.durations.push_back(
        bounded_duration(asked.durations[b], asked.cond_frames[b],
                         texts.lengths[static_cast<std::int64_t>(b)].item<std::int64_t>()));
  }
  const std::int64_t longest = *std::ranges::max_element(input.durations);
  const std::int64_t prompt = *std::ranges::max_element(asked.cond_frames);
  const std::int64_t bands = request.model.mel;
  // (B, N, mel), both. The noise is that of the losses where these are as long.
  input.condition = at::constant_pad_nd(probe_sequence(kPromptSequence, {count, prompt, bands}),
                                        {0, 0, 0, longest - prompt}, 0)
                        .to(request.type);
  const std::int64_t noisy = std::max(longest, *std::ranges::max_element(request.frames));
  input.noise = (std::numbers::sqrt3 * probe_sequence(kNoiseSequence, {count, noisy, bands}))
                    .slice(1, 0, longest)
                    .to(request.type)
                    .contiguous();
  for (std::int64_t b = 0; b < count; ++b)
    input.noise[b].slice(0, input.durations[static_cast<std::size_t>(b)]).zero_();
  const at::Tensor made = sample(backbone, input, asked.options);  // (B, N, mel)
  Array samples;
  for (std::int64_t b = 0; b < count; ++b) {
    const at::Tensor own =
        made[b].slice(0, 0, input.durations[static_cast<std::size_t>(b)]).to(at::kDouble);
    samples.emplace_back(
        Object{{"sum", own.sum().item<double>()}, {"l1", own.abs().sum().item<double>()}});
  }
  return samples;
}

// Null: there is no head.
Value sum_or_null(const std::vector<at::Tensor>& terms) {
  if (terms.empty()) return Value();
  double sum = 0;
  for (const at::Tensor& term : terms) sum += term.item<double>();
  return sum;
}

Value run(const Request& request) {
  AcousticModel model(request.model, request.align, 0);
  model.to(request.type);
  fill_probe_parameters(model);
  const Batch batch = make_batch(request);
  const Draws draws = make_draws(request, batch);
  Object tensors;
  const Losses losses =
      compute_losses(model, batch, draws, count(batch, draws), 1,
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
  Object report{{"parameters", model.parameter_count()},
                {"loss", Object{{"total", losses.total.item<double>()},
                                {"cfm", losses.flow.item<double>()},
                                {"speech", sum_or_null(losses.speech)},
                                {"text", sum_or_null(losses.text)}}},
                {"grad_norm", std::sqrt(squares)},
                {"gradients", std::move(gradients)},
                {"tensors", std::move(tensors)}};
  if (request.sample) report.emplace("sample", run_sample(model.backbone(), request));
  return report;
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
