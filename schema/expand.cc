// From a definition to tasks and runs.
//
// Order of cells: block by block, the product of axes, then zip groups, the last varying fastest;
// then the cases as written. Without axes and zips the product is one cell, or none if there are
// cases. A cell is dropped by constraints before it is compared with others; the same cell twice is
// one cell, with the seeds of both. Seeds vary inside a cell.
#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "base/assert.h"
#include "base/json.h"
#include "schema/draw.h"
#include "schema/expand_errors.h"
#include "schema/labels.h"
#include "schema/reading.h"

namespace strata {
namespace {

struct Cell {
  Settings setting{};
  Value assignment{};
  std::string label{};
  std::vector<std::size_t> values{};  // for each swept parameter a number that stands for its value
  std::vector<std::uint64_t> seeds{};
  const Case* written = nullptr;  // the case that it comes from, if any
};

// What a stage is in a cell, apart from seed and inputs. Cells that agree on what the stage reads
// share one.
struct Shape {
  Value parameters{};
  std::vector<std::string> neutral{};
  std::string key_text{};  // canonical_key_parameters of these
  double flops = 0;
  std::map<std::string, std::string> versions{};
  std::vector<std::string> versions_in_key{};
};

// Cells that constraints dropped, or that were drawn already, for one that is taken.
constexpr std::size_t kDrawsPerCellMax = 1'000;

class Expander {
 public:
  Expander(const SweepDefinition& definition, const Surroundings& surroundings)
      : definition_(definition), surroundings_(surroundings), parameters_(definition.base) {}

  Result<Expansion> run() {
    collect_swept();
    STRATA_CHECK_OK(make_cells());
    STRATA_CHECK_OK(check_cells());
    for (const Cell& cell : cells_) STRATA_CHECK_OK(add_runs(cell));
    STRATA_CHECK_OK(mark_baseline());
    STRATA_CHECK_OK(check_expected());
    out_.sweep = definition_.name;
    out_.judge_as_teacher = definition_.judge_as_teacher;
    return std::move(out_);
  }

 private:
  void collect_swept() {
    std::set<std::string> seen;
    const auto add = [&](const std::string& name) {
      if (seen.insert(name).second) out_.swept.push_back(name);
    };
    for (const Block& block : definition_.blocks) {
      const std::string of = block.name.empty() ? "" : block.name + ": ";
      for (const auto& [name, value] : block.set) add(name);
      for (const Axis& axis : block.axes) {
        add(axis.parameter);
        out_.axis_sizes.emplace_back(of + axis.parameter, axis.values.size());
      }
      for (const auto& group : block.zips) {
        std::string names;
        for (const Axis& axis : group) {
          add(axis.parameter);
          names += (names.empty() ? "" : " + ") + axis.parameter;
        }
        out_.axis_sizes.emplace_back(of + names, group.front().values.size());
      }
      for (const Case& c : block.cases) {
        for (const auto& [name, value] : c.set) add(name);
      }
      if (!block.cases.empty()) out_.axis_sizes.emplace_back(of + "cases", block.cases.size());
    }
    shorts_ = short_names(out_.swept);
  }

  Status make_cells() {
    for (const Constraint& c : definition_.constraints) out_.dropped.push_back({c.text, 0});
    for (const Block& block : definition_.blocks) {
      const std::size_t first_constraint = out_.dropped.size();
      for (const Constraint& c : block.constraints) out_.dropped.push_back({c.text, 0});
      STRATA_CHECK_OK(check_size(block));
      if (block.random) {
        STRATA_CHECK_OK(add_random(block, first_constraint));
      } else if (has_product(block)) {
        STRATA_CHECK_OK(add_product(block, first_constraint, 0, block.set));
      }
      for (const Case& c : block.cases) {
        Settings setting = block.set;
        setting.insert(setting.end(), c.set.begin(), c.set.end());
        STRATA_TRY([[maybe_unused]] const bool kept,
                   add_cell(block, first_constraint, setting, &c));
      }
    }
    return {};
  }

  static bool has_product(const Block& block) {
    return !block.axes.empty() || !block.zips.empty() || block.cases.empty();
  }
  const std::vector<std::uint64_t>& seeds_of(const Block& block) const {
    return block.seeds.empty() ? definition_.seeds : block.seeds;
  }

