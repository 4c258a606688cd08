#include "trainer/feasibility.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include "base/audio/resample.h"
#include "base/files.h"
#include "base/json.h"
#include "base/utf8.h"
#include "trainer/data/features.h"
#include "trainer/data/manifest.h"
#include "trainer/data/tokenizer.h"

namespace strata::trainer {
namespace {

constexpr std::size_t kUnknownShownMax = 8;  // different tokens, in messages
// The batches of a run are looked at one by one while that is quick; else the costliest is taken
// to be one of the longest utterances.
constexpr std::int64_t kUtterancesLookedMax = 20'000'000;
constexpr double kSecondsPerHour = 3600;
constexpr std::int64_t kHeldoutMin = 2;
constexpr double kFloatBytes = 4;

// ---- what is known of an item without its sound

struct Facts {
  const Item* item = nullptr;
  std::int64_t samples = 0;  // at the front end's rate
  std::int64_t frames = 0;   // of its mel
  std::int64_t tokens = 0;
  std::int64_t repeats = 0;  // tokens that equal the one before
  std::vector<std::string> unknown{};
  std::int64_t teacher_frames = 0;
  std::int64_t feature_bytes = 0;  // as they are stored

  // The least steps in which CTC can say it: between two equal tokens there is a blank.
  [[nodiscard]] std::int64_t steps_needed() const { return tokens + repeats; }
  [[nodiscard]] std::int64_t steps() const { return (frames + 1) / 2; }  // of the text head
};

// Ids of characters, remembered: a corpus has few different ones and many of each.
class TextReader {
 public:
  explicit TextReader(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
    ids_.fill(kNotAsked);
  }

  void read(const Item& item, Facts& facts) {
    if (!item.tokens.empty()) return read_tokens(item, facts);
    if (vocabulary_.tokenizer() == Tokenizer::kByte)
      return count(token_ids(vocabulary_, item), facts);
    std::vector<std::int64_t> ids;
    for (const char32_t c : decode_utf8_lossy(item.text)) {
      const std::int64_t id = id_of(c);
      if (id == kUnknown) facts.unknown.push_back(encode_utf8(std::u32string(1, c)));
      ids.push_back(std::max<std::int64_t>(id, 0));  // unknown ones have the id 0
    }
    count(ids, facts);
  }

 private:
  static constexpr std::int64_t kUnknown = -1, kNotAsked = -2;
  static constexpr std::size_t kRemembered = 1 << 16;

  static void count(const std::vector<std::int64_t>& ids, Facts& facts) {
    facts.tokens = std::ssize(ids);
    for (std::size_t i = 1; i < ids.size(); ++i) facts.repeats += ids[i] == ids[i - 1] ? 1 : 0;
  }

  void read_tokens(const Item& item, Facts& facts) {
    count(token_ids(vocabulary_, item), facts);
    for (const std::string& token : item.tokens) {
      if (!vocabulary_.knows(token)) facts.unknown.push_back(token);
    }
  }

  std::int64_t ask(char32_t c) const {
    const std::string token = encode_utf8(std::u32string(1, c));
    return vocabulary_.knows(token) ? vocabulary_.encode(token).front() : kUnknown;
  }

  std::int64_t id_of(char32_t c) {
    if (c >= kRemembered) return ask(c);
    std::int64_t& id = ids_[c];
    if (id == kNotAsked) id = ask(c);
    return id;
  }

  const Vocabulary& vocabulary_;
  std::array<std::int64_t, kRemembered> ids_{};
};

// ---- counting

struct Tally {
  std::int64_t count = 0;
  std::vector<FindingExample> examples{};

  template <class Detail>
  void add(const std::string& id, Detail detail) {
    ++count;
    if (examples.size() < kExamplesMax) examples.push_back({id, detail()});
  }
};

// Everything that a check has read.
struct Read {
  const TrainConfig& config;
  const FeasibilityOptions& options;
  TrainSettings settings{};
  Corpus corpus{};
  std::optional<FeatureFolder> features{};
  std::optional<double> teacher_rate{};  // frames a second
  std::vector<Facts> train{}, heldout{};
  std::vector<const Item*> rejected{};  // training items, by `extract`: they are in neither

