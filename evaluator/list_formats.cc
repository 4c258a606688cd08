#include "evaluator/list_formats.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/utf8.h"
#include "evaluator/core/unicode.h"

namespace strata::evaluator {
namespace {

constexpr const char* kFormatNames = "librispeech-pc, seed-tts, jsonl";
constexpr std::array kFormats{ListFormat::kLibriSpeechPc, ListFormat::kSeedTts, ListFormat::kJsonl};

std::string_view without_mark(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return text;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t") == std::string_view::npos;
}

// As Python's text files: LF, CRLF and CR end a line. Blank lines at the end are none.
std::vector<std::string_view> lines_of(std::string_view text) {
  text = without_mark(text);
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find_first_of("\r\n"), text.size());
    lines.push_back(text.substr(0, end));
    const bool two = text.substr(end).starts_with("\r\n");
    text.remove_prefix(std::min(end + (two ? 2 : 1), text.size()));
  }
  while (!lines.empty() && is_blank(lines.back())) lines.pop_back();
  return lines;
}

// Python's str.strip().
Result<std::string> stripped(std::string_view line) {
  STRATA_TRY(const std::u32string points, decode_utf8(line));
  std::u32string_view rest = points;
  while (!rest.empty() && is_python_space(rest.front())) rest.remove_prefix(1);
  while (!rest.empty() && is_python_space(rest.back())) rest.remove_suffix(1);
  return encode_utf8(rest);
}

std::vector<std::string> split(std::string_view line, char separator) {
  std::vector<std::string> fields;
  for (;;) {
    const auto end = line.find(separator);
    fields.emplace_back(line.substr(0, end));
    if (end == std::string_view::npos) return fields;
    line.remove_prefix(end + 1);
  }
}

// The first of the fields that has nothing in it; `names` are what they mean.
Status check_filled(const std::vector<std::string>& fields, const std::vector<const char*>& names,
                    const std::string& where) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (is_blank(fields[i]))
      return fail(ErrorCode::kInvalid, "{}: field {}, {}, is empty", where, i + 1, names[i]);
  }
  return {};
}

// speaker-chapter-number, which says where the recording lies.
Result<std::vector<std::string>> parts_of_id(const std::string& id, const std::string& where) {
  std::vector<std::string> parts = split(id, '-');
  const bool good =
      parts.size() == 3 && std::ranges::none_of(parts, [](const std::string& part) {
        return part.empty() || part == "." || part == ".." || part.find('/') != std::string::npos;
      });
  if (good) return parts;
  return fail(ErrorCode::kInvalid,
              "{}: \"{}\" is no utterance of LibriSpeech: expected speaker-chapter-number", where,
              id);
}

Status check_seconds(const std::string& field, const std::string& where) {
  const auto seconds = Number::parse(field);
  if (seconds && seconds->to_double() > 0) return {};
  return fail(ErrorCode::kInvalid, "{}: \"{}\" is no length in seconds", where, field);
}

Result<ListRow> librispeech_row(const std::string& line, const std::string& where) {
  static const std::vector<const char*> kNames{"the prompt",    "its seconds", "its text",
                                               "the utterance", "its seconds", "its text"};
  const std::vector<std::string> fields = split(line, '\t');
  if (fields.size() != kNames.size()) {
    return fail(ErrorCode::kInvalid,
                "{}: {} fields with tabs between, expected {}: prompt, its seconds, its text, "
                "utterance, its seconds, its text",
                where, fields.size(), kNames.size());
  }
  STRATA_CHECK_OK(check_filled(fields, kNames, where));
  STRATA_TRY(const auto prompt, parts_of_id(fields[0], where));
  STRATA_CHECK_OK(check_seconds(fields[1], where));
  STRATA_TRY(const auto target, parts_of_id(fields[3], where));
  STRATA_CHECK_OK(check_seconds(fields[4], where));
  return ListRow{.id = fields[3],
                 .audio = fields[3] + ".wav",
                 .text = fields[5],
                 .prompt = fmt::format("{}/{}/{}.flac", prompt[0], prompt[1], fields[0]),
                 .speaker = target[0]};
}

// Catches a "|" inside a text, which moves what follows it by a field.
Status check_recording_name(const std::vector<std::string>& fields, std::size_t place,
                            const std::string& where) {
  std::string extension = std::filesystem::path(fields[place]).extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) {
    return c < 'A' || c > 'Z' ? static_cast<char>(c) : static_cast<char>(c - 'A' + 'a');
  });
  if (std::ranges::find(kRecordingExtensions, extension) != kRecordingExtensions.end()) return {};
  return fail(ErrorCode::kInvalid,
              "{}: of {} fields with | between the {} must be a recording (.wav), but it is "
              "\"{}\"; a text must not hold a |",
              where, fields.size(), place == 2 ? "third" : "fifth", fields[place]);
}

