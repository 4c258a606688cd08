#include "trainer/data/prepare.h"

#include <algorithm>
#include <set>

#include "base/audio/audio_file.h"
#include "base/audio/resample.h"
#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "trainer/data/asterisk.h"
#include "trainer/data/flite_digits.h"
#include "trainer/data/manifest.h"
#include "trainer/data/selection.h"
#include "trainer/data/vocabulary.h"
#include "trainer/progress.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kHeldoutMax = 1'000'000;

constexpr const char* kScratch = "scratch";  // in the attempt folder

struct PrepareOptions {
  std::string kind{};
  SelectionOptions selection{};
  AsteriskOptions asterisk{};
  FliteDigitsOptions flite{};
  std::filesystem::path list{};
  std::string list_sha256{};  // empty: whatever the list holds
};

struct Listing {
  std::int64_t steps = 0;  // of progress, taken already
  std::vector<Candidate> candidates{};
  std::map<std::string, std::string> packages{};
};

bool all_different(std::vector<std::string> names) {
  std::ranges::sort(names);
  return std::ranges::adjacent_find(names) == names.end();
}

AsteriskOptions read_asterisk(Fields& corpus) {
  AsteriskOptions options{.language = corpus.text("language", "en"),
                          .others = corpus.texts("others", std::vector<std::string>{}),
                          .version = corpus.text("version")};
  const auto same = std::ranges::find(options.others, options.language);
  corpus.require(same == options.others.end(), "others", "other languages than the corpus's own");
  corpus.require(all_different(options.others), "others", "each language once");
  return options;
}

FliteDigitsOptions read_flite_digits(Fields& corpus) {
  FliteDigitsOptions options{.voices = corpus.texts("voices"),
                             .others = corpus.texts("others", std::vector<std::string>{}),
                             .utterances = corpus.integer("utterances"),
                             .version = corpus.text("version")};
  corpus.require(!options.voices.empty(), "voices", "expected at least one voice of flite");
  corpus.require(all_different(options.voices), "voices", "each voice once");
  std::vector<std::string> both = options.voices;
  both.insert(both.end(), options.others.begin(), options.others.end());
  corpus.require(all_different(both), "others", "other voices than `voices`, each once");
  const std::vector<std::int64_t> digits = corpus.integers("digits");
  const bool pair =
      digits.size() == 2 && 1 <= digits[0] && digits[0] <= digits[1] && digits[1] <= kDigitsMax;
  corpus.require(pair, "digits",
                 fmt::format("expected [fewest, most] with 1 <= fewest <= most <= {}", kDigitsMax));
  if (pair) {
    options.digits_min = digits[0];
    options.digits_max = digits[1];
  }
  const std::int64_t voices = std::max<std::int64_t>(1, std::ssize(options.voices));
  corpus.require(
      0 < options.utterances && options.utterances <= kUtterancesMax / voices, "utterances",
      fmt::format("expected a positive count for each voice, {} for all together at most",
                  kUtterancesMax));
  const std::int64_t seed = corpus.integer("text_seed", 1);
  corpus.require(seed >= 0, "text_seed", "expected a whole number from 0");
  options.seed = static_cast<std::uint64_t>(seed);
  return options;
}

void read_seconds(Fields& corpus, SelectionOptions& selection) {
  const Value* seconds = corpus.child("seconds");
  if (seconds == nullptr) return;
  const Array* both = seconds->if_array();
  const bool pair = both != nullptr && both->size() == 2 && (*both)[0].if_number() != nullptr &&
                    (*both)[1].if_number() != nullptr;
  corpus.require(pair, "seconds", "expected [shortest, longest]");
  if (pair) {
    selection.seconds_min = (*both)[0].if_number()->to_double();
    selection.seconds_max = (*both)[1].if_number()->to_double();
  }
  corpus.require(selection.seconds_min > 0 && selection.seconds_min <= selection.seconds_max,
                 "seconds", "expected 0 < shortest <= longest");
}

