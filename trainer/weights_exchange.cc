#include "trainer/weights_exchange.h"

#include <cmath>

#include "base/audio/mel.h"
#include "base/fields.h"
#include "base/files.h"
#include "base/torch/guard.h"
#include "trainer/models/acoustic_model.h"
#include "trainer/trained_model.h"
#include "trainer/weights_layout.h"

namespace strata::trainer {
namespace {

constexpr double kRotaryBase = 10000;
// Of the rotary buffer against ours: a few last digits of a float32, or of a half.
constexpr double kFloatTolerance = 1e-6;
constexpr double kHalfTolerance = 1e-2;
constexpr std::int64_t kUpdatesMax = std::int64_t{1} << 40;

Shapes shapes_of(const NamedTensors& tensors) {
  Shapes shapes;
  for (const auto& [name, tensor] : tensors) shapes.emplace(name, tensor.sizes().vec());
  return shapes;
}

Shapes shapes_of(const Backbone& backbone) {
  Shapes shapes;
  for (const auto& entry : backbone.named_parameters())
    shapes.emplace(entry.key(), entry.value().sizes().vec());
  return shapes;
}

// 10000^(-2k/d) for k < d/2, rounded as layers.cc does.
at::Tensor rotary_frequencies(std::int64_t dim_head) {
  at::Tensor frequencies = at::empty({dim_head / 2}, at::kFloat);
  float* out = frequencies.data_ptr<float>();
  for (std::int64_t k = 0; k < dim_head / 2; ++k) {
    const float exponent = static_cast<float>(2 * k) / static_cast<float>(dim_head);
    out[k] = 1.0F / static_cast<float>(std::pow(kRotaryBase, static_cast<double>(exponent)));
  }
  return frequencies;
}

Status check_rotary(const std::string& key, const at::Tensor& buffer, std::int64_t dim_head) {
  const bool half = buffer.scalar_type() == at::kHalf || buffer.scalar_type() == at::kBFloat16;
  const double tolerance = half ? kHalfTolerance : kFloatTolerance;
  const at::Tensor ours = rotary_frequencies(dim_head).to(at::kDouble);
  if (buffer.sizes() != ours.sizes() || !at::allclose(buffer.to(at::kDouble), ours, tolerance, 0)) {
    return fail(ErrorCode::kUnsupported, "{} is not 10000^(-2k/{}): positions turn otherwise there",
                key, dim_head);
  }
  return {};
}

Result<std::int64_t> read_counter(const NamedTensors& file, const char* key) {
  const at::Tensor& value = file.find(key)->second;
  if (value.numel() != 1) return fail(ErrorCode::kInvalid, "{} is no single number", key);
  const double number = value.to(at::kDouble).item<double>();
  if (!(number >= 0 && number <= static_cast<double>(kUpdatesMax)))
    return fail(ErrorCode::kInvalid, "{} is {}", key, number);
  return static_cast<std::int64_t>(number);
}

struct ImportRequest {
  std::string weights{}, output{}, mel{};
  std::optional<std::filesystem::path> vocabulary{};
  Tokenizer tokenizer = Tokenizer::kPinyin;
  Value choices{Object{}};
};

Result<ImportRequest> read_import(const Value& request) {
  ImportRequest parsed;
  Object own, choices;
  if (request.if_object() == nullptr) return fail(ErrorCode::kInvalid, "import: expected a map");
  for (const auto& [key, value] : *request.if_object()) {
    const bool ours = key == "weights" || key == "vocabulary" || key == "tokenizer" ||
                      key == "output" || key == "mel";
    (ours ? own : choices).emplace(key, value);
  }
  const Value rest(std::move(own));
  Fields fields(rest, "import");
  parsed.weights = fields.text("weights");
  if (fields.child("vocabulary") != nullptr) parsed.vocabulary = fields.text("vocabulary");
  const std::string tokenizer = fields.choice("tokenizer", tokenizer_names(), "pinyin");
  parsed.output = fields.text("output");
  parsed.mel = fields.choice("mel", {"vocos", "bigvgan"}, "vocos");
  STRATA_CHECK_OK(fields.finish());
  parsed.tokenizer = tokenizer_of(tokenizer).value_or(parsed.tokenizer);
  parsed.choices = Value(std::move(choices));
  return parsed;
}

// The parameters by our names, in float32; `types` counts what they were stored as.
Result<NamedTensors> take_parameters(const CheckpointKeys& keys, const NamedTensors& file,
                                     std::map<std::string, std::int64_t>& types) {
  NamedTensors taken;
  for (const auto& [name, key] : keys.parameters) {
    const at::Tensor& stored = file.find(key)->second;
    if (!stored.is_floating_point())
      return fail(ErrorCode::kInvalid, "tensor {} holds whole numbers", key);
    at::Tensor value = stored.to(at::kFloat);
    if (!at::isfinite(value).all().item<bool>())
      return fail(ErrorCode::kInvalid, "tensor {} holds values that are no finite numbers", key);
    ++types[std::string(at::toString(stored.scalar_type()))];
    taken.emplace(name, std::move(value));
  }
  return taken;
}

template <class Map>
Object object_of(const Map& map) {
  Object object;
  for (const auto& [key, value] : map) object.emplace(key, Value(value));
  return object;
}

// An error where there are not `size` tokens.
Result<Vocabulary> read_vocabulary(Tokenizer tokenizer,
                                   const std::optional<std::filesystem::path>& file,
                                   std::int64_t size) {
  const bool bytes = tokenizer == Tokenizer::kByte;
  if (bytes == file.has_value()) {
    return fail(ErrorCode::kInvalid, "tokenizer {}: a vocabulary {}", name_of(tokenizer),
                bytes ? "has no place there" : "is missing");
  }
  STRATA_TRY(Vocabulary vocabulary, bytes ? Result<Vocabulary>(Vocabulary::bytes())
                                          : Vocabulary::load_lines(*file, tokenizer));
  if (static_cast<std::int64_t>(vocabulary.size()) != size) {
    return fail(ErrorCode::kInvalid,
                "{} has {} tokens, the model knows {}: it was trained with another one",
                bytes ? "tokenizer byte" : file->string(), vocabulary.size(), size);
  }
  return vocabulary;
}

// The lines of vocab.txt; nothing for bytes.
std::optional<std::string> vocabulary_lines(const Vocabulary& vocabulary) {
  const std::string text = vocabulary.format();
  if (vocabulary.tokenizer() == Tokenizer::kByte) return std::nullopt;
  if (vocabulary.tokenizer() == Tokenizer::kChar) return text;
  return text.substr(text.find('\n') + 1);  // without the heading
}

Result<Value> import_file(const ImportRequest& request) {
  // ---- every key of the file
  STRATA_TRY(const NamedTensors file, read_tensors(request.weights));
  const Shapes shapes = shapes_of(file);
  const CheckpointKeys keys = sort_keys(shapes);
  Object verified;
  std::int64_t update = 0;
  if (keys.started) {
    STRATA_TRY(const std::int64_t started, read_counter(file, kAverageStarted));
    if (started == 0)
      return fail(ErrorCode::kInvalid, "initted is false: this average was never begun");
    verified.emplace(kAverageStarted, "true: the average was begun");
  }
  if (keys.step) {
    STRATA_TRY(update, read_counter(file, kAverageStep));
    verified.emplace(kAverageStep, "kept as the update of the weights");
  }

  // ---- the model that they make
  Shapes parameters;
  for (const auto& [name, key] : keys.parameters) parameters.emplace(name, shapes.at(key));
  std::optional<std::int64_t> pairs;
  if (keys.rotary) pairs = file.find(*keys.rotary)->second.numel();
  Object assumed;
  STRATA_TRY(const ModelConfig model,
             config_of_shapes(parameters, pairs, request.choices, "import", assumed));
  STRATA_TRY(const MelKind kind, parse_mel_kind(request.mel));
  if (model.mel != mel_config(kind).bands) {
    return fail(ErrorCode::kInvalid, "the model speaks {} mel bands, {} has {}", model.mel,
                request.mel, mel_config(kind).bands);
  }
  STRATA_CHECK_OK(check_complete(keys, shapes, shapes_of(*make_backbone(model))));
  if (keys.rotary) {
    STRATA_CHECK_OK(check_rotary(*keys.rotary, file.find(*keys.rotary)->second, model.dim_head));
    verified.emplace(*keys.rotary, "equal to ours, which is made anew");
  }

  // ---- the folder
  STRATA_TRY(Vocabulary vocabulary,
             read_vocabulary(request.tokenizer, request.vocabulary, model.vocabulary));
  std::map<std::string, std::int64_t> types;
  STRATA_TRY(const NamedTensors tensors, take_parameters(keys, file, types));
  STRATA_CHECK_OK(write_trained_model(
      request.output, tensors, {.model = model, .vocabulary = std::move(vocabulary), .mel = kind},
      update));
  std::int64_t count = 0;
  for (const auto& [name, tensor] : tensors) count += tensor.numel();
  return Value(Object{{"tensors", std::ssize(file)},
                      {"prefix", keys.prefix},
                      {"used", Object{{"tensors", std::ssize(tensors)},
                                      {"parameters", count},
                                      {"stored_as", object_of(types)}}},
                      {"verified", std::move(verified)},
                      {"dropped", object_of(keys.dropped)},
                      {"update", update},
                      {"model", to_value(model)},
                      {"assumed", std::move(assumed)},
                      {"output", request.output}});
}

// What makes the same model there: keyword arguments of DiT or UNetT.
Object arguments_of(const ModelConfig& model) {
  Object arguments{{"dim", model.dim},
                   {"depth", model.depth},
                   {"heads", model.heads},
                   {"dim_head", model.dim_head},
                   {"dropout", model.dropout},
                   {"ff_mult", model.ff_mult},
                   {"mel_dim", model.mel},
                   {"text_num_embeds", model.vocabulary},
                   {"text_dim", model.text_dim},
                   {"text_mask_padding", model.text_mask_padding},
                   {"qk_norm", model.qk_norm ? Value("rms_norm") : Value()},
                   {"conv_layers", model.conv_layers},
                   {"pe_attn_head", model.pe_attn_heads ? Value(*model.pe_attn_heads) : Value()},
                   {"attn_mask_enabled", model.attention_mask}};
  if (model.architecture == Architecture::kDit) {
    arguments.emplace("long_skip_connection", model.long_skip);
    arguments.emplace("text_embedding_average_upsampling", model.average_upsampling);
  } else {
    const Value described = to_value(model);
    arguments.emplace("skip_connect_type", *described.find("skip"));
  }
  return arguments;
}

Array cautions(const ModelDescription& about) {
  Array cautions;
  if (about.normalise.mean != 0 || about.normalise.deviation != 1) {
    cautions.emplace_back(
        fmt::format("the model speaks (ln mel - {}) / {}: undo it before a vocoder; F5-TTS's own "
                    "programs expect raw logarithms",
                    about.normalise.mean, about.normalise.deviation));
  }
  if (about.mel != MelKind::kVocos && about.mel != MelKind::kBigvgan)
    cautions.emplace_back(fmt::format("F5-TTS has no mel front end like {}", name_of(about.mel)));
  if (about.model.masks == Masks::kOriginal) {
    cautions.emplace_back(
        "masks: original: F5-TTS since 2025-06 masks padding, so that batches of different lengths "
        "come out otherwise there; one utterance alone does not");
  }
  return cautions;
}

Result<Value> export_folder(const std::string& folder, const std::string& output,
                            const std::optional<std::string>& vocabulary) {
  STRATA_TRY(const TrainedModel trained, load_trained_model(folder));
  const ModelDescription& about = trained.description;
  const std::optional<std::string> lines = vocabulary_lines(about.vocabulary);
  if (vocabulary && !lines)
    return fail(ErrorCode::kInvalid, "export: a model of bytes has no vocabulary to write");
  NamedTensors file;
  std::int64_t count = 0;
  for (const auto& entry : trained.backbone->named_parameters()) {
    file.emplace(kAveragePrefix + entry.key(), entry.value().detach());
    count += entry.value().numel();
  }
  file.emplace(std::string(kAveragePrefix) + kRotaryBuffer,
               rotary_frequencies(about.model.dim_head));
  file.emplace(kAverageStarted, at::scalar_tensor(true, at::kBool));
  file.emplace(kAverageStep, at::scalar_tensor(trained.update, at::kLong));
  STRATA_CHECK_OK(write_tensors(output, file, {{"format", "pt"}}));
  if (vocabulary) STRATA_CHECK_OK(write_file_atomic(*vocabulary, *lines));
  const bool dit = about.model.architecture == Architecture::kDit;
  return Value(Object{{"tensors", std::ssize(file)},
                      {"parameters", count},
                      {"update", trained.update},
                      {"class", dit ? "DiT" : "UNetT"},
                      {"arguments", arguments_of(about.model)},
                      {"mel", Object{{"kind", name_of(about.mel)},
                                     {"mean", about.normalise.mean},
                                     {"deviation", about.normalise.deviation}}},
                      {"beware", cautions(about)},
                      {"output", output}});
}

// Tensor `name` of the inputs, of `type` and with the extents; -1 is any.
Result<at::Tensor> take_input(const NamedTensors& inputs, const char* name, at::ScalarType type,
                              const std::vector<std::int64_t>& extents) {
  const auto it = inputs.find(name);
  if (it == inputs.end()) return fail(ErrorCode::kInvalid, "the inputs hold no tensor {}", name);
  const at::Tensor& given = it->second;
  bool fits = given.dim() == std::ssize(extents);
  for (std::size_t i = 0; fits && i < extents.size(); ++i) {
    const std::int64_t found = given.size(static_cast<std::int64_t>(i));
    fits = extents[i] < 0 ? found > 0 : found == extents[i];
  }
  if (!fits) {
    return fail(ErrorCode::kInvalid, "input {} has shape [{}], expected [{}] (-1: any)", name,
                fmt::join(given.sizes(), ", "), fmt::join(extents, ", "));
  }
  return given.to(type);
}

Result<Value> forward_folder(const std::string& folder, const std::string& inputs_file,
                             const std::string& output, BackboneInput input, bool drop_text,
                             at::ScalarType type) {
  const at::NoGradGuard no_gradients;
  STRATA_TRY(const TrainedModel trained, load_trained_model(folder));
  const std::shared_ptr<Backbone> backbone = trained.backbone;
  const ModelConfig& model = trained.description.model;
  backbone->to(type);
  backbone->eval();
  STRATA_TRY(const NamedTensors inputs, read_tensors(inputs_file));
  const std::int64_t mel = model.mel;
  STRATA_TRY(input.noisy, take_input(inputs, "x", type, {-1, -1, mel}));  // (B, N, mel)
  const std::int64_t batch = input.noisy.size(0);
  const std::int64_t frames = input.noisy.size(1);
  STRATA_TRY(input.condition,  // (B, N, mel)
             take_input(inputs, "cond", type, {batch, frames, mel}));
  STRATA_TRY(input.time, take_input(inputs, "time", type, {batch}));                      // (B)
  STRATA_TRY(const at::Tensor text, take_input(inputs, "text", at::kLong, {batch, -1}));  // (B, T)
  if (text.min().item<std::int64_t>() < -1 || text.max().item<std::int64_t>() >= model.vocabulary) {
    return fail(ErrorCode::kInvalid, "input text holds ids outside of -1 to {}",
                model.vocabulary - 1);
  }
  if (inputs.contains("mask")) {
    STRATA_TRY(input.mask, take_input(inputs, "mask", at::kBool, {batch, frames}));  // (B, N)
  }
  input.text = backbone->embed_text(text, frames, drop_text, input.mask);  // (B, N, text_dim)
  const at::Tensor velocity = backbone->forward(input).velocity;           // (B, N, mel)
  STRATA_CHECK_OK(write_tensors(output, {{"velocity", velocity}}));
  return Value(Object{{"batch", batch}, {"frames", frames}, {"output", output}});
}

}  // namespace

Result<Value> import_weights(const Value& request) {
  STRATA_TRY(const ImportRequest parsed, read_import(request));
  auto report = from_torch("import", [&] { return import_file(parsed); });
  if (!report) return tl::unexpected(report.error().while_doing(parsed.weights));
  return report;
}

Result<Value> export_weights(const Value& request) {
  Fields fields(request, "export");
  const std::string folder = fields.text("weights");
  const std::string output = fields.text("output");
  std::optional<std::string> vocabulary;
  if (fields.child("vocabulary") != nullptr) vocabulary = fields.text("vocabulary");
  STRATA_CHECK_OK(fields.finish());
  return from_torch("export", [&] { return export_folder(folder, output, vocabulary); });
}

Result<Value> forward_weights(const Value& request) {
  Fields fields(request, "forward");
  const std::string folder = fields.text("weights");
  const std::string inputs = fields.text("inputs");
  const std::string output = fields.text("output");
  BackboneInput input;
  input.drop_audio = fields.flag("drop_audio", false);
  const bool drop_text = fields.flag("drop_text", false);
  const bool wide = fields.choice("dtype", {"float32", "float64"}, "float32") == "float64";
  STRATA_CHECK_OK(fields.finish());
  return from_torch("forward", [&] {
    return forward_folder(folder, inputs, output, input, drop_text,
                          wide ? at::kDouble : at::kFloat);
  });
}

}  // namespace strata::trainer