Result<ListRow> seed_tts_row(const std::string& line, const std::string& where) {
  static const std::vector<std::vector<const char*>> kNames{
      {"the utterance", "the text"},
      {"the utterance", "the text", "the prompt's recording"},
      {"the utterance", "the prompt's text", "the prompt's recording", "the text"},
      {"the utterance", "the prompt's text", "the prompt's recording", "the text",
       "the utterance's recording"}};
  const std::vector<std::string> fields = split(line, '|');
  const std::size_t count = fields.size();
  if (count < 2 || count > 5) {
    return fail(ErrorCode::kInvalid,
                "{}: {} fields with | between, expected 2 to 5: utt|text, utt|text|prompt_wav, "
                "utt|prompt_text|prompt_wav|text or these and |wav; a text must not hold a |",
                where, count);
  }
  STRATA_CHECK_OK(check_filled(fields, kNames[count - 2], where));
  if (count >= 3) STRATA_CHECK_OK(check_recording_name(fields, 2, where));
  if (count == 5) STRATA_CHECK_OK(check_recording_name(fields, 4, where));
  ListRow row{.id = fields[0], .text = fields[count >= 4 ? 3 : 1]};
  if (count == 3 && row.id.ends_with(".wav")) row.id.resize(row.id.size() - 4);
  row.audio = row.id + ".wav";
  const std::filesystem::path name(row.audio);
  if (row.id.empty() || name.is_absolute() ||
      std::ranges::any_of(name, [](const auto& part) { return part == ".."; })) {
    return fail(ErrorCode::kInvalid,
                "{}: \"{}\" is no name of an utterance: <utterance>.wav must stay inside the "
                "folder of recordings",
                where, fields[0]);
  }
  if (count >= 3) row.prompt = fields[2];
  return row;
}

Result<ListRow> row_of(ListFormat format, std::string_view raw, const std::string& where) {
  auto line = stripped(raw);
  if (!line) return tl::unexpected(line.error().while_doing(where));
  if (line->empty()) {
    return fail(ErrorCode::kInvalid,
                "{}: a blank line where a row should be: put the row back, or take the line out",
                where);
  }
  return format == ListFormat::kSeedTts ? seed_tts_row(*line, where)
                                        : librispeech_row(*line, where);
}

}  // namespace

const char* name_of(ListFormat format) {
  switch (format) {
    case ListFormat::kJsonl: return "jsonl";
    case ListFormat::kLibriSpeechPc: return "librispeech-pc";
    case ListFormat::kSeedTts: return "seed-tts";
  }
  return "";
}

Result<ListFormat> find_list_format(std::string_view name) {
  for (const ListFormat format : kFormats) {
    if (name == name_of(format)) return format;
  }
  return fail(ErrorCode::kInvalid, "there is no list format \"{}\"; there are {}", name,
              kFormatNames);
}

Result<ListFormat> tell_list_format(std::string_view text, const std::string& name) {
  const auto lines = lines_of(text);
  const auto first =
      std::ranges::find_if(lines, [](std::string_view line) { return !is_blank(line); });
  if (first == lines.end())
    return fail(ErrorCode::kInvalid, "{}: the list is empty: no row to score", name);
  const bool tab = first->find('\t') != std::string_view::npos;
  const bool bar = first->find('|') != std::string_view::npos;
  if (first->substr(first->find_first_not_of(" \t")).starts_with('{')) return ListFormat::kJsonl;
  if (tab && !bar) return ListFormat::kLibriSpeechPc;
  if (bar && !tab) return ListFormat::kSeedTts;
  return fail(ErrorCode::kInvalid,
              "{}:{}: cannot tell the format of the list: {}; say it with --format ({})", name,
              first - lines.begin() + 1,
              tab ? "this line holds tabs and |" : "this line holds neither tabs nor | nor {",
              kFormatNames);
}

std::vector<ListRow> gather_rows(ListFormat format, std::string_view text, LineProblems& problems) {
  if (format == ListFormat::kJsonl) return gather_audio_list(text, problems);
  std::vector<ListRow> rows;
  std::map<std::string, std::size_t> seen;
  const auto lines = lines_of(text);
  for (std::size_t number = 1; number <= lines.size(); ++number) {
    const std::string where = problems.place(number);
    auto row = row_of(format, lines[number - 1], where);
    if (!row) {
      problems.add(number, row.error());
      continue;
    }
    const auto [first, fresh] = seen.try_emplace(row->id, number);
    if (!fresh) {
      problems.add(number,
                   {ErrorCode::kInvalid, fmt::format("{}: utterance \"{}\" is already at {}", where,
                                                     row->id, problems.place(first->second))});
    } else if (seen.size() > kListRowsMax) {
      problems.add(number, {ErrorCode::kTooLarge,
                            fmt::format("{}: more than {} rows", where, kListRowsMax)});
    } else {
      row->set = kGeneratedSet;
      row->line = number;
      rows.push_back(std::move(*row));
    }
  }
  return rows;
}

}  // namespace strata::evaluator
