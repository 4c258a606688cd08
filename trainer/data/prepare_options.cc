#include "trainer/data/prepare_options.h"

#include <algorithm>

#include "base/fields.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kHeldoutMax = 1'000'000;

std::uint64_t read_seed(Fields& fields, std::string_view key) {
  const std::int64_t seed = fields.integer(key, 1);
  fields.require(seed >= 0, key, "expected a whole number from 0");
  return static_cast<std::uint64_t>(seed);
}

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
  options.seed = read_seed(corpus, "text_seed");
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

void read_rate(Fields& corpus, PrepareOptions& options) {
  const std::int64_t rate = corpus.integer("rate", kCorpusRate);
  corpus.require(kCorpusRateMin <= rate && rate <= kCorpusRateMax, "rate",
                 fmt::format("expected {} to {} Hz", kCorpusRateMin, kCorpusRateMax));
  const bool at_16 = options.kind == "asterisk" || options.kind == "flite-digits";
  corpus.require(!at_16 || rate == kCorpusRate, "rate",
                 fmt::format("these recordings hold nothing above {} Hz", kCorpusRate));
  options.selection.rate = static_cast<int>(rate);
}

void read_tokenizer(Fields& corpus, PrepareOptions& options) {
  options.tokenizer = tokenizer_of(corpus.choice("tokenizer", tokenizer_names(), "char"))
                          .value_or(Tokenizer::kChar);
  const std::string file = corpus.text("vocabulary", "");
  const std::string sha256 = corpus.text("vocabulary_sha256", "");
  if (!file.empty()) options.vocabulary = PinnedFile{.path = file, .sha256 = sha256};
  const bool lines =
      options.tokenizer == Tokenizer::kPinyin || options.tokenizer == Tokenizer::kCustom;
  corpus.require(
      !lines || !file.empty(), "vocabulary",
      fmt::format("the tokenizer {} needs a file of tokens", name_of(options.tokenizer)));
  corpus.require(options.tokenizer != Tokenizer::kByte || file.empty(), "vocabulary",
                 "the tokenizer byte has no file");
  corpus.require(!file.empty() || sha256.empty(), "vocabulary_sha256", "of which vocabulary?");
}

Status read_test(Fields& corpus, PrepareOptions& options) {
  const Value* value = corpus.child("test");
  if (value == nullptr) return {};
  Fields test(*value, "parameters.corpus.test");
  options.test = TestList{.list = {.path = test.text("file"), .sha256 = test.text("sha256", "")},
                          .root = test.text("root")};
  return test.finish();
}

// What all kinds have whose training items are chosen here.
void read_selection(Fields& corpus, PrepareOptions& options) {
  SelectionOptions& selection = options.selection;
  read_seconds(corpus, selection);
  const bool said = corpus.child("heldout") != nullptr;
  selection.heldout = corpus.integer("heldout", options.test ? 0 : selection.heldout);
  corpus.require(selection.heldout >= 0 && selection.heldout <= kHeldoutMax, "heldout",
                 "expected a count");
  corpus.require(!options.test || selection.heldout == 0, "heldout",
                 "the held-out items are those of `test`: expected 0");
  options.heldout_said = said && selection.heldout > 0;
  selection.references_each = corpus.integer("references_each", selection.references_each);
  corpus.require(selection.references_each >= 0, "references_each", "expected a count");
  options.flite.references_each = selection.references_each;
  selection.seed = read_seed(corpus, "split_seed");
  if (const Value* limit = corpus.child("limit"); limit != nullptr && !limit->is_null())
    selection.limit = corpus.integer("limit");
  corpus.require(selection.limit.value_or(1) > 0, "limit",
                 "expected a positive count, or null for all");
}

void read_libri(Fields& corpus, PrepareOptions& options) {
  LibriOptions& libri = options.libri;
  libri.kind = options.kind == "libritts" ? LibriKind::kLibriTts : LibriKind::kLibriSpeech;
  libri.root = corpus.text("root");
  libri.sets = corpus.texts(
      "sets", std::vector<std::string>{"train-clean-100", "train-clean-360", "train-other-500"});
  corpus.require(!libri.sets.empty() && all_different(libri.sets), "sets",
                 "expected at least one set, each once");
  for (const std::string& set : libri.sets)
    corpus.require(is_item_id(set), "sets", "expected names of folders below the root");
  libri.rate = options.selection.rate;
  options.selection.seconds_min = kLibriSecondsMin;
  options.selection.seconds_max = kLibriSecondsMax;
  options.selection.any_text = true;
}

// The recordings' own parameters.
Status read_source(Fields& corpus, PrepareOptions& options) {
  const auto read_list_file = [&] {
    return PinnedFile{.path = corpus.text("file"), .sha256 = corpus.text("sha256", "")};
  };
  if (options.kind == "asterisk") options.asterisk = read_asterisk(corpus);
  if (options.kind == "flite-digits") options.flite = read_flite_digits(corpus);
  if (options.kind == "list") {
    options.list = read_list_file();
    options.selection.any_text = corpus.choice("texts", {"checked", "any"}, "checked") == "any";
    return read_test(corpus, options);
  }
  if (options.kind == "librispeech-pc") {
    options.test = TestList{.list = read_list_file(), .root = corpus.text("root")};
    options.selection.any_text = true;
    options.selection.training = false;
    options.selection.heldout = 0;
  }
  if (options.kind == "libritts" || options.kind == "librispeech") {
    read_libri(corpus, options);
    return read_test(corpus, options);
  }
  return {};
}

}  // namespace

Result<PrepareOptions> read_prepare_options(const Value& parameters) {
  Fields fields(parameters, "parameters");
  Fields corpus(fields.required_child("corpus"), "parameters.corpus");
  STRATA_CHECK_OK(fields.finish());
  PrepareOptions options;
  options.kind = corpus.choice(
      "kind", {"asterisk", "flite-digits", "list", "libritts", "librispeech", "librispeech-pc"});
  read_rate(corpus, options);
  STRATA_CHECK_OK(read_source(corpus, options));
  if (options.kind != "librispeech-pc") read_selection(corpus, options);
  read_tokenizer(corpus, options);
  STRATA_CHECK_OK(corpus.finish());
  return options;
}

}  // namespace strata::trainer
