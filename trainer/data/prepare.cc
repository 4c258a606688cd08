#include "trainer/data/prepare.h"

#include <algorithm>
#include <set>

#include "base/audio/audio_file.h"
#include "base/audio/resample.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "trainer/data/asterisk.h"
#include "trainer/data/flite_digits.h"
#include "trainer/data/libri.h"
#include "trainer/data/list_file.h"
#include "trainer/data/manifest.h"
#include "trainer/data/prepare_options.h"
#include "trainer/data/selection.h"
#include "trainer/data/vocabulary.h"
#include "trainer/progress.h"

namespace strata::trainer {
namespace {

constexpr const char* kScratch = "scratch";  // in the attempt folder

struct Listing {
  std::int64_t steps = 0;  // of progress, taken already
  std::vector<Candidate> candidates{};
  std::map<std::string, std::string> packages{};
  std::map<std::string, std::int64_t> sets{};       // recordings found in each
  std::optional<std::vector<std::string>> texts{};  // of the vocabulary; none: those trained on
};

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
    block.push_back(resample(audio.samples, audio.rate, options.selection.rate));
  }
  return block;
}

Result<Item> write_item(const Chosen& chosen, const std::vector<float>& samples, int rate,
                        const std::filesystem::path& corpus) {
  if (std::ssize(samples) != chosen.candidate.samples) {
    return fail(ErrorCode::kDamaged, "decoding {}: {} samples came, {} were expected",
                chosen.candidate.source.string(), samples.size(), chosen.candidate.samples);
  }
  Item item{.id = chosen.candidate.id,
            .audio = "wavs/" + chosen.candidate.id + ".wav",
            .samples = std::ssize(samples),
            .rate = rate,
            .text = chosen.candidate.text.value_or(""),
            .tokens = chosen.candidate.tokens,
            .speaker = chosen.candidate.speaker,
            .split = chosen.split};
  STRATA_CHECK_OK(write_wav(corpus / item.audio, samples, rate));
  item.sha256 = sha256_hex(encode_wav(samples, rate));
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

// What the texts of a split hold and the vocabulary does not: the model reads token 0 there, which
// is the space.
Array unknown_tokens(const std::vector<Item>& items, Split split, const Vocabulary& vocabulary) {
  std::set<std::string> unknown;
  for (const Item& item : items) {
    if (item.split != split) continue;
    std::vector<std::string> tokens = item.tokens;
    if (tokens.empty()) {
      for (const char32_t c : decode_utf8_lossy(item.text))
        tokens.push_back(encode_utf8(std::u32string(1, c)));
    }
    for (std::string& token : tokens) {
      if (!vocabulary.knows(token)) unknown.insert(std::move(token));
    }
  }
  return {unknown.begin(), unknown.end()};
}

Object make_report(const PrepareOptions& options, const Listing& listing,
                   const Selection& selection, const std::vector<Item>& items,
                   const Vocabulary& vocabulary) {
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
  Object versions;
  for (const auto& [name, version] : listing.packages) versions.emplace(name, version);
  // The rest only where there is any, so that the bytes of corpora without it stay what they were.
  if (std::ranges::any_of(items, [](const Item& item) { return item.split == Split::kPrompt; }))
    kept.emplace(name_of(Split::kPrompt), split_report(items, Split::kPrompt));
  Object report{{"kept", std::move(kept)},
                {"dropped", std::move(dropped)},
                {"packages", std::move(versions)},
                {"rate", options.selection.rate},
                {"vocabulary", static_cast<std::int64_t>(vocabulary.size())},
                {"unknown_heldout_characters", unknown_tokens(items, Split::kHeldout, vocabulary)}};
  if (selection.prompts_from_training > 0)
    report.emplace("prompts_from_training", selection.prompts_from_training);
  if (vocabulary.tokenizer() != Tokenizer::kChar)
    report.emplace("tokenizer", name_of(vocabulary.tokenizer()));
  if (options.vocabulary)
    report.emplace("unknown_training_tokens", unknown_tokens(items, Split::kTrain, vocabulary));
  if (!listing.sets.empty())
    report.emplace("found", Object(listing.sets.begin(), listing.sets.end()));
  return report;
}

// Nothing where it is made from the texts.
Result<std::optional<Vocabulary>> given_vocabulary(const PrepareOptions& options) {
  if (options.tokenizer == Tokenizer::kByte) return Vocabulary::bytes();
  if (!options.vocabulary) return std::nullopt;
  STRATA_CHECK_OK(check_sha256(options.vocabulary->path, options.vocabulary->sha256,
                               "parameters.corpus.vocabulary_sha256"));
  return Vocabulary::load_lines(options.vocabulary->path, options.tokenizer);
}

Result<Vocabulary> vocabulary_of_texts(const Listing& listing, const std::vector<Item>& items) {
  if (listing.texts) return Vocabulary::of_texts(*listing.texts);
  std::vector<std::string> texts;
  for (const Item& item : items) {
    if (item.split == Split::kTrain) texts.push_back(item.text);
  }
  return Vocabulary::of_texts(texts);
}

Status write_tables(const std::filesystem::path& corpus, const PrepareOptions& options,
                    const Listing& listing, const Selection& selection,
                    const std::vector<Item>& items, const Vocabulary& vocabulary) {
  STRATA_CHECK_OK(write_file_atomic(corpus / "vocab.txt", vocabulary.format()));
  STRATA_CHECK_OK(write_file_atomic(corpus / "pairs.jsonl", format_pairs(selection.prompts)));
  STRATA_CHECK_OK(write_file_atomic(
      corpus / "report.json",
      to_pretty_json(make_report(options, listing, selection, items, vocabulary)) + "\n"));
  return write_file_atomic(corpus / "manifest.jsonl", format_manifest(items));
}

std::vector<std::string> texts_of(const std::vector<Candidate>& candidates) {
  std::vector<std::string> texts;
  for (const Candidate& candidate : candidates) {
    if (candidate.text) texts.push_back(*candidate.text);
  }
  return texts;
}

Result<Listing> list_user_file(const PrepareOptions& options) {
  STRATA_CHECK_OK(check_sha256(options.list.path, options.list.sha256, "parameters.corpus.sha256"));
  STRATA_TRY(std::vector<Candidate> candidates,
             read_list(options.list.path, options.selection.rate));
  for (const Candidate& candidate : candidates) {
    if (!candidate.split) continue;
    if (options.test) {
      return fail(ErrorCode::kInvalid,
                  "{}: a split, and parameters.corpus.test: all of the list is trained on",
                  candidate.where);
    }
    if (options.heldout_said) {
      return fail(ErrorCode::kInvalid,
                  "parameters.corpus.heldout: the list {} says which items are held out: expected "
                  "0, or nothing",
                  options.list.path.string());
    }
  }
  return Listing{.candidates = std::move(candidates)};
}

using Report = std::function<Result<bool>(std::int64_t)>;

Result<std::optional<Listing>> list_libri_corpus(const PrepareOptions& options,
                                                 const Report& report) {
  STRATA_TRY(std::optional<LibriListing> libri, list_libri(options.libri, report));
  if (!libri) return std::nullopt;
  Listing listing{.steps = std::ssize(libri->candidates), .sets = std::move(libri->recordings)};
  listing.texts = texts_of(libri->candidates);
  listing.candidates = std::move(libri->candidates);
  return listing;
}

// What could be trained on. Nothing where a stop was asked for.
Result<std::optional<Listing>> list_training(const PrepareOptions& options, Progress& progress) {
  const Report report = [&](std::int64_t done) -> Result<bool> {
    STRATA_CHECK_OK(progress.report(done));
    return !stop_requested();
  };
  if (options.kind == "asterisk") {
    STRATA_TRY(AsteriskListing asterisk, list_asterisk(options.asterisk));
    return Listing{.candidates = std::move(asterisk.candidates),
                   .packages = std::move(asterisk.packages)};
  }
  if (options.kind == "flite-digits") {
    STRATA_TRY(FliteListing flite, list_flite_digits(options.flite, kScratch));
    STRATA_TRY(const bool all, speak_all(flite.candidates, report));
    if (!all) return std::nullopt;
    return Listing{.steps = std::ssize(flite.candidates),
                   .candidates = std::move(flite.candidates),
                   .packages = std::move(flite.packages)};
  }
  if (options.kind == "list") {
    STRATA_TRY(Listing listing, list_user_file(options));
    return listing;
  }
  if (options.kind == "librispeech-pc") return Listing{};
  return list_libri_corpus(options, report);
}

// Everything that could be used, with the held-out items and prompts of a fixed list, beside which
// all else is trained on.
Result<std::optional<Listing>> list_candidates(const PrepareOptions& options, Progress& progress) {
  STRATA_TRY(std::optional<Listing> listing, list_training(options, progress));
  if (!listing || !options.test) return listing;
  const PinnedFile& list = options.test->list;
  STRATA_CHECK_OK(check_sha256(list.path, list.sha256,
                               options.kind == "librispeech-pc" ? "parameters.corpus.sha256"
                                                                : "parameters.corpus.test.sha256"));
  for (Candidate& candidate : listing->candidates) {
    if (!candidate.reference) candidate.split = Split::kTrain;
  }
  STRATA_TRY(std::vector<Candidate> fixed,
             list_cross_sentence(list.path, options.test->root, options.selection.rate));
  if (options.kind == "librispeech-pc") listing->texts = texts_of(fixed);
  std::ranges::move(fixed, std::back_inserter(listing->candidates));
  return listing;
}

}  // namespace

