// Everything that the coordinator knows and must not forget. Changed by apply() and by nothing
// else, from events only, so replaying a log gives the same state, byte for byte. No clock in here:
// what depends on time (leases, back-off, who was heard when) is soft state of Core and starts anew
// after a restart.
//
// Thread rule: owned by one thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "coordinator/core/boxed.h"
#include "coordinator/core/flat_set.h"
#include "coordinator/core/kept_spec.h"
#include "coordinator/core/search.h"
#include "coordinator/core/task_table.h"
#include "schema/event.h"

namespace strata::coordinator {

// --- a task's life: blocked -> queued -> leased -> running -> one of the final five, and back to
// queued; held beside queued (docs/state-machine.md) ---

struct Blocked {};  // an input is not there yet
struct Queued {     // waits for slots; after a failure not before `delay_ms` have passed
  std::int64_t delay_ms = 0;
};
struct Stop {  // what a gang was asked; only escalates
  std::string reason{};
  StopKind kind = StopKind::kCancel;
  std::int64_t grace_ms = 0;
};
struct Leased {  // granted to a gang, not yet known to run
  std::uint32_t attempt = 0;
  Gang gang{};
  std::map<std::string, ArtifactRef> inputs{};
  Boxed<ArtifactRef> resume_from{};
  Boxed<Stop> stop{};  // once it is asked to
};
struct Running {
  std::uint32_t attempt = 0;
  Gang gang{};
  std::map<std::string, ArtifactRef> inputs{};
  Boxed<Stop> stop{};
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
struct Held {  // every sweep that wants it has paused it: a search waits for what others reach
  std::string reason{};
};
struct TaskPrunedState {  // no search has a use for more of it: a result, like a divergence
  std::string reason{};
};
using TaskState = std::variant<Blocked, Queued, Leased, Running, TaskSucceeded, TaskFailed,
                               TaskCancelledState, TaskDiverged, Held, TaskPrunedState>;

[[nodiscard]] const char* name_of(const TaskState& state);  // "blocked", "queued", ...
[[nodiscard]] bool is_final(const TaskState& state);
// The gang that holds slots for it, if any.
[[nodiscard]] const Gang* gang_of(const TaskState& state);
// What that gang was asked; null: nothing.
[[nodiscard]] const Stop* stop_of(const TaskState& state);

struct Checkpoint {
  std::int64_t step = 0;
  ArtifactRef artifact{};
  std::map<std::string, ArtifactRef> inputs{};  // what it was made from: resumed only with the same
};

// What a task has only after something went wrong or a search has judged it.
struct Trouble {
  std::map<std::string, std::string> holds{};   // by sweep: why its search has paused it
  std::map<std::string, std::string> pruned{};  // by sweep: why its search has ended it
  std::set<std::string> failed_on{};            // names of workers that reported its failure
  std::set<std::string> avoids{};               // of those, which a log rule keeps it from
  std::string last_signature{};
  std::int64_t last_step = -1;
  std::string last_failure{};
};

// Of the attempt that succeeded last.
struct Made {
  std::map<std::string, ArtifactRef> artifacts{};
  std::map<std::string, ContentHash> consumed{};  // what that attempt really read
};

struct Task {
  KeptSpec spec{};
  // What the task shall be once the gang that is out has ended: outputs, resources, limits.
  Boxed<TaskSpec> next_spec{};
  std::uint64_t order = 0;       // of creation: the last tie-breaker of scheduling
  FlatSet<std::string> wants{};  // sweeps
  TaskState state{};
  std::uint32_t attempts = 0;      // the newest attempt's number; the fencing token
  std::int64_t user_failures = 0;  // since created or revived
  std::int64_t infra_failures = 0;
  std::int64_t ends_without_progress = 0;  // scheduled ones, since the last checkpoint
  std::size_t shape = 0;                   // 0: spec.resources(); n: spec.fallbacks()[n - 1]
  Boxed<Trouble> troubled{};               // see trouble()
  Boxed<Checkpoint> checkpoint{};
  Boxed<Made> made_last{};  // see made()
  std::set<TaskKey> consumers{};
  bool outdated = false;  // its inputs, or its producers' results, have changed since it succeeded