Result<PrepareOptions> read_options(const Value& parameters) {
  Fields fields(parameters, "parameters");
  Fields corpus(fields.required_child("corpus"), "parameters.corpus");
  STRATA_CHECK_OK(fields.finish());
  PrepareOptions options;
  options.kind = corpus.choice("kind", {"asterisk", "flite-digits", "list"});
  if (options.kind == "asterisk") options.asterisk = read_asterisk(corpus);
  if (options.kind == "flite-digits") options.flite = read_flite_digits(corpus);
  if (options.kind == "list") {
    options.list = corpus.text("file");
    options.list_sha256 = corpus.text("sha256", "");
  }
  SelectionOptions& selection = options.selection;
  read_seconds(corpus, selection);
  selection.heldout = corpus.integer("heldout", selection.heldout);
  corpus.require(selection.heldout >= 0 && selection.heldout <= kHeldoutMax, "heldout",
                 "expected a count");
  selection.references_each = corpus.integer("references_each", selection.references_each);
  corpus.require(selection.references_each >= 0, "references_each", "expected a count");
  options.flite.references_each = selection.references_each;
  const std::int64_t seed = corpus.integer("split_seed", 1);
  corpus.require(seed >= 0, "split_seed", "expected a whole number from 0");
  selection.seed = static_cast<std::uint64_t>(seed);
  if (const Value* limit = corpus.child("limit"); limit != nullptr && !limit->is_null())
    selection.limit = corpus.integer("limit");
  corpus.require(selection.limit.value_or(1) > 0, "limit",
                 "expected a positive count, or null for all");
  STRATA_CHECK_OK(corpus.finish());
  return options;
}

// The id of a list's item that names none: the file's name, made safe.
std::string id_of_file(const std::filesystem::path& audio) {
  std::string id = audio.stem().string();
  std::ranges::replace_if(
      id, [](char c) { return !is_item_id(std::string("a") + c); }, '_');
  return id;
}

Result<Candidate> list_entry(const Value& line, const std::string& where,
                             const std::filesystem::path& folder) {
  Fields fields(line, where);
  const std::filesystem::path audio = fields.text("audio");
  Candidate candidate{.speaker = fields.text("speaker", "speaker"), .source = folder / audio};
  candidate.id = fields.text("id", id_of_file(audio));
  if (fields.child("text") != nullptr) candidate.text = fields.text("text");
  candidate.reference = fields.flag("reference", false);
  fields.require(is_item_id(candidate.id), "id", "expected letters, digits, '.', '_' and '-'");
  STRATA_CHECK_OK(fields.finish());
  return candidate;
}

