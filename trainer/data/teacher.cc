#include "trainer/data/teacher.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/audio/resample.h"
#include "base/fields.h"
#include "base/torch/guard.h"
#include "base/torch/torch.h"

namespace strata::trainer {
namespace {

constexpr const char* kWindows = "teacher-1";
constexpr const char* kWhole = "teacher-2";
constexpr std::int64_t kLayerMax = 1000;
constexpr std::int64_t kConvolutionsMax = 64;
constexpr double kVarianceFloor = 1e-7;  // as the feature extractors of these models have it
constexpr double kNormEpsilon = 1e-5;

// layer: a number, "last" (also when absent) or "average".
void read_layer(Fields& teacher, TeacherOptions& options) {
  const Value* layer = teacher.child("layer");
  if (layer != nullptr && layer->if_string() == nullptr) {
    options.layer = teacher.integer("layer");
    teacher.require(*options.layer >= 0 && *options.layer <= kLayerMax, "layer",
                    "expected a layer's number, \"last\" or \"average\"");
  } else if (teacher.choice("layer", {"last", "average"}, "last") == "average") {
    options.average = LayerAverage{};
  }
}

Status read_average(Fields& teacher, TeacherOptions& options) {
  const Value* given = teacher.child("average");
  if (given == nullptr) return {};
  Fields fields(*given, teacher.where() + ".average");
  LayerAverage average{.from = fields.integer("from", 1)};
  if (fields.child("to") != nullptr) average.to = fields.integer("to");
  average.norm = fields.flag("norm", false);
  fields.require(average.from >= 0 && average.from <= kLayerMax, "from", "expected a layer");
  fields.require(!average.to || (*average.to >= average.from && *average.to <= kLayerMax), "to",
                 "expected a layer that is not before `from`, or null for the last");
  fields.require(options.average || average == LayerAverage{}, "from",
                 "only with `layer: average` may these be other than 1, null, false");
  STRATA_CHECK_OK(fields.finish());
  if (options.average) options.average = average;
  return {};
}

Status read_compat(Fields& teacher, TeacherOptions& options) {
  const Value* given = teacher.child("compat");
  if (given == nullptr) return {};
  Fields fields(*given, teacher.where() + ".compat");
  options.first_channel = fields.flag("first_channel", false);
  return fields.finish();
}

Result<std::vector<std::int64_t>> setting_list(const Archive& archive, std::string_view name) {
  const Value* list = archive.info().settings.find(name);
  std::vector<std::int64_t> numbers;
  bool sound = list != nullptr && list->if_array() != nullptr;
  for (const Value& entry : sound ? *list->if_array() : Array{}) {
    const auto number =
        entry.if_number() == nullptr ? std::nullopt : entry.if_number()->to_integer();
    sound = sound && number && *number > 0;
    numbers.push_back(number.value_or(0));
  }
  if (!sound || numbers.empty() || std::ssize(numbers) > kConvolutionsMax) {
    return fail(ErrorCode::kInvalid,
                "exported model {}: its settings have no list of positive whole numbers \"{}\"",
                archive.info().name, name);
  }
  return numbers;
}

// (1, frames, width) each, not empty.
at::Tensor layer_normed(const at::Tensor& heard) {
  return at::layer_norm(heard, {heard.size(2)}, {}, {}, kNormEpsilon);
}

}  // namespace

Object TeacherOptions::describe() const {
  Object object{
      {"name", model.name}, {"identity", model.identity}, {"dtype", half ? "fp16" : "fp32"}};
  object["layer"] = average ? Value("average") : layer ? Value(*layer) : Value("last");
  if (average) {
    object["average"] = Object{{"from", average->from},
                               {"to", average->to ? Value(*average->to) : Value()},
                               {"norm", average->norm}};
  }
  if (first_channel) object["compat"] = Object{{"first_channel", true}};
  return object;
}

std::int64_t TeacherOptions::rejects_allowed(std::int64_t items) const {
  const double allowed = rejects_max < 1 ? rejects_max * static_cast<double>(items) : rejects_max;
  return static_cast<std::int64_t>(std::min(std::floor(allowed), static_cast<double>(items)));
}

Result<TeacherOptions> read_teacher_options(const Value& parameters) {
  Fields fields(parameters, "parameters");
  Fields teacher(fields.required_child("teacher"), "parameters.teacher");
  STRATA_CHECK_OK(fields.finish());
  TeacherOptions options;
  Fields model(teacher.required_child("model"), "parameters.teacher.model");
  options.model = read_model_choice(model);
  STRATA_CHECK_OK(model.finish());
  read_layer(teacher, options);
  STRATA_CHECK_OK(read_average(teacher, options));
  options.half = teacher.choice("dtype", {"fp16", "fp32"}, "fp16") == "fp16";
  options.rejects_max = teacher.number("rejects_max", 0);
  teacher.require(options.rejects_max >= 0 &&
                      (options.rejects_max < 1 ||
                       std::floor(options.rejects_max) == std::ceil(options.rejects_max)),
                  "rejects_max", "expected a share below 1 or a whole number of recordings");
  STRATA_CHECK_OK(read_compat(teacher, options));
  STRATA_CHECK_OK(teacher.finish());
  return options;
}

std::int64_t teacher_frames(std::int64_t samples, std::int64_t rate,
                            std::int64_t frames_per_second) {
  return (samples * frames_per_second + rate - 1) / rate;
}

std::int64_t convolved_frames(std::int64_t samples, std::span<const std::int64_t> kernels,
                              std::span<const std::int64_t> strides) {
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    if (samples < kernels[i]) return 0;
    samples = (samples - kernels[i]) / strides[i] + 1;
  }
  return samples;
}