  // Before anything is multiplied out.
  Status check_size(const Block& block) {
    const std::size_t seeds = std::max<std::size_t>(1, seeds_of(block).size());
    const std::size_t cells_max = (kRunsMax - std::min(kRunsMax, runs_before_constraints_)) / seeds;
    std::size_t product = has_product(block) ? 1 : 0;
    const auto times = [&](std::size_t size) { product = std::min(product * size, kRunsMax + 1); };
    if (!block.random) {
      for (const Axis& axis : block.axes) times(axis.values.size());
      for (const auto& group : block.zips) times(group.front().values.size());
    }
    const std::size_t drawn = block.random ? block.random->cells : product;
    const std::size_t cells = drawn + block.cases.size();
    runs_before_constraints_ += cells * seeds;
    if (cells <= cells_max) return {};
    return fail(ErrorCode::kTooLarge, "sweep {}: more than {} runs before constraints",
                definition_.name, kRunsMax);
  }

  // All values of the axes and zip groups from `level` on, the last varying fastest.
  Status add_product(const Block& block, std::size_t first_constraint, std::size_t level,
                     const Settings& so_far) {
    const std::size_t axes = block.axes.size();
    if (level == axes + block.zips.size()) {
      STRATA_TRY([[maybe_unused]] const bool kept,
                 add_cell(block, first_constraint, so_far, nullptr));
      return {};
    }
    const auto go_on = [&](const Settings& setting) {
      return add_product(block, first_constraint, level + 1, setting);
    };
    if (level >= axes) {
      const std::vector<Axis>& group = block.zips[level - axes];
      for (std::size_t i = 0; i < group.front().values.size(); ++i) {
        Settings setting = so_far;
        for (const Axis& axis : group) setting.emplace_back(axis.parameter, axis.values[i]);
        STRATA_CHECK_OK(go_on(setting));
      }
      return {};
    }
    const Axis& axis = block.axes[level];
    if (axis.when) {
      STRATA_CHECK_OK(enter(so_far));
      STRATA_TRY(const bool applies, test(*axis.when, axis.parameter + ".when", ""));
      if (!applies) return go_on(so_far);
    }
    for (const Value& value : axis.values) {
      Settings setting = so_far;
      setting.emplace_back(axis.parameter, value);
      STRATA_CHECK_OK(go_on(setting));
    }
    return {};
  }

  // Different cells, in the order in which they are drawn: asking for more of them leaves the first
  // ones as they are.
  Status add_random(const Block& block, std::size_t first_constraint) {
    Random random(derive_seed(block.random->seed, "cells/" + block.name));
    std::set<std::string> drawn;
    std::size_t found = 0;
    for (std::size_t misses = 0; found < block.random->cells;) {
      STRATA_TRY(const Settings setting, draw_cell(block, random));
      std::string text;
      for (const auto& [name, value] : setting) text += to_canonical_json(value) + "\n" + name;
      bool kept = false;
      if (drawn.insert(std::move(text)).second) {
        STRATA_TRY(kept, add_cell(block, first_constraint, setting, nullptr));
      }
      found += kept ? 1 : 0;
      misses = kept ? 0 : misses + 1;
      if (misses < kDrawsPerCellMax) continue;
      return fail(ErrorCode::kInvalid,
                  "sweep {}: search: after {} draws in vain there are {} different cells that meet "
                  "the constraints, not {}: ask for fewer, or draw from more",
                  definition_.name, misses, found, block.random->cells);
    }
    return {};
  }

  Result<Settings> draw_cell(const Block& block, Random& random) {
    Settings setting = block.set;
    for (const Axis& axis : block.axes) {
      if (axis.when) {
        STRATA_CHECK_OK(enter(setting));
        STRATA_TRY(const bool applies, test(*axis.when, axis.parameter + ".when", ""));
        if (!applies) continue;
      }
      setting.emplace_back(axis.parameter, draw(axis, random));
    }
    for (const auto& group : block.zips) {
      const std::uint64_t i = random.bounded(group.front().values.size());
      for (const Axis& axis : group) setting.emplace_back(axis.parameter, axis.values[i]);
    }
    return setting;
  }