  [[nodiscard]] std::int64_t items() const { return std::ssize(train) + std::ssize(heldout); }
  template <class Look>
  void each(Look look) const {
    for (const Facts& facts : train) look(facts);
    for (const Facts& facts : heldout) look(facts);
  }
};

class Findings {
 public:
  // Nothing where nothing was counted.
  void add(std::string kind, Level level, std::string what, Tally tally, std::int64_t of,
           std::string advice) {
    if (tally.count == 0) return;
    found_.push_back({.kind = std::move(kind),
                      .level = level,
                      .what = std::move(what),
                      .count = tally.count,
                      .of = of,
                      .examples = std::move(tally.examples),
                      .advice = std::move(advice)});
  }
  // Errors first, otherwise in the order in which they were added.
  std::vector<Finding> take() {
    std::ranges::stable_sort(found_, {}, [](const Finding& f) { return f.level != Level::kError; });
    return std::move(found_);
  }

 private:
  std::vector<Finding> found_{};
};

std::string nothing_more() { return {}; }

// ---- one kind after the other

void check_recordings(const Read& read, Findings& findings) {
  Tally texts, shorts, missing, unusual;
  const MelConfig front = mel_config(read.config.mel);
  read.each([&](const Facts& facts) {
    const Item& item = *facts.item;
    if (facts.tokens == 0) texts.add(item.id, nothing_more);
    if (facts.samples <= front.pad || facts.frames < 1)
      shorts.add(item.id, [&] { return fmt::format("{:.3f} s", item.seconds()); });
    if (item.seconds() < kShortestUsual || item.seconds() > kLongestUsual)
      unusual.add(item.id, [&] { return fmt::format("{:.2f} s", item.seconds()); });
    std::error_code error;
    if (read.options.look_at_files &&
        !std::filesystem::is_regular_file(read.corpus.audio_path(item), error))
      missing.add(item.id, [&] { return item.audio; });
  });
  findings.add("no_text", Level::kError, "items have no text", std::move(texts), read.items(),
               "give them one, or take them out of the corpus");
  findings.add("too_short", Level::kError,
               fmt::format("recordings are too short for the mel {}", name_of(front.kind)),
               std::move(shorts), read.items(),
               "take them out: corpus.seconds of `prepare` says what is used");
  findings.add("missing_recording", Level::kError, "recordings are not there", std::move(missing),
               read.items(), "make the corpus again, or take them out of its manifest");
  findings.add("unusual_length", Level::kWarning,
               fmt::format("recordings are shorter than {} s or longer than {} s, which the "
                           "reference leaves out",
                           kShortestUsual, kLongestUsual),
               std::move(unusual), read.items(), "corpus.seconds of `prepare` says what is used");
}

void check_features(const Read& read, Findings& findings) {
  if (!read.features) return;
  Tally rejected, missing, others, damaged, off;
  for (const Item* item : read.rejected)
    rejected.add(item->id, [&] { return *read.features->rejected(item->id); });
  read.each([&](const Facts& facts) {
    const Item& item = *facts.item;
    if (read.features->rejected(item.id) != nullptr) return;  // held out: validated without
    const FeatureEntry* listed = read.features->listed(item.id);
    if (listed == nullptr) return missing.add(item.id, nothing_more);
    if (listed->sha256 != item.sha256) return others.add(item.id, nothing_more);
    if (facts.feature_bytes == 0) return damaged.add(item.id, [&] { return listed->file; });
    if (!read.teacher_rate) return;
    const double expected = item.seconds() * *read.teacher_rate;
    const double difference = std::abs(static_cast<double>(facts.teacher_frames) - expected);
    if (difference <= kTeacherFramesOff + kTeacherFramesShare * expected) return;
    off.add(item.id, [&] {
      return fmt::format("{} frames for {:.2f} s", facts.teacher_frames, item.seconds());
    });
  });
  const std::string advice = "run `extract` on this corpus";
  findings.add("missing_features", Level::kError, "items have no features", std::move(missing),
               read.items(), advice);
  findings.add("other_recording", Level::kError, "items have the features of another recording",
               std::move(others), read.items(), advice);
  findings.add("damaged_features", Level::kError,
               "items have features that are not in their shard as the index says",
               std::move(damaged), read.items(), advice);
  findings.add(kRejectedFeatures, Level::kWarning,
               "training items were rejected by `extract` and are left out", std::move(rejected),
               std::ssize(read.train) + std::ssize(read.rejected),
               "mend their recordings if they are wanted");
  findings.add(
      "teacher_frames", Level::kWarning,
      fmt::format("items have other numbers of teacher frames than {:.6g} a second "
                  "(more than {:g} and {:g} % off)",
                  read.teacher_rate.value_or(0), kTeacherFramesOff, 100 * kTeacherFramesShare),
      std::move(off), read.items(),
      "the speech head would compare what was heard at different times: look at the "
      "recordings' rates and at the teacher's settings");
}

std::string shown(const std::vector<std::string>& tokens) {
  const std::set<std::string> different(tokens.begin(), tokens.end());
  std::vector<std::string> some;
  for (const std::string& token : different) {
    if (some.size() == kUnknownShownMax) break;
    some.push_back("'" + token + "'");
  }
  return fmt::format("{}{}", fmt::join(some, " "), different.size() > some.size() ? " ..." : "");
}

void check_unknown(const std::vector<Facts>& items, const char* which, Findings& findings) {
  Tally tally;
  std::vector<std::string> all;
  for (const Facts& facts : items) {
    if (facts.unknown.empty()) continue;
    tally.add(facts.item->id, [&] { return shown(facts.unknown); });
    all.insert(all.end(), facts.unknown.begin(), facts.unknown.end());
  }
  findings.add("unknown_tokens", Level::kWarning,
               fmt::format("{} items hold what the vocabulary lacks: {}, {} times in all", which,
                           shown(all), all.size()),
               std::move(tally), std::ssize(items),
               "it is read as token 0, the space: mend the texts, or give `prepare` a vocabulary "
               "that has it");
}

void check_texts(const Read& read, Findings& findings) {
  check_unknown(read.train, "training", findings);
  check_unknown(read.heldout, "held-out", findings);
  Tally cut;
  read.each([&](const Facts& facts) {
    if (facts.tokens <= facts.frames) return;
    cut.add(facts.item->id,
            [&] { return fmt::format("{} tokens, {} frames", facts.tokens, facts.frames); });
  });
  findings.add(
      "text_longer_than_mel", Level::kWarning,
      "texts have more tokens than their mels have frames: the model does not see the rest",
      std::move(cut), read.items(), "do text and recording belong together?");
  if (!read.settings.align.has_text()) return;
  Tally infeasible;
  for (const Facts& facts : read.train) {
    if (facts.steps_needed() <= facts.steps()) continue;
    infeasible.add(facts.item->id, [&] {
      return fmt::format("needs {} steps, has {}", facts.steps_needed(), facts.steps());
    });
  }
  const bool all = infeasible.count == std::ssize(read.train);
  findings.add("ctc_infeasible", all ? Level::kError : Level::kWarning,
               "training texts cannot be said by the text head in its steps, one for two frames: "
               "their text loss is 0",
               std::move(infeasible), std::ssize(read.train),
               all ? "no item teaches the text head: set parameters.align.text.layer to 0, or use "
                     "longer recordings"
                   : "they count in the mean as if they were learnt; do text and recording belong "
                     "together?");
}

// What order_of needs of the utterances.
std::vector<Utterance> lengths_only(const std::vector<Facts>& items) {
  std::vector<Utterance> utterances;
  utterances.reserve(items.size());
  for (const Facts& facts : items) utterances.push_back({.seconds = facts.item->seconds()});
  return utterances;
}

// The costliest forward of a batch on one rank.
ForwardShape forward_of(const Read& read, const std::vector<std::size_t>& batch) {
  const auto ranks = static_cast<std::int64_t>(read.options.ranks);
  ForwardShape shape{.utterances = (std::ssize(batch) + ranks - 1) / ranks};
  if (const std::int64_t micro = read.config.options.micro_batch; micro > 0)
    shape.utterances = std::min(shape.utterances, micro);
  for (const std::size_t i : batch) {
    const Facts& facts = read.train[i];
    shape.frames = std::max(shape.frames, facts.frames);
    if (read.settings.align.has_speech())
      shape.teacher_frames = std::max(shape.teacher_frames, facts.teacher_frames);
  }
  return shape;
}

PassOptions pass_of(const TrainOptions& options) {
  return {.recompute = options.recompute, .bfloat16 = options.precision == Precision::kBfloat16};
}

class BatchSurvey {
 public:
  explicit BatchSurvey(const Read& read) : read_(read) {}

