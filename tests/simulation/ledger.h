// The books of somebody who only reads the log: what each event says, judged by the invariants and
// by nothing of the core's. It shares no rule with Cluster, so a rule that is broken there is found
// here.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "coordinator/core/metric_series.h"
#include "schema/event.h"

namespace strata::simulation {

// What fell: "I5", or a word for a promise without a number, and what happened.
struct Violation {
  std::string invariant{};
  std::string text{};
};

struct TaskBook {
  TaskSpec spec{};               // as said last
  std::vector<TaskSpec> said{};  // all that a gang may still be shaped by
  std::set<std::string> wants{};
  std::uint32_t newest = 0;  // attempt
  std::optional<std::uint32_t> live{};
  Gang gang{};
  std::map<std::string, ArtifactRef> inputs{};  // of the live attempt
  bool started = false;
  std::optional<StopKind> stop{};
  bool succeeded = false;
  bool diverged = false;
  int revivals = 0;
  std::map<std::string, ArtifactRef> artifacts{};
  std::int64_t user_failures = 0;
  std::int64_t infra_failures = 0;
  struct Checkpoint {
    std::int64_t step = 0;
    ArtifactRef artifact{};
    std::map<std::string, ArtifactRef> inputs{};
  };
  std::optional<Checkpoint> checkpoint{};
  std::map<ContentHash, std::int64_t> checkpoint_steps{};
  std::vector<coordinator::BranchAttempt> attempts{};
  // What searches made of it, by sweep.
  std::map<std::string, std::int64_t> rungs{};  // reached
  std::set<std::string> held{};                 // or pruned
  std::set<std::string> pruned{};
};

struct SweepBook {
  std::int64_t generation = 0;
  std::int64_t priority = 0;
  std::size_t order = 0;
  SweepOptions options{};
  std::set<TaskKey> arriving{};  // in runs of the newest submission
};

struct WorkerBook {
  std::string name{};
  std::uint64_t session = 0;
  std::int64_t slots = 0;
  std::int64_t memory_mb = 0;
};

struct QuarantineBook {
  bool probing = false;
  std::set<AttemptId> probes{};  // granted since, and out
};

class Ledger {
 public:
  // What the event breaks, if anything; it is written down all the same.
  std::optional<Violation> apply(const Event& event);

  [[nodiscard]] const std::map<TaskKey, TaskBook>& tasks() const { return tasks_; }
  [[nodiscard]] const std::map<WorkerId, WorkerBook>& workers() const { return workers_; }
  [[nodiscard]] const std::map<std::string, SweepBook>& sweeps() const { return sweeps_; }
  [[nodiscard]] const TaskBook* find(const TaskKey& key) const;
  [[nodiscard]] bool is_live(const AttemptId& attempt) const;
  // Live, and this worker is one of its gang.
  [[nodiscard]] bool holds(WorkerId worker, const AttemptId& attempt) const;
  [[nodiscard]] std::uint64_t newest_worker() const { return newest_worker_; }
  [[nodiscard]] std::int64_t slots_used(WorkerId worker) const;
  [[nodiscard]] std::int64_t memory_used(WorkerId worker) const;
  [[nodiscard]] std::int64_t preemptions() const { return preemptions_; }

 private:
  using Verdict = std::optional<Violation>;
  Verdict on(const SweepOpened& e);
  Verdict on(const TaskWanted& e);
  Verdict on(const RunAdded& e);
  Verdict on(const SweepSealed& e);
  Verdict on(const WantWithdrawn& e);
  Verdict on(const TaskRevived& e);
  Verdict on(const TaskCancelled& e);
  Verdict on(const WorkerJoined& e);
  Verdict on(const WorkerGone& e);
  Verdict on(const AttemptGranted& e);
  Verdict on(const AttemptStarted& e);
  Verdict on(const CheckpointCommitted& e);
  Verdict on(const StopRequested& e);
  Verdict on(const AttemptEnded& e);
  Verdict on(const ArtifactEvicted& e);
  Verdict on(const WorkerQuarantined& e);
  Verdict on(const WorkerProbed& e);
  Verdict on(const WorkerReleased& e);
  Verdict on(const FailureForgiven& e);
  Verdict on(const RungReached& e);
  Verdict on(const TaskHeld& e);
  Verdict on(const TaskPromoted& e);
  Verdict on(const TaskPruned& e);
  template <class Other>
  Verdict on(const Other&) {
    return {};
  }

  [[nodiscard]] Verdict check_number(const AttemptGranted& e, const TaskBook& task) const;
  [[nodiscard]] Verdict check_inputs(const AttemptGranted& e, const TaskBook& task) const;
  [[nodiscard]] Verdict check_gang(const AttemptGranted& e, const TaskBook& task) const;
  [[nodiscard]] Verdict check_room(const AttemptGranted& e) const;
  [[nodiscard]] Verdict check_resume(const AttemptGranted& e, const TaskBook& task) const;
  [[nodiscard]] Verdict check_quota(const AttemptGranted& e, const TaskBook& task) const;
  [[nodiscard]] Verdict check_quarantine(const AttemptGranted& e) const;
  [[nodiscard]] static Verdict check_search(const AttemptGranted& e, const TaskBook& task);
  static void forget_search(TaskBook& task, const std::string& sweep);
  [[nodiscard]] Verdict must_be_live(const AttemptId& attempt, std::string_view what) const;
  // On whose account a task runs: of those that want it the most urgent, then the first.
  [[nodiscard]] const std::string* owner_of(const TaskBook& task, std::int64_t slots) const;

  std::map<TaskKey, TaskBook> tasks_;
  std::map<std::string, SweepBook> sweeps_;
  std::map<WorkerId, WorkerBook> workers_;
  std::map<std::string, QuarantineBook> quarantines_;
  std::set<ContentHash> evicted_;
  std::set<ContentHash> made_;
  std::uint64_t newest_worker_ = 0;
  std::int64_t preemptions_ = 0;
};

}  // namespace strata::simulation
