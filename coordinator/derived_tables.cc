#include "coordinator/derived_tables.h"

#include <array>
#include <cmath>

#include "base/json.h"
#include "coordinator/spec_json.h"

namespace strata::coordinator {
namespace {

// STRICT tables hold no NaN (SQLite makes NULL of it) and people read infinities better as words.
Value stored(double value) { return Value(value); }

void bind_number(SQLite::Statement& statement, int index, double value) {
  if (std::isfinite(value)) {
    statement.bind(index, value);
  } else {
    statement.bind(index, *stored(value).if_string());
  }
}

std::string outcome_name(const Outcome& outcome) {
  static constexpr std::array<const char*, std::variant_size_v<Outcome>> kNames{
      "succeeded", "failed", "lost", "stopped", "diverged"};
  return kNames.at(outcome.index());
}

std::string outcome_reason(const Outcome& outcome) {
  return std::visit(
      [](const auto& o) -> std::string {
        if constexpr (requires { o.reason; }) {
          return o.reason;
        } else {
          return {};
        }
      },
      outcome);
}

}  // namespace

const std::vector<const char*>& derived_table_names() {
  static const std::vector<const char*> kNames{"sweep",  "run",        "run_task",   "task",
                                               "want",   "attempt",    "checkpoint", "artifact",
                                               "output", "consumed",   "score",      "score_item",
                                               "worker", "quarantine", "rung"};
  return kNames;
}

void DerivedTables::begin() {  // what is there is of a try that failed
  wanted_ms_.clear();
  cancelled_.clear();
  attempts_.clear();
}

void DerivedTables::add(std::span<const Event> events) {
  for (const Event& event : events) {
    std::visit([&](const auto& body) { on(event, body); }, event.body);
  }
}

void DerivedTables::finish(std::span<const TaskRow> rows) {
  write_attempts();
  for (const TaskRow& row : rows) write_task(row);
  for (const auto& [sweep, cancelled] : cancelled_)
    run_.run("UPDATE sweep SET cancelled = ?1 WHERE sweep = ?2 AND cancelled <> ?1", cancelled,
             sweep);
}

void DerivedTables::write_attempts() {
  for (const auto& [id, row] : attempts_) {
    run_.run(
        "INSERT INTO attempt (task, attempt, worker, slots, resume_step, granted_ms, started_ms, "
        "ended_ms, outcome, reason, recorded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        id.task.hex(), id.number, row.worker, row.slots, row.resume_step, row.granted_ms,
        row.started_ms, row.ended_ms, row.outcome, row.reason, row.recorded);
  }
}

void DerivedTables::on(const Event& event, const SweepOpened& e) {
  run_.run(
      "INSERT INTO sweep (sweep, generation, priority, sealed, cancelled, submitted_ms, "
      "definition) VALUES (?, ?, ?, 0, 0, ?, ?) "
      "ON CONFLICT (sweep) DO UPDATE SET generation = excluded.generation, priority = "
      "excluded.priority, sealed = 0, "
      "cancelled = 0, submitted_ms = excluded.submitted_ms, definition = excluded.definition",
      e.sweep, e.generation, e.priority, event.at.unix_ms, e.definition);
  cancelled_.erase(e.sweep);
}

void DerivedTables::on(const Event& event, const TaskWanted& e) {
  wanted_ms_.try_emplace(e.spec.key, event.at.unix_ms);
  cancelled_[e.sweep] = false;
  run_.run("INSERT INTO want (task, sweep) VALUES (?, ?) ON CONFLICT DO NOTHING", e.spec.key.hex(),
           e.sweep);
}

void DerivedTables::on(const Event&, const RunAdded& e) {
  const std::string run = e.run.key.hex();
  run_.run(
      "INSERT INTO run (sweep, run, generation, cell, seed, baseline, assignment) VALUES (?, ?, ?, "
      "?, ?, ?, ?) "
      "ON CONFLICT (sweep, run) DO UPDATE SET generation = excluded.generation, cell = "
      "excluded.cell, seed = excluded.seed, "
      "baseline = excluded.baseline, assignment = excluded.assignment",
      e.sweep, run, e.generation, e.run.cell, std::to_string(e.run.seed), e.run.baseline,
      to_canonical_json(e.run.assignment));
  run_.run("DELETE FROM run_task WHERE sweep = ? AND run = ?", e.sweep, run);
  for (const auto& [stage, task] : e.run.tasks) {
    run_.run("INSERT INTO run_task (sweep, run, stage, task) VALUES (?, ?, ?, ?)", e.sweep, run,
             stage, task.hex());
  }
}

void DerivedTables::on(const Event&, const SweepSealed& e) {
  run_.run("UPDATE sweep SET sealed = 1, sealed_generation = generation WHERE sweep = ?", e.sweep);
  cancelled_[e.sweep] = false;
}

void DerivedTables::on(const Event&, const WantWithdrawn& e) {
  run_.run("DELETE FROM want WHERE task = ? AND sweep = ?", e.task.hex(), e.sweep);
  cancelled_[e.sweep] = true;
}

// What these change is all in the task's row, or in none.
void DerivedTables::on(const Event&, const TaskRevived&) {}
void DerivedTables::on(const Event&, const TaskCancelled&) {}
void DerivedTables::on(const Event&, const StopRequested&) {}
void DerivedTables::on(const Event&, const StoreRestored&) {}
void DerivedTables::on(const Event&, const FailureForgiven&) {}
void DerivedTables::on(const Event&, const TaskHeld&) {}
void DerivedTables::on(const Event&, const TaskPromoted&) {}
void DerivedTables::on(const Event&, const TaskPruned&) {}

void DerivedTables::on(const Event& event, const WorkerJoined& e) {
  run_.run(
      "INSERT INTO worker (worker, name, session, slots, labels, draining, joined_ms) VALUES (?, "
      "?, ?, ?, ?, 0, ?)",
      e.worker.value(), e.name, std::to_string(e.session), e.slots,
      to_canonical_json(texts_value(e.labels)), event.at.unix_ms);
}

void DerivedTables::on(const Event&, const WorkerDrained& e) {
  run_.run("UPDATE worker SET draining = 1 WHERE worker = ?", e.worker.value());
}

void DerivedTables::on(const Event& event, const WorkerGone& e) {
  run_.run("UPDATE worker SET gone_ms = ?, reason = ? WHERE worker = ?", event.at.unix_ms, e.reason,
           e.worker.value());
}

void DerivedTables::on(const Event& event, const AttemptGranted& e) {
  AttemptRow row{.worker = e.gang.front().worker.value(), .granted_ms = event.at.unix_ms};
  for (const Grant& grant : e.gang) row.slots += grant.slots;
  if (e.resume_from) {
    SQLite::Statement& select =
        run_.get("SELECT max(step) FROM checkpoint WHERE task = ? AND hash = ?");
    Statements::bind(select, e.attempt.task.hex(), e.resume_from->hash.hex());
    if (select.executeStep() && !select.isColumnNull(0))
      row.resume_step = select.getColumn(0).getInt64();
    select.reset();
  }
  attempts_[e.attempt] = std::move(row);
}

void DerivedTables::on(const Event& event, const AttemptStarted& e) {
  if (const auto it = attempts_.find(e.attempt); it != attempts_.end()) {
    it->second.started_ms = event.at.unix_ms;
    return;
  }
  run_.run("UPDATE attempt SET started_ms = ? WHERE task = ? AND attempt = ?", event.at.unix_ms,
           e.attempt.task.hex(), e.attempt.number);
}

void DerivedTables::on(const Event& event, const CheckpointCommitted& e) {
  run_.run(
      "INSERT INTO checkpoint (task, attempt, step, hash, at_ms) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT DO UPDATE SET hash = excluded.hash, at_ms = excluded.at_ms",
      e.attempt.task.hex(), e.attempt.number, e.step, e.artifact.hash.hex(), event.at.unix_ms);
}

void DerivedTables::on(const Event& event, const AttemptEnded& e) {
  const auto* succeeded = std::get_if<Succeeded>(&e.outcome);
  if (const auto it = attempts_.find(e.attempt); it != attempts_.end()) {
    it->second.ended_ms = event.at.unix_ms;
    it->second.outcome = outcome_name(e.outcome);
    it->second.reason = outcome_reason(e.outcome);
    if (succeeded != nullptr) write_success(e.attempt, *succeeded);
    return;
  }
  run_.run(
      "UPDATE attempt SET ended_ms = ?, outcome = ?, reason = ? WHERE task = ? AND attempt = ?",
      event.at.unix_ms, outcome_name(e.outcome), outcome_reason(e.outcome), e.attempt.task.hex(),
      e.attempt.number);
  if (succeeded != nullptr) write_success(e.attempt, *succeeded);
}

void DerivedTables::on(const Event& event, const WorkerQuarantined& e) {
  run_.run(
      "INSERT INTO quarantine (worker_name, since_ms, reason, for_ms, probing) VALUES (?, ?, ?, ?, "
      "0) ON CONFLICT (worker_name) DO UPDATE SET since_ms = excluded.since_ms, reason = "
      "excluded.reason, for_ms = excluded.for_ms, probing = 0",
      e.name, event.at.unix_ms, e.reason, e.for_ms);
}

void DerivedTables::on(const Event&, const WorkerProbed& e) {
  run_.run("UPDATE quarantine SET probing = 1 WHERE worker_name = ?", e.name);
}

void DerivedTables::on(const Event&, const WorkerReleased& e) {
  run_.run("DELETE FROM quarantine WHERE worker_name = ?", e.name);
}

void DerivedTables::on(const Event& event, const RungReached& e) {
  SQLite::Statement& insert = run_.get(
      "INSERT INTO rung (sweep, task, rung, at_ms, value) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO "
      "UPDATE SET at_ms = excluded.at_ms, value = excluded.value");
  Statements::bind(insert, e.sweep, e.task.hex(), e.rung, event.at.unix_ms);
  bind_number(insert, 5, e.value);
  insert.exec();
}

void DerivedTables::on(const Event&, const ArtifactEvicted& e) {
  run_.run("UPDATE artifact SET present = 0 WHERE hash = ?", e.artifact.hex());
}

void DerivedTables::write_artifact(const ArtifactRef& ref) {
  run_.run(
      "INSERT INTO artifact (hash, bytes, files, present) VALUES (?, ?, ?, 1) ON CONFLICT (hash) "
      "DO UPDATE SET present = 1",
      ref.hash.hex(), ref.bytes, ref.files);
}

void DerivedTables::write_success(const AttemptId& attempt, const Succeeded& outcome) {
  const std::string task = attempt.task.hex();
  Object recorded;
  for (const auto& [name, value] : outcome.recorded) recorded.emplace(name, value);
  if (const auto it = attempts_.find(attempt); it != attempts_.end()) {
    it->second.recorded = to_canonical_json(recorded);
  } else {
    run_.run("UPDATE attempt SET recorded = ? WHERE task = ? AND attempt = ?",
             to_canonical_json(recorded), task, attempt.number);
  }
  for (const auto& [output, ref] : outcome.artifacts) {
    write_artifact(ref);
    run_.run("INSERT INTO output (task, attempt, output, hash) VALUES (?, ?, ?, ?)", task,
             attempt.number, output, ref.hash.hex());
  }
  for (const auto& [input, hash] : outcome.consumed) {
    run_.run("INSERT INTO consumed (task, attempt, input, hash) VALUES (?, ?, ?, ?)", task,
             attempt.number, input, hash.hex());
  }
  for (const Score& score : outcome.scores) {
    SQLite::Statement& insert = run_.get(
        "INSERT INTO score (task, attempt, name, unit, count, better, judge, value, low, high) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING");
    Statements::bind(insert, task, attempt.number, score.name, score.unit, score.count,
                     score.better, score.judge);
    bind_number(insert, 8, score.value);
    if (score.low) bind_number(insert, 9, *score.low);
    if (score.high) bind_number(insert, 10, *score.high);
    insert.exec();
    for (const auto& [item, value] : score.items) {
      SQLite::Statement& one = run_.get(
          "INSERT INTO score_item (task, attempt, name, item, value) VALUES (?, ?, ?, ?, ?) ON "
          "CONFLICT DO NOTHING");
      Statements::bind(one, task, attempt.number, score.name, item);
      bind_number(one, 5, value);
      one.exec();
    }
  }
}

void DerivedTables::write_task(const TaskRow& row) {
  const std::string task = row.key.hex();
  if (row.spec) return write_task_with_spec(row, task);
  run_.run(
      "UPDATE task SET state = ?, reason = ?, outdated = ?, attempts = ?, succeeded_attempt = ?, "
      "user_failures = ?, infra_failures = ?, last_failure = ?, checkpoint_step = ? WHERE task = ?",
      row.state, row.reason, row.outdated, row.attempts, row.succeeded_attempt, row.user_failures,
      row.infra_failures, row.last_failure, row.checkpoint_step, task);
}

// Also what a task's life never changes; makes the row where there is none.
void DerivedTables::write_task_with_spec(const TaskRow& row, const std::string& task) {
  const auto wanted = wanted_ms_.find(row.key);
  const TaskSpec& spec = *row.spec;
  run_.run(
      "INSERT INTO task (state, reason, outdated, attempts, succeeded_attempt, user_failures, "
      "infra_failures, last_failure, checkpoint_step, task, created_ms, stage, program, flops, "
      "parameters, key_material, spec) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT (task) DO UPDATE SET state = excluded.state, reason = excluded.reason, outdated "
      "= excluded.outdated, attempts = excluded.attempts, succeeded_attempt = "
      "excluded.succeeded_attempt, user_failures = excluded.user_failures, infra_failures = "
      "excluded.infra_failures, last_failure = excluded.last_failure, checkpoint_step = "
      "excluded.checkpoint_step, stage = excluded.stage, program = excluded.program, flops = "
      "excluded.flops, parameters = excluded.parameters, key_material = excluded.key_material, "
      "spec = excluded.spec",
      row.state, row.reason, row.outdated, row.attempts, row.succeeded_attempt, row.user_failures,
      row.infra_failures, row.last_failure, row.checkpoint_step, task,
      wanted != wanted_ms_.end() ? wanted->second : std::int64_t{0}, spec.stage, spec.program.name,
      spec.flops, to_canonical_json(spec.parameters), key_material(spec),
      to_canonical_json(to_value(spec)));
}

}  // namespace strata::coordinator
