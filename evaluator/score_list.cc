#include "evaluator/score_list.h"

#include <algorithm>
#include <array>
#include <functional>
#include <set>

#include "base/files.h"
#include "base/json.h"
#include "base/sha256.h"

namespace strata::evaluator {
namespace {

constexpr const char* kScoresName = "scores.json";
constexpr const char* kReportName = "report.json";

Result<std::optional<JudgeChoice>> judge(const std::string& name, const char* option) {
  if (name.empty()) return std::optional<JudgeChoice>();
  if (name.find('/') == std::string::npos && !name.starts_with('.'))
    return std::optional(JudgeChoice{.name = name});
  return fail(ErrorCode::kInvalid,
              "{} {}: must be the name of an archive in the folder of --models, not a path", option,
              name);
}

std::filesystem::path whole_path(const std::filesystem::path& path) {
  std::filesystem::path whole = std::filesystem::absolute(path).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();  // without the slash at the end
}

Status check_folder(const std::filesystem::path& folder, const char* option) {
  std::error_code ignored;
  if (std::filesystem::is_directory(folder, ignored)) return {};
  return fail(ErrorCode::kNotFound, "{} {}: there is no such folder", option, folder.string());
}

struct Folders {
  std::filesystem::path wavs{};
  std::filesystem::path prompts{};
};

Result<Folders> folders_of(const ScoreListOptions& o, ListFormat format) {
  const auto beside_list = whole_path(o.list).parent_path();
  if (o.wavs.empty() && format != ListFormat::kJsonl)
    return fail(ErrorCode::kInvalid,
                "--wavs is missing: the folder with the recording <utterance>.wav of each row");
  if (!o.speaker.empty() && o.prompts.empty() && format == ListFormat::kLibriSpeechPc)
    return fail(ErrorCode::kInvalid,
                "--speaker compares with the prompts, and a librispeech-pc list does not say where "
                "they are: name LibriSpeech's test-clean folder with --prompts, or leave --speaker "
                "away");
  Folders folders{.wavs = o.wavs.empty() ? beside_list : whole_path(o.wavs),
                  .prompts = o.prompts.empty() ? beside_list : whole_path(o.prompts)};
  STRATA_CHECK_OK(check_folder(folders.wavs, "--wavs"));
  STRATA_CHECK_OK(check_folder(folders.prompts, "--prompts"));
  return folders;
}

// A row without a prompt is no row that may be left out in silence where the list should have one.
void check_prompts(const std::vector<ListRow>& rows, LineProblems& problems) {
  for (const ListRow& row : rows) {
    if (!row.prompt)
      problems.add(row.line, {ErrorCode::kInvalid,
                              fmt::format("{}: utterance \"{}\" has no prompt, which --speaker "
                                          "compares with; leave --speaker away",
                                          problems.place(row.line), row.id)});
  }
}

bool is_recording(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  return std::ranges::find(kRecordingExtensions, extension) != kRecordingExtensions.end();
}

// Of recordings below the folder that no row names: F5-TTS's eval_utmos.py would average over them.
std::vector<std::string> stray_recordings(const std::filesystem::path& folder,
                                          const std::set<std::filesystem::path>& named) {
  std::vector<std::string> stray;
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry(
      folder, std::filesystem::directory_options::skip_permission_denied, error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(error)) {
    const auto& path = entry->path();
    if (is_recording(path) && !named.contains(path.lexically_normal()))
      stray.push_back(path.lexically_relative(folder).string());
  }
  std::ranges::sort(stray);
  return stray;
}

std::set<std::filesystem::path> files_named_by(const std::vector<ListRow>& rows) {
  std::set<std::filesystem::path> named;
  for (const ListRow& row : rows) {
    named.insert(row.audio_file.lexically_normal());
    if (row.prompt) named.insert(row.prompt_file.lexically_normal());
  }
  return named;
}

// For rows of list.jsonl, where null says so on purpose.
void warn_of_absent(const ListTask& task, const LineProblems& places,
                    std::vector<std::string>& warnings) {
  const auto warn = [&](const char* what, const char* score, auto absent) {
    const auto& rows = task.spec.rows;
    const auto count = std::ranges::count_if(rows, absent);
    if (count == 0) return;
    const auto first = std::ranges::min_element(
        rows, {}, [&](const ListRow& row) { return std::pair(!absent(row), row.line); });
    warnings.push_back(fmt::format("{} of {} rows have no {} and so no {}, the first at {}", count,
                                   rows.size(), what, score, places.place(first->line)));
  };
  if (task.spec.asr) warn("text", "wer", [](const ListRow& row) { return !row.text; });
  if (task.spec.speaker) warn("prompt", "sim_o", [](const ListRow& row) { return !row.prompt; });
}

Status choose_judges(const ScoreListOptions& o, ScoreSpec& spec) {
  STRATA_TRY(spec.asr, judge(o.asr, "--asr"));
  STRATA_TRY(spec.speaker, judge(o.speaker, "--speaker"));
  STRATA_TRY(spec.mos, judge(o.mos, "--mos"));
  if (!spec.asr && !spec.speaker && !spec.mos)
    return fail(ErrorCode::kInvalid,
                "no judge is named, so there is nothing to score: --asr, --speaker or --mos; "
                "`strata-evaluator judges list --models FOLDER` prints what there is");
  if (o.models.empty())
    return fail(ErrorCode::kInvalid, "--models is missing: the folder of exported judges");
  spec.models = o.models;
  return check_folder(spec.models, "--models");
}

Status read_rows(const ScoreListOptions& o, ListFormat format, const std::string& text,
                 const Folders& folders, ListTask& task) {
  LineProblems problems(o.list.string());
  std::vector<ListRow> rows = gather_rows(format, text, problems);
  locate_files(rows, folders.wavs, folders.prompts);
  const auto named = files_named_by(rows);
  if (o.speaker.empty()) {
    for (ListRow& row : rows) row.prompt.reset();
  } else if (format != ListFormat::kJsonl) {
    check_prompts(rows, problems);
  }
  check_files(rows, problems);
  STRATA_CHECK_OK(problems.status());
  if (rows.empty()) return fail(ErrorCode::kInvalid, "{}: no row to score", o.list.string());
  order_rows(rows);
  task.spec.rows = std::move(rows);
  warn_of_absent(task, problems, task.warnings);
  const auto stray = stray_recordings(folders.wavs, named);
  if (!stray.empty())
    task.warnings.push_back(
        fmt::format("{}: {} {} that no row of {} names and that nobody scores, the first {}",
                    folders.wavs.string(), stray.size(),
                    stray.size() == 1 ? "recording" : "recordings", task.list, stray.front()));
  return {};
}

// As the table shows a score.
struct Shown {
  std::array<std::string, 6> cells{};
};

std::string number_cell(const Value* value) {
  const auto number = value == nullptr ? std::nullopt : value->to_double();
  return number ? fmt::format("{:.5f}", *number) : "";
}

std::string text_cell(const Value* value) {
  if (value == nullptr) return "";
  if (value->if_string() != nullptr) return *value->if_string();
  return value->if_number() != nullptr ? value->if_number()->text() : "";
}

Shown shown(const Value& score) {
  const std::string low = number_cell(score.find("low"));
  const std::string high = number_cell(score.find("high"));
  return {{text_cell(score.find("name")), number_cell(score.find("value")),
           low.empty() || high.empty() ? "" : low + " .. " + high, text_cell(score.find("count")),
           text_cell(score.find("better")), text_cell(score.find("judge"))}};
}

std::string table_of(const Array& scores) {
  constexpr std::array kRight{false, true, false, true, false, false};
  std::vector<Shown> rows{{{"score", "value", "95 % interval", "n", "better", "judge"}}};
  for (const Value& score : scores) rows.push_back(shown(score));
  std::array<std::size_t, 6> widths{};
  for (const Shown& row : rows) {
    for (std::size_t i = 0; i < widths.size(); ++i)
      widths[i] = std::max(widths[i], row.cells[i].size());
  }
  std::string table;
  for (const Shown& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      line += i == 0 ? "" : "  ";
      line += kRight[i] ? fmt::format("{:>{}}", row.cells[i], widths[i])
                        : fmt::format("{:<{}}", row.cells[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    table += line + "\n";
  }
  return table;
}

}  // namespace

Result<ListTask> prepare_list_task(const ScoreListOptions& o) {
  ListTask task{.list = o.list.filename().string()};
  if (o.protocol.empty())
    return fail(ErrorCode::kInvalid,
                "--protocol is missing: how texts are normalized (f5, seed-tts, whisper-en, …)");
  STRATA_TRY(task.spec.protocol, find_protocol(o.protocol));
  STRATA_CHECK_OK(choose_judges(o, task.spec));
  task.spec.threads = o.threads;
  STRATA_TRY(const std::string text, read_file(o.list));
  STRATA_TRY(const ListFormat format, o.format.empty() ? tell_list_format(text, o.list.string())
                                                       : find_list_format(o.format));
  STRATA_TRY(const Folders folders, folders_of(o, format));
  STRATA_CHECK_OK(read_rows(o, format, text, folders, task));
  task.spec.audio = folders.wavs;
  task.spec.report =
      o.out.empty() ? std::filesystem::path(folders.wavs.string() + ".scores") : whole_path(o.out);
  task.environment = {{"list_file", task.list},
                      {"list_file_sha256", sha256_hex(text)},
                      {"list_format", name_of(format)}};
  return task;
}

Status prepare_out(const std::filesystem::path& out) {
  STRATA_CHECK_OK(make_folder(out));
  for (const char* name : {kScoresName, kReportName}) {
    std::error_code error;
    std::filesystem::remove(out / name, error);
    if (error)
      return fail(ErrorCode::kUnavailable, "removing the earlier {}: {}", (out / name).string(),
                  error.message());
  }
  return {};
}

Result<std::string> scores_text(const ListTask& task, bool json) {
  const auto& out = task.spec.report;
  STRATA_TRY(const std::string text, read_file(out / kScoresName));
  auto value = parse_json(text);
  if (!value) return tl::unexpected(value.error().while_doing((out / kScoresName).string()));
  Value* found = nullptr;
  if (Object* map = value->if_object(); map != nullptr && map->contains("scores"))
    found = &map->at("scores");
  if (found == nullptr || found->if_array() == nullptr)
    return fail(ErrorCode::kDamaged, "{}: \"scores\" is missing", (out / kScoresName).string());
  Array& scores = *found->if_array();
  const auto& protocol = task.spec.protocol;
  if (json) {
    Object printed = task.environment;
    for (Value& score : scores) score.unset("items");  // they are in scores.json
    printed["scores"] = std::move(scores);
    printed["protocol"] = Object{{"name", protocol.name}, {"version", protocol.version}};
    printed["utterances"] = static_cast<std::int64_t>(task.spec.rows.size());
    printed["report"] = (out / kReportName).string();
    return to_pretty_json(printed) + "\n";
  }
  return fmt::format("{}, {} utterances, protocol {} {}\n\n{}\n{}\n", task.list,
                     task.spec.rows.size(), protocol.name, protocol.version, table_of(scores),
                     (out / kReportName).string());
}

}  // namespace strata::evaluator
