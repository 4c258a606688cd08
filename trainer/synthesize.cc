#include "trainer/synthesize.h"

#include <algorithm>
#include <chrono>

#include "base/audio/audio_file.h"
#include "base/audio/resample.h"
#include "base/fields.h"
#include "base/files.h"
#include "base/log.h"
#include "base/random.h"
#include "base/sha256.h"
#include "base/torch/guard.h"
#include "trainer/audio_output.h"
#include "trainer/data/dataset.h"
#include "trainer/data/item_store.h"
#include "trainer/data/tokenizer.h"
#include "trainer/progress.h"
#include "trainer/sampling/grid.h"
#include "trainer/sampling/sampler.h"
#include "trainer/sampling/speech_plan.h"
#include "trainer/trained_model.h"
#include "trainer/vocoder.h"

namespace strata::trainer {
namespace {

constexpr const char* kGeneratedSet = "generated";
using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point then) {
  return std::chrono::duration<double>(SteadyClock::now() - then).count();
}

struct SynthesizeOptions {
  SamplingOptions sampling{};
  SpeechRules speech{};
  std::optional<std::int64_t> items{};
  VocoderChoice vocoder{};
};

bool is_there(const Value* value) { return value != nullptr && !value->is_null(); }

double real(Fields& fields, std::string_view key, double least, double most, double fallback) {
  const double value = fields.number(key, fallback);
  fields.require(value >= least && value <= most, key,
                 fmt::format("expected {:g} to {:g}", least, most));
  return value;
}

// The names stand for the values of the enumeration, in its order.
template <class E>
E one_of(Fields& fields, std::string_view key, const std::vector<std::string>& names) {
  const std::string name = fields.choice(key, names, names.front());
  return static_cast<E>(std::ranges::find(names, name) - names.begin());
}

SpeechRules read_speech_rules(Fields& sampling) {
  SpeechRules rules;
  rules.length = one_of<Length>(sampling, "duration", {"true", "rule", "seconds"});
  const bool fixed = rules.length == Length::kSeconds;
  const bool seconds = is_there(sampling.child("seconds"));
  sampling.require(fixed == seconds, "seconds",
                   fixed ? "is missing: prompt and speech together" : "needs duration: seconds");
  if (seconds) rules.seconds = real(sampling, "seconds", 0.1, kChunkSecondsMax, 0);
  rules.speed = real(sampling, "speed", kSpeedMin, kSpeedMax, rules.speed);
  rules.join = one_of<Join>(sampling, "join", {"space", "cli", "eval"});
  rules.frames = one_of<FrameCount>(sampling, "frames", {"mel", "hop"});
  rules.prompt_rms = real(sampling, "prompt_rms", 0, kPromptRmsMax, rules.prompt_rms);
  if (is_there(sampling.child("chunk_seconds"))) {
    rules.chunk_seconds = real(sampling, "chunk_seconds", 1, kChunkSecondsMax, 0);
    sampling.require(rules.length != Length::kReal, "chunk_seconds",
                     "needs another duration than that of the real recording");
  }
  rules.cross_fade = real(sampling, "cross_fade", 0, kCrossFadeMax, rules.cross_fade);
  rules.frames_max = sampling.integer("frames_max", rules.frames_max);
  sampling.require(rules.frames_max >= 2 && rules.frames_max <= kUpstreamDurationMax, "frames_max",
                   fmt::format("expected 2 to {}", kUpstreamDurationMax));
  return rules;
}

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
  options.sampling.grid = one_of<StepGrid>(sampling, "grid", {"uniform", "epss"});
  options.speech = read_speech_rules(sampling);
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
  options.vocoder = read_vocoder_choice(vocoder);
  STRATA_CHECK_OK(sampling.finish());
  STRATA_CHECK_OK(vocoder.finish());
  return options;
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
    const SpeechRules& rules = options_.speech;
    const Item& prompt = *corpus_.find(corpus_.prompts.at(item.id));
    if (rules.chunk_seconds && !(prompt.tokens.empty() && item.tokens.empty())) {
      return fail(ErrorCode::kUnsupported,
                  "{}: a text that is a list of tokens cannot be cut into chunks: set "
                  "sampling.chunk_seconds to null",
                  item.id);
    }
    STRATA_TRY(const Heard heard, hear(prompt));
    std::int64_t real_frames = 0;
    if (rules.length == Length::kReal) {
      STRATA_TRY(const Audio real, read_audio(corpus_.audio_path(item)));
      real_frames = frames_of(real);
    }
    std::vector<std::vector<float>> sounds;
    for (const Chunk& chunk :
         plan_speech(rules, {.text = prompt.text, .seconds = heard.seconds, .frames = heard.frames},
                     item.text, real_frames, vocoder_.mel().frames_per_second())) {
      STRATA_TRY(std::vector<float> sound, speak(item, heard, chunk, sounds.size()));
      sounds.push_back(std::move(sound));
    }
    std::vector<float> samples =
        cross_fade(sounds, static_cast<std::int64_t>(rules.cross_fade * rate()));
    for (float& sample : samples) sample /= heard.gain;
    return samples;
  }

  [[nodiscard]] int rate() const { return vocoder_.mel().rate; }

 private:
  struct Heard {              // a prompt
    at::Tensor mel{};         // (frames, mel), normalised
    std::int64_t frames = 0;  // of it, those that count
    double seconds = 0;
    float gain = 1;  // by which it was made louder
  };

  // Loudness is measured and changed at the recording's own rate.
  Result<Heard> hear(const Item& prompt) {
    const std::filesystem::path file = corpus_.audio_path(prompt);
    STRATA_TRY(Audio audio, read_audio(file));
    Heard heard{.seconds = audio.seconds()};
    heard.gain = prompt_gain(audio.samples, options_.speech.prompt_rms);
    for (float& sample : audio.samples) sample *= heard.gain;
    auto mel = mel_of(audio, front_);
    if (!mel) return tl::unexpected(mel.error().while_doing(file.string()));
    heard.frames = std::min(frames_of(audio), mel->size(0));
    const Normalisation& by = model_.description.normalise;
    heard.mel = (mel->slice(0, 0, heard.frames) - by.mean) / by.deviation;
    return heard;
  }

  [[nodiscard]] std::int64_t frames_of(const Audio& audio) const {
    const auto samples = resampled_length(std::ssize(audio.samples), audio.rate, rate());
    return options_.speech.frames == FrameCount::kMel ? front_.config().frames(samples)
                                                      : samples / front_.config().hop;
  }

  Result<std::vector<float>> speak(const Item& item, const Heard& heard, const Chunk& chunk,
                                   std::size_t number) {
    const Item& prompt = *corpus_.find(corpus_.prompts.at(item.id));
    const std::vector<std::int64_t> tokens =
        joined_token_ids(model_.description.vocabulary, prompt, item, chunk.text);
    const std::int64_t frames = bounded_duration(chunk.frames, heard.frames, std::ssize(tokens),
                                                 options_.speech.frames_max);
    if (frames <= heard.frames) {
      return fail(ErrorCode::kTooLarge, "{}: prompt and speech need more than {} frames", item.id,
                  options_.speech.frames_max);
    }
    const std::string noise =
        number == 0 ? "noise/" + item.id : fmt::format("noise/{}/{}", item.id, number);
    auto mel = from_torch("sampling " + item.id, [&] {
      const std::int64_t bands = heard.mel.size(1);
      SampleInput input{.prompt_frames = {heard.frames}, .durations = {frames}};
      input.condition = at::zeros({1, frames, bands}, at::kFloat);  // (1, N, mel)
      input.condition[0].slice(0, 0, heard.frames).copy_(heard.mel);
      input.text = at::tensor(tokens, at::kLong).unsqueeze(0);  // (1, T)
      input.noise =
          seeded_noise(derive_seed(seed_, noise), frames, bands).unsqueeze(0);  // (1, N, mel)
      const at::Tensor sampled = sample(*model_.backbone, input, options_.sampling);
      const Normalisation& by = model_.description.normalise;
      return at::Tensor(sampled[0].slice(0, heard.frames) * by.deviation + by.mean);  // (new, mel)
    });
    if (!mel) return tl::unexpected(mel.error());
    auto samples = vocoder_.speak(*mel);
    if (!samples) return tl::unexpected(samples.error().while_doing("vocoding " + item.id));
    return samples;
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
  STRATA_TRY(TrainedModel model, load_trained_model(weights));
  STRATA_TRY(Vocoder vocoder, Vocoder::load(spec.models, options.vocoder));
  if (vocoder.mel().kind != model.description.mel) {
    return fail(
        ErrorCode::kInvalid,
        "the model was trained on the mel \"{}\", the vocoder {} speaks \"{}\": choose another one",
        name_of(model.description.mel), options.vocoder.name, name_of(vocoder.mel().kind));
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