  [[nodiscard]] const Trouble& trouble() const {
    static const Trouble kNone;
    return troubled ? *troubled : kNone;
  }
  Trouble& make_trouble() {
    if (!troubled) troubled = Trouble{};
    return *troubled;
  }
  [[nodiscard]] const Made& made() const {
    static const Made kNothing;
    return made_last ? *made_last : kNothing;
  }
  // What it was last said to be, whether or not that counts already.
  [[nodiscard]] TaskSpec newest_spec() const { return next_spec ? *next_spec : spec.whole(); }
  [[nodiscard]] const Resources& resources() const {
    return shape == 0 ? spec.resources() : spec.fallbacks().at(shape - 1);
  }
};

// Every sweep that wants it has paused it, or ended it: its gang, if one is out, is to stop.
[[nodiscard]] bool is_held(const Task& task);
[[nodiscard]] bool is_pruned(const Task& task);

// How many tasks are in each state, by the state's index in TaskState. Counted as they change, so
// that nobody walks through all of them for it.
using StateCounts = std::array<std::int64_t, std::variant_size_v<TaskState>>;
[[nodiscard]] const char* state_name(std::size_t index);

struct Sweep {
  std::int64_t generation = 0;
  std::int64_t priority = 0;
  std::uint64_t order = 0;
  bool sealed = false;
  bool cancelled = false;
  SweepOptions options{};
  std::optional<Search> search{};  // made from the options
  struct Run {
    RunSpec spec{};
    std::int64_t generation = 0;  // older than the last sealed one: an orphan, kept
  };
  std::map<RunKey, Run> runs{};
  StateCounts tasks{};                 // that it wants
  std::int64_t current_runs = 0;       // of `runs`, those that are no orphans
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
  std::int64_t memory_mb = 0;  // 0: unknown, then no bound
  std::int64_t memory_free_mb = 0;
  std::vector<std::string> labels{};
  bool draining = false;
  std::set<AttemptId> attempts{};
};

// By the worker's name: it outlives the daemon, because a restart does not mend a machine.
struct Quarantine {
  std::string reason{};
  std::int64_t for_ms = 0;
  bool probing = false;  // the time is over: one task at a time shows whether it is well
};

// The same task failing on so many workers is the task's own fault, whatever each report said.
inline constexpr std::size_t kWorkersFailedOnMax = 3;
// Ends that are nobody's fault, without a checkpoint between them, before the task fails.
inline constexpr std::int64_t kEndsWithoutProgressMax = 100;

struct Artifact {
  std::set<TaskKey> producers{};  // more than one where different tasks made the same bytes
  ArtifactRef ref{};
  bool present = false;  // until it is counted
};

// Tasks whose stored row may have changed, and whether their spec has, too: what the store has to
// write again.
class Touched {
 public:
  void insert(const TaskKey& key) { tasks_.try_emplace(key, false); }
  void insert_with_spec(const TaskKey& key) { tasks_[key] = true; }
  void merge(const Touched& other) {
    for (const auto& [key, spec] : other.tasks_) tasks_[key] |= spec;
  }
  void clear() { tasks_.clear(); }
  [[nodiscard]] bool empty() const { return tasks_.empty(); }
  [[nodiscard]] const std::map<TaskKey, bool>& tasks() const { return tasks_; }

 private:
  std::map<TaskKey, bool> tasks_;  // whether the spec has changed
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

  [[nodiscard]] const std::map<TaskKey, Task>& tasks() const { return tasks_.in_order(); }
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