void normalise_utterance(std::vector<float>& samples) {
  if (samples.empty()) return;
  const auto count = static_cast<double>(samples.size());
  double sum = 0;
  for (const float sample : samples) sum += static_cast<double>(sample);
  const double mean = sum / count;
  double squares = 0;
  for (const float sample : samples) {
    const double apart = static_cast<double>(sample) - mean;
    squares += apart * apart;
  }
  const double scale = 1 / std::sqrt(squares / count + kVarianceFloor);
  for (float& sample : samples)
    sample = static_cast<float>((static_cast<double>(sample) - mean) * scale);
}

Result<Teacher> Teacher::load(const std::filesystem::path& models, TeacherOptions options) {
  STRATA_TRY(const auto path, Archive::path_of(models, options.model.name));
  STRATA_TRY(Archive archive,
             Archive::load(path, {.role = "teacher", .identity = options.model.identity}));
  Teacher teacher(std::move(archive), std::move(options));
  STRATA_CHECK_OK(teacher.read_settings());
  return teacher;
}

Status Teacher::read_settings() {
  const ArchiveInfo& info = archive_.info();
  whole_ = info.interface == kWhole;
  if (!whole_ && info.interface != kWindows) {
    return fail(ErrorCode::kInvalid,
                "exported model {}: its interface is \"{}\", this program speaks \"{}\" and \"{}\"",
                info.name, info.interface, kWindows, kWhole);
  }
  STRATA_TRY(rate_, archive_.setting("sample_rate"));
  STRATA_TRY(frames_per_second_, archive_.setting("frames_per_second"));
  STRATA_TRY(width_, archive_.setting("width"));
  STRATA_TRY(const std::int64_t layers, archive_.setting("encoder_layers"));
  bool sound = rate_ > 0 && rate_ <= kAudioRateMax && frames_per_second_ > 0 && width_ > 0;
  if (whole_) {
    STRATA_TRY(kernels_, setting_list(archive_, "conv_kernels"));
    STRATA_TRY(strides_, setting_list(archive_, "conv_strides"));
    STRATA_TRY(const std::int64_t normalise, archive_.setting("do_normalize"));
    normalise_ = normalise != 0;
    sound = sound && kernels_.size() == strides_.size();
  } else {
    STRATA_TRY(window_, archive_.setting("window_samples"));
    sound = sound && window_ > 0;
  }
  if (!sound)
    return fail(ErrorCode::kInvalid,
                "exported model {}: its settings are not positive, or do not fit together",
                info.name);
  return resolve_layers(layers);
}

Status Teacher::resolve_layers(std::int64_t layers) {
  const std::int64_t first = whole_ ? 0 : 1;
  if (options_.average) {
    if (!options_.average->to) options_.average->to = layers;
  } else if (!options_.layer) {
    options_.layer = layers;
  }
  const std::int64_t from = options_.average ? options_.average->from : *options_.layer;
  const std::int64_t to = options_.average ? *options_.average->to : *options_.layer;
  if (from < first) {
    return fail(ErrorCode::kInvalid,
                "parameters.teacher.layer: the layers of {} are counted from 1, {} was asked for",
                options_.model.name, from);
  }
  if (to > layers || to < from) {
    return fail(ErrorCode::kInvalid,
                "parameters.teacher.layer: the teacher {} has {} layers, {} was asked for",
                options_.model.name, layers, to < from ? from : to);
  }
  return {};
}

