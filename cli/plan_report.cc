#include "cli/plan_report.h"

#include <algorithm>
#include <set>

#include "cli/render/progress.h"
#include "cli/render/text_table.h"
#include "cli/view.h"

namespace strata::cli {

namespace {

enum class Category {
  kKept,
  kOutdated,
  kUnderWay,
  kRetried,
  kFresh
};  // ascending: a run is what its worst task is

Category category_of(const Value& known) {
  if (known.is_null()) return Category::kFresh;
  const std::string state = text_at(known, "state");
  if (state == "failed" || state == "cancelled") return Category::kRetried;
  if (state == "succeeded" || state == "diverged")
    return flag_at(known, "outdated") ? Category::kOutdated : Category::kKept;
  return Category::kUnderWay;
}

void count(PlanCounts& counts, Category category) {
  switch (category) {
    case Category::kKept: ++counts.kept; return;
    case Category::kOutdated: ++counts.outdated; return;
    case Category::kUnderWay: ++counts.under_way; return;
    case Category::kRetried: ++counts.retried; return;
    case Category::kFresh: ++counts.fresh; return;
  }
}

// What finished tasks of one program took.
struct History {
  double flops = 0;          // of the entries that know their FLOPs
  double flops_seconds = 0;  // slot-seconds of the same
  double seconds = 0;
  std::int64_t entries = 0;
};

std::map<std::string, History> history_of(const Value& answer) {
  std::map<std::string, History> out;
  for (const Value& entry : array_at(answer, "history")) {
    History& history = out[text_at(entry, "program")];
    const double seconds = number_at(entry, "seconds");
    const double flops = number_at(entry, "flops");
    history.seconds += seconds;
    ++history.entries;
    if (flops <= 0) continue;
    history.flops += flops;
    history.flops_seconds += seconds * number_at(entry, "slots", 1);
  }
  return out;
}

struct Duration {
  std::optional<double> seconds{};
  EstimateSource source = EstimateSource::kNone;
};

Duration duration_of(const TaskSpec& task, const Value& known,
                     const std::map<std::string, History>& history, double gflops) {
  const double before = number_at(known, "seconds");
  if (before > 0) return {before, EstimateSource::kHistory};
  const auto slots = static_cast<double>(std::max<std::int64_t>(task.resources.slots, 1));
  const auto found = history.find(task.program.name);
  if (found != history.end() && task.flops > 0 && found->second.flops_seconds > 0) {
    return {task.flops / (found->second.flops / found->second.flops_seconds) / slots,
            EstimateSource::kHistory};
  }
  if (found != history.end()) {
    return {found->second.seconds / static_cast<double>(found->second.entries),
            EstimateSource::kHistory};
  }
  if (task.flops > 0) return {task.flops / (gflops * 1e9) / slots, EstimateSource::kAssumption};
  return {};
}

StagePlan& stage_of(PlanReport& plan, const std::string& name) {
  const auto found = std::find_if(plan.stages.begin(), plan.stages.end(),
                                  [&](const StagePlan& s) { return s.stage == name; });
  if (found != plan.stages.end()) return *found;
  plan.stages.push_back({.stage = name});
  return plan.stages.back();
}

void count_runs(PlanReport& plan, const Expansion& expansion,
                const std::map<TaskKey, Category>& categories, const Value& answer) {
  std::set<std::string> here;
  for (const RunSpec& run : expansion.runs) {
    here.insert(run.key.hex());
    Category worst = Category::kKept;
    for (const auto& [stage, key] : run.tasks) {
      const auto found = categories.find(key);
      if (found != categories.end()) worst = std::max(worst, found->second);
    }
    count(plan.runs, worst);
  }
  for (const Value& key : array_at(answer, "runs")) {
    if (key.if_string() != nullptr && !here.contains(*key.if_string())) ++plan.orphaned;
  }
}

}  // namespace

PlanReport make_plan(const SweepDefinition& definition, const Expansion& expansion,
                     const Value& answer, const PlanOptions& options) {
  PlanReport plan{.sweep = expansion.sweep,
                  .plan_id = text_at(answer, "plan_id"),
                  .connected = !answer.is_null()};
  plan.cells = expansion.cells;
  plan.seeds = definition.seeds.size();
  plan.dropped = expansion.dropped;
  plan.axis_sizes = expansion.axis_sizes;
  plan.gflops = options.gflops;
  plan.slots = options.slots > 0 ? options.slots : integer_at(answer, "slots");
  plan.slots_free = integer_at(answer, "slots_free");
  for (const StageDefinition& stage : definition.stages) stage_of(plan, stage.name);
  const auto history = history_of(answer);
  const Value& tasks = at(answer, "tasks");
  std::map<TaskKey, Category> categories;
  std::map<TaskKey, double> ends;  // earliest, with unlimited slots
  double longest = 0;
  for (const TaskSpec& task : expansion.tasks) {
    const Value& known = at(tasks, task.key.hex());
    const Category category = category_of(known);
    categories[task.key] = category;
    count(plan.tasks, category);
    StagePlan& stage = stage_of(plan, task.stage);
    count(stage.counts, category);
    double begin = 0;
    for (const TaskInput& input : task.inputs) {
      const auto found = ends.find(input.producer);
      if (found != ends.end()) begin = std::max(begin, found->second);
    }
    ends[task.key] = begin;
    if (category == Category::kKept) continue;
    const Duration duration = duration_of(task, known, history, options.gflops);
    if (!duration.seconds) {
      ++stage.unknown;
      ++plan.unknown;
      continue;
    }
    stage.source = std::max(stage.source, duration.source);
    const double slot_seconds =
        *duration.seconds * static_cast<double>(std::max<std::int64_t>(task.resources.slots, 1));
    stage.slot_seconds += slot_seconds;
    plan.slot_seconds += slot_seconds;
    const auto& labels = task.resources.labels;
    plan.on_gpus = plan.on_gpus && std::find(labels.begin(), labels.end(), "gpu") != labels.end();
    ends[task.key] = begin + *duration.seconds;
    longest = std::max(longest, ends[task.key]);
  }
  std::erase_if(plan.stages, [](const StagePlan& stage) { return stage.counts.total() == 0; });
  count_runs(plan, expansion, categories, answer);
  if (plan.slots > 0 && plan.unknown == 0)
    plan.seconds = std::max(longest, plan.slot_seconds / static_cast<double>(plan.slots));
  return plan;
}

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
  if (value > 0 && value < 0.01) return "<0.01";
  return format_number(value, 3);
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
    const bool idle = stage.counts.total() == stage.counts.kept;
    std::string source = stage.source == EstimateSource::kHistory      ? "history"
                         : stage.source == EstimateSource::kAssumption ? "FLOPs"
                                                                       : "";
    if (stage.unknown > 0)
      source += fmt::format("{}{} unknown", source.empty() ? "" : ", ", stage.unknown);
    add(stage.stage, stage.counts,
        idle                      ? "·"
        : stage.slot_seconds == 0 ? "?"
                                  : slot_time(stage.slot_seconds, unit),
        source);
  }
  table.rule();
  add("all tasks", plan.tasks,
      plan.slot_seconds == 0 && plan.unknown > 0 ? "?" : slot_time(plan.slot_seconds, unit), "");
  add("runs", plan.runs, "", plan.orphaned > 0 ? fmt::format("{} orphaned", plan.orphaned) : "");
  return table.text(palette);
}

}  // namespace

