// The tables that questions are asked of, as a function of the events and the rows of the tasks
// that they touch. Written by the projector; `fsck` writes them again from nothing and compares.
//
// Throws SQLite::Exception: its users call it inside from_sqlite.
#pragma once

#include <map>
#include <span>
#include <string>

#include "coordinator/sqlite.h"
#include "coordinator/task_rows.h"

namespace strata::coordinator {

// All but `follows` and `schema_version`, in the order in which fsck compares them.
[[nodiscard]] const std::vector<const char*>& derived_table_names();

class DerivedTables {
 public:
  explicit DerivedTables(SQLite::Database& database) : run_(database) {}

  // In one transaction: begin(), events in order, then the rows of the tasks that they touched, as
  // they are after all of them (rows_of()). A row that several events change is written once.
  void begin();
  void add(std::span<const Event> events);
  void finish(std::span<const TaskRow> rows);

 private:
  void on(const Event& event, const SweepOpened& e);
  void on(const Event& event, const TaskWanted& e);
  void on(const Event& event, const RunAdded& e);
  void on(const Event& event, const SweepSealed& e);
  void on(const Event& event, const WantWithdrawn& e);
  void on(const Event& event, const TaskRevived& e);
  void on(const Event& event, const TaskCancelled& e);
  void on(const Event& event, const WorkerJoined& e);
  void on(const Event& event, const WorkerDrained& e);
  void on(const Event& event, const WorkerGone& e);
  void on(const Event& event, const AttemptGranted& e);
  void on(const Event& event, const AttemptStarted& e);
  void on(const Event& event, const CheckpointCommitted& e);
  void on(const Event& event, const StopRequested& e);
  void on(const Event& event, const AttemptEnded& e);
  void on(const Event& event, const ArtifactEvicted& e);
  void on(const Event& event, const StoreRestored& e);
  void on(const Event& event, const WorkerQuarantined& e);
  void on(const Event& event, const WorkerProbed& e);
  void on(const Event& event, const WorkerReleased& e);
  void on(const Event& event, const FailureForgiven& e);
  void on(const Event& event, const RungReached& e);
  void on(const Event& event, const TaskHeld& e);
  void on(const Event& event, const TaskPromoted& e);
  void on(const Event& event, const TaskPruned& e);
  struct AttemptRow {
    std::uint64_t worker = 0;
    std::int64_t slots = 0;
    std::optional<std::int64_t> resume_step{};
    std::int64_t granted_ms = 0;
    std::optional<std::int64_t> started_ms{};
    std::optional<std::int64_t> ended_ms{};
    std::optional<std::string> outcome{};
    std::string reason{};
    std::string recorded = "{}";
  };
  void write_attempts();
  void write_artifact(const ArtifactRef& ref);
  void write_success(const AttemptId& attempt, const Succeeded& outcome);
  void write_task(const TaskRow& row);
  void write_task_with_spec(const TaskRow& row, const std::string& task);

  Statements run_;
  // Of the events under way: written once, at their end.
  std::map<TaskKey, std::int64_t> wanted_ms_;  // when a task was wanted first
  std::map<std::string, bool> cancelled_;      // of a sweep
  std::map<AttemptId, AttemptRow> attempts_;   // that were granted
};

}  // namespace strata::coordinator
