#include "cli/definition.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/sha256.h"

namespace strata::cli {

namespace {

Array texts(const std::vector<std::string>& names) {
  Array out;
  for (const std::string& name : names) out.push_back(name);
  return out;
}

// What varies, with the values in order of appearance: axes first, because a table is read by them;
// what only cases or blocks set is an axis for a reader of the table as well.
Array axes_of(const SweepDefinition& definition, const Expansion& expansion) {
  std::vector<std::pair<std::string, Array>> axes;
  const auto add = [&](const std::string& parameter, const Value& value) {
    auto found = std::ranges::find(axes, parameter, &std::pair<std::string, Array>::first);
    if (found == axes.end()) found = axes.insert(axes.end(), {parameter, {}});
    Array& values = found->second;
    if (std::ranges::find(values, value) == values.end()) values.push_back(value);
  };
  const auto add_axis = [&](const Axis& axis) {
    for (const Value& value : axis.values) add(axis.parameter, value);
    if (!axis.range) return;
    for (const RunSpec& run : expansion.runs) {  // what was drawn
      const auto& drawn = *run.assignment.if_object();
      if (const auto value = drawn.find(axis.parameter); value != drawn.end())
        add(axis.parameter, value->second);
    }
  };
  for (const Block& block : definition.blocks) {
    for (const Axis& axis : block.axes) add_axis(axis);
    for (const auto& group : block.zips) std::ranges::for_each(group, add_axis);
  }
  for (const Block& block : definition.blocks) {
    for (const auto& [parameter, value] : block.set) add(parameter, value);
    for (const Case& given : block.cases) {
      for (const auto& [parameter, value] : given.set) add(parameter, value);
    }
  }
  Array out;
  for (auto& [parameter, values] : axes)
    out.push_back(Object{{"parameter", parameter}, {"values", std::move(values)}});
  return out;
}

// Cells that were planned with other seeds than the sweep's, so that a table does not miss what
// nobody asked for.
Object own_seeds(const SweepDefinition& definition, const Expansion& expansion) {
  std::map<std::string, std::set<std::uint64_t>> by_cell;
  for (const RunSpec& run : expansion.runs) by_cell[run.cell].insert(run.seed);
  const std::set<std::uint64_t> all(definition.seeds.begin(), definition.seeds.end());
  Object out;
  for (const auto& [cell, seeds] : by_cell) {
    if (seeds == all) continue;
    Array list;
    for (const std::uint64_t seed : seeds) list.push_back(seed);
    out[cell] = std::move(list);
  }
  return out;
}

// Cells whose names were written by hand; the others are named after what varies.
Array own_labels(const SweepDefinition& definition) {
  Array out;
  for (const Block& block : definition.blocks) {
    for (const Case& given : block.cases) {
      if (!given.label.empty()) out.push_back(given.label);
    }
  }
  return out;
}

Object as_value(const std::map<std::string, Value>& map) {
  Object out;
  for (const auto& [key, value] : map) out[key] = value;
  return out;
}

}  // namespace

Value definition_record(const SweepDefinition& definition, const Expansion& expansion,
                        const SourceFile& file) {
  Array seeds;
  for (const std::uint64_t seed : definition.seeds) seeds.push_back(seed);
  Array dropped;
  for (const DroppedBy& by : expansion.dropped) {
    dropped.push_back(
        Object{{"constraint", by.constraint}, {"cells", static_cast<std::int64_t>(by.cells)}});
  }
  Array stages;
  for (const StageDefinition& stage : definition.stages) {
    stages.push_back(Object{{"name", stage.name},
                            {"program", stage.program.name},
                            {"result_version", stage.program.result_version},
                            {"slots", stage.resources.slots}});
  }
  Object table{{"rows", texts(definition.table.rows)},
               {"scores", texts(definition.table.scores)},
               {"references", texts(definition.table.references)}};
  if (definition.table.do_not_rank_when)
    table["do_not_rank_when"] = definition.table.do_not_rank_when->text();
  return Object{{"name", definition.name},
                {"description", definition.description},
                {"file", file.path},
                {"file_sha256", file.sha256},
                {"axes", axes_of(definition, expansion)},
                {"seeds", std::move(seeds)},
                {"baseline", as_value(definition.baseline)},
                {"cells", static_cast<std::int64_t>(expansion.cells)},
                {"cell_seeds", own_seeds(definition, expansion)},
                {"labelled", own_labels(definition)},
                {"dropped", std::move(dropped)},
                {"judge_as_teacher", texts(expansion.judge_as_teacher)},
                {"stages", std::move(stages)},
                {"table", std::move(table)},
                {"expected", as_value(definition.expected)},
                {"expected_source", definition.expected_source}};
}

std::string scope_of(const SweepDefinition& definition, const Expansion& expansion) {
  Sha256 hash;
  const SweepOptions& options = definition.scheduling;
  hash.update(fmt::format("{}\n{} {} {} {}\n", expansion.sweep, definition.priority, options.weight,
                          options.slots_max, options.preempts));
  for (const TaskSpec& task : expansion.tasks) {
    const Resources& needs = task.resources;
    std::string text =
        fmt::format("{} {} {} {} {} {} {} {} {} {} {} {}", task.key.hex(), needs.slots, needs.ranks,
                    needs.threads, needs.memory_mb, needs.expected_ms, task.retry.user_failures_max,
                    task.retry.infra_failures_max, task.lease_ms, task.grace_ms, task.resumable,
                    fmt::join(needs.labels, ","));
    for (const std::string& word : task.program.argv) text += fmt::format("\n {}", word);
    for (const auto& [name, version] : task.versions) {
      // A commit that changes none of the files changes nothing that a plan says.
      if (name != kGitVersion) text += fmt::format("\n {}={}", name, version);
    }
    hash.update(text + '\n');
  }
  for (const RunSpec& run : expansion.runs)
    hash.update(fmt::format("{} {}\n", run.key.hex(), run.cell));
  return hash.hex_digest();
}

std::vector<SubmitTasks> submission(const SweepDefinition& definition, const Expansion& expansion,
                                    const Value& record, const std::string& if_plan,
                                    const std::string& user) {
  std::vector<SubmitTasks> out;
  const auto open = [&]() -> SubmitTasks& {
    out.push_back({.sweep = expansion.sweep, .priority = definition.priority});
    return out.back();
  };
  open();
  for (const TaskSpec& task : expansion.tasks) {
    if (out.back().tasks.size() == kTasksPerBatchMax) open();
    out.back().tasks.push_back(task);
  }
  for (const RunSpec& run : expansion.runs) {
    if (out.back().tasks.size() + out.back().runs.size() >= kTasksPerBatchMax) open();
    out.back().runs.push_back(run);
  }
  out.front().definition = to_canonical_json(record);
  out.front().first = true;
  if (!if_plan.empty())
    out.front().if_plan = fmt::format("{}/{}", if_plan, scope_of(definition, expansion));
  out.front().options = definition.scheduling;
  out.front().options.user = user;
  out.back().last = true;
  return out;
}

}  // namespace strata::cli
