#include "coordinator/event_log.h"
#include "coordinator/live_view.h"
#include "coordinator/query_reader.h"
#include "schema/codec.h"

namespace strata::coordinator {

Value QueryReader::progress_of(const std::string& task, std::int64_t attempt) {
  Value progress;
  each(
      "SELECT p.step, p.total, p.at_ms, p.metrics FROM metric.point p JOIN metric.series s ON s.id "
      "= p.series "
      "WHERE s.task = ? AND s.attempt = ? ORDER BY p.sequence DESC LIMIT 1",
      [&](SQLite::Statement& row) {
        std::optional<std::int64_t> total;
        if (!row.getColumn(1).isNull()) total = row.getColumn(1).getInt64();
        progress = progress_value(row.getColumn(0).getInt64(), total, row.getColumn(2).getInt64(),
                                  json_value(row.getColumn(3)));
      },
      task, attempt);
  return progress;
}

Result<Value> QueryReader::tasks(const Value& body, const ServerFacts&) {
  Fields fields(body, "tasks");
  const std::string sweep = fields.text("sweep", std::string());
  const std::string state = fields.text("state", std::string());
  const std::string stage = fields.text("stage", std::string());
  const std::string prefix = fields.text("prefix", std::string());
  STRATA_CHECK_OK(fields.finish());
  Array rows;
  std::vector<std::int64_t> attempts;
  each(
      "SELECT t.task, t.stage, t.state, t.attempts, t.last_failure, t.outdated, w.name, "
      "a.granted_ms, a.ended_ms, t.reason FROM task t "
      "LEFT JOIN attempt a ON a.task = t.task AND a.attempt = t.attempts LEFT JOIN worker w ON "
      "w.worker = a.worker "
      "WHERE (?1 = '' OR t.task IN (SELECT task FROM run_task WHERE sweep = ?1)) AND (?2 = '' OR "
      "t.state = ?2) "
      "AND (?3 = '' OR t.stage = ?3) AND (?4 = '' OR (t.task >= ?4 AND t.task < ?4 || 'g')) ORDER "
      "BY t.created_ms, t.task LIMIT ?5",
      [&](SQLite::Statement& row) {
        attempts.push_back(row.getColumn(3).getInt64());
        rows.emplace_back(Object{{"task", column_value(row.getColumn(0))},
                                 {"stage", column_value(row.getColumn(1))},
                                 {"state", column_value(row.getColumn(2))},
                                 {"attempts", column_value(row.getColumn(3))},
                                 {"last_failure", column_value(row.getColumn(4))},
                                 {"outdated", flag_value(row.getColumn(5))},
                                 {"worker", column_value(row.getColumn(6))},
                                 {"granted_ms", column_value(row.getColumn(7))},
                                 {"ended_ms", column_value(row.getColumn(8))},
                                 {"reason", column_value(row.getColumn(9))}});
      },
      sweep, state, stage, prefix, static_cast<std::int64_t>(kRowsMax + 1));
  if (rows.size() > kRowsMax)
    return fail(ErrorCode::kTooLarge, "more than {} tasks match: ask for one sweep or state",
                kRowsMax);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string task = text_at(rows[i], "task");
    Array wants;
    each(
        "SELECT sweep FROM want WHERE task = ? ORDER BY sweep",
        [&](SQLite::Statement& row) { wants.emplace_back(column_value(row.getColumn(0))); }, task);
    rows[i].if_object()->emplace("wants", std::move(wants));
    rows[i].if_object()->emplace("progress", progress_of(task, attempts[i]));
  }
  return Value(Object{{"tasks", std::move(rows)}});
}

Result<Value> QueryReader::show(const Value& body, const ServerFacts& facts) {
  Fields fields(body, "show");
  const std::string prefix = fields.text("prefix");
  STRATA_CHECK_OK(fields.finish());
  STRATA_TRY(const auto named, resolve(prefix));
  return named.first == "task" ? show_task(named.second, facts) : show_run(named.second);
}

