#include "trainer/models/align_config.h"

#include <algorithm>

#include "base/fields.h"
#include "trainer/models/config.h"

namespace strata::trainer {
namespace {

constexpr double kWeightMax = 1e6;
constexpr std::int64_t kWarmupMax = 100'000'000;

std::int64_t positive(Fields& fields, std::string_view key, std::int64_t fallback) {
  const std::int64_t size = fields.integer(key, fallback);
  fields.require(size >= 1 && size <= kWidthMax, key, fmt::format("expected 1 to {}", kWidthMax));
  return size;
}

void read_tap(Fields& fields, std::int64_t depth, TextTap& tap) {
  tap.layer = fields.integer("layer");
  fields.require(tap.layer >= 0 && tap.layer <= depth, "layer",
                 fmt::format("expected 0 (no head) to {}, the depth of the model", depth));
  tap.weight = fields.number("weight", tap.weight);
  fields.require(tap.weight >= 0 && tap.weight <= kWeightMax, "weight",
                 fmt::format("expected a number from 0 to {:g}", kWeightMax));
}

void read_tap(Fields& fields, std::int64_t depth, SpeechTap& tap) {
  TextTap common{.weight = tap.weight};
  read_tap(fields, depth, common);
  tap.layer = common.layer;
  tap.weight = common.weight;
  if (fields.child("loss") == nullptr) return;  // that of the first tap
  const std::string loss = fields.choice("loss", {"neg_cosine", "neg_log_sigmoid", "l1"});
  tap.loss = loss == "neg_cosine"        ? SpeechLoss::kNegCosine
             : loss == "neg_log_sigmoid" ? SpeechLoss::kNegLogSigmoid
                                         : SpeechLoss::kL1;
}

// The tap of `value`, and those of its "more".
template <class Tap>
Result<std::vector<Tap>> read_taps(const Value& value, const std::string& where, std::int64_t depth,
                                   std::int64_t* width) {
  Fields fields(value, where);
  Tap first;
  read_tap(fields, depth, first);
  if (width != nullptr) *width = positive(fields, "width", *width);
  const Value* more = fields.child("more");
  const bool list = more == nullptr || more->is_null() || more->if_array() != nullptr;
  fields.require(list, "more", "expected a list of further taps");
  // Pipelines ask for features by the first layer.
  fields.require(first.layer > 0 || more == nullptr || more->is_null(), "layer",
                 "must be above 0 where there are more taps");
  STRATA_CHECK_OK(fields.finish());
  std::vector<Tap> taps;
  if (first.layer > 0) taps.push_back(first);
  if (more == nullptr || more->is_null()) return taps;
  for (std::size_t i = 0; i < more->if_array()->size(); ++i) {
    Fields one((*more->if_array())[i], fmt::format("{}.more[{}]", where, i));
    Tap tap = first;
    read_tap(one, depth, tap);
    one.require(std::ranges::find(taps, tap.layer, &Tap::layer) == taps.end(), "layer",
                "there is a tap at this layer already");
    one.require(taps.size() < kTapsMax, "layer", fmt::format("there may be {} taps", kTapsMax));
    STRATA_CHECK_OK(one.finish());
    if (tap.layer > 0) taps.push_back(tap);
  }
  return taps;
}

}  // namespace

Result<AlignConfig> read_align_config(const Value* value, const std::string& where,
                                      std::int64_t depth,
                                      std::optional<std::int64_t> speech_width) {
  AlignConfig config;
  config.speech_width = speech_width.value_or(config.speech_width);
  if (value == nullptr || value->is_null()) return config;
  Fields fields(*value, where);
  config.hidden = positive(fields, "hidden", config.hidden);
  config.warmup = fields.integer("warmup", config.warmup);
  fields.require(config.warmup >= 0 && config.warmup <= kWarmupMax, "warmup",
                 fmt::format("expected 0 to {} updates", kWarmupMax));
  const std::string skip = fields.choice("skip_dropped", {"never", "text", "any"}, "never");
  config.skip_dropped = skip == "never"  ? SkipDropped::kNever
                        : skip == "text" ? SkipDropped::kText
                                         : SkipDropped::kAny;
  const Value* text = fields.child("text");
  const Value* speech = fields.child("speech");
  STRATA_CHECK_OK(fields.finish());
  if (text != nullptr && !text->is_null()) {
    STRATA_TRY(config.text, read_taps<TextTap>(*text, where + ".text", depth, nullptr));
  }
  if (speech != nullptr && !speech->is_null()) {
    STRATA_TRY(config.speech,
               read_taps<SpeechTap>(*speech, where + ".speech", depth, &config.speech_width));
  }
  return config;
}

double align_factor(const AlignConfig& align, std::int64_t update, bool drop_text,
                    bool drop_audio) {
  if (align.skip_dropped != SkipDropped::kNever && drop_text) return 0;
  if (align.skip_dropped == SkipDropped::kAny && drop_audio) return 0;
  if (update >= align.warmup) return 1;
  return static_cast<double>(update) / static_cast<double>(align.warmup);
}

}  // namespace strata::trainer