  void look(const std::vector<std::size_t>& batch) {
    const ForwardShape shape = forward_of(read_, batch);
    const double cost = kept_for_backward(read_.settings.model, read_.settings.align, shape,
                                          read_.config.options.recompute);
    ++looked;
    if (cost > most_) facts.costliest = shape;
    most_ = std::max(most_, cost);
    facts.fewest = facts.most == 0 ? std::ssize(batch) : std::min(facts.fewest, std::ssize(batch));
    facts.most = std::max(facts.most, std::ssize(batch));
    if (std::ssize(batch) < read_.options.ranks) {
      too_small.add(read_.train[batch.front()].item->id,
                    [&] { return fmt::format("a batch of {}", batch.size()); });
    }
  }

  BatchFacts facts{};
  Tally too_small{};
  std::int64_t looked = 0;  // batches

 private:
  const Read& read_;
  double most_ = 0;
};

// Batches of a fixed number of utterances: each that the run will see.
void survey_fixed(const Read& read, const std::vector<Utterance>& utterances, BatchSurvey& survey) {
  const TrainOptions& options = read.config.options;
  survey.facts.an_epoch = std::ssize(read.train) / options.batch;
  if (options.updates <= kUtterancesLookedMax / options.batch) {
    BatchOrder order = order_of(options, utterances);
    for (std::int64_t update = 0; update < options.updates; ++update)
      survey.look(order.batch(update));
    return;
  }
  std::vector<std::size_t> longest(read.train.size());
  std::iota(longest.begin(), longest.end(), std::size_t{0});
  std::ranges::stable_sort(longest, std::greater<>(),
                           [&](std::size_t i) { return read.train[i].frames; });
  longest.resize(static_cast<std::size_t>(options.batch));
  survey.look(longest);
}

// Batches of like length. False: there are none.
bool survey_like_length(const Read& read, const std::vector<Utterance>& utterances,
                        BatchSurvey& survey, Findings& findings) {
  const TrainOptions& options = read.config.options;
  const std::vector<double> lengths = lengths_of(options, utterances);
  const auto budget = static_cast<double>(options.batch_frames);
  Tally longer;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] <= budget) continue;
    longer.add(read.train[i].item->id, [&] { return fmt::format("{:.0f} frames", lengths[i]); });
  }
  const bool all = longer.count == std::ssize(read.train);
  findings.add("longer_than_batch", all ? Level::kError : Level::kWarning,
               fmt::format("training items are longer than parameters.train.batch_frames {} and "
                           "are left out",
                           options.batch_frames),
               std::move(longer), std::ssize(read.train),
               "raise it, or shorten corpus.seconds of `prepare`");
  if (all) return false;
  const auto batches = batches_of_like_length(
      lengths, {.frames = budget, .utterances = static_cast<std::size_t>(options.batch)});
  survey.facts.an_epoch = std::ssize(batches);
  for (const auto& batch : batches) survey.look(batch);
  return true;
}