  [[nodiscard]] const std::map<std::string, Quarantine>& quarantines() const {
    return quarantines_;
  }
  [[nodiscard]] const Quarantine* find_quarantine(const std::string& worker_name) const;
  // The sweep on whose account the task runs: of those that want it and may hold so many slots, the
  // most urgent, then the first. Null: nobody wants it.
  [[nodiscard]] const std::string* owner_of(const Task& task) const;

  // The artifacts that an attempt of this task would read now, by input. Empty optional: an input
  // is not there.
  [[nodiscard]] std::optional<std::map<std::string, ArtifactRef>> inputs_of(const Task& task) const;
  // What a search makes of the task's state.
  [[nodiscard]] Search::Fate fate_of(const TaskKey& task) const;
  // This attempt is the task's newest and is not over: its reports count. Everything else is stale.
  [[nodiscard]] bool is_live(const AttemptId& attempt) const;

  [[nodiscard]] const std::map<std::string, StateCounts>& stages() const { return stages_; }
  [[nodiscard]] std::int64_t artifacts_present() const { return artifacts_present_; }
  [[nodiscard]] std::int64_t artifact_bytes() const { return artifact_bytes_; }

  // Since the last call.
  [[nodiscard]] Touched take_touched();
  void forget_touched() { touched_.clear(); }
  // Tasks that may have entered, left or changed their place among the queued ones.
  [[nodiscard]] std::set<TaskKey> take_requeued();

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
  void on(const WorkerQuarantined& e);
  void on(const WorkerProbed& e);
  void on(const WorkerReleased& e);
  void on(const FailureForgiven& e);
  void on(const RungReached& e);
  void on(const TaskHeld& e);
  void on(const TaskPromoted& e);
  void on(const TaskPruned& e);

  Task& touch(const TaskKey& key);
  void count(const Task& task, std::int64_t by);  // around every change of state, stage or wants
  void set_present(Artifact& artifact, bool present);
  void set_state(Task& task, TaskState state);  // notes what is queued anew
  void settle_holds(Task& task);                // after its wants or holds have changed
  bool set_held(Task& task);                    // or pruned, if it is; else nothing changes
  [[nodiscard]] bool is_stuck(const TaskKey& key) const;
  void begin_search(const std::string& sweep);
  void take_part(const std::string& sweep, const TaskKey& key);
  void drop_orphans_of_search(const std::string& sweep);
  void forget_decisions(const std::string& sweep, const TaskKey& key);
  void exempt_from_searches(Task& task);
  [[nodiscard]] bool reads_what_has_changed(const Task& task) const;
  void settle_outdated(const TaskKey& first);
  void enqueue_or_block(Task& task, std::int64_t delay_ms);
  void take_spec(Task& task, TaskSpec spec);
  void keep_spec(Task& task, TaskSpec spec);
  void release(const AttemptId& attempt, const Gang& gang);
  void blame(Task& task, const Gang& gang, const Failed& outcome);
  void end_succeeded(Task& task, const AttemptId& attempt, const Succeeded& outcome);
  void end_failed(Task& task, const Failed& outcome);
  // Why a task that failed so fails for good; empty: it is tried again.
  [[nodiscard]] static std::string verdict(const Task& task, const Failed& failed);

  TaskTable<Task> tasks_;
  std::map<std::string, Sweep> sweeps_;
  std::map<WorkerId, Worker> workers_;
  std::map<ContentHash, Artifact> artifacts_;
  std::map<std::string, Quarantine> quarantines_;
  std::map<std::string, StateCounts> stages_;
  std::map<std::string, KeptSpec::Common> latest_specs_;  // by stage: the next is mostly like it
  std::int64_t artifacts_present_ = 0;
  std::int64_t artifact_bytes_ = 0;  // of those
  Touched touched_;
  std::set<TaskKey> requeued_;
  std::uint64_t worker_counter_ = 0;
  std::uint32_t attempts_above_ = 0;
  std::uint64_t order_counter_ = 0;
  std::uint64_t events_applied_ = 0;
};

}  // namespace strata::coordinator