  // The parameters of one cell at a time: copying all of them for every cell would cost more than
  // all else.
  Status enter(const Settings& setting) {
    for (const std::string& name : out_.swept) {
      const Value* value = definition_.base.find(name);
      if (value == nullptr) {
        parameters_ = definition_.base;
        break;
      }
      if (auto status = parameters_.set(name, *value); !status) parameters_ = definition_.base;
    }
    for (const auto& [name, value] : setting) {
      if (auto status = lay_over_value(parameters_, name, value); !status) {
        return tl::unexpected(status.error().while_doing("sweep " + definition_.name));
      }
    }
    return {};
  }

  // False: a constraint drops it.
  Result<bool> add_cell(const Block& block, std::size_t first_constraint, const Settings& setting,
                        const Case* written) {
    STRATA_CHECK_OK(enter(setting));
    Cell cell{.setting = setting, .seeds = seeds_of(block), .written = written};
    if (written != nullptr && !written->seeds.empty()) cell.seeds = written->seeds;
    describe(cell);
    STRATA_TRY(const bool kept, passes(cell, definition_.constraints, 0));
    if (!kept) return false;
    STRATA_TRY(const bool kept_here, passes(cell, block.constraints, first_constraint));
    if (!kept_here) return false;
    const bool labelled = written != nullptr && !written->label.empty();
    const auto [place, is_new] =
        seen_.emplace(std::pair{labelled ? cell.label : "", cell.values}, cells_.size());
    if (is_new) {
      cells_.push_back(std::move(cell));
      return true;
    }
    ++out_.merged;
    std::vector<std::uint64_t>& seeds = cells_[place->second].seeds;
    for (const std::uint64_t seed : cell.seeds) {
      if (std::ranges::find(seeds, seed) == seeds.end()) seeds.push_back(seed);
    }
    return true;
  }

  // Its assignment, label and numbers, from the parameters entered.
  void describe(Cell& cell) {
    Object assignment;
    for (std::size_t i = 0; i < out_.swept.size(); ++i) {
      const std::string& name = out_.swept[i];
      const Value* value = parameters_.find(name);
      cell.values.push_back(number_of(i, value));
      if (value == nullptr) continue;
      assignment.emplace(name, *value);
      cell.label +=
          fmt::format("{}{}={}", cell.label.empty() ? "" : " ", shorts_.at(name), shown(*value));
    }
    if (cell.label.empty()) cell.label = "base";
    cell.assignment = std::move(assignment);
    if (cell.written != nullptr && !cell.written->label.empty()) cell.label = cell.written->label;
  }

  // Whether the cell entered last meets them all; `first` is where they are counted.
  Result<bool> passes(const Cell& cell, const std::vector<Constraint>& constraints,
                      std::size_t first) {
    for (std::size_t i = 0; i < constraints.size(); ++i) {
      STRATA_TRY(const bool holds, test(constraints[i].holds, "the constraint", cell.label));
      if (holds) continue;
      ++out_.dropped[first + i].cells;
      return false;
    }
    return true;
  }

  // Comparing small numbers is what keeps ten thousand cells cheap. 0: the parameter is absent.
  std::size_t number_of(std::size_t swept, const Value* value) {
    if (value == nullptr) return 0;
    value_numbers_.resize(out_.swept.size());
    auto& numbers = value_numbers_[swept];
    return numbers.emplace(to_canonical_json(*value), numbers.size() + 1).first->second;
  }

  Status check_cells() {
    if (cells_.empty()) return every_cell_is_dropped(definition_, out_.dropped);
    std::set<std::string> labels;
    for (const Cell& cell : cells_) {
      if (!labels.insert(cell.label).second) {
        return fail(ErrorCode::kInvalid, "sweep {}: two different cells are called \"{}\"",
                    definition_.name, cell.label);
      }
    }
    return {};
  }

  // On the parameters entered last.
  [[nodiscard]] Result<bool> test(const Expression& condition, std::string_view what,
                                  std::string_view label) const {
    auto truth = condition.holds([&](std::string_view name) { return parameters_.find(name); });
    if (truth) return truth;
    return fail(ErrorCode::kInvalid, "sweep {}: {}{}: {}", definition_.name, what,
                label.empty() ? "" : fmt::format(" in cell \"{}\"", label), truth.error().message);
  }

