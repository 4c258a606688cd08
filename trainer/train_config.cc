#include "trainer/train_config.h"

#include "base/fields.h"
#include "trainer/data/batch_feed.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kUpdatesMax = 100'000'000;
constexpr std::int64_t kBatchMax = 1 << 16;
constexpr std::int64_t kBatchFramesMax = 1 << 30;
constexpr std::int64_t kGibibyte = 1LL << 30;
constexpr double kMemoryGibMax = 1 << 20;

std::int64_t whole(Fields& fields, std::string_view key, std::int64_t least, std::int64_t most,
                   std::optional<std::int64_t> fallback = {}) {
  const std::int64_t value = fields.integer(key, fallback);
  fields.require(value >= least && value <= most, key,
                 fmt::format("expected {} to {}", least, most));
  return value;
}

double real(Fields& fields, std::string_view key, double least, double most,
            std::optional<double> fallback = {}) {
  const double value = fields.number(key, fallback);
  fields.require(value >= least && value <= most, key,
                 fmt::format("expected {} to {}", least, most));
  return value;
}

Result<EmaOptions> read_ema(const Value* value) {
  EmaOptions ema;
  if (value == nullptr) return ema;
  Fields fields(*value, "parameters.train.ema");
  ema.beta = real(fields, "beta", 0, 1, ema.beta);
  ema.update_after = whole(fields, "update_after", 0, kUpdatesMax, ema.update_after);
  ema.update_every = whole(fields, "update_every", 1, kUpdatesMax, ema.update_every);
  ema.inv_gamma = real(fields, "inv_gamma", 1e-6, 1e6, ema.inv_gamma);
  ema.power = real(fields, "power", 0, 10, ema.power);
  STRATA_CHECK_OK(fields.finish());
  return ema;
}

// What the published code does by mistake; false: what it meant.
Status read_compat(const Value* value, TrainConfig& config) {
  if (value == nullptr) return {};
  Fields fields(*value, "parameters.train.compat");
  config.zero_padding = fields.flag("zero_padding", false);
  if (fields.flag("repeated_order", false)) config.options.epochs = Epochs::kRepeated;
  return fields.finish();
}

// Null: as the machine is.
Result<LoadingOptions> read_loading(const Value* value) {
  LoadingOptions loading;
  if (value == nullptr || value->is_null()) return loading;
  Fields fields(*value, "parameters.train.loading");
  if (const Value* memory = fields.child("memory_gib"); memory != nullptr && !memory->is_null()) {
    loading.memory = static_cast<std::int64_t>(real(fields, "memory_gib", 0, kMemoryGibMax) *
                                               static_cast<double>(kGibibyte));
  }
  loading.threads = static_cast<int>(whole(fields, "threads", 1, kFeedThreadsMax, 1));
  loading.batches = static_cast<int>(whole(fields, "batches", 1, kFeedBatchesMax, loading.batches));
  STRATA_CHECK_OK(fields.finish());
  return loading;
}

// Null: all are kept.
Result<KeepPolicy> read_keep_policy(const Value* value, const TrainOptions& options) {
  KeepPolicy keep;
  if (value == nullptr || value->is_null()) return keep;
  Fields fields(*value, "parameters.train.checkpoints");
  keep.last = whole(fields, "last", kKeepLastMin, kUpdatesMax, kKeepLastMin);
  keep.every = whole(fields, "every", 0, kUpdatesMax, 0);
  const Value* best = fields.child("best");
  STRATA_CHECK_OK(fields.finish());
  if (best == nullptr) return keep;
  Fields ranking(*best, "parameters.train.checkpoints.best");
  keep.metric = ranking.choice("metric", {"validation_loss", "text_use"}, keep.metric);
  keep.higher_is_better = keep.metric == "text_use";
  keep.best = whole(ranking, "count", 0, kUpdatesMax, 1);
  ranking.require(options.validate_every > 0 || keep.best == 0, "metric",
                  "it is measured only with parameters.train.validate_every above 0");
  STRATA_CHECK_OK(ranking.finish());
  return keep;
}