std::optional<BatchFacts> check_batches(const Read& read, Findings& findings) {
  const TrainOptions& options = read.config.options;
  const bool fixed = options.batch_frames == 0;
  const std::int64_t least = fixed ? options.batch : 1;
  if (std::ssize(read.train) < least) {
    findings.add("too_few_items", Level::kError,
                 fmt::format("the corpus has {} training items, and {} are needed",
                             read.train.size(), least),
                 Tally{.count = 1}, 1,
                 fixed ? "lower parameters.train.batch" : "prepare a corpus to train on");
    return {};
  }
  const std::vector<Utterance> utterances = lengths_only(read.train);
  BatchSurvey survey(read);
  if (fixed) {
    survey_fixed(read, utterances, survey);
  } else if (!survey_like_length(read, utterances, survey, findings)) {
    return {};
  }
  findings.add(
      "batch_without_rank", Level::kError,
      fmt::format("batches have fewer utterances than there are ranks, {}", read.options.ranks),
      std::move(survey.too_small), survey.looked,
      fmt::format("raise parameters.train.{}, or take fewer ranks",
                  fixed ? "batch" : "batch_frames"));
  return survey.facts;
}

void check_heldout(const Read& read, Findings& findings) {
  const std::int64_t count = std::ssize(read.heldout);
  Tally corpus{.count = count < kHeldoutMin ? 1 : 0};
  findings.add(
      "too_few_heldout", Level::kError,
      fmt::format("the corpus has {} held-out items, and {} are needed", count, kHeldoutMin),
      std::move(corpus), 1, "hold some out: corpus.heldout of `prepare`");
}

