#include "evaluator/audio_list.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <tuple>

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "base/sha256.h"

namespace strata::evaluator {
namespace {

// Calls f(value, "name:line") for every line that is not blank. LF or CRLF; a byte order mark is
// skipped.
Status for_each_line(std::string_view text, const std::string& name,
                     const std::function<Status(const Value&, const std::string&)>& f) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const std::string where = fmt::format("{}:{}", name, number);
    auto value = parse_json(line);
    if (!value) return tl::unexpected(value.error().while_doing(where));
    STRATA_CHECK_OK(f(*value, where));
  }
  return {};
}

bool stays_inside(const std::string& relative) {
  const std::filesystem::path path(relative);
  return !relative.empty() && path.is_relative() &&
         std::ranges::none_of(path, [](const std::filesystem::path& part) { return part == ".."; });
}

Result<ListRow> parse_row(const Value& value, const std::string& where) {
  Fields fields(value, where);
  ListRow row;
  row.id = fields.text("id");
  row.set = fields.text("set", kGeneratedSet);
  row.audio = fields.text("audio");
  if (fields.child("text") != nullptr) row.text = fields.text("text");
  if (fields.child("prompt") != nullptr) row.prompt = fields.text("prompt");
  row.speaker = fields.text("speaker", "");
  fields.number("seconds", 0.0);  // what the writer believed; the recording itself is measured
  fields.require(!row.id.empty(), "id", "must not be empty");
  fields.require(!row.set.empty() && row.set.find('/') == std::string::npos, "set",
                 "must be a name without \"/\"");
  fields.require(stays_inside(row.audio), "audio", "must be a path inside the folder");
  fields.require(!row.prompt || stays_inside(*row.prompt), "prompt",
                 "must be a path inside the folder");
  STRATA_CHECK_OK(fields.finish());
  return row;
}

Status check_there(const std::filesystem::path& folder, const std::string& file,
                   const ListRow& row) {
  std::error_code error;
  if (std::filesystem::is_regular_file(folder / file, error)) return {};
  return fail(ErrorCode::kNotFound, "{}/list.jsonl: \"{}\" of utterance \"{}\" (set {}) is missing",
              folder.string(), file, row.id, row.set);
}

}  // namespace

Result<std::vector<ListRow>> parse_audio_list(std::string_view text,
                                              const std::vector<std::string>& sets) {
  std::vector<ListRow> rows;
  std::map<std::pair<std::string, std::string>, std::string> seen;
  std::map<std::string, bool> found;
  for (const auto& set : sets) found[set] = false;
  const auto take = [&](const Value& value, const std::string& where) -> Status {
    STRATA_TRY(ListRow row, parse_row(value, where));
    const auto [place, fresh] = seen.try_emplace({row.set, row.id}, where);
    if (!fresh)
      return fail(ErrorCode::kInvalid, "{}: utterance \"{}\" of set {} is already at {}", where,
                  row.id, row.set, place->second);
    if (seen.size() > kListRowsMax)
      return fail(ErrorCode::kTooLarge, "{}: more than {} rows", where, kListRowsMax);
    const auto wanted = found.find(row.set);
    if (!sets.empty() && wanted == found.end()) return {};
    if (wanted != found.end()) wanted->second = true;
    rows.push_back(std::move(row));
    return {};
  };
  STRATA_CHECK_OK(for_each_line(text, "list.jsonl", take));
  for (const auto& [set, there] : found) {
    if (!there)
      return fail(ErrorCode::kInvalid, "list.jsonl: no row of set \"{}\", which the spec asks for",
                  set);
  }
  if (rows.empty()) return fail(ErrorCode::kInvalid, "list.jsonl: no row to score");
  std::ranges::sort(rows, std::ranges::less{},
                    [](const ListRow& r) { return std::tie(r.set, r.id); });
  return rows;
}

