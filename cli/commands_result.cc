// query, table, plot, trace.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <sstream>

#include "base/files.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "cli/commands.h"
#include "cli/plot.h"
#include "cli/query.h"
#include "cli/render/progress.h"
#include "cli/table_latex.h"
#include "cli/table_render.h"
#include "cli/view.h"

namespace strata::cli {

namespace fs = std::filesystem;

namespace {

Value texts(const std::vector<std::string>& list) { return Array(list.begin(), list.end()); }

}  // namespace

Result<int> run_query_command(Context& context, const QueryOptions& options) {
  STRATA_TRY(const Query query, read_query(options.text));
  const bool grouped = !options.by.empty() || !options.mean.empty();
  STRATA_TRY(const Value answer, context.ask("search", Object{{"query", options.text},
                                                              {"by", texts(options.by)},
                                                              {"mean", texts(options.mean)},
                                                              {"whole", context.json}}));
  std::string note;
  for (const Value& name : array_at(answer, "unknown_names"))
    note += fmt::format("no run has a parameter or a score called {}\n", brief_text(name));
  std::string text =
      grouped
          ? groups_as_text(array_at(answer, "groups"), options.by, options.mean, context.palette)
          : runs_as_text(array_at(answer, "runs"), names_in(query), context.palette);
  context.answer(answer, text + context.palette.paint(Tint::kWarn, note));
  return note.empty() ? kExitOk : kExitFailed;  // a misspelt name is no empty result
}

namespace {

Result<Value> definition_of(Context& context, const std::string& sweep) {
  STRATA_TRY(const Value answer, context.ask("sweeps", Object{{"sweep", sweep}}));
  for (const Value& entry : array_at(answer, "sweeps")) {
    if (text_at(entry, "sweep") == sweep) return at(entry, "definition");
  }
  return fail(ErrorCode::kNotFound, "no sweep '{}'; strata list shows them", sweep);
}

// Why tasks failed, diverged or were pruned, for the footnotes.
Result<std::map<std::string, std::string>> reasons_of(Context& context, const std::string& sweep) {
  std::map<std::string, std::string> out;
  for (const char* state : {"failed", "diverged", "cancelled", "pruned"}) {
    STRATA_TRY(const Value answer,
               context.ask("tasks", Object{{"sweep", sweep}, {"state", state}}));
    for (const Value& task : array_at(answer, "tasks"))
      out[text_at(task, "task")] =
          text_at(task, std::string_view(state) == "pruned" ? "reason" : "last_failure");
  }
  return out;
}

tl::unexpected<Error> no_score_yet(const std::string& sweep) {
  return fail(ErrorCode::kNotFound,
              "no run of sweep '{}' has a score yet; strata watch {} shows how far it is", sweep,
              sweep);
}

// Scores that were asked for by name and that neither the sweep nor any of its runs has.
Status check_scores(const std::string& sweep, const Value& definition, const Array& runs,
                    const std::vector<std::string>& chosen) {
  std::set<std::string> known;
  for (const Value& name : array_at(at(definition, "table"), "scores"))
    known.insert(brief_text(name));
  for (const Value& run : runs) {
    for (const auto& [name, score] : object_at(run, "scores")) known.insert(name);
  }
  for (const std::string& name : chosen) {
    if (known.contains(name)) continue;
    if (known.empty()) return no_score_yet(sweep);
    return fail(ErrorCode::kNotFound, "sweep '{}' has no score '{}'; it has {}", sweep, name,
                fmt::join(known, ", "));
  }
  return {};
}

Result<TableRequest> table_request(Context& context, const std::string& sweep,
                                   const std::vector<std::string>& scores) {
  TableRequest out{.sweep = sweep, .scores = scores};
  STRATA_TRY(out.definition, definition_of(context, sweep));
  STRATA_TRY(const Value names, context.ask("runs", Object{{"sweep", sweep}}));
  STRATA_CHECK_OK(check_scores(sweep, out.definition, array_at(names, "runs"), scores));
  Array items;
  for (const std::string& name : scores_needed(out.definition, array_at(names, "runs"), scores))
    items.push_back(name);
  STRATA_TRY(const Value answer,
             context.ask("runs", Object{{"sweep", sweep}, {"items", std::move(items)}}));
  out.runs = array_at(answer, "runs");
  STRATA_TRY(out.reasons, reasons_of(context, sweep));
  return out;
}

}  // namespace

Result<int> run_table(Context& context, const TableOptions& options) {
  STRATA_TRY(TableRequest request, table_request(context, options.sweep, options.scores));
  request.bootstrap.resamples = options.resamples;
  request.published = !options.no_published;
  STRATA_TRY(const AblationTable table, build_table(request));
  if (table.columns.empty()) return no_score_yet(options.sweep);
  std::string text;
  if (options.format == "csv") {
    text = table_as_csv(table);
  } else if (options.format == "markdown") {
    text = table_as_markdown(table);
  } else if (options.format == "latex") {
    text = table_as_latex(table);
  } else {
    text = table_as_text(table, context.palette, context.width);
  }
  context.answer(table_as_json(table), text);
  return kExitOk;
}

namespace {

// The tasks of the sweep's runs that may have points of the metric: every seeded or long stage
// reports some.
Result<std::vector<MetricCurve>> curves_of(Context& context, const std::string& sweep,
                                           const std::string& metric) {
  STRATA_TRY(const Value answer, context.ask("runs", Object{{"sweep", sweep}}));
  std::vector<MetricCurve> out;
  std::map<std::string, std::map<std::int64_t, double>> by_task;  // runs share tasks: ask once
  for (const Value& run : array_at(answer, "runs")) {
    if (flag_at(run, "orphan")) continue;
    MetricCurve curve{.cell = text_at(run, "cell"),
                      .seed = static_cast<std::uint64_t>(integer_at(run, "seed")),
                      .assignment = at(run, "assignment")};
    for (const auto& [stage, value] : object_at(run, "stages")) {
      const std::string task = text_at(value, "task");
      auto known = by_task.find(task);
      if (known == by_task.end()) {
        known = by_task.emplace(task, std::map<std::int64_t, double>{}).first;
        if (integer_at(value, "attempt") > 0) {
          STRATA_TRY(const Value metrics,
                     context.ask("metrics", Object{{"prefix", task}, {"names", Array{metric}}}));
          for (const Value& point : array_at(metrics, "points")) {
            const auto number = at(at(point, "values"), metric).to_double();
            if (number && std::isfinite(*number))
              known->second[integer_at(point, "step")] = *number;
          }
        }
      }
      if (!known->second.empty()) curve.values = known->second;
    }
    out.push_back(std::move(curve));
  }
  return out;
}

bool has_parameter(const Value& run, const std::string& name) {
  return !at(at(run, "assignment"), name).is_null() || at(run, "parameters").find(name) != nullptr;
}

Result<Plot> plot_for(Context& context, const PlotOptions& options) {
  if (options.x == "step") {
    STRATA_TRY(const auto curves, curves_of(context, options.sweep, options.y));
    return plot_of_curves(options.sweep, options.y, curves);
  }
  STRATA_TRY(TableRequest request, table_request(context, options.sweep, {options.y}));
  Array rows = array_at(at(request.definition, "table"), "rows");
  if (rows.empty()) {
    for (const Value& axis : array_at(request.definition, "axes"))
      rows.push_back(at(axis, "parameter"));
  }
  if (std::find(rows.begin(), rows.end(), Value(options.x)) == rows.end()) {
    const bool known = std::ranges::any_of(
        request.runs, [&](const Value& run) { return has_parameter(run, options.x); });
    if (!known) {
      std::vector<std::string> names;
      for (const Value& row : rows) names.push_back(brief_text(row));
      return fail(ErrorCode::kNotFound, "sweep '{}' has no parameter '{}'; what varies in it: {}",
                  options.sweep, options.x, fmt::join(names, ", "));
    }
    rows.push_back(options.x);
  }
  if (request.definition.is_null()) request.definition = Object{};
  STRATA_CHECK_OK(request.definition.set("table.rows", std::move(rows)));
  STRATA_TRY(const AblationTable table, build_table(request));
  return plot_of_table(table, options.x, options.y);
}

Status write_png(const fs::path& out, const std::string& svg) {
  auto program = find_program("rsvg-convert");
  if (!program) {
    return fail(ErrorCode::kNotFound,
                "PNG needs rsvg-convert (Debian: librsvg2-bin), which is not in PATH; --out "
                "FILE.svg needs nothing");
  }
  STRATA_TRY(const fs::path folder,
             make_temporary_folder(fs::temp_directory_path(), "strata-plot-"));
  const fs::path source = folder / "plot.svg";
  const fs::path made = folder / "plot.png";
  const auto convert = [&]() -> Status {
    STRATA_CHECK_OK(write_file_atomic(source, svg));
    STRATA_TRY(const Captured done,
               run_captured({.argv = {program->string(), "--zoom", "2", "--output", made.string(),
                                      source.string()}}));
    if (!done.exit.ok())
      return fail(ErrorCode::kInternal, "rsvg-convert ended with {}", done.exit.describe());
    STRATA_TRY(const std::string png, read_file(made));
    return write_file_atomic(out, png);  // our own error where it cannot be written
  };
  const Status status = convert();
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return status;
}

}  // namespace

Result<int> run_plot(Context& context, const PlotOptions& options) {
  const fs::path out = options.out.empty() ? fs::path(options.sweep + "-" + options.y + ".svg")
                                           : fs::path(options.out);
  if (out.extension() != ".svg" && out.extension() != ".png") {
    return fail(ErrorCode::kInvalid, "--out {}: a plot is written as .svg or .png", out.string());
  }
  STRATA_TRY(Plot plot, plot_for(context, options));
  if (options.line) STRATA_CHECK_OK(add_line(plot, *options.line));
  const std::string svg = plot_as_svg(plot);
  STRATA_CHECK_OK(out.extension() == ".png" ? write_png(out, svg) : write_file_atomic(out, svg));
  Value json = plot_as_json(plot);
  STRATA_CHECK_OK(json.set("file", out.string()));
  context.answer(json, fmt::format("wrote {}\n", out.string()));
  return kExitOk;
}

namespace {

// Where the audio of one utterance lies in an artifact, by the artifact's own list: `list.jsonl` of
// synthesize and copy, `manifest.jsonl` of a corpus. Empty where it lists no such utterance.
std::string find_audio(const fs::path& folder, const std::string& item, const std::string& set) {
  for (const char* name : {"list.jsonl", "manifest.jsonl"}) {
    const auto text = read_file(folder / name);
    if (!text) continue;
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) {
      const auto row = parse_json(line);
      if (!row || text_at(*row, "id") != item) continue;
      const std::string its_set = text_at(*row, "set");
      if (its_set.empty() || its_set == set) return (folder / text_at(*row, "audio")).string();
    }
  }
  return "";
}

// The set of recordings that a score is about: "wer/recordings" names it, "wer" means generated.
std::string set_of(const std::string& score) {
  const std::size_t slash = score.find('/');
  return slash == std::string::npos ? "generated" : score.substr(slash + 1);
}

struct TracedInput {
  std::string name{};
  std::string hash{};
  std::string producer{};
  std::string stage{};
  std::int64_t attempt = 0;
  std::string path{};
  bool changed = false;  // the producer has made other bytes since
};

std::int64_t newest_attempt(const Value& task) {
  std::int64_t out = 0;
  for (const Value& attempt : array_at(task, "attempts"))
    out = std::max(out, integer_at(attempt, "attempt"));
  return out;
}

Result<std::vector<TracedInput>> inputs_of(Context& context, const Value& task) {
  std::vector<TracedInput> out;
  const Value& inputs =
      at(task, "inputs").is_null() ? at(at(task, "spec"), "inputs") : at(task, "inputs");
  for (const Value& input : as_array(inputs)) {
    TracedInput made{.name = text_at(input, "name"), .producer = text_at(input, "producer")};
    made.hash = text_at(at(task, "consumed"), made.name);
    STRATA_TRY(const Value producer, context.ask("show", Object{{"prefix", made.producer}}));
    const Value& artifact = at(at(producer, "artifacts"), text_at(input, "output"));
    made.stage = text_at(producer, "stage", text_at(at(producer, "spec"), "stage"));
    made.attempt = newest_attempt(producer);
    made.changed = !made.hash.empty() && made.hash != text_at(artifact, "hash");
    if (flag_at(artifact, "present", true) && !made.changed) made.path = text_at(artifact, "path");
    out.push_back(std::move(made));
  }
  return out;
}

Value input_json(const TracedInput& input) {
  return Object{{"input", input.name},           {"hash", input.hash},
                {"task", input.producer},        {"stage", input.stage},
                {"attempt", input.attempt},      {"path", input.path},
                {"changed_since", input.changed}};
}

// One run's part of a figure, as JSON; the text is made from it.
Result<Value> trace_run(Context& context, const Value& run, const TraceOptions& options) {
  const Value& score = at(at(run, "scores"), options.score);
  Object out{
      {"run", text_at(run, "run")}, {"seed", at(run, "seed")}, {"state", text_at(run, "state")}};
  if (score.is_null()) return Value(std::move(out));
  out["value"] = at(score, "value");
  out["judge"] = text_at(score, "judge");
  out["task"] = text_at(score, "task");
  out["stage"] = text_at(score, "stage");
  STRATA_TRY(const Value task, context.ask("show", Object{{"prefix", text_at(score, "task")}}));
  out["attempt"] =
      at(score, "attempt").is_null() ? Value(newest_attempt(task)) : at(score, "attempt");
  STRATA_TRY(const std::vector<TracedInput> inputs, inputs_of(context, task));
  Array traced;
  Array audio;
  for (const TracedInput& input : inputs) {
    traced.push_back(input_json(input));
    if (options.item.empty() || input.path.empty()) continue;
    const std::string file = find_audio(input.path, options.item, set_of(options.score));
    if (!file.empty()) audio.push_back(Object{{"input", input.name}, {"file", file}});
  }
  out["inputs"] = std::move(traced);
  if (!options.item.empty()) {
    const Value& value = at(at(score, "items"), options.item);
    if (value.is_null())
      return fail(ErrorCode::kNotFound, "score '{}' of run {} has no item '{}'", options.score,
                  text_at(run, "run").substr(0, 8), options.item);
    out["item"] = Object{{"name", options.item}, {"value", value}, {"audio", std::move(audio)}};
  }
  return Value(std::move(out));
}

std::string trace_text(const Value& run, const Palette& palette) {
  std::string out =
      palette.paint(Tint::kBold, fmt::format("run {}  seed {}", text_at(run, "run").substr(0, 12),
                                             brief_text(at(run, "seed"))));
  if (at(run, "value").is_null()) return out + "  " + text_at(run, "state") + ": no such score\n";
  const auto value = at(run, "value").to_double();
  out +=
      fmt::format("  value {}\n", value ? format_number(*value, 8) : brief_text(at(run, "value")));
  out += fmt::format("  by {} task {} attempt {}{}\n", text_at(run, "stage"),
                     text_at(run, "task").substr(0, 12), brief_text(at(run, "attempt")),
                     text_at(run, "judge").empty() ? "" : ", judge " + text_at(run, "judge"));
  for (const Value& input : array_at(run, "inputs")) {
    out += fmt::format(
        "  from {}: artifact {}\n       made by {} task {} attempt {}\n       {}\n",
        text_at(input, "input"), text_at(input, "hash"), text_at(input, "stage"),
        text_at(input, "task").substr(0, 12), integer_at(input, "attempt"),
        flag_at(input, "changed_since")
            ? palette.paint(Tint::kWarn, "outdated: its producer has made other bytes since")
        : text_at(input, "path").empty() ? palette.paint(Tint::kWarn, "evicted")
                                         : text_at(input, "path"));
  }
  const Value& item = at(run, "item");
  if (item.is_null()) return out;
  const auto number = at(item, "value").to_double();
  out += fmt::format("  {}: {}\n", text_at(item, "name"),
                     number ? format_number(*number, 8) : brief_text(at(item, "value")));
  for (const Value& audio : array_at(item, "audio"))
    out += fmt::format("       {} {}\n", text_at(audio, "input"), text_at(audio, "file"));
  return out;
}

}  // namespace

Result<int> run_trace(Context& context, const TraceOptions& options) {
  STRATA_TRY(const Value answer, context.ask("runs", Object{{"sweep", options.sweep},
                                                            {"items", Array{options.score}}}));
  Array traced;
  std::string text = fmt::format("{} of '{}' in {}\n", options.score, options.cell, options.sweep);
  std::set<std::string> cells;
  for (const Value& run : array_at(answer, "runs")) {
    cells.insert(text_at(run, "cell"));
    if (text_at(run, "cell") != options.cell || flag_at(run, "orphan")) continue;
    STRATA_TRY(const Value one, trace_run(context, run, options));
    text += trace_text(one, context.palette);
    traced.push_back(one);
  }
  STRATA_CHECK_OK(check_scores(options.sweep, Value(), array_at(answer, "runs"), {options.score}));
  if (traced.empty()) {
    return fail(ErrorCode::kNotFound, "sweep '{}' has no cell '{}'; its cells are: {}",
                options.sweep, options.cell, fmt::join(cells, "; "));
  }
  context.answer(Object{{"sweep", options.sweep},
                        {"cell", options.cell},
                        {"score", options.score},
                        {"runs", std::move(traced)}},
                 text);
  return kExitOk;
}

}  // namespace strata::cli
