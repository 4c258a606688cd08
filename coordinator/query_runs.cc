#include <algorithm>

#include "coordinator/query_reader.h"

namespace strata::coordinator {
namespace {

// Deep: maps join, and where two tasks of a run say something else of one name, the later stage's
// word stays. They cannot: all of them come from the one cell.
void merge(Value& into, const Value& from) {
  Object* target = into.if_object();
  const Object* source = from.if_object();
  if (target == nullptr || source == nullptr) {
    into = from;
    return;
  }
  for (const auto& [name, value] : *source) {
    const auto [it, inserted] = target->emplace(name, value);
    if (!inserted) merge(it->second, value);
  }
}

}  // namespace

void QueryReader::add_scores(const std::string& stage, const std::string& task,
                             const std::set<std::string>& items, Object& scores) {
  std::vector<std::pair<std::string, Object>> rows;
  each(
      "SELECT s.name, s.value, s.unit, s.low, s.high, s.count, s.better, s.judge, s.attempt FROM "
      "score s "
      "JOIN task t ON t.task = s.task AND t.succeeded_attempt = s.attempt WHERE s.task = ? ORDER "
      "BY s.name",
      [&](SQLite::Statement& row) {
        rows.emplace_back(row.getColumn(0).getString(),
                          Object{{"value", column_value(row.getColumn(1))},
                                 {"unit", column_value(row.getColumn(2))},
                                 {"low", column_value(row.getColumn(3))},
                                 {"high", column_value(row.getColumn(4))},
                                 {"count", column_value(row.getColumn(5))},
                                 {"better", column_value(row.getColumn(6))},
                                 {"judge", column_value(row.getColumn(7))},
                                 {"attempt", column_value(row.getColumn(8))},
                                 {"stage", stage},
                                 {"task", task}});
      },
      task);
  for (auto& [name, score] : rows) {
    if (items.contains(name)) {
      Object values;
      each(
          "SELECT i.item, i.value FROM score_item i JOIN task t ON t.task = i.task AND "
          "t.succeeded_attempt = i.attempt "
          "WHERE i.task = ? AND i.name = ? ORDER BY i.item",
          [&](SQLite::Statement& row) {
            values.emplace(row.getColumn(0).getString(), column_value(row.getColumn(1)));
          },
          task, name);
      score.emplace("items", std::move(values));
    }
    // Two stages of a run that give a score of one name: the second is told with its stage.
    const bool taken = scores.contains(name);
    scores.emplace(taken ? stage + "/" + name : name, std::move(score));
  }
}

const Value& QueryReader::parameters_of(const std::string& task,
                                        std::map<std::string, Value>& cache) {
  const auto [it, fresh] = cache.try_emplace(task);
  if (fresh) {
    each(
        "SELECT parameters FROM task WHERE task = ?",
        [&](SQLite::Statement& row) { it->second = json_value(row.getColumn(0)); }, task);
  }
  return it->second;
}

// The columns that every question for runs selects, in this order.
constexpr const char* kRunColumns =
    "SELECT r.run, r.sweep, r.cell, r.seed, r.baseline, r.generation < s.sealed_generation, "
    "r.assignment FROM run r JOIN sweep s ON s.sweep = r.sweep ";

Value QueryReader::run_value(SQLite::Statement& row) {
  return Object{{"run", column_value(row.getColumn(0))},
                {"sweep", column_value(row.getColumn(1))},
                {"cell", column_value(row.getColumn(2))},
                {"seed", seed_value(row.getColumn(3).getString())},
                {"baseline", flag_value(row.getColumn(4))},
                {"orphan", flag_value(row.getColumn(5))},
                {"assignment", json_value(row.getColumn(6))}};
}

Value QueryReader::run_row(std::int64_t rowid) {
  Value found = Object{};
  static const std::string kSelect = std::string(kRunColumns) + "WHERE r.rowid = ?";
  each(
      kSelect.c_str(), [&](SQLite::Statement& row) { found = run_value(row); }, rowid);
  return found;
}

void QueryReader::complete_run(Value& row, const std::set<std::string>& items,
                               std::map<std::string, Value>& parameters) {
  Object stages;
  std::uint8_t state = rank_of_state("succeeded");
  each(
      "SELECT rt.stage, t.task, t.state, t.attempts, t.outdated FROM run_task rt JOIN task t ON "
      "t.task = rt.task "
      "WHERE rt.sweep = ? AND rt.run = ? ORDER BY rt.stage",
      [&](SQLite::Statement& one) {
        state = std::min(state, rank_of_state(one.getColumn(2).getText()));
        stages.emplace(one.getColumn(0).getString(),
                       Object{{"task", column_value(one.getColumn(1))},
                              {"state", column_value(one.getColumn(2))},
                              {"attempt", column_value(one.getColumn(3))},
                              {"outdated", flag_value(one.getColumn(4))}});
      },
      text_at(row, "sweep"), text_at(row, "run"));
  Value merged = Object{};
  Object scores;
  for (const auto& [stage, one] : stages) {
    const std::string task = text_at(one, "task");
    merge(merged, parameters_of(task, parameters));
    add_scores(stage, task, items, scores);
  }
  Object& run = *row.if_object();
  run.emplace("state", state_of_rank(state));
  run.emplace("parameters", std::move(merged));
  run.emplace("stages", std::move(stages));
  run.emplace("scores", std::move(scores));
}

Result<Value> QueryReader::runs(const Value& body, const ServerFacts&) {
  Fields fields(body, "runs");
  const std::string sweep = fields.text("sweep", std::string());
  const std::vector<std::string> listed = fields.texts("items", std::vector<std::string>{});
  STRATA_CHECK_OK(fields.finish());
  const std::set<std::string> items(listed.begin(), listed.end());
  if (!sweep.empty() && number("SELECT count(*) FROM sweep WHERE sweep = ?", sweep) == 0) {
    return fail(ErrorCode::kNotFound, "there is no sweep \"{}\"", sweep);
  }
  static const std::string kSelect =
      std::string(kRunColumns) +
      "WHERE ?1 = '' OR r.sweep = ?1 ORDER BY s.submitted_ms, r.sweep, r.rowid LIMIT ?2";
  Array rows;
  each(
      kSelect.c_str(), [&](SQLite::Statement& row) { rows.push_back(run_value(row)); }, sweep,
      static_cast<std::int64_t>(kRowsMax + 1));
  if (rows.size() > kRowsMax)
    return fail(ErrorCode::kTooLarge, "more than {} runs match: name a sweep", kRowsMax);
  std::map<std::string, Value> parameters;
  for (Value& row : rows) complete_run(row, items, parameters);
  return Value(Object{{"runs", std::move(rows)}});
}

}  // namespace strata::coordinator
