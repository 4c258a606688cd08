#include "cli/plan_report.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "base/json.h"
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

// The names hold dots, so they are no path.
const Value& made_with(const Value& versions, const std::string& name) {
  static const Value kNothing;
  const auto found = versions.if_object()->find(name);
  return found == versions.if_object()->end() ? kNothing : found->second;
}

Category category_of(const Value& known) {
  if (known.is_null()) return Category::kFresh;
  const std::string state = text_at(known, "state");
  if (state == "failed" || state == "cancelled") return Category::kRetried;
  // By another sweep's search, or before this one was cancelled: it runs again.
  if (state == "pruned" && !flag_at(known, "wanted")) return Category::kRetried;
  if (state == "succeeded" || state == "diverged" || state == "pruned")
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

// What finished tasks took, one entry each.
struct Sample {
  std::vector<double> seconds{};
  std::vector<double> rates{};  // FLOPs for each slot-second, of those that know their FLOPs
};

// Program, slots, ranks, threads, memory: by these a task is like another one. The first alone
// stands for all tasks of the program.
using ShapeKey = std::vector<std::string>;

struct History {
  std::map<ShapeKey, Sample> samples{};
};

ShapeKey shape_of(const TaskSpec& task) {
  const Resources& needs = task.resources;
  return {task.program.name, std::to_string(needs.slots), std::to_string(needs.ranks),
          std::to_string(needs.threads), std::to_string(needs.memory_mb)};
}

History history_of(const Value& answer) {
  History out;
  for (const Value& entry : array_at(answer, "history")) {
    const Resources needs{.slots = integer_at(entry, "slots", 1),
                          .ranks = integer_at(entry, "ranks", 0),
                          .threads = integer_at(entry, "threads", 1),
                          .memory_mb = integer_at(entry, "memory_mb", 0)};
    const ShapeKey shape =
        shape_of({.program = {.name = text_at(entry, "program")}, .resources = needs});
    const double seconds = number_at(entry, "seconds");
    const double flops = number_at(entry, "flops");
    for (const ShapeKey& key : {shape, ShapeKey{shape.front()}}) {
      Sample& sample = out.samples[key];
      sample.seconds.push_back(seconds);
      if (flops > 0 && seconds > 0)
        sample.rates.push_back(flops / seconds /
                               static_cast<double>(std::max<std::int64_t>(needs.slots, 1)));
    }
  }
  return out;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

struct Duration {
  std::optional<double> seconds{};
  EstimateSource source = EstimateSource::kNone;
};

bool is_for_gpus(const TaskSpec& task) {
  const auto& labels = task.resources.labels;
  return std::find(labels.begin(), labels.end(), "gpu") != labels.end();
}

// Tasks of one shape may still differ in size, so their FLOPs decide where they are known.
Duration duration_of(const TaskSpec& task, const Value& known, const History& history,
                     const std::optional<double>& gflops) {
  const double before = number_at(known, "seconds");
  if (before > 0) return {before, EstimateSource::kShape};
  const auto slots = static_cast<double>(std::max<std::int64_t>(task.resources.slots, 1));
  const ShapeKey shape = shape_of(task);
  for (const auto& [key, source] : {std::pair{shape, EstimateSource::kShape},
                                    std::pair{ShapeKey{shape.front()}, EstimateSource::kProgram}}) {
    const auto found = history.samples.find(key);
    if (found == history.samples.end()) continue;
    const Sample& sample = found->second;
    if (task.flops > 0 && !sample.rates.empty())
      return {task.flops / median(sample.rates) / slots, source};
    return {median(sample.seconds), source};
  }
  if (task.flops > 0 && (gflops || is_for_gpus(task))) {
    const double rate = gflops.value_or(kAssumedGflops) * 1e9;
    return {task.flops / rate / slots, EstimateSource::kAssumption};
  }
  return {};
}

// Why a result that is there is not what the file would make now; empty: it is, or nobody recorded
// what it was made from.
std::string changed_version(const TaskSpec& task, const Value& known) {
  const Value& made = at(known, "versions");
  for (const auto& [name, version] : task.versions) {
    const bool data = name.starts_with(kDataVersion);
    if (!data && name != kCodeVersion) continue;
    const Value& then = made.is_null() ? made : made_with(made, name);
    if (then.if_string() == nullptr || *then.if_string() == version) continue;
    return data ? fmt::format("what lies at {} has changed", name.substr(kDataVersion.size()))
                : "its code has changed";
  }
  return "";
}

std::string outdated_reason(const Value& known) {
  std::string inputs;
  for (const Value& input : array_at(known, "changed_inputs")) {
    if (input.if_string() != nullptr) inputs += (inputs.empty() ? "" : ", ") + *input.if_string();
  }
  if (inputs.empty()) return "what it was made from was made again with other content";
  return fmt::format("its {} was made again with other content", inputs);
}

void note(std::vector<StageNote>& notes, const std::string& stage, const std::string& reason) {
  for (StageNote& one : notes) {
    if (one.stage != stage || one.reason != reason) continue;
    ++one.tasks;
    return;
  }
  notes.push_back({.stage = stage, .reason = reason, .tasks = 1});
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
  for (const RunSpec& run : expansion.runs) {
    Category worst = Category::kKept;
    for (const auto& [stage, key] : run.tasks) {
      const auto found = categories.find(key);
      if (found != categories.end()) worst = std::max(worst, found->second);
    }
    count(plan.runs, worst);
  }
  plan.orphaned = integer_at(answer, "orphaned");
  for (const Value& one : array_at(answer, "orphans")) {
    plan.orphans.push_back({.run = text_at(one, "run"),
                            .cell = text_at(one, "cell"),
                            .seed = std::strtoull(text_at(one, "seed").c_str(), nullptr, 10),
                            .fate = text_at(one, "fate")});
  }
}

void count_axes(PlanReport& plan, const Expansion& expansion) {
  std::map<std::string, std::map<std::string, std::size_t>> places;
  for (const std::string& name : expansion.swept) plan.axes.push_back({.parameter = name});
  std::set<std::string> seen;
  for (const RunSpec& run : expansion.runs) {
    if (!seen.insert(run.cell).second) continue;
    const Object* assignment = run.assignment.if_object();
    if (assignment == nullptr) continue;
    for (AxisCounts& axis : plan.axes) {
      const auto set = assignment->find(axis.parameter);
      if (set == assignment->end()) continue;
      const auto [place, is_new] =
          places[axis.parameter].emplace(to_canonical_json(set->second), axis.cells.size());
      if (is_new) axis.cells.emplace_back(set->second, 0);
      ++axis.cells[place->second].second;
    }
  }
}

}  // namespace

PlanReport make_plan(const SweepDefinition& definition, const Expansion& expansion,
                     const Value& answer, const PlanOptions& options,
                     std::vector<StageCodeFacts> code, const PlanRoom& room) {
  PlanReport plan{.sweep = expansion.sweep,
                  .plan_id = text_at(answer, "plan_id"),
                  .connected = !answer.is_null()};
  plan.cells = expansion.cells;
  std::set<std::uint64_t> seeds(definition.seeds.begin(), definition.seeds.end());
  for (const RunSpec& run : expansion.runs) seeds.insert(run.seed);
  plan.seeds = seeds.size();
  plan.dropped = expansion.dropped;
  plan.search = definition.scheduling.search;
  plan.axis_sizes = expansion.axis_sizes;
  plan.merged = expansion.merged;
  plan.code = std::move(code);
  count_axes(plan, expansion);
  plan.gflops = options.gflops.value_or(kAssumedGflops);
  plan.slots = options.slots > 0 ? options.slots
               : room.known()    ? room.slots()
                                 : integer_at(answer, "slots");
  plan.slots_free = room.known() ? room.slots_free() : integer_at(answer, "slots_free");
  plan.slots_withheld = plan.slots == 0 && integer_at(answer, "slots") > 0;
  plan.others = room.queued();
  for (const StageDefinition& stage : definition.stages) stage_of(plan, stage.name);
  const History history = history_of(answer);
  const Value& tasks = at(answer, "tasks");
  std::map<TaskKey, Category> categories;
  std::map<TaskKey, double> ends;  // earliest, with unlimited slots
  double longest = 0;
  for (const TaskSpec& task : expansion.tasks) {
    const Value& known = at(tasks, task.key.hex());
    Category category = category_of(known);
    const std::string changed = category == Category::kKept ? changed_version(task, known) : "";
    if (!changed.empty()) category = Category::kOutdated;
    if (category == Category::kOutdated)
      note(plan.outdated, task.stage, changed.empty() ? outdated_reason(known) : changed);
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
    // What is outdated is kept, too: only its author knows whether the change matters.
    if (category == Category::kKept || category == Category::kOutdated) continue;
    const std::string state = text_at(known, "state");
    if (state == "queued" || state == "leased" || state == "running") --plan.others;
    // With --slots other machines than those that there are are supposed.
    const std::string never = options.slots == 0 ? room.why_never(task.resources) : "";
    if (!never.empty()) note(plan.impossible, task.stage, never);
    const Duration duration = duration_of(task, known, history, options.gflops);
    if (!duration.seconds) {
      ++stage.unknown;
      ++plan.unknown;
      if (task.flops > 0) ++plan.flops_of_no_rate;
      continue;
    }
    stage.source = std::max(stage.source, duration.source);
    const double slot_seconds =
        *duration.seconds * static_cast<double>(std::max<std::int64_t>(task.resources.slots, 1));
    stage.slot_seconds += slot_seconds;
    plan.slot_seconds += slot_seconds;
    plan.on_gpus = plan.on_gpus && is_for_gpus(task);
    ends[task.key] = begin + *duration.seconds;
    longest = std::max(longest, ends[task.key]);
  }
  plan.others = std::max<std::int64_t>(plan.others, 0);
  for (const StageDefinition& stage : definition.stages) {
    if (stage_of(plan, stage.name).counts.total() == 0 && stage.when)
      plan.absent.push_back(fmt::format("{} (when {})", stage.name, stage.when->text()));
  }
  std::erase_if(plan.stages, [](const StagePlan& stage) { return stage.counts.total() == 0; });
  count_runs(plan, expansion, categories, answer);
  if (plan.slots > 0 && plan.unknown == 0 && plan.impossible.empty())
    plan.seconds = std::max(longest, plan.slot_seconds / static_cast<double>(plan.slots));
  return plan;
}

}  // namespace strata::cli