struct CorpusBytes {
  double mels = 0;
  double features = 0;  // as they are stored
  [[nodiscard]] double all() const { return mels + features; }
};

CorpusBytes corpus_bytes(const Read& read) {
  const std::int64_t bands = mel_config(read.config.mel).bands;
  CorpusBytes bytes;
  read.each([&](const Facts& facts) {
    bytes.mels += kFloatBytes * static_cast<double>(bands * facts.frames);
    bytes.features += static_cast<double>(facts.feature_bytes);
  });
  return bytes;
}

// Of mels and features that a rank holds (dataset.h): where not all of them fit, mels alone.
double held_bytes(const CorpusBytes& corpus, double room) {
  return corpus.all() <= room ? corpus.all() : std::min(corpus.mels, room);
}

// Of the batches that are ready or in the making (batch_feed.h) and the one that is taken, each as
// large as the largest; features are float32 in them.
double batches_bytes(const Read& read, const ForwardShape& shape) {
  const LoadingOptions& loading = read.config.loading;
  const std::int64_t width = read.features ? read.features->width() : 0;
  const std::int64_t values = shape.utterances * (shape.frames * mel_config(read.config.mel).bands +
                                                  shape.teacher_frames * width);
  const int batches = std::max(loading.batches, loading.threads) + 1;
  return batches * kFloatBytes * static_cast<double>(values);
}

MemoryEstimate check_memory(const Read& read, const ForwardShape& shape, const CorpusBytes& corpus,
                            Findings& findings) {
  const auto room =
      static_cast<double>(read.config.loading.memory.value_or(read.options.corpus_room));
  const MemoryEstimate memory =
      estimate_memory(read.settings.model, read.settings.align, shape, pass_of(read.config.options),
                      {.corpus = held_bytes(corpus, room), .batches = batches_bytes(read, shape)});
  const MachineMemory& machine = read.options.machine;
  const auto here = static_cast<double>(read.options.ranks_here);
  const std::string advice =
      "take train.micro_batch, train.recompute, train.loading.memory_gib, smaller batches, or "
      "fewer ranks on this machine";
  Tally ranks{.count = read.options.ranks_here};
  if (machine.total && here * memory.fixed() > static_cast<double>(*machine.total)) {
    findings.add(
        kMemory, Level::kError,
        fmt::format("ranks need {} each for weights, gradients and averages alone, and "
                    "this machine has {} in all",
                    memory_text(memory.fixed()), memory_text(static_cast<double>(*machine.total))),
        std::move(ranks), read.options.ranks,
        "take a smaller model, fewer ranks on this machine, or another one");
  } else if (machine.available && here * memory.peak() > static_cast<double>(*machine.available)) {
    findings.add(kMemory, Level::kWarning,
                 fmt::format("ranks may need about {} each (an estimate), and this machine has {} "
                             "left for all of them",
                             memory_text(memory.peak()),
                             memory_text(static_cast<double>(*machine.available))),
                 std::move(ranks), read.options.ranks, advice);
  }
  return memory;
}

