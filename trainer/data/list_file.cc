#include "trainer/data/list_file.h"

#include <algorithm>

#include "base/audio/audio_file.h"
#include "base/fields.h"
#include "base/files.h"
#include "base/sha256.h"
#include "trainer/data/text_lines.h"

namespace strata::trainer {
namespace {

// The id of an item that names none: the file's name, made safe.
std::string id_of_file(const std::filesystem::path& audio) {
  std::string id = audio.stem().string();
  std::ranges::replace_if(
      id, [](char c) { return !is_item_id(std::string("a") + c); }, '_');
  return id;
}

void read_text(Fields& fields, Candidate& candidate) {
  const Value* text = fields.child("text");
  candidate.tokens = fields.texts("tokens", std::vector<std::string>{});
  if (text == nullptr || text->if_array() == nullptr) {
    if (text != nullptr) candidate.text = fields.text("text");
    fields.require(candidate.tokens.empty() || candidate.text.has_value(), "tokens",
                   "expected a text beside them, or the list itself as the text");
    return;
  }
  fields.require(candidate.tokens.empty(), "tokens", "the text is a list of tokens already");
  candidate.tokens = fields.texts("text");
  candidate.text = fmt::format("{}", fmt::join(candidate.tokens, ""));
}

void read_split(Fields& fields, Candidate& candidate) {
  candidate.reference = fields.flag("reference", false);
  candidate.prompt = fields.text("prompt", "");
  if (fields.child("split") == nullptr) {
    fields.require(candidate.prompt.empty(), "prompt",
                   "only an item with the split heldout has one");
    return;
  }
  const std::string split = fields.choice("split", {"train", "heldout", "prompt", "reference"});
  fields.require(!candidate.reference || split == "reference", "split",
                 "a reference has the split reference");
  fields.require(candidate.prompt.empty() || split == "heldout", "prompt",
                 "only an item with the split heldout has one");
  if (split == "reference") candidate.reference = true;
  if (split == "train") candidate.split = Split::kTrain;
  if (split == "heldout") candidate.split = Split::kHeldout;
  if (split == "prompt") candidate.split = Split::kPrompt;
}

Result<Candidate> list_entry(const Value& line, const std::string& where,
                             const std::filesystem::path& folder) {
  Fields fields(line, where);
  const std::filesystem::path audio = fields.text("audio");
  Candidate candidate{
      .speaker = fields.text("speaker", "speaker"), .source = folder / audio, .where = where};
  candidate.id = fields.text("id", id_of_file(audio));
  read_text(fields, candidate);
  read_split(fields, candidate);
  fields.require(is_item_id(candidate.id), "id", "expected letters, digits, '.', '_' and '-'");
  STRATA_CHECK_OK(fields.finish());
  return candidate;
}

Result<std::vector<Value>> read_tsv(const std::filesystem::path& path) {
  STRATA_TRY(const std::string text, read_file(path));
  std::vector<Value> lines;
  std::size_t number = 0;
  for (const std::string_view line : text_lines(text)) {
    ++number;
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

}  // namespace

Status check_sha256(const std::filesystem::path& path, const std::string& expected,
                    const std::string& parameter) {
  if (expected.empty()) return {};
  STRATA_TRY(const std::string found, sha256_file(path));
  if (found == expected) return {};
  return fail(ErrorCode::kInvalid,
              "{}: the file {} has the SHA-256 {}, the sweep expects {}: put the first into the "
              "sweep if the file was meant to change",
              parameter, path.string(), found, expected);
}

Status measure_recording(Candidate& candidate, int rate) {
  std::error_code ignored;
  if (!std::filesystem::exists(candidate.source, ignored)) return {};
  STRATA_TRY(const AudioLength length, read_audio_length(candidate.source));
  candidate.samples = (length.samples * rate + length.rate - 1) / length.rate;
  candidate.seconds = length.seconds();
  return {};
}

Result<std::vector<Candidate>> read_list(const std::filesystem::path& path, int rate) {
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
    const Status measured = measure_recording(candidate, rate);
    if (!measured) return tl::unexpected(measured.error().while_doing(candidate.where));
    // Its length is that of the samples at `rate`, as it always was: at the very limits of
    // `seconds` another rule would change corpora that exist.
    candidate.seconds.reset();
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

}  // namespace strata::trainer