Result<std::vector<ListRow>> read_audio_list(const std::filesystem::path& folder,
                                             const std::vector<std::string>& sets) {
  STRATA_TRY(const std::string text, read_file(folder / "list.jsonl"));
  auto rows = parse_audio_list(text, sets);
  if (!rows) return tl::unexpected(rows.error().while_doing(folder.string()));
  for (const ListRow& row : *rows) {
    STRATA_CHECK_OK(check_there(folder, row.audio, row));
    if (row.prompt) STRATA_CHECK_OK(check_there(folder, *row.prompt, row));
  }
  return rows;
}

std::string list_hash(const std::vector<ListRow>& rows) {
  Array list;
  for (const ListRow& row : rows) {
    list.emplace_back(Object{{"id", row.id},
                             {"set", row.set},
                             {"speaker", row.speaker},
                             {"text", row.text ? Value(*row.text) : Value()},
                             {"prompt", row.prompt ? Value(*row.prompt) : Value()}});
  }
  return sha256_hex(to_canonical_json(list));
}

Result<std::vector<ValidationLoss>> parse_validation(std::string_view text) {
  std::vector<ValidationLoss> losses;
  const auto take = [&](const Value& value, const std::string& where) -> Status {
    Fields fields(value, where);
    ValidationLoss row;
    row.id = fields.text("id");
    row.update = fields.integer("update", 0);
    const std::string which = fields.choice("which", {"last", "early", "periodic"});
    using Which = ValidationLoss::Which;
    row.which = which == "last"    ? Which::kLast
                : which == "early" ? Which::kEarly
                                   : Which::kPeriodic;
    row.loss = fields.number("loss");
    if (fields.child("loss_permuted") != nullptr)
      row.loss_permuted = fields.number("loss_permuted");
    fields.require(std::isfinite(row.loss), "loss", "must be finite");
    fields.require(std::isfinite(row.loss_permuted.value_or(0)), "loss_permuted", "must be finite");
    STRATA_CHECK_OK(fields.finish());
    losses.push_back(std::move(row));
    return {};
  };
  STRATA_CHECK_OK(for_each_line(text, "validation.jsonl", take));
  if (losses.empty()) return fail(ErrorCode::kInvalid, "validation.jsonl: no line");
  return losses;
}

Result<std::vector<ValidationLoss>> read_validation(const std::filesystem::path& folder) {
  STRATA_TRY(const std::string text, read_file(folder / "validation.jsonl"));
  auto losses = parse_validation(text);
  if (!losses) return tl::unexpected(losses.error().while_doing(folder.string()));
  return losses;
}

Status check_texts(const std::vector<ListRow>& rows, std::string_view manifest, Protocol protocol) {
  std::map<std::string, std::string> transcripts;
  const auto take = [&](const Value& value, const std::string&) -> Status {
    const Value* id = value.find("id");
    const Value* text = value.find("text");
    if (id == nullptr || id->if_string() == nullptr || text == nullptr ||
        text->if_string() == nullptr)
      return {};
    if (!text->if_string()->empty()) transcripts[*id->if_string()] = *text->if_string();
    return {};
  };
  STRATA_CHECK_OK(for_each_line(manifest, "manifest.jsonl", take));
  for (const ListRow& row : rows) {
    const auto transcript = transcripts.find(row.id);
    if (!row.text || transcript == transcripts.end()) continue;
    STRATA_TRY(const std::string listed, normalize(protocol, *row.text));
    STRATA_TRY(const std::string recorded, normalize(protocol, transcript->second));
    STRATA_TRY(const Counts counts, count_words(recorded, listed));
    if (counts.errors() == 0) continue;
    return fail(ErrorCode::kInvalid,
                "list.jsonl: the text of \"{}\" (\"{}\") is not that of the corpus (\"{}\"): "
                "audio and corpus do not belong together",
                row.id, *row.text, transcript->second);
  }
  return {};
}

}  // namespace strata::evaluator
