// What a client needs to say what a submission would do.
#include "coordinator/plan_book.h"
#include "coordinator/query_reader.h"
#include "schema/task.h"

namespace strata::coordinator {
namespace {

constexpr std::size_t kOrphansTold = 1'000;  // by name; all are counted
constexpr std::size_t kPlanIdDigits = 12;

// The versions that an attempt recorded, by their names in TaskSpec::versions.
Object versions_of(const std::string& recorded) {
  Object out;
  if (recorded.find(kRecordedVersion) == std::string::npos) return out;
  const auto value = parse_json(recorded);
  if (!value || value->if_object() == nullptr) return out;
  for (const auto& [name, version] : *value->if_object()) {
    if (name.starts_with(kRecordedVersion))
      out.emplace(name.substr(kRecordedVersion.size()), version);
  }
  return out;
}

}  // namespace

Value QueryReader::changed_inputs(const std::string& task) {
  Array names;
  each(
      "SELECT c.input FROM consumed c JOIN task t ON t.task = c.task AND c.attempt = "
      "t.succeeded_attempt JOIN json_each(t.spec, '$.inputs') i ON i.value ->> 'name' = c.input "
      "JOIN task p ON p.task = i.value ->> 'producer' LEFT JOIN output o ON o.task = p.task AND "
      "o.attempt = p.succeeded_attempt AND o.output = i.value ->> 'output' "
      "WHERE c.task = ? AND (o.hash IS NULL OR o.hash <> c.hash) ORDER BY c.input",
      [&](SQLite::Statement& row) { names.emplace_back(column_value(row.getColumn(0))); }, task);
  return names;
}

// Runs of the sweep that `wanted` does not have, and what a submission does about them: `goes on`
// where a gang works on it, `withdrawn` where something of it has not begun, else `kept`.
Value QueryReader::orphans_of(const std::string& sweep, const std::set<std::string>& runs,
                              const std::set<std::string>& tasks, std::size_t& count) {
  struct Orphan {
    Value cell{};
    Value seed{};
    bool runs_on = false;
    bool waits = false;
  };
  std::map<std::string, Orphan> orphans;
  each(
      "SELECT r.run, r.cell, r.seed FROM run r JOIN sweep s ON s.sweep = r.sweep WHERE r.sweep = ? "
      "AND r.generation >= s.sealed_generation",
      [&](SQLite::Statement& row) {
        const std::string run = row.getColumn(0).getString();
        if (!runs.contains(run))
          orphans[run] = {.cell = column_value(row.getColumn(1)),
                          .seed = column_value(row.getColumn(2))};
      },
      sweep);
  count = orphans.size();
  Array told;
  for (auto& [run, orphan] : orphans) {
    if (told.size() >= kOrphansTold) break;
    each(
        "SELECT t.task, t.state FROM run_task rt JOIN task t ON t.task = rt.task WHERE rt.sweep = "
        "? AND rt.run = ?",
        [&, &one = orphan](SQLite::Statement& row) {
          if (tasks.contains(row.getColumn(0).getString())) return;
          const std::string state = row.getColumn(1).getString();
          one.runs_on = one.runs_on || state == "running" || state == "leased";
          one.waits = one.waits || state == "queued" || state == "blocked" || state == "held";
        },
        sweep, run);
    told.emplace_back(Object{{"run", run},
                             {"cell", orphan.cell},
                             {"seed", orphan.seed},
                             {"fate", orphan.runs_on ? "goes on"
                                      : orphan.waits ? "withdrawn"
                                                     : "kept"}});
  }
  return told;
}

Value QueryReader::history() {
  Array history;
  each(
      "SELECT program, flops, slots, seconds, ranks, threads, memory_mb FROM (SELECT t.program AS "
      "program, t.flops AS flops, a.slots AS slots, (a.ended_ms - a.started_ms) / 1000.0 AS "
      "seconds, t.spec ->> '$.resources.ranks' AS ranks, t.spec ->> '$.resources.threads' AS "
      "threads, t.spec ->> '$.resources.memory_mb' AS memory_mb, row_number() OVER (PARTITION BY "
      "t.program ORDER BY a.ended_ms DESC, a.task) AS place FROM attempt a JOIN task t ON t.task = "
      "a.task WHERE a.outcome = 'succeeded' AND a.started_ms IS NOT NULL) WHERE place <= ?",
      [&](SQLite::Statement& row) {
        history.emplace_back(Object{{"program", column_value(row.getColumn(0))},
                                    {"flops", column_value(row.getColumn(1))},
                                    {"slots", column_value(row.getColumn(2))},
                                    {"seconds", column_value(row.getColumn(3))},
                                    {"ranks", column_value(row.getColumn(4))},
                                    {"threads", column_value(row.getColumn(5))},
                                    {"memory_mb", column_value(row.getColumn(6))}});
      },
      kHistoryRows);
  return history;
}

Result<Value> QueryReader::plan(const Value& body, const ServerFacts& facts) {
  Fields fields(body, "plan");
  Plan plan{.sweep = fields.text("sweep"), .scope = fields.text("scope", std::string())};
  const std::vector<std::string> tasks = fields.texts("tasks", std::vector<std::string>{});
  const std::vector<std::string> runs = fields.texts("runs", std::vector<std::string>{});
  STRATA_CHECK_OK(fields.finish());
  WorldDigest world(plan.sweep);
  each(
      "SELECT generation, sealed FROM sweep WHERE sweep = ?",
      [&](SQLite::Statement& row) {
        world.add_sweep(row.getColumn(0).getInt64(), row.getColumn(1).getInt64() != 0);
      },
      plan.sweep);
  each(
      "SELECT r.run FROM run r JOIN sweep s ON s.sweep = r.sweep WHERE r.sweep = ? AND "
      "r.generation >= s.sealed_generation ORDER BY r.run",
      [&](SQLite::Statement& row) { world.add_run(row.getColumn(0).getString()); }, plan.sweep);
  Object known;
  std::vector<std::string> outdated;
  for (const std::string& task : tasks) {
    STRATA_TRY(const TaskKey key, parse_digest<TaskKey>(task));
    plan.tasks.push_back(key);
    char cls = plan_class("", false, false);
    std::int64_t attempts = 0;
    each(
        "SELECT t.state, t.outdated, (a.ended_ms - a.started_ms) / 1000.0, t.attempts, a.recorded, "
        "EXISTS (SELECT 1 FROM want w WHERE w.task = t.task AND w.sweep = ?2) FROM task t LEFT "
        "JOIN attempt a ON a.task = t.task AND a.attempt = t.succeeded_attempt "
        "WHERE t.task = ?1",
        [&](SQLite::Statement& row) {
          const std::string state = row.getColumn(0).getString();
          const bool is_outdated = row.getColumn(1).getInt64() != 0;
          const bool wanted = row.getColumn(5).getInt64() != 0;
          cls = plan_class(state, is_outdated, wanted);
          attempts = row.getColumn(3).getInt64();
          Object entry{{"state", state},
                       {"outdated", is_outdated},
                       {"wanted", wanted},
                       {"seconds", column_value(row.getColumn(2))}};
          if (!row.getColumn(4).isNull()) {
            Object versions = versions_of(row.getColumn(4).getString());
            if (!versions.empty()) entry.emplace("versions", std::move(versions));
          }
          if (is_outdated) outdated.push_back(task);
          known.emplace(task, std::move(entry));
        },
        task, plan.sweep);
    world.add_task(cls, attempts);
  }
  for (const std::string& task : outdated)
    known.at(task).if_object()->emplace("changed_inputs", changed_inputs(task));
  std::size_t orphans = 0;
  Value told =
      orphans_of(plan.sweep, {runs.begin(), runs.end()}, {tasks.begin(), tasks.end()}, orphans);
  plan.world = world.finish();
  plan.id = sha256_hex(plan.sweep + "\n" + plan.scope + "\n" + plan.world).substr(0, kPlanIdDigits);
  const std::string id = plan.id;
  if (facts.plans != nullptr) facts.plans->remember(std::move(plan));
  const std::int64_t slots =
      number("SELECT coalesce(sum(slots), 0) FROM worker WHERE gone_ms IS NULL");
  const std::int64_t used =
      number("SELECT coalesce(sum(slots), 0) FROM attempt WHERE ended_ms IS NULL");
  return Value(Object{{"plan_id", id},
                      {"tasks", std::move(known)},
                      {"orphaned", static_cast<std::int64_t>(orphans)},
                      {"orphans", std::move(told)},
                      {"slots", slots},
                      {"slots_free", slots - used},
                      {"history", history()}});
}

}  // namespace strata::coordinator