Status read_train_options(const Value& value, std::uint64_t seed, TrainConfig& config) {
  Fields fields(value, "parameters.train");
  TrainOptions& options = config.options;
  options.updates = whole(fields, "updates", 1, kUpdatesMax);
  options.batch = whole(fields, "batch", 1, kBatchMax, options.batch);
  if (fields.child("batch_frames") != nullptr)
    options.batch_frames = whole(fields, "batch_frames", 1, kBatchFramesMax);
  options.micro_batch = whole(fields, "micro_batch", 0, kBatchMax, 0);
  options.schedule.base = real(fields, "lr", 0, 10, options.schedule.base);
  options.schedule.warmup = whole(fields, "warmup", 0, kUpdatesMax, options.schedule.warmup);
  options.schedule.total = options.updates;
  fields.require(options.schedule.warmup < options.updates, "warmup",
                 "must be less than updates: the rate falls after it");
  options.adamw.weight_decay = real(fields, "weight_decay", 0, 10, options.adamw.weight_decay);
  options.clip = real(fields, "clip", 1e-6, 1e6, options.clip);
  options.draw.drop_audio = real(fields, "drop_audio", 0, 1, options.draw.drop_audio);
  options.draw.drop_both = real(fields, "drop_both", 0, 1, options.draw.drop_both);
  options.draw.span_least = real(fields, "span_least", 0.01, 1, options.draw.span_least);
  if (fields.choice("precision", {"fp32", "bf16"}, "fp32") == "bf16")
    options.precision = Precision::kBfloat16;
  options.recompute = fields.flag("recompute", false);
  options.progress_every = whole(fields, "progress_every", 1, kUpdatesMax, options.progress_every);
  options.checkpoint_every = whole(fields, "checkpoint_every", 0, kUpdatesMax, 0);
  options.validate_every = whole(fields, "validate_every", 0, kUpdatesMax, 0);
  options.seed = seed;
  options.seed_data =
      static_cast<std::uint64_t>(fields.integer("seed_data", static_cast<std::int64_t>(seed)));
  const bool raw = fields.choice("normalise", {"corpus", "none"}, "corpus") == "none";
  config.normalise = raw ? Normalise::kNone : Normalise::kCorpus;
  const Value* ema = fields.child("ema");
  const Value* compat = fields.child("compat");
  const Value* checkpoints = fields.child("checkpoints");
  const Value* loading = fields.child("loading");
  STRATA_CHECK_OK(fields.finish());
  STRATA_TRY(config.loading, read_loading(loading));
  options.loading_threads = config.loading.threads;
  options.loading_batches = config.loading.batches;
  STRATA_TRY(options.ema, read_ema(ema));
  STRATA_TRY(config.keep, read_keep_policy(checkpoints, options));
  return read_compat(compat, config);
}

}  // namespace

Result<TrainConfig> read_train_config(const StageSpec& spec) {
  if (!spec.seed) return fail(ErrorCode::kInvalid, "the spec has no seed, and training needs one");
  Fields fields(spec.parameters, "parameters");
  TrainConfig config;
  config.model = fields.required_child("model");
  if (const Value* align = fields.child("align")) config.align = *align;
  const std::string mel = fields.text("mel", name_of(MelKind::kHifigan));
  const Value& train = fields.required_child("train");
  STRATA_CHECK_OK(fields.finish());
  STRATA_TRY(config.mel, parse_mel_kind(mel));
  config.options.frames_per_second = mel_config(config.mel).frames_per_second();
  STRATA_CHECK_OK(read_train_options(train, *spec.seed, config));
  return config;
}

Result<TrainSettings> read_settings(const StageSpec& spec, const TrainConfig& config,
                                    const CorpusSizes& sizes) {
  TrainSettings settings;
  const int bands = mel_config(config.mel).bands;
  STRATA_TRY(settings.model,
             read_model_config(config.model, "parameters.model", sizes.vocabulary, bands));
  STRATA_TRY(settings.align,
             read_align_config(config.align.is_null() ? nullptr : &config.align, "parameters.align",
                               settings.model.depth, sizes.feature_width));
  if (settings.model.mel != bands) {
    return fail(ErrorCode::kInvalid, "parameters.model.mel is {}, the front end makes {} bands",
                settings.model.mel, bands);
  }
  if (settings.model.vocabulary < sizes.vocabulary) {
    return fail(ErrorCode::kInvalid, "parameters.model.vocab is {}, the corpus has {} characters",
                settings.model.vocabulary, sizes.vocabulary);
  }
  if (settings.align.has_speech() && !sizes.feature_width) {
    return fail(ErrorCode::kInvalid,
                "parameters.align.speech.layer is {}, but the spec names no input \"features\"",
                settings.align.speech.front().layer);
  }
  if (settings.align.has_speech() && settings.align.speech_width != *sizes.feature_width) {
    return fail(ErrorCode::kInvalid, "parameters.align.speech.width is {}, the features have {}",
                settings.align.speech_width, *sizes.feature_width);
  }
  for (const char* name : {"weights", "weights_early", "validation"})
    STRATA_CHECK_OK(spec.output(name).map([](const auto&) {}));
  return settings;
}

}  // namespace strata::trainer
