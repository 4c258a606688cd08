#include "trainer/synthesize.h"

#include <chrono>

#include "base/audio/audio_file.h"
#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/random.h"
#include "base/sha256.h"
#include "base/torch/guard.h"
#include "trainer/audio_output.h"
#include "trainer/data/dataset.h"
#include "trainer/data/item_store.h"
#include "trainer/models/acoustic_model.h"
#include "trainer/progress.h"
#include "trainer/sampling/grid.h"
#include "trainer/sampling/sampler.h"
#include "trainer/vocoder.h"

namespace strata::trainer {
namespace {

constexpr const char* kGeneratedSet = "generated";
constexpr int kWeightsFormat = 1;  // of model.json
using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point then) {
  return std::chrono::duration<double>(SteadyClock::now() - then).count();
}

struct SynthesizeOptions {
  SamplingOptions sampling{};
  bool true_duration = true;
  std::optional<std::int64_t> items{};
  ModelChoice vocoder{};
};

bool is_there(const Value* value) { return value != nullptr && !value->is_null(); }

Result<SynthesizeOptions> read_options(const Value& parameters) {
  Fields fields(parameters, "parameters");
  Fields sampling(fields.required_child("sampling"), "parameters.sampling");
  Fields vocoder(fields.required_child("vocoder"), "parameters.vocoder");
  STRATA_CHECK_OK(fields.finish());
  SynthesizeOptions options;
  const bool euler = sampling.choice("solver", {"euler", "midpoint"}) == "euler";
  options.sampling.solver = euler ? Solver::kEuler : Solver::kMidpoint;
  options.sampling.steps = sampling.integer("steps");
  options.sampling.cfg = sampling.number("cfg");
  options.sampling.sway.reset();
  if (is_there(sampling.child("sway"))) options.sampling.sway = sampling.number("sway");
  options.true_duration = sampling.choice("duration", {"true", "rule"}) == "true";
  if (is_there(sampling.child("items"))) options.items = sampling.integer("items");
  const double sway = options.sampling.sway.value_or(0);
  sampling.require(options.sampling.steps >= 1 && options.sampling.steps <= kStepsMax, "steps",
                   fmt::format("expected 1 to {}", kStepsMax));
  sampling.require(sway >= kSwayMin && sway <= kSwayMax, "sway",
                   fmt::format("expected {} to {}", kSwayMin, kSwayMax));
  sampling.require(options.sampling.cfg >= 0 && options.sampling.cfg <= kGuidanceMax, "cfg",
                   fmt::format("expected 0 to {}", kGuidanceMax));
  sampling.require(options.items.value_or(1) > 0, "items",
                   "expected a positive count, or null for all");
  options.vocoder = read_model_choice(vocoder);
  STRATA_CHECK_OK(sampling.finish());
  STRATA_CHECK_OK(vocoder.finish());
  return options;
}

// A trained model as `train` wrote it: model.safetensors and model.json.
struct TrainedModel {
  std::shared_ptr<Backbone> backbone{};
  Vocabulary vocabulary;
  MelKind mel = MelKind::kHifigan;
  Normalisation normalise{};
};

Result<TrainedModel> load_model(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "model.json";
  STRATA_TRY(const std::string text, read_file(path));
  auto about = parse_json(text);
  if (!about) return tl::unexpected(about.error().while_doing(path.string()));
  const auto need = [&](std::string_view key) -> Result<const Value*> {
    const Value* value = about->find(key);
    if (value == nullptr)
      return fail(ErrorCode::kInvalid, "{}: it has no \"{}\"", path.string(), key);
    return value;
  };
  STRATA_TRY(const Value* format, need("format"));
  if (*format != Value(kWeightsFormat)) {
    return fail(ErrorCode::kUnsupported, "{}: this program reads format {}", path.string(),
                kWeightsFormat);
  }
  STRATA_TRY(const Value* model, need("model"));
  STRATA_TRY(const Value* vocabulary, need("vocabulary"));
  STRATA_TRY(const Value* mel_value, need("mel"));
  if (vocabulary->if_string() == nullptr)
    return fail(ErrorCode::kInvalid, "{}: vocabulary: expected a text", path.string());
  STRATA_TRY(Vocabulary letters, Vocabulary::parse(*vocabulary->if_string()));
  Fields mel(*mel_value, path.string() + ": mel");
  const std::string kind = mel.text("kind");
  const Normalisation normalise{.mean = mel.number("mean"), .deviation = mel.number("deviation")};
  mel.require(normalise.deviation > 0, "deviation", "expected a positive number");
  STRATA_CHECK_OK(mel.finish());
  TrainedModel trained{.vocabulary = std::move(letters), .normalise = normalise};
  STRATA_TRY(trained.mel, parse_mel_kind(kind));
  STRATA_TRY(const ModelConfig config, read_model_config(*model, path.string() + ": model"));
  if (config.mel != mel_config(trained.mel).bands ||
      config.vocabulary < static_cast<std::int64_t>(trained.vocabulary.size())) {
    return fail(ErrorCode::kInvalid, "{}: model, mel and vocabulary do not fit together",
                path.string());
  }
  STRATA_TRY(const NamedTensors weights, read_tensors(folder / "model.safetensors"));
  STRATA_TRY(trained.backbone, from_torch("making the model of " + path.string(),
                                          [&] { return make_backbone(config); }));
  STRATA_CHECK_OK(load_weights(*trained.backbone, weights));
  return trained;
}

class Speaker {
 public:
  Speaker(const Corpus& corpus, TrainedModel model, Vocoder vocoder,
          const SynthesizeOptions& options, std::uint64_t seed)
      : corpus_(corpus),
        model_(std::move(model)),
        vocoder_(std::move(vocoder)),
        front_(vocoder_.mel()),
        options_(options),
        seed_(seed) {}