Value QueryReader::attempts_of(const std::string& task) {
  Array attempts;
  each(
      "SELECT a.attempt, w.name, a.slots, a.resume_step, a.granted_ms, a.started_ms, a.ended_ms, "
      "a.outcome, a.reason, a.recorded "
      "FROM attempt a LEFT JOIN worker w ON w.worker = a.worker WHERE a.task = ? ORDER BY "
      "a.attempt",
      [&](SQLite::Statement& row) {
        Value recorded = json_value(row.getColumn(9));
        const Value* folder = recorded.find("folder");
        attempts.emplace_back(Object{{"attempt", column_value(row.getColumn(0))},
                                     {"worker", column_value(row.getColumn(1))},
                                     {"slots", column_value(row.getColumn(2))},
                                     {"resume_step", column_value(row.getColumn(3))},
                                     {"granted_ms", column_value(row.getColumn(4))},
                                     {"started_ms", column_value(row.getColumn(5))},
                                     {"ended_ms", column_value(row.getColumn(6))},
                                     {"outcome", column_value(row.getColumn(7))},
                                     {"reason", column_value(row.getColumn(8))},
                                     {"folder", folder != nullptr ? *folder : Value()},
                                     {"recorded", std::move(recorded)}});
      },
      task);
  return attempts;
}

Value QueryReader::artifacts_of(const std::string& task, const ServerFacts& facts) {
  Object artifacts;
  each(
      "SELECT o.output, a.hash, a.bytes, a.files, a.present FROM output o JOIN artifact a ON "
      "a.hash = o.hash "
      "JOIN task t ON t.task = o.task AND t.succeeded_attempt = o.attempt WHERE o.task = ? ORDER "
      "BY o.output",
      [&](SQLite::Statement& row) {
        const std::string hash = row.getColumn(1).getString();
        artifacts.emplace(row.getColumn(0).getString(),
                          Object{{"hash", hash},
                                 {"bytes", column_value(row.getColumn(2))},
                                 {"files", column_value(row.getColumn(3))},
                                 {"present", flag_value(row.getColumn(4))},
                                 {"path", artifact_path(facts.artifact_folder, hash)}});
      },
      task);
  return artifacts;
}

constexpr std::size_t kEventsShownMax = 200;  // of one task

// The newest that name the task, from the log: its rows say which tasks they name. `cut`: why some
// may be missing.
Value QueryReader::events_of(const std::string& task, std::string& cut) {
  const auto key = parse_digest<TaskKey>(task);
  if (!key) return Array{};
  std::vector<Value> newest_first;
  const Status read = from_sqlite("reading the events of a task", [&] {
    SQLite::Statement& select = run_.get(
        "SELECT b.first_seq, b.body FROM log.batch_tasks t JOIN log.batch b ON b.last_seq = "
        "t.last_seq WHERE instr(t.tasks, ?) > 0 ORDER BY t.last_seq DESC");
    select.bind(1, key->bytes().data(), static_cast<int>(key->bytes().size()));
    while (newest_first.size() < kEventsShownMax && select.executeStep()) {
      const SQLite::Column body = select.getColumn(1);
      const auto frames = split_frames(
          {static_cast<const char*>(body.getBlob()), static_cast<std::size_t>(body.getBytes())});
      if (!frames) continue;  // damaged: said elsewhere
      const std::int64_t first = select.getColumn(0).getInt64();
      for (std::size_t i = frames->size(); i-- > 0;) {
        const auto event = decode_event((*frames)[i]);
        const TaskKey* named = event ? task_of(event->body) : nullptr;
        if (named == nullptr || *named != *key || newest_first.size() >= kEventsShownMax) continue;
        newest_first.emplace_back(Object{{"seq", first + static_cast<std::int64_t>(i)},
                                         {"at_ms", event->at.unix_ms},
                                         {"kind", name_of(event->body)}});
      }
    }
    select.reset();
  });
  if (!read) cut = read.error().message;  // a damaged log hides them, or there was no time
  return Array(newest_first.rbegin(), newest_first.rend());
}

