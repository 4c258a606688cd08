// The attempts that this worker runs, from the order to the reported end:
//
//   preparing   inputs are checked in the artifact store         (pool)
//   running     a session under a guard; progress is tailed, checkpoints are stored (pool)
//   finishing   nothing of it is left; outputs are stored         (pool)
//
// One job of an attempt is in the pool at a time, so its checkpoints come before its end. What the
// core has to know comes out of take_inputs(), in order.
//
// Thread rule: the main thread only.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "worker/code_cache.h"
#include "worker/core/agent.h"
#include "worker/evidence.h"
#include "worker/inventory.h"
#include "worker/launcher.h"
#include "worker/progress_tail.h"
#include "worker/results.h"
#include "worker/run_directory.h"
#include "worker/secrets.h"
#include "worker/work_pool.h"

namespace strata::worker {

// At progress files, while something runs.
inline constexpr std::chrono::milliseconds kLookEvery{200};
// Of a batch that nobody acknowledged.
inline constexpr std::chrono::milliseconds kMetricsRepeatEvery{2'000};
// So long a checkpoint or a success waits for its points to be acknowledged: over a restart of the
// coordinator, not over a metric store that is broken.
inline constexpr std::chrono::milliseconds kPointsPatience{10'000};
static_assert(kPointsPatience >= 3 * kMetricsRepeatEvery);
// Ended ones whose metrics nobody acknowledged yet.
inline constexpr std::size_t kSpooledAttemptsMax = 256;

struct AttemptsOptions {
  std::filesystem::path folder{};    // absolute; attempts lie in its subfolder
  std::filesystem::path programs{};  // looked at before PATH
  std::filesystem::path models{};
  std::string build{};
  std::string host{};
  Verify verify_inputs = Verify::kSizes;
  std::size_t ended_folders_kept = kEndedFoldersKept;
};

class Attempts {
 public:
  // All outlive it.
  Attempts(AttemptsOptions options, const Inventory& inventory, const Secrets& secrets,
           Launcher& launcher, WorkPool& pool);

  void use_store(ArtifactStore store) { store_ = std::move(store); }

  void launch(const StartAttempt& order, Instant now);
  void terminate(const AttemptId& attempt, const std::string& reason);
  void kill(const AttemptId& attempt, bool report, Instant now);

  // Collects what ended and reads what is new. Call when something happened, and every kLookEvery
  // while busy().
  void look(Instant now);
  // A checkpoint does not come before the points up to it are acknowledged, nor a success before
  // all are: else both this process and the coordinator may die, and a series has a hole for good.
  [[nodiscard]] std::vector<Input> take_inputs();

  // Batches that are due; each is sent again until acknowledged.
  [[nodiscard]] std::vector<MetricBatch> due_metrics(WorkerId worker, Instant now);
  void acknowledge(const MetricAck& ack);
  // Another coordinator process answers now: what was under way to the old one is due again.
  void resend_metrics();
  [[nodiscard]] bool metrics_pending() const;

  [[nodiscard]] bool busy() const { return !running_.empty(); }
  [[nodiscard]] std::size_t count() const { return running_.size(); }

 private:
  struct Attempt {
    StartAttempt order{};
    RunDirectory directory;
    std::vector<std::int64_t> slots{};
    Instant began{};
    std::optional<pid_t> guard{};
    std::shared_ptr<Witness> witness{};  // since its program was started
    std::optional<ProgramExit> ended{};
    std::optional<std::string> stop_reason{};
    std::optional<AnnouncedCheckpoint> checkpoint{};  // to be stored
    std::filesystem::path code{};  // where the frozen code is laid out; empty: none
    bool report = true;
    bool in_pool = false;
  };
  struct Told {
    Input input{};
    AttemptId attempt{};
    Instant since{};
  };
  struct Spool {
    ProgressTail tail;
    Instant read_at{};
    bool ended = false;
    std::optional<Instant> sent{};
  };

  Attempt* find(const AttemptId& id);
  void tell(const AttemptId& id, Input input);
  [[nodiscard]] bool waits_for_points(const Told& told) const;
  void pump(const AttemptId& id);
  void submit(const AttemptId& id, WorkPool::Job job);
  [[nodiscard]] InputCheck prepare(const ArtifactStore& store, const StartAttempt& order);
  void on_prepared(const AttemptId& id, const InputCheck& inputs);
  Status make_folder_of(const Attempt& attempt);
  Status start_program(Attempt& attempt);
  void store_checkpoint(const AttemptId& id, Attempt& attempt);
  void finish(const AttemptId& id, Attempt& attempt);
  void finish_succeeded(const AttemptId& id, const Attempt& attempt);
  void finish_failed(const AttemptId& id, const Attempt& attempt);
  void end(const AttemptId& id, Outcome outcome, std::vector<ContentHash> missing);
  void read_progress(const AttemptId& id, Attempt& attempt);
  void drain_waiting();
  void remove_in_pool(std::filesystem::path folder);
  void forget_oldest_spool();
  [[nodiscard]] std::filesystem::path scratch_of(const Attempt& attempt) const;
  [[nodiscard]] std::map<std::string, std::string> recorded_of(const Attempt& attempt) const;

  AttemptsOptions options_;
  const Inventory& inventory_;
  const Secrets& secrets_;
  Launcher& launcher_;
  WorkPool& pool_;
  std::optional<ArtifactStore> store_;
  std::string scratch_prefix_;
  CodeCache code_;
  SlotMap slots_;
  EndedFolders ended_folders_;
  Cgroup cgroup_ = Cgroup::own();
  std::map<AttemptId, Attempt> running_;
  std::map<AttemptId, Spool> spools_;
  std::map<pid_t, AttemptId> by_guard_;
  std::deque<WorkPool::Job>
      waiting_jobs_;  // at most one for each attempt, and those that remove folders
  std::vector<Told> told_;
  Instant now_{};
};

}  // namespace strata::worker
