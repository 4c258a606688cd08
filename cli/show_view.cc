#include "cli/show_view.h"

#include <fmt/format.h>

#include "base/json.h"
#include "cli/render/progress.h"
#include "cli/render/text_table.h"
#include "cli/view.h"
#include "cli/watch_view.h"
#include "schema/task.h"

namespace strata::cli {

namespace {

using Lines = std::vector<std::pair<std::string, std::string>>;

std::string ago(std::int64_t then_ms, std::int64_t now_ms) {
  if (then_ms <= 0) return "–";
  return format_duration(static_cast<double>(now_ms - then_ms) / 1000) + " ago";
}

std::string states_text(const Value& tasks, const Palette& palette) {
  std::string out;
  for (const auto& [state, number] : as_object(tasks)) {
    const auto count = number.to_double();
    if (!count || *count == 0) continue;
    out += (out.empty() ? "" : ", ") +
           palette.paint(tint_of_state(state), fmt::format("{} {}", brief_text(number), state));
  }
  return out.empty() ? "none" : out;
}

std::string attempt_rows(const Value& task, const Palette& palette) {
  TextTable table({{.header = "attempt", .right = true},
                   {.header = "worker"},
                   {.header = "granted"},
                   {.header = "took"},
                   {.header = "outcome"},
                   {.header = "reason"}});
  for (const Value& attempt : array_at(task, "attempts")) {
    const std::int64_t begin = integer_at(attempt, "started_ms", integer_at(attempt, "granted_ms"));
    const std::int64_t end = integer_at(attempt, "ended_ms");
    const std::string outcome = text_at(attempt, "outcome", "running");
    const Value& worker = at(attempt, "worker");
    table.row({std::to_string(integer_at(attempt, "attempt")),
               worker.is_null() ? "–" : printable(brief_text(worker)),
               format_time(integer_at(attempt, "granted_ms")),
               end > 0 ? format_duration(static_cast<double>(end - begin) / 1000) : "–",
               palette.paint(tint_of_state(outcome), outcome),
               printable(text_at(attempt, "reason"))});
  }
  return table.empty() ? "" : "\n" + table.text(palette);
}

std::string artifact_rows(const Value& task, const Palette& palette) {
  TextTable table({{.header = "artifact"},
                   {.header = "hash"},
                   {.header = "size", .right = true},
                   {.header = "files", .right = true},
                   {.header = "where"}});
  for (const auto& [output, artifact] : object_at(task, "artifacts")) {
    table.row({output, text_at(artifact, "hash").substr(0, 12),
               format_bytes(number_at(artifact, "bytes")),
               format_count(integer_at(artifact, "files")),
               flag_at(artifact, "present", true) ? text_at(artifact, "path")
                                                  : palette.paint(Tint::kWarn, "evicted")});
  }
  return table.empty() ? "" : "\n" + table.text(palette);
}

std::string score_rows(const Value& scores, const Palette& palette) {
  TextTable table({{.header = "score"},
                   {.header = "value", .right = true},
                   {.header = "unit"},
                   {.header = "95 % interval"},
                   {.header = "n", .right = true},
                   {.header = "judge"}});
  const auto add = [&](const std::string& name, const Value& score) {
    const auto low = at(score, "low").to_double();
    const auto high = at(score, "high").to_double();
    table.row(
        {name, format_number(number_at(score, "value"), 5), text_at(score, "unit"),
         low && high ? fmt::format("[{}, {}]", format_number(*low), format_number(*high)) : "–",
         format_count(integer_at(score, "count")), text_at(score, "judge")});
  };
  for (const auto& [name, score] : as_object(scores)) add(name, score);
  return table.empty() ? "" : "\n" + table.text(palette);
}

std::string json_block(const std::string& title, const Value& value, const Palette& palette) {
  if (value.is_null()) return "";
  return "\n" + palette.paint(Tint::kBold, title) + "\n" + to_pretty_json(value);
}

std::string run_as_text(const Value& answer, const Palette& palette,
                        const std::vector<std::string>& order) {
  Lines lines = {{"run", text_at(answer, "run")}};
  for (const Value& sweep : array_at(answer, "sweeps")) {
    const std::string orphan = flag_at(sweep, "orphan") ? " (of an older generation)" : "";
    lines.emplace_back("sweep", printable(text_at(sweep, "sweep")) + orphan);
  }
  lines.emplace_back("cell", printable(text_at(answer, "cell")) +
                                 (flag_at(answer, "baseline") ? " (baseline)" : ""));
  lines.emplace_back("seed", brief_text(at(answer, "seed")));
  TextTable table({{.header = "stage"},
                   {.header = "task"},
                   {.header = "state"},
                   {.header = "attempt", .right = true},
                   {.header = ""}});
  const Value& stages = at(answer, "stages");
  for (const std::string& stage : keys_in_order(as_object(stages), order)) {
    const Value& value = at(stages, stage);
    const std::string state = text_at(value, "state");
    std::string note = flag_at(value, "outdated") ? palette.paint(Tint::kWarn, "outdated") : "";
    if (state == "failed")
      note += (note.empty() ? "" : ", ") + printable(text_at(value, "last_failure"));
    if (state == "pruned" || state == "held")
      note += (note.empty() ? "" : ", ") + printable(text_at(value, "reason"));
    table.row({stage, text_at(value, "task").substr(0, 12),
               palette.paint(tint_of_state(state), state),
               std::to_string(integer_at(value, "attempt")), note});
  }
  return key_value_lines(lines, palette) + (table.empty() ? "" : "\n" + table.text(palette)) +
         score_rows(at(answer, "scores"), palette);
}

std::string task_as_text(const Value& answer, const Palette& palette) {
  const Value& spec = at(answer, "spec");
  const std::string state = text_at(answer, "state");
  const std::string reason = printable(text_at(answer, "reason"));
  Lines lines = {{"task", text_at(answer, "task")},
                 {"stage", text_at(answer, "stage")},
                 {"state", palette.paint(tint_of_state(state), state) +
                               (reason.empty() ? "" : ": " + reason)}};
  const Value& program = at(spec, "program");
  if (!program.is_null()) {
    lines.emplace_back("program",
                       program.if_object() == nullptr
                           ? brief_text(program)
                           : fmt::format("{} (result version {})", text_at(program, "name"),
                                         integer_at(program, "result_version")));
  }
  if (!at(spec, "seed").is_null()) lines.emplace_back("seed", brief_text(at(spec, "seed")));
  for (const auto& [name, version] : object_at(spec, "versions")) {
    const std::string text = printable(brief_text(version));
    lines.emplace_back(name, name == kUnfrozen ? "not frozen: run from " + text : text);
  }
  for (const Value& want : array_at(answer, "wants"))
    lines.emplace_back("wanted by", brief_text(want));
  for (const Value& run : array_at(answer, "runs")) {
    lines.emplace_back("run",
                       fmt::format("{}  {} seed {}", text_at(run, "run").substr(0, 8),
                                   printable(text_at(run, "cell")), brief_text(at(run, "seed"))));
  }
  for (const Value& input : array_at(answer, "inputs")) {
    lines.emplace_back(
        "input", fmt::format("{} = {} of {}", text_at(input, "name"), text_at(input, "output"),
                             text_at(input, "producer").substr(0, 12)));
  }
  for (const auto& [input, hash] : object_at(answer, "consumed")) {
    lines.emplace_back("consumed", fmt::format("{} {}", input, brief_text(hash).substr(0, 12)));
  }
  if (flag_at(answer, "outdated"))
    lines.emplace_back("outdated", "what it was made from has changed since");
  return key_value_lines(lines, palette) + attempt_rows(answer, palette) +
         artifact_rows(answer, palette) + score_rows(at(answer, "scores"), palette) +
         json_block("parameters", at(spec, "parameters"), palette);
}

}  // namespace

std::string sweeps_as_text(const Value& answer, const Palette& palette, std::int64_t now_ms) {
  TextTable table({{.header = "sweep"},
                   {.header = "runs", .right = true},
                   {.header = "tasks"},
                   {.header = "submitted"},
                   {.header = ""}});
  for (const Value& sweep : array_at(answer, "sweeps")) {
    std::string note;
    if (flag_at(sweep, "cancelled")) note = palette.paint(Tint::kWarn, "cancelled");
    if (!flag_at(sweep, "sealed", true))
      note += (note.empty() ? "" : ", ") + std::string("submission not complete");
    const std::int64_t orphans = integer_at(sweep, "orphans");
    if (orphans > 0)
      note += fmt::format("{}{} of older generations", note.empty() ? "" : ", ",
                          plural(orphans, "run"));
    table.row({printable(text_at(sweep, "sweep")), format_count(integer_at(sweep, "runs")),
               states_text(at(sweep, "tasks"), palette),
               ago(integer_at(sweep, "submitted_ms"), now_ms), note});
  }
  return table.empty() ? "no sweep has been submitted; strata submit FILE does\n"
                       : table.text(palette);
}

std::string show_as_text(const Value& answer, const Palette& palette,
                         const std::vector<std::string>& order) {
  return text_at(answer, "kind") == "run" ? run_as_text(answer, palette, order)
                                          : task_as_text(answer, palette);
}

std::string explain_as_text(const Value& answer, const Palette& palette,
                            const std::vector<std::string>& order) {
  TextTable table(
      {{.header = "stage"}, {.header = "task"}, {.header = "state"}, {.header = "why"}});
  Object by_stage;
  for (const Value& stage : array_at(answer, "stages")) by_stage[text_at(stage, "stage")] = stage;
  for (const std::string& name : keys_in_order(by_stage, order)) {
    const Value& stage = by_stage.at(name);
    const std::string state = text_at(stage, "state");
    table.row({text_at(stage, "stage"), text_at(stage, "task").substr(0, 8),
               palette.paint(tint_of_state(state), state),
               printable(text_at(stage, "reason", "–"))});
  }
  const std::string kind = text_at(answer, "kind", "task");
  return kind + " " + text_at(answer, kind) + "\n" + table.text(palette);
}

namespace {

// "12 of 64 GiB free"; a worker that did not say how much it has is given tasks as if it had
// enough.
std::string memory_text(const Value& worker) {
  constexpr double kGib = 1024;
  if (at(worker, "memory_mb").is_null()) return "not said";
  return fmt::format("{} of {} GiB free",
                     format_number(number_at(worker, "memory_free_mb") / kGib, 3),
                     format_number(number_at(worker, "memory_mb") / kGib, 3));
}

}  // namespace

std::string workers_as_text(const Value& answer, const Palette& palette) {
  TextTable table({{.header = "worker"},
                   {.header = "name"},
                   {.header = "slots", .right = true},
                   {.header = "free", .right = true},
                   {.header = "memory", .right = true},
                   {.header = "heard"},
                   {.header = "labels"},
                   {.header = "runs"}});
  for (const Value& worker : array_at(answer, "workers")) {
    std::string labels;
    for (const Value& label : array_at(worker, "labels"))
      labels += (labels.empty() ? "" : " ") + printable(brief_text(label));
    std::string attempts;
    for (const Value& attempt : array_at(worker, "attempts"))
      attempts += (attempts.empty() ? "" : "\n") + printable(brief_text(attempt));
    if (flag_at(worker, "draining"))
      attempts = palette.paint(Tint::kWarn, "draining") + (attempts.empty() ? "" : "\n" + attempts);
    const Value& quarantine = at(worker, "quarantine");
    if (!quarantine.is_null()) {
      const char* how = flag_at(quarantine, "probing") ? "proves itself" : "in quarantine";
      attempts = palette.paint(Tint::kBad, how) + ": " + printable(text_at(quarantine, "reason")) +
                 fmt::format("\nends it: strata release '{}'", printable(text_at(worker, "name"))) +
                 (attempts.empty() ? "" : "\n" + attempts);
    }
    table.row({brief_text(at(worker, "worker")), printable(text_at(worker, "name")),
               format_count(integer_at(worker, "slots")), format_count(integer_at(worker, "free")),
               memory_text(worker),
               format_duration(number_at(worker, "heard_ms_ago") / 1000) + " ago", labels,
               attempts});
  }
  return table.empty()
             ? "no worker has joined; strata-worker --coordinator FILE --folder FOLDER does\n"
             : table.text(palette);
}

std::string status_as_text(const Value& answer, const Palette& palette, std::int64_t now_ms) {
  const std::string dispatch = text_at(answer, "dispatch", "running");
  Lines lines = {
      {"coordinator", text_at(answer, "coordinator")},
      {"build", text_at(answer, "build")},
      {"started", ago(integer_at(answer, "started_ms"), now_ms)},
      {"dispatch", palette.paint(dispatch == "running" ? Tint::kGood : Tint::kWarn, dispatch)},
      {"tasks", states_text(at(answer, "tasks"), palette)},
      {"workers", format_count(integer_at(answer, "workers"))},
      {"slots",
       fmt::format("{} ({} free)", integer_at(answer, "slots"), integer_at(answer, "slots_free"))},
      {"events", format_count(integer_at(answer, "events"))}};
  if (const std::string behind = text_at(answer, "behind"); !behind.empty())
    lines.emplace_back("behind", palette.paint(Tint::kWarn, behind));
  const Value& mirror = at(answer, "mirror");
  if (mirror.if_object() != nullptr) {
    const std::string failing = text_at(mirror, "failing");
    const std::string behind =
        fmt::format("up to event {}, {} ago", format_count(integer_at(mirror, "events")),
                    format_duration(number_at(mirror, "lag_seconds")));
    lines.emplace_back(
        "mirror", failing.empty() ? behind : palette.paint(Tint::kWarn, behind + ": " + failing));
  }
  return key_value_lines(lines, palette);
}

}  // namespace strata::cli
