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

// Calls f(line, number) for every line that is not blank. LF or CRLF; a byte order mark is skipped.
template <class F>
void for_each_line(std::string_view text, const F& f) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) f(line, number);
  }
}

// Calls f(value, "name:line") for every line until one is wrong.
Status for_each_value(std::string_view text, const std::string& name,
                      const std::function<Status(const Value&, const std::string&)>& f) {
  Status status;
  for_each_line(text, [&](std::string_view line, std::size_t number) {
    if (!status) return;
    const std::string where = fmt::format("{}:{}", name, number);
    const auto value = parse_json(line);
    status = value ? f(*value, where) : tl::unexpected(value.error().while_doing(where));
  });
  return status;
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

// Another file of that name, for the message: people convert recordings and wonder.
std::string other_format_of(const std::filesystem::path& missing) {
  for (const char* extension : kRecordingExtensions) {
    std::filesystem::path other = missing;
    other.replace_extension(extension);
    std::error_code ignored;
    if (other != missing && std::filesystem::is_regular_file(other, ignored))
      return fmt::format(" ({} is there, but not what is looked for)", other.filename().string());
  }
  return "";
}

Status check_there(const ListRow& row, const std::string& name, const std::filesystem::path& path,
                   const std::string& where) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(path, ignored)) return {};
  return fail(ErrorCode::kNotFound, "{}: \"{}\" of utterance \"{}\" (set {}) is missing: {}{}",
              where, name, row.id, row.set, path.string(), other_format_of(path));
}

// Of the good rows: those of the wanted sets, each of which must have one.
Result<std::vector<ListRow>> take_sets(std::vector<ListRow> rows,
                                       const std::vector<std::string>& sets) {
  std::map<std::string, bool> found;
  for (const auto& set : sets) found[set] = false;
  std::vector<ListRow> taken;
  for (ListRow& row : rows) {
    const auto wanted = found.find(row.set);
    if (!sets.empty() && wanted == found.end()) continue;
    if (wanted != found.end()) wanted->second = true;
    taken.push_back(std::move(row));
  }
  for (const auto& [set, there] : found) {
    if (!there)
      return fail(ErrorCode::kInvalid, "{}: no row of set \"{}\", which the spec asks for",
                  kListName, set);
  }
  if (taken.empty()) return fail(ErrorCode::kInvalid, "{}: no row to score", kListName);
  return taken;
}

}  // namespace

std::vector<ListRow> gather_audio_list(std::string_view text, LineProblems& problems) {
  std::vector<ListRow> rows;
  std::map<std::pair<std::string, std::string>, std::size_t> seen;
  const auto take = [&](std::string_view line, std::size_t number) -> Status {
    const std::string where = problems.place(number);
    const auto value = parse_json(line);
    if (!value) return tl::unexpected(value.error().while_doing(where));
    STRATA_TRY(ListRow row, parse_row(*value, where));
    row.line = number;
    const auto [first, fresh] = seen.try_emplace({row.set, row.id}, number);
    if (!fresh)
      return fail(ErrorCode::kInvalid, "{}: utterance \"{}\" of set {} is already at {}", where,
                  row.id, row.set, problems.place(first->second));
    if (seen.size() > kListRowsMax)
      return fail(ErrorCode::kTooLarge, "{}: more than {} rows", where, kListRowsMax);
    rows.push_back(std::move(row));
    return {};
  };
  for_each_line(text, [&](std::string_view line, std::size_t number) {
    if (const Status taken = take(line, number); !taken) problems.add(number, taken.error());
  });
  return rows;
}

void order_rows(std::vector<ListRow>& rows) {
  std::ranges::sort(rows, std::ranges::less{},
                    [](const ListRow& r) { return std::tie(r.set, r.id); });
}

Result<std::vector<ListRow>> parse_audio_list(std::string_view text,
                                              const std::vector<std::string>& sets) {
  LineProblems problems(kListName);
  std::vector<ListRow> all = gather_audio_list(text, problems);
  STRATA_CHECK_OK(problems.status());
  STRATA_TRY(std::vector<ListRow> rows, take_sets(std::move(all), sets));
  order_rows(rows);
  return rows;
}

void locate_files(std::vector<ListRow>& rows, const std::filesystem::path& recordings,
                  const std::filesystem::path& prompts) {
  for (ListRow& row : rows) {
    row.audio_file = recordings / row.audio;
    if (row.prompt) row.prompt_file = prompts / *row.prompt;
  }
}

void check_files(const std::vector<ListRow>& rows, LineProblems& problems) {
  for (const ListRow& row : rows) {
    const std::string where = problems.place(row.line);
    if (const Status there = check_there(row, row.audio, row.audio_file, where); !there)
      problems.add(row.line, there.error());
    if (!row.prompt) continue;
    if (const Status there = check_there(row, *row.prompt, row.prompt_file, where); !there)
      problems.add(row.line, there.error());
  }
}

Result<std::vector<ListRow>> read_audio_list(const std::filesystem::path& folder,
                                             const std::vector<std::string>& sets) {
  STRATA_TRY(const std::string text, read_file(folder / kListName));
  auto rows = parse_audio_list(text, sets);
  if (!rows) return tl::unexpected(rows.error().while_doing(folder.string()));
  locate_files(*rows, folder, folder);
  LineProblems problems(kListName);
  check_files(*rows, problems);
  if (const Status there = problems.status(); !there)
    return tl::unexpected(there.error().while_doing(folder.string()));
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
  STRATA_CHECK_OK(for_each_value(text, "validation.jsonl", take));
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
  STRATA_CHECK_OK(for_each_value(manifest, "manifest.jsonl", take));
  LineProblems problems(kListName);
  for (const ListRow& row : rows) {
    const auto transcript = transcripts.find(row.id);
    if (!row.text || transcript == transcripts.end()) continue;
    STRATA_TRY(const std::string listed, normalize(protocol, *row.text));
    STRATA_TRY(const std::string recorded, normalize(protocol, transcript->second));
    STRATA_TRY(const Counts counts, count_words(recorded, listed));
    if (counts.errors() == 0) continue;
    const auto problem = fail(ErrorCode::kInvalid,
                              "{}: the text of \"{}\" (\"{}\") is not that of the corpus "
                              "(\"{}\"): audio and corpus do not belong together",
                              problems.place(row.line), row.id, *row.text, transcript->second);
    problems.add(row.line, problem.value());
  }
  return problems.status();
}

}  // namespace strata::evaluator