  // The new speech only, without the prompt.
  Result<std::vector<float>> speak(const Item& item) {
    const Item& prompt = *corpus_.find(corpus_.prompts.at(item.id));
    STRATA_TRY(at::Tensor heard, read_mel(corpus_.audio_path(prompt), front_));
    const std::int64_t prompt_frames = heard.size(0);
    // As F5-TTS joins them: a space after the prompt's text, which counts in the ratio of the
    // duration rule too.
    const std::string prompt_text = prompt.text + " ";
    const std::vector<std::int64_t> tokens = model_.vocabulary.encode(prompt_text + item.text);
    STRATA_TRY(const std::int64_t wanted, wanted_frames(item, prompt_frames, prompt_text));
    const std::int64_t frames = bounded_duration(wanted, prompt_frames, std::ssize(tokens));
    if (frames <= prompt_frames) {
      return fail(ErrorCode::kTooLarge, "{}: prompt and speech need more than {} frames", item.id,
                  kDurationMax);
    }
    auto mel = from_torch("sampling " + item.id, [&] {
      const Normalisation& by = model_.normalise;
      SampleInput input{.prompt_frames = {prompt_frames}, .durations = {frames}};
      input.condition = at::zeros({1, frames, heard.size(1)}, at::kFloat);  // (1, N, mel)
      input.condition[0].slice(0, 0, prompt_frames).copy_((heard - by.mean) / by.deviation);
      input.text = at::tensor(tokens, at::kLong).unsqueeze(0);  // (1, T)
      input.noise =
          seeded_noise(derive_seed(seed_, "noise/" + item.id), frames, heard.size(1)).unsqueeze(0);
      const at::Tensor sampled = sample(*model_.backbone, input, options_.sampling);
      return at::Tensor(sampled[0].slice(0, prompt_frames) * by.deviation +
                        by.mean);  // (frames, mel)
    });
    if (!mel) return tl::unexpected(mel.error());
    auto samples = vocoder_.speak(*mel);
    if (!samples) return tl::unexpected(samples.error().while_doing("vocoding " + item.id));
    return samples;
  }

  [[nodiscard]] int rate() const { return vocoder_.mel().rate; }

 private:
  // Prompt included.
  Result<std::int64_t> wanted_frames(const Item& item, std::int64_t prompt_frames,
                                     const std::string& prompt_text) {
    if (!options_.true_duration) return estimated_duration(prompt_frames, prompt_text, item.text);
    STRATA_TRY(const at::Tensor real, read_mel(corpus_.audio_path(item), front_));
    return prompt_frames + real.size(0);
  }