Result<at::Tensor> Teacher::hear_wave(const at::Tensor& wav) {
  const auto checked = [this](at::Tensor heard) -> Result<at::Tensor> {
    if (heard.dim() == 3 && heard.size(0) == 1 && heard.size(2) == width_) return heard;
    return fail(ErrorCode::kUnsupported,
                "the teacher {} gave a tensor of another shape than (1, frames, {})",
                options_.model.name, width_);
  };
  if (!options_.average) {
    STRATA_TRY(at::Tensor heard, archive_.run_one({wav, *options_.layer}));
    return checked(std::move(heard));
  }
  const std::int64_t from = options_.average->from;
  const std::int64_t to = *options_.average->to;
  const bool norm = options_.average->norm;
  if (whole_) {  // in one pass
    STRATA_TRY(at::Tensor heard,
               archive_.run_one({wav, from, to, std::int64_t{norm ? 1 : 0}}, "average"));
    return checked(std::move(heard));
  }
  at::Tensor sum;  // (1, frames, width)
  for (std::int64_t layer = from; layer <= to; ++layer) {
    STRATA_TRY(at::Tensor heard, archive_.run_one({wav, layer}));
    STRATA_TRY(heard, checked(std::move(heard)));
    if (norm) heard = layer_normed(heard);
    sum = sum.defined() ? sum + heard : heard;
  }
  return sum / static_cast<double>(to - from + 1);
}

Result<at::Tensor> Teacher::hear_windows(const std::vector<float>& samples) {
  std::vector<at::Tensor> windows;
  for (std::int64_t start = 0; start < std::ssize(samples); start += window_) {
    const std::int64_t count = std::min(window_, std::ssize(samples) - start);
    at::Tensor window = at::zeros({1, window_}, at::kFloat);  // (1, samples), silence after speech
    std::memcpy(window.data_ptr(), samples.data() + start,
                static_cast<std::size_t>(count) * sizeof(float));
    STRATA_TRY(const at::Tensor heard, hear_wave(window));
    const std::int64_t frames = teacher_frames(count, rate_, frames_per_second_);
    windows.push_back(heard[0].slice(0, 0, std::min(frames, heard.size(1))));
  }
  return at::cat(windows, 0);
}

Result<at::Tensor> Teacher::hear_whole(std::vector<float> samples) {
  const std::int64_t frames = convolved_frames(std::ssize(samples), kernels_, strides_);
  if (frames == 0) {
    return fail(ErrorCode::kInvalid, "{} samples at {} Hz are too few for one frame of {}",
                samples.size(), rate_, options_.model.name);
  }
  if (normalise_) normalise_utterance(samples);
  at::Tensor wav = at::empty({1, std::ssize(samples)}, at::kFloat);  // (1, samples)
  std::memcpy(wav.data_ptr(), samples.data(), samples.size() * sizeof(float));
  STRATA_TRY(const at::Tensor heard, hear_wave(wav));
  if (heard.size(1) != frames) {
    return fail(ErrorCode::kUnsupported,
                "the teacher {} gave {} frames for {} samples, its convolutions leave {}",
                options_.model.name, heard.size(1), samples.size(), frames);
  }
  return heard[0];
}

Result<at::Tensor> Teacher::hear(const Audio& audio) {
  return from_torch("hearing", [&]() -> Result<at::Tensor> {
    std::vector<float> samples = resample(audio.samples, audio.rate, static_cast<int>(rate_));
    STRATA_TRY(const at::Tensor all,
               whole_ ? hear_whole(std::move(samples)) : hear_windows(samples));
    at::Tensor stored = all.to(options_.half ? at::kHalf : at::kFloat).contiguous();
    if (stored.size(0) == 0)
      return fail(ErrorCode::kInvalid, "the teacher {} gave no frames", options_.model.name);
    if (stored.isfinite().all().item<bool>()) return stored;
    if (!all.isfinite().all().item<bool>()) {
      return fail(ErrorCode::kInvalid, "the teacher {} gave values that are not finite",
                  options_.model.name);
    }
    return fail(ErrorCode::kInvalid,
                "the teacher {} gave values up to {:.4g}, which fp16 cannot hold: set "
                "teacher.dtype to fp32",
                options_.model.name, all.abs().max().item<double>());
  });
}

Object Teacher::report() const {
  return {{"teacher", options_.describe()},
          {"width", width_},
          {"frames_per_second", frames_per_second_}};
}

}  // namespace strata::trainer