  // The cells that are the baseline's parameters; a labelled one only where no other is.
  Result<std::vector<const Cell*>> baseline_cells() {
    std::vector<const Cell*> matches;
    std::vector<const Cell*> labelled;
    for (const Cell& cell : cells_) {
      STRATA_CHECK_OK(enter(cell.setting));
      const bool equal = std::ranges::all_of(definition_.baseline, [&](const auto& entry) {
        const Value* value = parameters_.find(entry.first);
        return value != nullptr && *value == entry.second;
      });
      if (equal)
        (cell.written != nullptr && !cell.written->label.empty() ? labelled : matches)
            .push_back(&cell);
    }
    return matches.empty() ? labelled : matches;
  }

  Status no_baseline() {
    std::map<std::string, std::vector<Value>> there;
    std::map<std::string, std::set<std::string>> seen;
    for (const Cell& cell : cells_) {
      STRATA_CHECK_OK(enter(cell.setting));
      for (const auto& [name, wanted] : definition_.baseline) {
        const Value* value = parameters_.find(name);
        const Value it = value == nullptr ? Value() : *value;
        if (seen[name].insert(to_canonical_json(it)).second) there[name].push_back(it);
      }
    }
    return no_cell_is_the_baseline(definition_, there);
  }

  // Several cells may match when they are the same runs: they differ in what no stage of theirs
  // reads.
  Status mark_baseline() {
    if (definition_.baseline.empty()) return {};
    STRATA_TRY(const std::vector<const Cell*> matches, baseline_cells());
    if (matches.empty()) return no_baseline();
    const std::set<RunKey>& keys = runs_of_cell_.at(matches.front());
    for (const Cell* other : matches) {
      if (runs_of_cell_.at(other) == keys) continue;
      return two_cells_are_the_baseline(definition_, matches.front()->label, other->label);
    }
    for (RunSpec& run : out_.runs) run.baseline = keys.contains(run.key);
    return {};
  }

  Status add_runs(const Cell& cell) {
    STRATA_CHECK_OK(enter(cell.setting));
    bool any = false;
    for (const std::uint64_t seed : cell.seeds) {
      RunSpec run{.cell = cell.label, .assignment = cell.assignment, .seed = seed};
      std::map<std::string, std::size_t> made;  // stage -> task
      for (std::size_t stage = 0; stage < definition_.stages.size(); ++stage) {
        STRATA_CHECK_OK(add_task(stage, cell, seed, made));
      }
      for (const auto& [stage, task] : made) run.tasks.emplace(stage, out_.tasks[task].key);
      if (made.empty()) return nothing_to_do(definition_, cell.label);
      run.key = compute_key(run);
      runs_of_cell_[&cell].insert(run.key);
      const auto [before, is_new] = runs_.emplace(run.key, cell.label);
      if (!is_new) {
        const bool labelled = cell.written != nullptr && !cell.written->label.empty();
        if (labelled) {
          return fail(ErrorCode::kInvalid,
                      "sweep {}: \"{}\" with seed {} is the same run as one of \"{}\": labels and "
                      "resources decide no result; "
                      "give it seeds of its own",
                      definition_.name, cell.label, seed, before->second);
        }
        continue;
      }
      any = true;
      out_.runs.push_back(std::move(run));
    }
    ++(any ? out_.cells : out_.merged);
    return {};
  }

