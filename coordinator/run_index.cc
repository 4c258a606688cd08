#include "coordinator/run_index.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/json.h"
#include "base/sha256.h"
#include "coordinator/query_reader.h"
#include "schema/run_state.h"

namespace strata::coordinator {
namespace {

constexpr std::array<std::pair<std::string_view, RunIndex::Name::Own>, 7> kOwnNames{
    {{"state", RunIndex::Name::Own::kState},
     {"seed", RunIndex::Name::Own::kSeed},
     {"cell", RunIndex::Name::Own::kCell},
     {"run", RunIndex::Name::Own::kRun},
     {"sweep", RunIndex::Name::Own::kSweep},
     {"baseline", RunIndex::Name::Own::kBaseline},
     {"orphan", RunIndex::Name::Own::kOrphan}}};

template <class... Args, class F>
void each_row(Statements& run, const char* sql, F&& row, const Args&... args) {
  SQLite::Statement& select = run.get(sql);
  Statements::bind(select, args...);
  while (select.executeStep()) row(select);
  select.reset();
}

Value column(const SQLite::Column& column) {
  if (column.isNull()) return {};
  if (column.isInteger()) return Value(std::int64_t{column.getInt64()});
  if (column.isFloat()) return Value(column.getDouble());
  return Value(column.getString());
}

const RunIndex::Leaf* find_leaf(const std::vector<RunIndex::Leaf>& leaves, std::uint32_t name) {
  const auto it = std::lower_bound(leaves.begin(), leaves.end(), name,
                                   [](const auto& leaf, std::uint32_t n) { return leaf.name < n; });
  return it != leaves.end() && it->name == name ? &*it : nullptr;
}

}  // namespace

std::uint8_t rank_of_state(std::string_view state) {
  if (state == "leased") state = "running";
  const auto it = std::find(kRunStates.begin(), kRunStates.end(), state);
  return static_cast<std::uint8_t>(std::min<std::ptrdiff_t>(
      it - kRunStates.begin(), static_cast<std::ptrdiff_t>(kRunStates.size()) - 1));
}
std::string_view state_of_rank(std::uint8_t rank) { return kRunStates.at(rank); }

// --- reading ---

void RunIndex::clear() { *this = RunIndex(); }

bool RunIndex::refresh(Statements& run, std::size_t runs_max) {
  Stamp now;
  std::int64_t runs = 0;
  each_row(run, "SELECT seq, chain, (SELECT count(*) FROM run) FROM follows",
           [&](SQLite::Statement& row) {
             now = {.seq = row.getColumn(0).getInt64(), .chain = row.getColumn(1).getInt64()};
             runs = row.getColumn(2).getInt64();
           });
  if (now == stamp_) return true;
  // Tables that were thrown away are made again from the start.
  if (now.seq <= stamp_.seq || static_cast<std::size_t>(runs) < size_) clear();
  if (static_cast<std::size_t>(runs) > runs_max) {
    clear();
    return false;
  }
  read_sweeps(run);
  read_tasks(run);
  stamp_ = now;
  return true;
}

// The runs of a sweep change only while it is being submitted, and each submission has a number.
void RunIndex::read_sweeps(Statements& run) {
  std::vector<Sweep*> changed;
  each_row(run, "SELECT sweep, generation, sealed_generation, submitted_ms, sealed FROM sweep",
           [&](SQLite::Statement& row) {
             const std::string name = row.getColumn(0).getString();
             const auto [it, fresh] = sweeps_.try_emplace(name);
             Sweep& sweep = it->second;
             const Sweep was{.generation = sweep.generation,
                             .sealed_generation = sweep.sealed_generation,
                             .submitted_ms = sweep.submitted_ms,
                             .sealed = sweep.sealed};
             sweep.name = name;
             sweep.generation = row.getColumn(1).getInt64();
             sweep.sealed_generation = row.getColumn(2).getInt64();
             sweep.submitted_ms = row.getColumn(3).getInt64();
             sweep.sealed = row.getColumn(4).getInt64() != 0;
             const bool same = was.generation == sweep.generation &&
                               was.sealed_generation == sweep.sealed_generation &&
                               was.submitted_ms == sweep.submitted_ms && was.sealed && sweep.sealed;
             if (fresh || !same) changed.push_back(&sweep);
           });
  for (Sweep* sweep : changed) read_runs(run, *sweep);
  ordered_.clear();
  size_ = 0;
  for (const auto& [name, sweep] : sweeps_) {
    ordered_.push_back(&sweep);
    size_ += sweep.runs.size();
  }
  std::stable_sort(ordered_.begin(), ordered_.end(), [](const Sweep* a, const Sweep* b) {
    return a->submitted_ms < b->submitted_ms;  // ties: by name, as they stand in the map
  });
}

void RunIndex::read_runs(Statements& run, Sweep& sweep) {
  sweep.runs.clear();
  std::map<std::string, std::size_t> by_key;
  each_row(
      run,
      "SELECT rowid, run, cell, seed, baseline, generation, assignment FROM run WHERE sweep = ? "
      "ORDER BY rowid",
      [&](SQLite::Statement& row) {
        Run one{.row = row.getColumn(0).getInt64(),
                .key = row.getColumn(1).getString(),
                .cell = row.getColumn(2).getString(),
                .seed = row.getColumn(3).getString(),
                .baseline = row.getColumn(4).getInt64() != 0,
                .generation = row.getColumn(5).getInt64()};
        one.assignment = intern_leaves(row.getColumn(6).getString(), false);
        by_key.emplace(one.key, sweep.runs.size());
        sweep.runs.push_back(std::move(one));
      },
      sweep.name);
  std::vector<std::size_t> unknown;
  each_row(
      run,
      "SELECT rt.run, rt.stage, t.rowid FROM run_task rt JOIN task t ON t.task = rt.task WHERE "
      "rt.sweep = ? ORDER BY rt.run, rt.stage",
      [&](SQLite::Statement& row) {
        const auto it = by_key.find(row.getColumn(0).getString());
        if (it == by_key.end()) return;
        const auto task = static_cast<std::size_t>(row.getColumn(2).getInt64());
        sweep.runs[it->second].stages.push_back(
            {.stage = row.getColumn(1).getString(), .task = task});
        if (tasks_.size() <= task) tasks_.resize(task + 1);
        if (std::exchange(tasks_[task].known, true)) return;
        unknown.push_back(task);
      },
      sweep.name);
  for (const std::size_t task : unknown) read_parameters(run, task);
}

void RunIndex::read_parameters(Statements& run, std::size_t row) {
  each_row(
      run, "SELECT parameters FROM task WHERE rowid = ?",
      [&](SQLite::Statement& select) {
        tasks_[row].parameters = intern_leaves(select.getColumn(0).getString(), true);
      },
      static_cast<std::int64_t>(row));
}

// Every task's state, from an index that holds nothing else; the scores of those that have
// succeeded since they were read.
void RunIndex::read_tasks(Statements& run) {
  std::vector<std::size_t> scored;
  each_row(run, "SELECT rowid, state, coalesce(succeeded_attempt, 0) FROM task",
           [&](SQLite::Statement& row) {
             const auto id = static_cast<std::size_t>(row.getColumn(0).getInt64());
             if (id >= tasks_.size() || !tasks_[id].known) return;
             Task& task = tasks_[id];
             task.state = rank_of_state(row.getColumn(1).getText());
             const std::int64_t attempt = row.getColumn(2).getInt64();
             if (std::exchange(task.scored_attempt, attempt) != attempt) scored.push_back(id);
           });
  for (const std::size_t id : scored) read_scores(run, id);
}

void RunIndex::read_scores(Statements& run, std::size_t row) {
  std::vector<ScoreEntry>& scores = tasks_[row].scores;
  scores.clear();
  each_row(
      run,
      "SELECT s.name, s.value FROM task t JOIN score s ON s.task = t.task AND s.attempt = "
      "t.succeeded_attempt WHERE t.rowid = ? ORDER BY s.name",
      [&](SQLite::Statement& select) {
        scores.push_back({.name = intern_name(select.getColumn(0).getText()),
                          .value = column(select.getColumn(1))});
      },
      static_cast<std::int64_t>(row));
}

std::uint32_t RunIndex::intern_name(std::string_view text) {
  const auto known = name_ids_.find(text);
  if (known != name_ids_.end()) return known->second;
  const auto id = static_cast<std::uint32_t>(names_.size());
  names_.emplace_back(text);
  maps_.push_back(false);
  name_ids_.emplace(text, id);
  return id;
}

std::uint32_t RunIndex::intern_value(Value value) {
  const auto [it, fresh] =
      value_ids_.try_emplace(to_canonical_json(value), static_cast<std::uint32_t>(values_.size()));
  if (fresh) values_.push_back(std::move(value));
  return it->second;
}

std::uint32_t RunIndex::intern_leaves(const std::string& json, bool nested) {
  const auto [it, fresh] = set_ids_.try_emplace(sha256_hex(json) + (nested ? "n" : "f"),
                                                static_cast<std::uint32_t>(sets_.size()));
  if (!fresh) return it->second;
  Leaves leaves;
  const auto value = parse_json(json);
  if (const Object* object = value ? value->if_object() : nullptr) {
    if (nested) {
      flatten(*value, "", leaves);
    } else {
      for (const auto& [name, part] : *object)
        leaves.push_back({.name = intern_name(name), .value = intern_value(part)});
    }
  }
  std::sort(leaves.begin(), leaves.end(),
            [](const Leaf& a, const Leaf& b) { return a.name < b.name; });
  leaves.shrink_to_fit();
  sets_.push_back(std::move(leaves));
  return it->second;
}

void RunIndex::flatten(const Value& value, const std::string& at, Leaves& leaves) {
  const Object* object = value.if_object();
  if (object == nullptr || (object->empty() && !at.empty())) {
    leaves.push_back({.name = intern_name(at), .value = intern_value(value)});
    return;
  }
  if (!at.empty()) maps_[intern_name(at)] = true;
  for (const auto& [name, part] : *object) {
    if (name.find('.') != std::string::npos) continue;  // no dotted name leads there
    flatten(part, at.empty() ? name : at + "." + name, leaves);
  }
}

// --- looking ---

RunIndex::Name RunIndex::name(std::string_view text) const {
  Name out{.text = std::string(text)};
  for (const auto& [own, which] : kOwnNames) {
    if (own == text) out.own = which;
  }
  const auto id = name_ids_.find(text);
  if (id == name_ids_.end()) return out;
  out.id = id->second;
  out.is_map = maps_[id->second];
  return out;
}

const Value* RunIndex::look(const Run& run, const Sweep& sweep, const Name& name,
                            Value& made) const {
  using Own = Name::Own;
  switch (name.own) {
    case Own::kNone: break;
    case Own::kState: made = Value(state_of(run)); return &made;
    case Own::kSeed: made = seed_value(run.seed); return &made;
    case Own::kCell: made = Value(run.cell); return &made;
    case Own::kRun: made = Value(run.key); return &made;
    case Own::kSweep: made = Value(sweep.name); return &made;
    case Own::kBaseline: made = Value(run.baseline); return &made;
    case Own::kOrphan: made = Value(run.generation < sweep.sealed_generation); return &made;
  }
  if (name.id) {
    const Leaf* assigned = find_leaf(sets_[run.assignment], *name.id);
    if (assigned != nullptr && !values_[assigned->value].is_null())
      return &values_[assigned->value];
    if (const Value* found = parameter(run, name, made)) return found->is_null() ? nullptr : found;
  }
  return score(run, name.text);
}

// As if the maps of all its tasks were one: of one name the later stage's word counts.
const Value* RunIndex::parameter(const Run& run, const Name& name, Value& made) const {
  for (std::size_t i = run.stages.size(); i-- > 0;) {
    const Leaf* leaf = find_leaf(sets_[tasks_[run.stages[i].task].parameters], *name.id);
    if (leaf != nullptr) return &values_[leaf->value];
  }
  if (!name.is_map) return nullptr;
  const std::string prefix = name.text + ".";
  made = Value();
  for (const StageTask& stage : run.stages) {
    for (const Leaf& leaf : sets_[tasks_[stage.task].parameters]) {
      const std::string& whole = names_[leaf.name];
      if (whole.starts_with(prefix))
        static_cast<void>(
            made.set(std::string_view(whole).substr(prefix.size()), values_[leaf.value]));
    }
  }
  return made.is_null() ? nullptr : &made;
}

const Value* RunIndex::score(const Run& run, std::string_view name) const {
  const auto id = name_ids_.find(name);
  if (id != name_ids_.end()) {
    for (const StageTask& stage : run.stages) {
      for (const ScoreEntry& one : tasks_[stage.task].scores) {
        if (one.name == id->second) return one.value.is_null() ? nullptr : &one.value;
      }
    }
  }
  if (name.find('/') == std::string_view::npos) return nullptr;
  for (const auto& [known, value] : scores_of(run)) {
    if (known == name) return value;
  }
  return nullptr;
}

std::string_view RunIndex::state_of(const Run& run) const {
  std::uint8_t worst = static_cast<std::uint8_t>(kRunStates.size() - 1);
  for (const StageTask& stage : run.stages) worst = std::min(worst, tasks_[stage.task].state);
  return state_of_rank(worst);
}

std::vector<std::pair<std::string, const Value*>> RunIndex::scores_of(const Run& run) const {
  std::vector<std::pair<std::string, const Value*>> scores;
  for (const StageTask& stage : run.stages) {
    for (const ScoreEntry& one : tasks_[stage.task].scores) {
      const std::string& name = names_[one.name];
      const bool taken = std::any_of(scores.begin(), scores.end(),
                                     [&](const auto& other) { return other.first == name; });
      scores.emplace_back(taken ? stage.stage + "/" + name : name, &one.value);
    }
  }
  return scores;
}

Object RunIndex::assignment_of(const Run& run) const {
  Object assignment;
  for (const Leaf& leaf : sets_[run.assignment])
    assignment.emplace(names_[leaf.name], values_[leaf.value]);
  return assignment;
}

}  // namespace strata::coordinator