Result<int> run_prepare(const StageSpec& spec) {
  STRATA_TRY(const PrepareOptions options, read_prepare_options(spec.parameters));
  STRATA_TRY(const std::filesystem::path corpus, spec.output("corpus"));
  STRATA_TRY(Progress progress, Progress::open(std::filesystem::current_path()));
  STRATA_TRY(std::optional<Vocabulary> vocabulary, given_vocabulary(options));
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
      STRATA_TRY(Item item,
                 write_item(selection.kept[first + i], block[i], options.selection.rate, corpus));
      items.push_back(std::move(item));
    }
    STRATA_CHECK_OK(progress.report(listing->steps + std::ssize(items), total));
  }
  STRATA_CHECK_OK(check_no_shared_audio(items));
  if (selection.prompts_from_training > 0) {
    log_warning(
        "prepare",
        "{} of {} held-out items have a prompt that the model is trained on: the list names it, or "
        "their speakers have no other held-out item",
        selection.prompts_from_training, selection.prompts.size());
  }
  if (!vocabulary) {
    STRATA_TRY(vocabulary, vocabulary_of_texts(*listing, items));
  }
  STRATA_CHECK_OK(write_tables(corpus, options, *listing, selection, items, *vocabulary));
  std::error_code ignored;
  std::filesystem::remove_all(kScratch, ignored);
  log_info("prepare", "{} recordings kept, {}", items.size(), corpus.string());
  return exit_code::kSucceeded;
}

}  // namespace strata::trainer