  Status add_task(std::size_t index, const Cell& cell, std::uint64_t seed,
                  std::map<std::string, std::size_t>& made) {
    const StageDefinition& stage = definition_.stages[index];
    if (stage.when) {
      STRATA_TRY(const bool exists, test(*stage.when, stage.name + ".when", cell.label));
      if (!exists) return {};
    }
    std::vector<std::size_t>
        producers;  // one for each input of the stage, kNone where the input does not apply
    for (const auto& [name, input] : stage.inputs) {
      producers.push_back(kNone);
      if (input.when) {
        STRATA_TRY(
            const bool wanted,
            test(*input.when, fmt::format("{}.inputs.{}.when", stage.name, name), cell.label));
        if (!wanted) continue;
      }
      const auto producer = made.find(input.stage);
      if (producer == made.end()) {
        return fail(ErrorCode::kInvalid,
                    "sweep {}: in cell \"{}\" stage {} takes {} from {}, which does not exist "
                    "there: give the input a when",
                    definition_.name, cell.label, stage.name, name, input.stage);
      }
      producers.back() = producer->second;
    }
    STRATA_TRY(const std::size_t shape, shape_of(index, cell));
    const auto own_seed = stage.seeded ? std::optional(seed) : std::nullopt;
    const auto [known, is_new] = known_.emplace(std::tuple{index, shape, own_seed, producers}, 0);
    if (is_new) known->second = make_task(stage, shapes_[shape], own_seed, producers, cell);
    made.emplace(stage.name, known->second);
    return {};
  }

  std::size_t make_task(const StageDefinition& stage, const Shape& shape,
                        std::optional<std::uint64_t> seed,
                        const std::vector<std::size_t>& producers, const Cell& cell) {
    TaskSpec task{.stage = stage.name,
                  .program = stage.program,
                  .parameters = shape.parameters,
                  .neutral = shape.neutral,
                  .seed = seed,
                  .outputs = stage.outputs,
                  .resources = stage.resources,
                  .retry = stage.retry,
                  .lease_ms = stage.lease_ms,
                  .resumable = stage.resumable,
                  .secrets = stage.secrets,
                  .flops = shape.flops,
                  .scoring = stage.scoring,
                  .grace_ms = stage.grace_ms,
                  .log_rules = stage.log_rules,
                  .versions = shape.versions,
                  .versions_in_key = shape.versions_in_key};
    const auto code = surroundings_.code.find(stage.name);
    if (code != surroundings_.code.end() && code->second.artifact) {
      task.code = code->second.artifact;
      task.program.argv = code->second.argv;
    }
    auto producer = producers.begin();
    for (const auto& [name, input] : stage.inputs) {
      if (*producer != kNone)
        task.inputs.push_back({name, out_.tasks[*producer].key, input.output});
      ++producer;
    }
    if (cell.written != nullptr) {
      const auto own = cell.written->resources.find(stage.name);
      if (own != cell.written->resources.end()) task.resources = own->second;
    }
    for (const ResourceChange& change : stage.fallbacks) {
      const Resources next = lay_over(task.resources, change);
      const Resources& before = task.fallbacks.empty() ? task.resources : task.fallbacks.back();
      if (next != before) task.fallbacks.push_back(next);
    }
    task.key = compute_key(task, shape.key_text);
    const auto [place, is_new] = tasks_.emplace(task.key, out_.tasks.size());
    if (is_new) out_.tasks.push_back(std::move(task));
    return place->second;
  }

  // Looked up by the values of the swept parameters that matter to the stage.
  Result<std::size_t> shape_of(std::size_t index, const Cell& cell) {
    const StageDefinition& stage = definition_.stages[index];
    std::vector<std::size_t> relevant;
    for (const std::size_t swept : relevant_to(index)) relevant.push_back(cell.values[swept]);
    const auto [known, is_new] =
        shape_by_values_.emplace(std::pair{index, std::move(relevant)}, shapes_.size());
    if (!is_new) return known->second;
    Shape shape{.parameters = Object{}};
    for (const std::string& name : stage.reads) {
      const Value* value = parameters_.find(name);
      if (value == nullptr) continue;
      const Status status = shape.parameters.set(name, *value);
      STRATA_ASSERT(status.has_value());
    }
    for (const auto& [name, neutral] : definition_.neutral) {
      const Value* value = shape.parameters.find(name);
      if (value != nullptr && *value == neutral) shape.neutral.push_back(name);
    }
    for (const std::string& name : definition_.identity.exclude) {
      if (shape.parameters.find(name) != nullptr) shape.neutral.push_back(name);
    }
    std::ranges::sort(shape.neutral);
    const auto [rest, end] = std::ranges::unique(shape.neutral);
    shape.neutral.erase(rest, end);
    STRATA_CHECK_OK(add_versions(stage, cell, shape));
    if (stage.flops) {
      const auto flops =
          stage.flops->number([&](std::string_view name) { return parameters_.find(name); });
      if (!flops)
        return fail(ErrorCode::kInvalid, "sweep {}: {}.flops in cell \"{}\": {}", definition_.name,
                    stage.name, cell.label, flops.error().message);
      shape.flops = *flops;
    }
    shape.key_text =
        canonical_key_parameters({.parameters = shape.parameters, .neutral = shape.neutral});
    shapes_.push_back(std::move(shape));
    return known->second;
  }