Value QueryReader::show_task(const std::string& task, const ServerFacts& facts) {
  Object shown{{"kind", "task"}, {"task", task}};
  std::string stage;
  std::int64_t attempt = 0;
  each(
      "SELECT stage, state, reason, outdated, attempts, last_failure, spec, key_material FROM task "
      "WHERE task = ?",
      [&](SQLite::Statement& row) {
        stage = row.getColumn(0).getString();
        shown.emplace("stage", stage);
        shown.emplace("state", column_value(row.getColumn(1)));
        shown.emplace("reason", column_value(row.getColumn(2)));
        shown.emplace("outdated", flag_value(row.getColumn(3)));
        attempt = row.getColumn(4).getInt64();
        shown.emplace("last_failure", column_value(row.getColumn(5)));
        Value spec = json_value(row.getColumn(6));
        if (const Value* inputs = spec.find("inputs")) shown.emplace("inputs", *inputs);
        shown.emplace("spec", std::move(spec));
        shown.emplace("key_material", column_value(row.getColumn(7)));
      },
      task);
  Array wants;
  each(
      "SELECT sweep FROM want WHERE task = ? ORDER BY sweep",
      [&](SQLite::Statement& row) { wants.emplace_back(column_value(row.getColumn(0))); }, task);
  Object consumed;
  each(
      "SELECT c.input, c.hash FROM consumed c JOIN task t ON t.task = c.task AND "
      "t.succeeded_attempt = c.attempt WHERE c.task = ?",
      [&](SQLite::Statement& row) {
        consumed.emplace(row.getColumn(0).getString(), column_value(row.getColumn(1)));
      },
      task);
  Array runs;
  each(
      "SELECT DISTINCT rt.run, r.cell, r.seed FROM run_task rt JOIN run r ON r.sweep = rt.sweep "
      "AND r.run = rt.run "
      "WHERE rt.task = ? ORDER BY r.cell, r.seed LIMIT 100",
      [&](SQLite::Statement& row) {
        runs.emplace_back(Object{{"run", column_value(row.getColumn(0))},
                                 {"cell", column_value(row.getColumn(1))},
                                 {"seed", seed_value(row.getColumn(2).getString())}});
      },
      task);
  Object scores;
  add_scores(stage, task, {}, scores);
  shown.emplace("wants", std::move(wants));
  shown.emplace("runs", std::move(runs));
  shown.emplace("attempts", attempts_of(task));
  shown.emplace("artifacts", artifacts_of(task, facts));
  shown.emplace("consumed", std::move(consumed));
  shown.emplace("scores", std::move(scores));
  shown.emplace("progress", progress_of(task, attempt));
  std::string cut;
  shown.emplace("events", events_of(task, cut));
  shown.emplace("events_cut", cut);
  return shown;
}

Value QueryReader::show_run(const std::string& run) {
  Object shown{{"kind", "run"}, {"run", run}};
  Array sweeps;
  each(
      "SELECT r.sweep, r.cell, r.seed, r.baseline, r.assignment, r.generation < "
      "s.sealed_generation FROM "
      "run r "
      "JOIN sweep s ON s.sweep = r.sweep WHERE r.run = ? ORDER BY r.sweep",
      [&](SQLite::Statement& row) {
        sweeps.emplace_back(Object{{"sweep", column_value(row.getColumn(0))},
                                   {"orphan", flag_value(row.getColumn(5))}});
        shown.emplace("cell", column_value(row.getColumn(1)));
        shown.emplace("seed", seed_value(row.getColumn(2).getString()));
        shown.emplace("baseline", flag_value(row.getColumn(3)));
        shown.emplace("assignment", json_value(row.getColumn(4)));
      },
      run);
  Object stages;
  each(
      "SELECT DISTINCT rt.stage, t.task, t.state, t.attempts, t.outdated, t.last_failure, t.reason "
      "FROM "
      "run_task rt "
      "JOIN task t ON t.task = rt.task WHERE rt.run = ? ORDER BY rt.stage",
      [&](SQLite::Statement& row) {
        stages.emplace(row.getColumn(0).getString(),
                       Object{{"task", column_value(row.getColumn(1))},
                              {"state", column_value(row.getColumn(2))},
                              {"attempt", column_value(row.getColumn(3))},
                              {"outdated", flag_value(row.getColumn(4))},
                              {"last_failure", column_value(row.getColumn(5))},
                              {"reason", column_value(row.getColumn(6))}});
      },
      run);
  Object scores;
  for (const auto& [stage, row] : stages) add_scores(stage, text_at(row, "task"), {}, scores);
  shown.emplace("sweeps", std::move(sweeps));
  shown.emplace("stages", std::move(stages));
  shown.emplace("scores", std::move(scores));
  return shown;
}

}  // namespace strata::coordinator