std::string plan_as_text(const PlanReport& plan, const Palette& palette, std::int64_t now_ms) {
  const SlotUnit unit = unit_of(plan);
  std::string out = fmt::format("{}  {}, {}, {}\n", palette.paint(Tint::kBold, plan.sweep),
                                plural(static_cast<std::int64_t>(plan.cells), "cell"),
                                plural(static_cast<std::int64_t>(plan.seeds), "seed"),
                                plural(plan.runs.total(), "run"));
  std::vector<std::pair<std::string, std::string>> lines;
  std::string axes;
  for (const auto& [name, size] : plan.axis_sizes)
    axes += (axes.empty() ? "" : " × ") + fmt::format("{} ({})", name, size);
  if (!axes.empty()) lines.emplace_back("axes", axes);
  for (const DroppedBy& by : plan.dropped) {
    lines.emplace_back("dropped",
                       fmt::format("{} by {}", plural(static_cast<std::int64_t>(by.cells), "cell"),
                                   by.constraint));
  }
  if (!plan.connected)
    lines.emplace_back("note", "no coordinator was asked: everything counts as new");
  out += key_value_lines(lines, palette) + "\n" + stage_lines(plan, unit, palette) + "\n";
  lines.clear();
  const bool assumed = std::any_of(plan.stages.begin(), plan.stages.end(), [](const StagePlan& s) {
    return s.source == EstimateSource::kAssumption;
  });
  const bool none = plan.slot_seconds == 0 && plan.unknown > 0;
  std::string cost =
      none
          ? fmt::format("unknown for {}: none like them has finished, and the stages name no FLOPs",
                        plural(plan.unknown, "task"))
          : fmt::format("{} {}", slot_time(plan.slot_seconds, unit), unit.name);
  if (assumed)
    cost += fmt::format(", FLOPs at an assumed {} GFLOP/s per slot (--gflops)",
                        format_count(static_cast<std::int64_t>(plan.gflops)));
  if (plan.unknown > 0 && !none)
    cost += fmt::format("; without {} of unknown length", plural(plan.unknown, "task"));
  lines.emplace_back("estimate", cost);
  if (plan.tasks.total() == plan.tasks.kept) {
    lines.emplace_back("end", "nothing is new: every result exists");
  } else if (plan.seconds) {
    lines.emplace_back(
        "end", fmt::format("in about {} on {}{}: {}", format_duration(*plan.seconds),
                           plural(plan.slots, "slot"),
                           plan.connected ? fmt::format(" ({} free now)", plan.slots_free) : "",
                           format_time(now_ms + static_cast<std::int64_t>(*plan.seconds * 1000))));
  } else {
    lines.emplace_back("end", plan.slots == 0 ? "unknown: no slots (--slots N supposes some)"
                                              : "unknown: some tasks are of unknown length");
  }
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
  Array stages;
  for (const StagePlan& stage : plan.stages) {
    stages.push_back(
        Object{{"stage", stage.stage},
               {"tasks", counts_as_json(stage.counts)},
               {"slot_seconds", stage.slot_seconds},
               {"unknown", stage.unknown},
               {"source", stage.source == EstimateSource::kHistory      ? "history"
                          : stage.source == EstimateSource::kAssumption ? "assumed GFLOP/s"
                                                                        : "none"}});
  }
  return Object{{"sweep", plan.sweep},
                {"plan_id", plan.plan_id.empty() ? Value() : Value(plan.plan_id)},
                {"connected", plan.connected},
                {"cells", static_cast<std::int64_t>(plan.cells)},
                {"seeds", static_cast<std::int64_t>(plan.seeds)},
                {"dropped", std::move(dropped)},
                {"axes", std::move(axes)},
                {"runs", counts_as_json(plan.runs)},
                {"orphaned", plan.orphaned},
                {"tasks", counts_as_json(plan.tasks)},
                {"stages", std::move(stages)},
                {"slot_seconds", plan.slot_seconds},
                {"unknown", plan.unknown},
                {"gflops", plan.gflops},
                {"slots", plan.slots},
                {"slots_free", plan.slots_free},
                {"seconds", plan.seconds ? Value(*plan.seconds) : Value()}};
}

}  // namespace strata::cli