  Status add_versions(const StageDefinition& stage, const Cell& cell, Shape& shape) const {
    const Identity& identity = definition_.identity;
    if (const auto code = surroundings_.code.find(stage.name); code != surroundings_.code.end()) {
      shape.versions = code->second.versions;
      if (identity.code == VersionUse::kKey && shape.versions.contains(kCodeVersion))
        shape.versions_in_key.emplace_back(kCodeVersion);
    }
    for (const auto& [parameter, use] : identity.data) {
      const Value* value = shape.parameters.find(parameter);
      if (value == nullptr || value->is_null()) continue;
      const std::string* path = value->if_string();
      const auto version =
          path == nullptr ? surroundings_.data.end() : surroundings_.data.find(*path);
      if (version == surroundings_.data.end()) {
        return fail(ErrorCode::kInvalid,
                    "sweep {}: identity.data: in cell \"{}\" {} is {}: expected the absolute path "
                    "of a file or folder that is there",
                    definition_.name, cell.label, parameter, to_canonical_json(*value));
      }
      const std::string name = std::string(kDataVersion) + parameter;
      shape.versions.insert_or_assign(name, version->second);
      if (use == VersionUse::kKey) shape.versions_in_key.push_back(name);
    }
    std::ranges::sort(shape.versions_in_key);
    return {};
  }

  // Which swept parameters matter to the stage.
  const std::vector<std::size_t>& relevant_to(std::size_t index) {
    const auto [place, is_new] = relevant_.emplace(index, std::vector<std::size_t>{});
    if (!is_new) return place->second;
    const StageDefinition& stage = definition_.stages[index];
    std::set<std::string> used(stage.reads.begin(), stage.reads.end());
    if (stage.flops) used.merge(stage.flops->names());
    for (std::size_t i = 0; i < out_.swept.size(); ++i) {
      if (std::ranges::any_of(used,
                              [&](const std::string& u) { return related(u, out_.swept[i]); }))
        place->second.push_back(i);
    }
    return place->second;
  }

  Status check_expected() {
    for (const auto& [label, numbers] : definition_.expected) {
      if (std::ranges::find(out_.runs, label, &RunSpec::cell) != out_.runs.end()) continue;
      return fail(ErrorCode::kInvalid,
                  "sweep {}: expected names \"{}\", but no cell is called so; the first is \"{}\"",
                  definition_.name, label, out_.runs.front().cell);
    }
    return {};
  }

  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

  const SweepDefinition& definition_;
  const Surroundings& surroundings_;
  Value parameters_{};  // of the cell entered last
  Expansion out_{};
  std::map<std::string, std::string> shorts_{};
  std::vector<Cell> cells_{};
  std::size_t runs_before_constraints_ = 0;
  std::map<std::pair<std::string, std::vector<std::size_t>>, std::size_t> seen_{};  // -> cells_
  std::vector<std::map<std::string, std::size_t>> value_numbers_{};  // by swept parameter
  std::map<const Cell*, std::set<RunKey>> runs_of_cell_{};
  std::vector<Shape> shapes_{};
  std::map<std::pair<std::size_t, std::vector<std::size_t>>, std::size_t> shape_by_values_{};
  std::map<std::size_t, std::vector<std::size_t>> relevant_{};
  using Ingredients =
      std::tuple<std::size_t, std::size_t, std::optional<std::uint64_t>, std::vector<std::size_t>>;
  std::map<Ingredients, std::size_t> known_{};
  std::map<TaskKey, std::size_t> tasks_{};
  std::map<RunKey, std::string> runs_{};
};

}  // namespace

Result<Expansion> expand(const SweepDefinition& definition, const Surroundings& surroundings) {
  return Expander(definition, surroundings).run();
}

}  // namespace strata
