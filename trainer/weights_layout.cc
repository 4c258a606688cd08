#include "trainer/weights_layout.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

#include "base/fields.h"

namespace strata::trainer {
namespace {

bool holds_any(const Shapes& file, std::string_view prefix) {
  const auto it = file.lower_bound(prefix);
  return it != file.end() && it->first.starts_with(prefix);
}

// How many different numbers stand after `prefix` ("layers." in "layers.3.2.to_q.weight").
std::int64_t count_numbered(const Shapes& parameters, std::string_view prefix) {
  std::set<std::string_view> numbers;
  for (auto it = parameters.lower_bound(prefix);
       it != parameters.end() && it->first.starts_with(prefix); ++it) {
    const std::string_view rest = std::string_view(it->first).substr(prefix.size());
    numbers.insert(rest.substr(0, rest.find('.')));
  }
  return std::ssize(numbers);
}

// Extent `i` of a parameter that every model has.
Result<std::int64_t> extent(const Shapes& parameters, const std::string& name, std::size_t i) {
  const auto it = parameters.find(name);
  if (it == parameters.end())
    return fail(ErrorCode::kInvalid, "it holds no tensor {}: is it a model of F5-TTS or E2-TTS?",
                name);
  if (it->second.size() <= i)
    return fail(ErrorCode::kInvalid, "tensor {} has {} dimensions", name, it->second.size());
  return it->second[i];
}

std::string named(const std::vector<std::string>& names) {
  const std::size_t shown = std::min(names.size(), kNamesMax);
  std::string text = fmt::format(
      "{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (shown < names.size()) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

// A part of the model that we do not have and that explains a key.
std::string_view foreign_part(std::string_view key) {
  if (key.find("audio_embed.") != std::string_view::npos ||
      key.find("_c.") != std::string_view::npos)
    return "an MMDiT, which is not supported";
  return "";
}

// Sizes by the names that `parameters.model` has.
Result<Object> sizes_of(const Shapes& parameters, std::int64_t dim_head) {
  const bool dit = holds_any(parameters, "transformer_blocks.");
  const std::string blocks = dit ? "transformer_blocks." : "layers.";
  const std::string first = blocks + "0.";
  STRATA_TRY(const std::int64_t dim, extent(parameters, "time_embed.time_mlp.2.weight", 0));
  STRATA_TRY(const std::int64_t rows, extent(parameters, "text_embed.text_embed.weight", 0));
  STRATA_TRY(const std::int64_t text_dim, extent(parameters, "text_embed.text_embed.weight", 1));
  STRATA_TRY(const std::int64_t mel, extent(parameters, "proj_out.weight", 0));
  const std::string attention = first + (dit ? "attn." : "2.");
  STRATA_TRY(const std::int64_t inner, extent(parameters, attention + "to_q.weight", 0));
  STRATA_TRY(const std::int64_t wide,
             extent(parameters, first + (dit ? "ff.ff.0.0.weight" : "4.ff.0.0.weight"), 0));
  if (dim < 1 || wide % dim != 0)
    return fail(ErrorCode::kInvalid, "a feed-forward of {} channels in a model of {}", wide, dim);
  if (dim_head < 1 || inner % dim_head != 0) {
    return fail(ErrorCode::kInvalid, "attention of {} channels is no whole number of heads of {}",
                inner, dim_head);
  }
  return Object{
      {"model", dit ? "dit" : "unett"},
      {"dim", dim},
      {"depth", count_numbered(parameters, blocks)},
      {"heads", inner / dim_head},
      {"dim_head", dim_head},
      {"ff_mult", wide / dim},
      {"mel", mel},
      {"vocab", rows - 1},
      {"text_dim", text_dim},
      {"conv_layers", count_numbered(parameters, "text_embed.text_blocks.")},
      {"qk_norm", parameters.contains(attention + "q_norm.weight") ? Value("rms_norm") : Value()},
      {"long_skip", parameters.contains("long_skip_connection.weight")}};
}

}  // namespace

CheckpointKeys sort_keys(const Shapes& file) {
  CheckpointKeys keys;
  if (holds_any(file, kAveragePrefix)) {
    keys.prefix = kAveragePrefix;
  } else if (holds_any(file, kModelPrefix)) {
    keys.prefix = kModelPrefix;
  }
  for (const auto& [key, shape] : file) {
    if (key == kAverageStarted) {
      keys.started = true;
    } else if (key == kAverageStep) {
      keys.step = true;
    } else if (key.starts_with("mel_spec.") || key.starts_with("ema_model.mel_spec.")) {
      keys.dropped.emplace(key, "a buffer of the mel front end, which is ours");
    } else if (!key.starts_with(keys.prefix)) {
      keys.unknown.push_back(key);
    } else if (const std::string name = key.substr(keys.prefix.size()); name == kRotaryBuffer) {
      keys.rotary = key;
    } else if (name.substr(0, name.find('.')).find("align") != std::string::npos) {
      keys.dropped.emplace(key, "an alignment head, of use in training only");
    } else {
      keys.parameters.emplace(name, key);
    }
  }
  return keys;
}

Result<ModelConfig> config_of_shapes(const Shapes& parameters,
                                     std::optional<std::int64_t> rotary_pairs, const Value& choices,
                                     const std::string& where, Object& assumed) {
  Fields fields(choices, where);
  const std::string generation = fields.choice("generation", {"v0", "v1", "adma"});
  const bool v1 = generation == "v1";
  const std::int64_t dim_head =
      fields.integer("dim_head", rotary_pairs ? 2 * *rotary_pairs : std::int64_t{64});
  fields.require(!rotary_pairs || dim_head == 2 * *rotary_pairs, "dim_head",
                 fmt::format("the file's rotary buffer has that of heads of {}",
                             2 * rotary_pairs.value_or(0)));
  STRATA_TRY(Object model, sizes_of(parameters, dim_head));
  assumed.emplace("text_mask_padding", fields.flag("text_mask_padding", v1));
  if (model.at("model") == Value("dit"))
    assumed.emplace("average_upsampling", fields.flag("average_upsampling", false));
  const Value* rotated = choices.find("pe_attn_heads");
  const bool all = rotated == nullptr ? v1 : rotated->is_null();
  if (rotated != nullptr) fields.child("pe_attn_heads");
  assumed.emplace("pe_attn_heads", all ? Value() : rotated == nullptr ? Value(1) : *rotated);
  assumed.emplace("masks",
                  fields.choice("masks", {"original", "upstream"}, v1 ? "upstream" : "original"));
  assumed.emplace("attention_mask", fields.flag("attention_mask", false));
  assumed.emplace("dropout", fields.number("dropout", 0.1));
  if (!rotary_pairs) assumed.emplace("dim_head", dim_head);
  if (model.at("model") == Value("unett")) {
    const std::string half = fmt::format(
        "layers.{}.0.weight", model.at("depth").if_number()->to_integer().value_or(0) / 2);
    if (parameters.contains(half)) {
      model.emplace("skip", "concat");
    } else {
      // A sum and nothing at all look alike in a file.
      assumed.emplace("skip", fields.choice("skip", {"add", "none"}));
    }
  }
  STRATA_CHECK_OK(fields.finish());
  for (const auto& [key, value] : assumed) model.insert_or_assign(key, value);
  return read_model_config(model, where);
}

Status check_complete(const CheckpointKeys& keys, const Shapes& file, const Shapes& wanted) {
  std::vector<std::string> unknown = keys.unknown;
  std::vector<std::string> missing;
  std::vector<std::string> misshapen;
  std::string_view part;
  for (const auto& [name, key] : keys.parameters) {
    const auto it = wanted.find(name);
    if (it == wanted.end()) {
      unknown.push_back(key);
    } else if (const auto& shape = file.find(key)->second; shape != it->second) {
      misshapen.push_back(fmt::format("{} is [{}] and should be [{}]", key, fmt::join(shape, ", "),
                                      fmt::join(it->second, ", ")));
    }
  }
  for (const auto& [name, shape] : wanted) {
    if (!keys.parameters.contains(name)) missing.push_back(keys.prefix + name);
  }
  std::vector<std::string> wrong;
  if (!unknown.empty()) {
    for (const std::string& key : unknown) part = part.empty() ? foreign_part(key) : part;
    wrong.push_back(fmt::format("{} unknown tensors: {}", unknown.size(), named(unknown)));
    if (!part.empty()) wrong.back() += fmt::format(" (it is {})", part);
  }
  if (!missing.empty())
    wrong.push_back(fmt::format("{} tensors are missing: {}", missing.size(), named(missing)));
  if (!misshapen.empty()) {
    wrong.push_back(
        fmt::format("{} tensors have another shape: {}", misshapen.size(), named(misshapen)));
  }
  if (!wrong.empty()) return fail(ErrorCode::kInvalid, "{}", fmt::join(wrong, "; "));
  return {};
}

}  // namespace strata::trainer
