// Everything that the coordinator knows and must not forget. Changed by apply() and by nothing
// else, from events only, so replaying a log gives the same state, byte for byte. No clock in here:
// what depends on time (leases, back-off, who was heard when) is soft state of Core and starts anew
// after a restart.
//
// Thread rule: owned by one thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "schema/event.h"

namespace strata::coordinator {

// --- a task's life: blocked -> queued -> leased -> running -> one of the final four, and back to
// queued ---

struct Blocked {};  // an input is not there yet
struct Queued {     // waits for slots; after a failure not before `delay_ms` have passed
  std::int64_t delay_ms = 0;
};
struct Leased {  // granted to a gang, not yet known to run
  std::uint32_t attempt = 0;
  Gang gang{};
  std::map<std::string, ArtifactRef> inputs{};
  std::optional<ArtifactRef> resume_from{};
  std::string stop_reason{};  // not empty once it is asked to stop
};
struct Running {
  std::uint32_t attempt = 0;
  Gang gang{};
  std::map<std::string, ArtifactRef> inputs{};
  std::string stop_reason{};
};
struct TaskSucceeded {
  std::uint32_t attempt = 0;
};
struct TaskFailed {
  std::string reason{};
};
struct TaskCancelledState {};
struct TaskDiverged {
  std::string reason{};
};
using TaskState = std::variant<Blocked, Queued, Leased, Running, TaskSucceeded, TaskFailed,
                               TaskCancelledState, TaskDiverged>;

[[nodiscard]] const char* name_of(const TaskState& state);  // "blocked", "queued", ...
[[nodiscard]] bool is_final(const TaskState& state);
// The gang that holds slots for it, if any.
[[nodiscard]] const Gang* gang_of(const TaskState& state);

struct Checkpoint {
  std::int64_t step = 0;
  ArtifactRef artifact{};
  std::map<std::string, ArtifactRef> inputs{};  // what it was made from: resumed only with the same
};

// Place in the queue: priority of the most urgent want first, then order of creation.
struct ReadyOrder {
  std::int64_t negative_priority = 0;
  std::uint64_t order = 0;
  auto operator<=>(const ReadyOrder&) const = default;
};

struct Task {
  TaskSpec spec{};
  // What the task shall be once the gang that is out has ended: outputs, resources, limits.
  std::optional<TaskSpec> next_spec{};
  std::uint64_t order = 0;        // of creation: the last tie-breaker of scheduling
  ReadyOrder queued_at{};         // its place in Cluster::ready() while it is queued
  std::set<std::string> wants{};  // sweeps
  TaskState state{};
  std::uint32_t attempts = 0;      // the newest attempt's number; the fencing token
  std::int64_t user_failures = 0;  // since created or revived
  std::int64_t infra_failures = 0;
  std::string last_failure{};
  std::optional<Checkpoint> checkpoint{};
  std::map<std::string, ArtifactRef> artifacts{};  // of the attempt that succeeded last
  std::map<std::string, ContentHash> consumed{};   // what that attempt really read
  std::set<TaskKey> consumers{};
};

struct Sweep {
  std::int64_t generation = 0;
  std::int64_t priority = 0;
  std::uint64_t order = 0;
  bool sealed = false;
  bool cancelled = false;
  struct Run {
    RunSpec spec{};
    std::int64_t generation = 0;  // older than the last sealed one: an orphan, kept
  };
  std::map<RunKey, Run> runs{};
  std::int64_t sealed_generation = 0;  // the newest that arrived whole
  // Until a submission has arrived whole, the runs of the one before it are no orphans.
  [[nodiscard]] bool is_current(const Run& run) const {
    return run.generation >= sealed_generation;
  }
};

struct Worker {
  std::string name{};
  std::uint64_t session = 0;
  std::int64_t slots = 0;
  std::int64_t free = 0;
  std::vector<std::string> labels{};
  bool draining = false;
  std::set<AttemptId> attempts{};
};

struct Artifact {
  std::set<TaskKey> producers{};  // more than one where different tasks made the same bytes
  ArtifactRef ref{};
  bool present = true;
};

class Cluster {
 public:
  // REQUIRES: the event is legal in this state; Core decides only such events, and a log that holds
  // another one is damaged (check() tells before apply() asserts).
  void apply(const Event& event);
  // The same for a log that may be damaged: an event that cannot follow changes nothing.
  [[nodiscard]] Status apply_checked(const Event& event);
  // Why `event` cannot follow this state.
  [[nodiscard]] Status check(const Event& event) const;