Result<std::vector<Value>> read_tsv(const std::filesystem::path& path) {
  STRATA_TRY(const std::string text, read_file(path));
  std::vector<Value> lines;
  for (std::size_t at = 0, number = 1; at < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line(text.data() + at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const std::size_t first = line.find('\t');
    const std::size_t second = first == std::string_view::npos ? first : line.find('\t', first + 1);
    if (second == std::string_view::npos || line.find('\t', second + 1) != std::string_view::npos) {
      return fail(ErrorCode::kInvalid,
                  "{}: line {}: expected audio, text and speaker with a tab between", path.string(),
                  number);
    }
    lines.push_back(Object{{"audio", line.substr(0, first)},
                           {"text", line.substr(first + 1, second - first - 1)},
                           {"speaker", line.substr(second + 1)}});
  }
  return lines;
}

// The path of a list decides nothing about its lines; its hash does.
Status check_list(const std::filesystem::path& path, const std::string& expected) {
  if (expected.empty()) return {};
  STRATA_TRY(const std::string found, sha256_file(path));
  if (found == expected) return {};
  return fail(ErrorCode::kInvalid,
              "parameters.corpus.sha256: the list {} has the SHA-256 {}, the sweep expects {}: put "
              "the first into the sweep if the list was meant to change",
              path.string(), found, expected);
}

Result<std::vector<Candidate>> list_file(const std::filesystem::path& path) {
  const bool tsv = path.extension() == ".tsv";
  STRATA_TRY(const std::vector<Value> lines, tsv ? read_tsv(path) : read_json_lines(path));
  if (lines.size() > kListItemsMax)
    return fail(ErrorCode::kTooLarge, "{}: {} items, the limit is {}", path.string(), lines.size(),
                kListItemsMax);
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    STRATA_TRY(Candidate candidate,
               list_entry(lines[i], fmt::format("{}: entry {}", path.string(), i + 1),
                          path.parent_path()));
    std::error_code ignored;
    if (std::filesystem::exists(candidate.source, ignored)) {
      STRATA_TRY(const Audio audio, read_audio(candidate.source));
      candidate.samples = (std::ssize(audio.samples) * kCorpusRate + audio.rate - 1) / audio.rate;
    }
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

// The samples of kept[first], kept[first + 1], …: as many as one call of the decoder takes.
Result<std::vector<std::vector<float>>> load_block(const PrepareOptions& options,
                                                   const std::vector<Chosen>& kept,
                                                   std::size_t first,
                                                   const std::filesystem::path& scratch) {
  const std::size_t count = std::min(kDecodeBatch, kept.size() - first);
  if (options.kind == "asterisk") {
    std::vector<std::filesystem::path> files;
    for (std::size_t i = 0; i < count; ++i) files.push_back(kept[first + i].candidate.source);
    return decode_g722(files, scratch);
  }
  std::vector<std::vector<float>> block;
  for (std::size_t i = 0; i < count; ++i) {
    STRATA_TRY(const Audio audio, read_audio(kept[first + i].candidate.source));
    block.push_back(resample(audio.samples, audio.rate, kCorpusRate));
  }
  return block;
}

Result<Item> write_item(const Chosen& chosen, const std::vector<float>& samples,
                        const std::filesystem::path& corpus) {
  if (std::ssize(samples) != chosen.candidate.samples) {
    return fail(ErrorCode::kDamaged, "decoding {}: {} samples came, {} were expected",
                chosen.candidate.source.string(), samples.size(), chosen.candidate.samples);
  }
  Item item{.id = chosen.candidate.id,
            .audio = "wavs/" + chosen.candidate.id + ".wav",
            .samples = std::ssize(samples),
            .text = chosen.candidate.text.value_or(""),
            .speaker = chosen.candidate.speaker,
            .split = chosen.split};
  STRATA_CHECK_OK(write_wav(corpus / item.audio, samples, kCorpusRate));
  item.sha256 = sha256_hex(encode_wav(samples, kCorpusRate));
  return item;
}

// The model would be tested on what it was trained on. The list is at fault: nothing is dropped in
// silence.
Status check_no_shared_audio(const std::vector<Item>& items) {
  std::map<std::string, std::string> trained;  // hash -> id
  for (const Item& item : items) {
    if (item.split == Split::kTrain) trained.emplace(item.sha256, item.id);
  }
  std::vector<std::string> shared;
  for (const Item& item : items) {
    const auto found = trained.find(item.sha256);
    if (item.split == Split::kHeldout && found != trained.end())
      shared.push_back(fmt::format("{} (held out) and {} (training)", item.id, found->second));
  }
  if (shared.empty()) return {};
  const std::size_t count = shared.size();
  shared.resize(std::min(count, kReportExamples));
  return fail(ErrorCode::kInvalid,
              "{} held-out recordings are the same sound as one to train on: {}{}: remove one of "
              "each pair",
              count, fmt::join(shared, ", "), count > shared.size() ? ", …" : "");
}

Object split_report(const std::vector<Item>& items, Split split) {
  std::int64_t count = 0;
  double seconds = 0;
  std::set<std::string> speakers;
  for (const Item& item : items) {
    if (item.split != split) continue;
    ++count;
    seconds += item.seconds();
    speakers.insert(item.speaker);
  }
  Array names;
  for (const std::string& name : speakers) names.emplace_back(name);
  return {{"count", count}, {"hours", seconds / 3600}, {"speakers", std::move(names)}};
}

Object make_report(const Selection& selection, const std::vector<Item>& items,
                   const Vocabulary& vocabulary,
                   const std::map<std::string, std::string>& packages) {
  Object kept;
  for (const Split split : {Split::kTrain, Split::kHeldout, Split::kReference})
    kept.emplace(name_of(split), split_report(items, split));
  Object dropped;
  for (const auto& [reason, ids] : selection.dropped) {
    Array examples;
    for (std::size_t i = 0; i < std::min(kReportExamples, ids.size()); ++i)
      examples.emplace_back(ids[i]);
    dropped.emplace(reason, Object{{"count", static_cast<std::int64_t>(ids.size())},
                                   {"examples", std::move(examples)}});
  }
  std::set<std::string> unknown;  // what only held-out texts hold: the model reads a space there
  for (const Item& item : items) {
    if (item.split != Split::kHeldout) continue;
    for (const char32_t c : decode_utf8_lossy(item.text)) {
      const std::string character = encode_utf8(std::u32string(1, c));
      if (!vocabulary.knows(character)) unknown.insert(character);
    }
  }
  Array unknown_list;
  for (const std::string& c : unknown) unknown_list.emplace_back(c);
  Object versions;
  for (const auto& [name, version] : packages) versions.emplace(name, version);
  Object report{{"kept", std::move(kept)},
                {"dropped", std::move(dropped)},
                {"packages", std::move(versions)},
                {"rate", kCorpusRate},
                {"vocabulary", static_cast<std::int64_t>(vocabulary.size())},
                {"unknown_heldout_characters", std::move(unknown_list)}};
  // Only where there are some, so that the bytes of corpora without any stay what they were.
  if (selection.prompts_from_training > 0)
    report.emplace("prompts_from_training", selection.prompts_from_training);
  return report;
}

Status write_tables(const std::filesystem::path& corpus, const Selection& selection,
                    const std::vector<Item>& items,
                    const std::map<std::string, std::string>& packages) {
  std::vector<std::string> texts;
  for (const Item& item : items) {
    if (item.split == Split::kTrain) texts.push_back(item.text);
  }
  STRATA_TRY(const Vocabulary vocabulary, Vocabulary::of_texts(texts));
  STRATA_CHECK_OK(write_file_atomic(corpus / "vocab.txt", vocabulary.format()));
  STRATA_CHECK_OK(write_file_atomic(corpus / "pairs.jsonl", format_pairs(selection.prompts)));
  STRATA_CHECK_OK(write_file_atomic(
      corpus / "report.json",
      to_pretty_json(make_report(selection, items, vocabulary, packages)) + "\n"));
  return write_file_atomic(corpus / "manifest.jsonl", format_manifest(items));
}

// Everything that could be used. Nothing where a stop was asked for.
Result<std::optional<Listing>> list_candidates(const PrepareOptions& options, Progress& progress) {
  if (options.kind == "asterisk") {
    STRATA_TRY(AsteriskListing asterisk, list_asterisk(options.asterisk));
    return Listing{.candidates = std::move(asterisk.candidates),
                   .packages = std::move(asterisk.packages)};
  }
  if (options.kind == "list") {
    STRATA_CHECK_OK(check_list(options.list, options.list_sha256));
    STRATA_TRY(std::vector<Candidate> candidates, list_file(options.list));
    return Listing{.candidates = std::move(candidates)};
  }
  STRATA_TRY(FliteListing flite, list_flite_digits(options.flite, kScratch));
  STRATA_TRY(const bool all, speak_all(flite.candidates, [&](std::int64_t spoken) -> Result<bool> {
               STRATA_CHECK_OK(progress.report(spoken));
               return !stop_requested();
             }));
  if (!all) return std::nullopt;
  return Listing{.steps = std::ssize(flite.candidates),
                 .candidates = std::move(flite.candidates),
                 .packages = std::move(flite.packages)};
}

}  // namespace

Result<int> run_prepare(const StageSpec& spec) {
  STRATA_TRY(const PrepareOptions options, read_options(spec.parameters));
  STRATA_TRY(const std::filesystem::path corpus, spec.output("corpus"));
  STRATA_TRY(Progress progress, Progress::open(std::filesystem::current_path()));
  STRATA_TRY(std::optional<Listing> listing, list_candidates(options, progress));
  if (!listing) return exit_code::kStopped;
  STRATA_TRY(const Selection selection, select(std::move(listing->candidates), options.selection));

  STRATA_CHECK_OK(make_folder(corpus / "wavs"));
  const std::int64_t total = listing->steps + std::ssize(selection.kept);
  std::vector<Item> items;
  while (items.size() < selection.kept.size()) {
    if (stop_requested()) return exit_code::kStopped;
    const std::size_t first = items.size();
    STRATA_TRY(const auto block, load_block(options, selection.kept, first, kScratch));
    for (std::size_t i = 0; i < block.size(); ++i) {
      STRATA_TRY(Item item, write_item(selection.kept[first + i], block[i], corpus));
      items.push_back(std::move(item));
    }
    STRATA_CHECK_OK(progress.report(listing->steps + std::ssize(items), total));
  }
  STRATA_CHECK_OK(check_no_shared_audio(items));
  if (selection.prompts_from_training > 0) {
    log_warning(
        "prepare",
        "{} of {} held-out items have a prompt that the model is trained on: their speakers "
        "have no other held-out item",
        selection.prompts_from_training, selection.prompts.size());
  }
  STRATA_CHECK_OK(write_tables(corpus, selection, items, listing->packages));
  std::error_code ignored;
  std::filesystem::remove_all(kScratch, ignored);
  log_info("prepare", "{} recordings kept, {}", items.size(), corpus.string());
  return exit_code::kSucceeded;
}

}  // namespace strata::trainer