// ---- reading

Facts facts_of(const Read& read, const Item& item, TextReader& texts) {
  const MelConfig front = mel_config(read.config.mel);
  Facts facts{.item = &item};
  facts.samples = resampled_length(item.samples, item.rate, front.rate);
  facts.frames = facts.samples <= front.pad ? 0 : front.frames(facts.samples);
  texts.read(item, facts);
  if (!read.features) return facts;
  if (const auto stored = read.features->find(item.id, item.sha256)) {
    facts.teacher_frames = stored->frames();
    facts.feature_bytes = stored->entry->bytes;
  }
  return facts;
}

void sort_items(Read& read, TextReader& texts) {
  for (const Item& item : read.corpus.items) {
    if (item.split != Split::kTrain && item.split != Split::kHeldout) continue;
    const bool trained = item.split == Split::kTrain;
    if (trained && read.features && read.features->rejected(item.id) != nullptr) {
      read.rejected.push_back(&item);
    } else {
      (trained ? read.train : read.heldout).push_back(facts_of(read, item, texts));
    }
  }
}

// As `extract` wrote it; nothing where another program made the folder.
std::optional<double> rate_of(const std::filesystem::path& features) {
  const auto report = read_file(features / "report.json").and_then([](const std::string& text) {
    return parse_json(text);
  });
  const Value* rate = report ? report->find("frames_per_second") : nullptr;
  return rate != nullptr ? rate->to_double() : std::nullopt;
}

double hours_of(const std::vector<Facts>& items) {
  double seconds = 0;
  for (const Facts& facts : items) seconds += facts.item->seconds();
  return seconds / kSecondsPerHour;
}

}  // namespace

std::int64_t Feasibility::errors() const {
  return std::ranges::count(findings, Level::kError, &Finding::level);
}

Result<Feasibility> check_feasibility(const StageSpec& spec, const TrainConfig& config,
                                      const FeasibilityOptions& options) {
  Read read{.config = config, .options = options};
  STRATA_TRY(const std::filesystem::path folder, spec.input("corpus"));
  STRATA_TRY(read.corpus, read_corpus(folder));
  STRATA_TRY(const Vocabulary vocabulary, Vocabulary::load(folder / "vocab.txt"));
  if (const auto given = spec.inputs.find("features"); given != spec.inputs.end()) {
    STRATA_TRY(read.features, FeatureFolder::open(given->second));
    read.teacher_rate = rate_of(given->second);
  }
  CorpusSizes sizes{.vocabulary = static_cast<std::int64_t>(vocabulary.size())};
  if (read.features) sizes.feature_width = read.features->width();
  STRATA_TRY(read.settings, read_settings(spec, config, sizes));
  TextReader texts(vocabulary);
  sort_items(read, texts);

  Findings findings;
  check_recordings(read, findings);
  check_features(read, findings);
  check_texts(read, findings);
  check_heldout(read, findings);
  const CorpusBytes bytes = corpus_bytes(read);
  Feasibility found{.corpus = folder,
                    .train = std::ssize(read.train),
                    .heldout = std::ssize(read.heldout),
                    .train_hours = hours_of(read.train),
                    .heldout_hours = hours_of(read.heldout),
                    .vocabulary = sizes.vocabulary,
                    .ranks = options.ranks,
                    .ranks_here = options.ranks_here,
                    .machine = options.machine,
                    .corpus_bytes = bytes.all()};
  found.batches = check_batches(read, findings);
  if (found.batches) {
    found.memory = check_memory(read, found.batches->costliest, bytes, findings);
  }
  found.findings = findings.take();
  return found;
}

}  // namespace strata::trainer