  [[nodiscard]] const std::map<TaskKey, Task>& tasks() const { return tasks_; }
  [[nodiscard]] const std::map<std::string, Sweep>& sweeps() const { return sweeps_; }
  [[nodiscard]] const std::map<WorkerId, Worker>& workers() const { return workers_; }
  [[nodiscard]] const std::map<ContentHash, Artifact>& artifacts() const { return artifacts_; }
  [[nodiscard]] const Task* find_task(const TaskKey& key) const;
  [[nodiscard]] const Worker* find_worker(WorkerId id) const;
  // The number of the task's next attempt: above every one that it ever had, also in a part of the
  // log that was lost (StoreRestored).
  [[nodiscard]] std::uint32_t next_attempt(const Task& task) const;
  // The highest number that any attempt had or may have had.
  [[nodiscard]] std::uint32_t newest_attempt() const;
  [[nodiscard]] WorkerId next_worker_id() const { return WorkerId(worker_counter_ + 1); }
  [[nodiscard]] std::uint64_t events_applied() const { return events_applied_; }

  // Queued tasks in the order in which they may be placed.
  [[nodiscard]] const std::map<ReadyOrder, TaskKey>& ready() const { return ready_; }

  // The artifacts that an attempt of this task would read now, by input. Empty optional: an input
  // is not there.
  [[nodiscard]] std::optional<std::map<std::string, ArtifactRef>> inputs_of(const Task& task) const;
  // Its inputs, or its producers' results, have changed since it succeeded.
  [[nodiscard]] bool is_outdated(const Task& task) const;
  // This attempt is the task's newest and is not over: its reports count. Everything else is stale.
  [[nodiscard]] bool is_live(const AttemptId& attempt) const;

  // Tasks whose stored row may have changed since the last call: what the store has to write again.
  [[nodiscard]] std::set<TaskKey> take_touched();

 private:
  void on(const SweepOpened& e);
  void on(const TaskWanted& e);
  void on(const RunAdded& e);
  void on(const SweepSealed& e);
  void on(const WantWithdrawn& e);
  void on(const TaskRevived& e);
  void on(const TaskCancelled& e);
  void on(const WorkerJoined& e);
  void on(const WorkerDrained& e);
  void on(const WorkerGone& e);
  void on(const AttemptGranted& e);
  void on(const AttemptStarted& e);
  void on(const CheckpointCommitted& e);
  void on(const StopRequested& e);
  void on(const AttemptEnded& e);
  void on(const ArtifactEvicted& e);
  void on(const StoreRestored& e);

  Task& touch(const TaskKey& key);
  void set_state(Task& task, TaskState state);  // keeps ready_ true
  void enqueue_or_block(Task& task, std::int64_t delay_ms);
  static void take_spec(Task& task, const TaskSpec& spec);
  void release(const AttemptId& attempt, const Gang& gang);
  void end_succeeded(Task& task, const AttemptId& attempt, const Succeeded& outcome);
  void end_failed(Task& task, const Failed& outcome);
  void end_lost(Task& task, const Lost& outcome);
  [[nodiscard]] ReadyOrder ready_order(const Task& task) const;

  std::map<TaskKey, Task> tasks_;
  std::map<std::string, Sweep> sweeps_;
  std::map<WorkerId, Worker> workers_;
  std::map<ContentHash, Artifact> artifacts_;
  std::map<ReadyOrder, TaskKey> ready_;
  std::set<TaskKey> touched_;
  std::uint64_t worker_counter_ = 0;
  std::uint32_t attempts_above_ = 0;
  std::uint64_t order_counter_ = 0;
  std::uint64_t events_applied_ = 0;
};

}  // namespace strata::coordinator
