// A plan as text and as JSON.
#include <algorithm>
#include <set>

#include "base/json.h"
#include "cli/plan_report.h"
#include "cli/render/progress.h"
#include "cli/render/text_table.h"
#include "cli/view.h"

namespace strata::cli {

namespace {

std::string cell_of(std::int64_t number) { return number == 0 ? "·" : format_count(number); }

constexpr double kHourSeconds = 3600;

constexpr double kMinuteSeconds = 60;

// One unit for a whole report, so that its numbers can be added up by eye.
struct SlotUnit {
  const char* name = "slot-hours";
  double seconds = kHourSeconds;
};

// Hours, but where all of it together is a few minutes.
SlotUnit unit_of(const PlanReport& plan) {
  if (plan.slot_seconds < 6 * kMinuteSeconds) return {.name = "slot-seconds", .seconds = 1};
  return plan.on_gpus ? SlotUnit{.name = "GPU-hours"} : SlotUnit{};
}

// Three digits: it is an estimate.
std::string slot_time(double slot_seconds, const SlotUnit& unit) {
  const double value = slot_seconds / unit.seconds;
  if (value >= 99.95) return format_count(static_cast<std::int64_t>(value + 0.5));
  if (value < 0.01) return "<0.01";
  return format_number(value, 3);
}

const char* said_source(EstimateSource source) {
  switch (source) {
    case EstimateSource::kNone: return "";
    case EstimateSource::kShape: return "history";
    case EstimateSource::kProgram: return "history of other shapes";
    case EstimateSource::kAssumption: return "FLOPs";
  }
  return "";
}

constexpr std::size_t kAxisValuesShown = 12;
constexpr std::size_t kOrphansShown = 10;

using Lines = std::vector<std::pair<std::string, std::string>>;

std::string shown_value(const Value& value) {
  if (const std::string* text = value.if_string()) return *text;
  const std::string name = text_at(value, "name");
  return name.empty() ? to_canonical_json(value) : name;
}

// "depth (2) × text (3) + cases (2) + deep: text (4)": axes of one block are multiplied, its cases
// and other blocks stand beside them.
std::string axes_text(const PlanReport& plan) {
  std::string out;
  std::string block;
  bool in_product = false;
  for (const auto& [name, size] : plan.axis_sizes) {
    const std::size_t colon = name.rfind(": ");
    const std::string of = colon == std::string::npos ? "" : name.substr(0, colon);
    const std::string what = colon == std::string::npos ? name : name.substr(colon + 2);
    const bool product = what != "cases";
    const std::string many = size == 0 ? "range" : std::to_string(size);
    if (product && in_product && of == block) {
      out += fmt::format(" × {} ({})", what, many);
    } else {
      out += fmt::format("{}{} ({})", out.empty() ? "" : " + ", name, many);
    }
    block = of;
    in_product = product;
  }
  return out;
}

// "model.depth  4 (12 cells), 8 (10)".
void add_axes(const PlanReport& plan, Lines& lines) {
  if (const std::string axes = axes_text(plan); !axes.empty()) lines.emplace_back("axes", axes);
  for (const AxisCounts& axis : plan.axes) {
    std::string text;
    for (std::size_t i = 0; i < std::min(axis.cells.size(), kAxisValuesShown); ++i) {
      text += fmt::format("{}{} ({}{})", i == 0 ? "" : ", ", shown_value(axis.cells[i].first),
                          axis.cells[i].second,
                          i > 0                       ? ""
                          : axis.cells[i].second == 1 ? " cell"
                                                      : " cells");
    }
    if (axis.cells.size() > kAxisValuesShown)
      text += fmt::format(", and {} more", axis.cells.size() - kAxisValuesShown);
    if (!text.empty()) lines.emplace_back("cells by " + axis.parameter, text);
  }
}

// "asha: of train, by validation_loss (minimize) at steps 50, 100; the best 1/2 of each go on".
void add_search(const PlanReport& plan, Lines& lines) {
  if (!plan.search) return;
  const SearchDefinition& search = *plan.search;
  const std::string rule =
      search.method == SearchMethod::kAsha
          ? fmt::format("the best 1/{} of each go on", search.reduction)
          : fmt::format("what is worse than the median of {} others ends", search.others_min);
  lines.emplace_back(
      "search", fmt::format("{}: {} by {} ({}) at steps {}; {}", name_of(search.method),
                            search.stage, search.metric, search.minimize ? "minimize" : "maximize",
                            fmt::join(search.rungs, ", "), rule));
}

void add_code(const PlanReport& plan, Lines& lines) {
  for (const StageCodeFacts& code : plan.code) {
    lines.emplace_back(
        "code of " + code.stage,
        fmt::format("{}, {} KiB, {}{}{}", plural(static_cast<std::int64_t>(code.files), "file"),
                    (code.bytes + 1023) / 1024, code.version.substr(0, 15),
                    code.git.empty() ? "" : ", git " + code.git,
                    code.frozen ? "" : "; NOT FROZEN: run from where it lies"));
  }
}

void add_changes(const PlanReport& plan, Lines& lines) {
  for (const StageNote& one : plan.outdated) {
    lines.emplace_back("outdated",
                       fmt::format("{} of {}: {}; kept, raise result_version to make it again",
                                   plural(one.tasks, "result"), one.stage, one.reason));
  }
  for (std::size_t i = 0; i < std::min(plan.orphans.size(), kOrphansShown); ++i) {
    const Orphan& one = plan.orphans[i];
    const std::string fate = one.fate == "withdrawn" ? "what has not begun is withdrawn"
                             : one.fate == "goes on" ? "what runs goes on"
                                                     : "its results stay";
    lines.emplace_back("orphaned", fmt::format("{} seed {} ({}): {}", one.cell, one.seed,
                                               one.run.substr(0, 8), fate));
  }
  const auto named = static_cast<std::int64_t>(std::min(plan.orphans.size(), kOrphansShown));
  if (plan.orphaned > named)
    lines.emplace_back("orphaned", fmt::format("and {} more", plan.orphaned - named));
}

bool is_nothing_new(const PlanReport& plan) {
  return plan.tasks.total() == plan.tasks.kept + plan.tasks.outdated;
}

// What takes no time to speak of is known all the same.
bool is_unknown(const StagePlan& stage) {
  return stage.slot_seconds == 0 && stage.source == EstimateSource::kNone;
}

// Nothing of what is to do has an estimate.
bool is_unknown(const PlanReport& plan) {
  return plan.unknown > 0 &&
         std::ranges::all_of(plan.stages, [](const StagePlan& stage) { return is_unknown(stage); });
}

std::string stage_lines(const PlanReport& plan, const SlotUnit& unit, const Palette& palette) {
  TextTable table({{.header = "stage"},
                   {.header = "new", .right = true},
                   {.header = "retried", .right = true},
                   {.header = "outdated", .right = true},
                   {.header = "under way", .right = true},
                   {.header = "kept", .right = true},
                   {.header = unit.name, .right = true},
                   {.header = "from"}});
  const auto add = [&](const std::string& name, const PlanCounts& counts, const std::string& hours,
                       const std::string& source) {
    table.row({name, cell_of(counts.fresh), cell_of(counts.retried), cell_of(counts.outdated),
               cell_of(counts.under_way), cell_of(counts.kept), hours, source});
  };
  for (const StagePlan& stage : plan.stages) {
    const bool idle = stage.counts.total() == stage.counts.kept + stage.counts.outdated;
    std::string source = said_source(stage.source);
    if (stage.unknown > 0)
      source += fmt::format("{}{} unknown", source.empty() ? "" : ", ", stage.unknown);
    add(stage.stage, stage.counts,
        idle                ? "·"
        : is_unknown(stage) ? "?"
                            : slot_time(stage.slot_seconds, unit),
        source);
  }
  table.rule();
  add("all tasks", plan.tasks,
      is_unknown(plan)                                 ? "?"
      : is_nothing_new(plan) && plan.slot_seconds == 0 ? "·"
                                                       : slot_time(plan.slot_seconds, unit),
      "");
  add("runs", plan.runs, "", plan.orphaned > 0 ? fmt::format("{} orphaned", plan.orphaned) : "");
  return table.text(palette);
}

}  // namespace

namespace {

std::string end_text(const PlanReport& plan, std::int64_t now_ms) {
  if (is_nothing_new(plan)) return "nothing is new: every result exists";
  if (!plan.impossible.empty())
    return fmt::format("none: no worker that is there could hold what {} needs",
                       plan.impossible.front().stage);
  if (plan.seconds) {
    const std::string free =
        plan.connected ? fmt::format(" ({} free now)", plan.slots_free) : std::string();
    const std::string others = plan.others == 0
                                   ? ""
                                   : fmt::format(
                                         ", without what {} of other sweeps take that run or are "
                                         "queued",
                                         plural(plan.others, "task"));
    return fmt::format("in about {} on {}{}{}: {}", format_duration(*plan.seconds),
                       plural(plan.slots, "slot"), free, others,
                       format_time(now_ms + static_cast<std::int64_t>(*plan.seconds * 1000)));
  }
  if (plan.slots_withheld)
    return "unknown: every worker is draining or in quarantine (strata workers)";
  return plan.slots == 0 ? "unknown: no slots (--slots N supposes some)"
                         : "unknown: some tasks are of unknown length";
}

}  // namespace

std::string plan_as_text(const PlanReport& plan, const Palette& palette, std::int64_t now_ms) {
  const SlotUnit unit = unit_of(plan);
  std::string out = fmt::format("{}  {}, {}, {}\n", palette.paint(Tint::kBold, plan.sweep),
                                plural(static_cast<std::int64_t>(plan.cells), "cell"),
                                plural(static_cast<std::int64_t>(plan.seeds), "seed"),
                                plural(plan.runs.total(), "run"));
  Lines lines;
  add_axes(plan, lines);
  add_search(plan, lines);
  for (const DroppedBy& by : plan.dropped) {
    lines.emplace_back("dropped",
                       fmt::format("{} by {}", plural(static_cast<std::int64_t>(by.cells), "cell"),
                                   by.constraint));
  }
  if (plan.merged > 0) {
    lines.emplace_back("merged",
                       fmt::format("{}: the same results as an earlier cell",
                                   plural(static_cast<std::int64_t>(plan.merged), "cell")));
  }
  for (const std::string& stage : plan.absent) lines.emplace_back("in no cell", stage);
  add_code(plan, lines);
  if (!plan.connected)
    lines.emplace_back("note", "no coordinator was asked: everything counts as new");
  out += key_value_lines(lines, palette) + "\n" + stage_lines(plan, unit, palette) + "\n";
  lines.clear();
  const bool assumed = std::any_of(plan.stages.begin(), plan.stages.end(), [](const StagePlan& s) {
    return s.source == EstimateSource::kAssumption;
  });
  const bool none = is_unknown(plan);
  std::string cost =
      none ? fmt::format("unknown for {}: none like them has finished, and {}",
                         plural(plan.unknown, "task"),
                         plan.flops_of_no_rate == 0
                             ? "the stages name no FLOPs"
                             : "how fast a slot without the label gpu is, only --gflops says")
           : fmt::format("{} {}", slot_time(plan.slot_seconds, unit), unit.name);
  if (is_nothing_new(plan) && plan.slot_seconds == 0) cost = "none";
  if (assumed)
    cost += fmt::format(", FLOPs at an assumed {} GFLOP/s per slot (--gflops)",
                        format_count(static_cast<std::int64_t>(plan.gflops)));
  if (plan.unknown > 0 && !none)
    cost += fmt::format("; without {} of unknown length", plural(plan.unknown, "task"));
  if (plan.search && !none) cost += "; an upper bound: the search ends some of them early";
  lines.emplace_back("estimate", cost);
  add_changes(plan, lines);
  for (const StageNote& one : plan.impossible) {
    lines.emplace_back("cannot run", fmt::format("{} of {}: {}", plural(one.tasks, "task"),
                                                 one.stage, one.reason));
  }
  lines.emplace_back("end", end_text(plan, now_ms));
  if (!plan.plan_id.empty())
    lines.emplace_back(
        "plan", plan.plan_id + "  (strata submit --if-plan refuses when the world has moved)");
  return out + key_value_lines(lines, palette);
}

namespace {

Value counts_as_json(const PlanCounts& counts) {
  return Object{{"new", counts.fresh},         {"kept", counts.kept},
                {"retried", counts.retried},   {"under_way", counts.under_way},
                {"outdated", counts.outdated}, {"total", counts.total()}};
}

}  // namespace

Value plan_as_json(const PlanReport& plan) {
  Array dropped;
  for (const DroppedBy& by : plan.dropped) {
    dropped.push_back(
        Object{{"constraint", by.constraint}, {"cells", static_cast<std::int64_t>(by.cells)}});
  }
  Array axes;
  for (const auto& [name, size] : plan.axis_sizes) {
    axes.push_back(Object{{"parameter", name}, {"values", static_cast<std::int64_t>(size)}});
  }
  Array by_value;
  for (const AxisCounts& axis : plan.axes) {
    Array values;
    for (const auto& [value, cells] : axis.cells)
      values.push_back(Object{{"value", value}, {"cells", static_cast<std::int64_t>(cells)}});
    by_value.push_back(Object{{"parameter", axis.parameter}, {"values", std::move(values)}});
  }
  Array code;
  for (const StageCodeFacts& one : plan.code) {
    code.push_back(Object{{"stage", one.stage},
                          {"files", static_cast<std::int64_t>(one.files)},
                          {"bytes", one.bytes},
                          {"version", one.version},
                          {"git", one.git},
                          {"frozen", one.frozen}});
  }
  Array outdated;
  for (const StageNote& one : plan.outdated)
    outdated.push_back(Object{{"stage", one.stage}, {"reason", one.reason}, {"tasks", one.tasks}});
  Array orphans;
  for (const Orphan& one : plan.orphans)
    orphans.push_back(
        Object{{"run", one.run}, {"cell", one.cell}, {"seed", one.seed}, {"fate", one.fate}});
  Array impossible;
  for (const StageNote& one : plan.impossible)
    impossible.push_back(
        Object{{"stage", one.stage}, {"reason", one.reason}, {"tasks", one.tasks}});
  Array absent(plan.absent.begin(), plan.absent.end());
  Array stages;
  for (const StagePlan& stage : plan.stages) {
    stages.push_back(
        Object{{"stage", stage.stage},
               {"tasks", counts_as_json(stage.counts)},
               {"slot_seconds",
                is_unknown(stage) && stage.unknown > 0 ? Value() : Value(stage.slot_seconds)},
               {"unknown", stage.unknown},
               {"source", stage.source == EstimateSource::kShape        ? "history"
                          : stage.source == EstimateSource::kProgram    ? "history of other shapes"
                          : stage.source == EstimateSource::kAssumption ? "assumed GFLOP/s"
                                                                        : "none"}});
  }
  return Object{{"sweep", plan.sweep},
                {"plan_id", plan.plan_id.empty() ? Value() : Value(plan.plan_id)},
                {"connected", plan.connected},
                {"cells", static_cast<std::int64_t>(plan.cells)},
                {"seeds", static_cast<std::int64_t>(plan.seeds)},
                {"search", plan.search ? Value(name_of(plan.search->method)) : Value()},
                {"dropped", std::move(dropped)},
                {"axes", std::move(axes)},
                {"runs", counts_as_json(plan.runs)},
                {"cells_by_value", std::move(by_value)},
                {"merged", static_cast<std::int64_t>(plan.merged)},
                {"code", std::move(code)},
                {"outdated", std::move(outdated)},
                {"orphaned", plan.orphaned},
                {"orphans", std::move(orphans)},
                {"tasks", counts_as_json(plan.tasks)},
                {"stages", std::move(stages)},
                {"slot_seconds", is_unknown(plan) ? Value() : Value(plan.slot_seconds)},
                {"unknown", plan.unknown},
                {"cannot_run", std::move(impossible)},
                {"others_queued", plan.others},
                {"in_no_cell", std::move(absent)},
                {"gflops", plan.gflops},
                {"slots", plan.slots},
                {"slots_free", plan.slots_free},
                {"seconds", plan.seconds ? Value(*plan.seconds) : Value()}};
}

}  // namespace strata::cli