  const Corpus& corpus_;
  TrainedModel model_;
  Vocoder vocoder_;
  MelFrontEnd front_;
  const SynthesizeOptions& options_;
  std::uint64_t seed_;
};

// What decides the sound of an item: an attempt takes over another's items only where all of it is
// equal.
Result<Value> settings_of(const StageSpec& spec, const std::filesystem::path& corpus,
                          const std::filesystem::path& weights) {
  STRATA_TRY(const std::string model, sha256_file(weights / "model.safetensors"));
  STRATA_TRY(const std::string about, sha256_file(weights / "model.json"));
  STRATA_TRY(const std::string manifest, sha256_file(corpus / "manifest.jsonl"));
  STRATA_TRY(const std::string pairs, sha256_file(corpus / "pairs.jsonl"));
  return Value(Object{{"parameters", spec.parameters},
                      {"seed", spec.seed.value_or(0)},
                      {"weights", model},
                      {"model", about},
                      {"manifest", manifest},
                      {"pairs", pairs}});
}

Status publish(const Corpus& corpus, const std::vector<const Item*>& items, const ItemStore& store,
               const std::filesystem::path& output) {
  STRATA_CHECK_OK(make_folder(output / "wavs"));
  std::vector<AudioRow> rows;
  for (const Item* item : items) {
    AudioRow row{.id = item->id,
                 .set = kGeneratedSet,
                 .audio = "wavs/" + item->id + ".wav",
                 .text = item->text,
                 .speaker = item->speaker};
    STRATA_CHECK_OK(copy_audio(store.path(item->id + ".wav"), output / row.audio));
    STRATA_TRY(const Audio audio, read_audio(output / row.audio));
    row.seconds = audio.seconds();
    STRATA_TRY(row.prompt, write_prompt(corpus, *item, output));
    rows.push_back(std::move(row));
  }
  return write_audio_list(rows, output);
}

// All items that the store lacks. False: asked to stop, after a checkpoint.
Result<bool> speak_all(const std::vector<const Item*>& items, Speaker& speaker, ItemStore& store,
                       Progress& progress) {
  const std::int64_t total = std::ssize(items);
  std::int64_t step = 0;
  auto saved = SteadyClock::now();
  for (const Item* item : items) {
    Metrics metrics;
    const std::string file = item->id + ".wav";
    const bool fresh = !store.has(file);
    if (fresh) {
      const auto began = SteadyClock::now();
      STRATA_TRY(const std::vector<float> samples, speaker.speak(*item));
      STRATA_CHECK_OK(write_wav(store.path(file), samples, speaker.rate()));
      metrics.emplace("seconds_per_item", seconds_since(began));
    }
    STRATA_CHECK_OK(progress.report(++step, total, metrics));
    // Only after work of its own: so every attempt, however often it is stopped, brings the task
    // forward.
    const bool due = stop_requested() || seconds_since(saved) > kItemCheckpointSeconds;
    if (fresh && due && step < total) {
      STRATA_CHECK_OK(store.checkpoint(step, progress));
      saved = SteadyClock::now();
      if (stop_requested()) return false;
    }
  }
  return true;
}

}  // namespace

Result<int> run_synthesize(const StageSpec& spec) {
  STRATA_TRY(const SynthesizeOptions options, read_options(spec.parameters));
  STRATA_TRY(const auto corpus_folder, spec.input("corpus"));
  STRATA_TRY(const auto weights, spec.input("weights"));
  STRATA_TRY(const auto output, spec.output("audio"));
  STRATA_TRY(const Corpus corpus, read_corpus(corpus_folder));
  STRATA_TRY(const auto items, heldout_items(corpus, options.items));
  STRATA_TRY(TrainedModel model, load_model(weights));
  STRATA_TRY(Vocoder vocoder, Vocoder::load(spec.models, options.vocoder));
  if (vocoder.mel().kind != model.mel) {
    return fail(
        ErrorCode::kInvalid,
        "the model was trained on the mel \"{}\", the vocoder {} speaks \"{}\": choose another one",
        name_of(model.mel), options.vocoder.name, name_of(vocoder.mel().kind));
  }
  STRATA_TRY(const Value settings, settings_of(spec, corpus_folder, weights));
  STRATA_TRY(ItemStore store, ItemStore::open("partial", spec, settings));
  STRATA_TRY(Progress progress, Progress::open(std::filesystem::current_path()));
  Speaker speaker(corpus, std::move(model), std::move(vocoder), options, spec.seed.value_or(0));
  STRATA_TRY(const bool finished, speak_all(items, speaker, store, progress));
  if (!finished) return exit_code::kStopped;
  STRATA_CHECK_OK(publish(corpus, items, store, output));
  store.discard();
  log_info("synthesize", "{} utterances", items.size());
  return exit_code::kSucceeded;
}

}  // namespace strata::trainer
