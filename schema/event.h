// The facts that the coordinator persists, past tense. The event log is the truth: Cluster::apply()
// of these, in order, is the state. Times and ids are inputs that were recorded, never made here.
//
// DO NOT reorder, remove or change an alternative of Event or a field's meaning: logs of older
// builds hold them by index. Append new alternatives at the end, give new fields a value that means
// "as before" and have the codec read them from frames of the new version only, and bump
// kEventVersion (CONTRIBUTING.md, "a new event").
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "schema/artifact.h"
#include "schema/score.h"
#include "schema/search.h"
#include "schema/task.h"

namespace strata {

inline constexpr std::uint16_t kEventVersion = 2;

// The slots of one worker that an attempt holds. A gang is all of them together.
struct Grant {
  WorkerId worker{};
  std::int64_t slots = 0;
  std::int64_t memory_mb = 0;  // since version 2
  bool operator==(const Grant&) const = default;
};
using Gang = std::vector<Grant>;  // sorted by worker; never empty

// How a sweep is scheduled beside others (since version 2).
struct SweepOptions {
  std::string user{};          // who submitted it; fair share is between users, then sweeps
  std::int64_t weight = 1;     // of this sweep among those of its user
  std::int64_t slots_max = 0;  // it never holds more at once; 0: no quota
  bool preempts = false;       // may take slots from resumable tasks of lower priority
  std::optional<SearchDefinition> search{};
  bool operator==(const SweepOptions&) const = default;
};

struct SweepOpened {  // a submission begins; the same name again makes the next generation of it
  std::string sweep{};
  std::int64_t generation = 0;
  std::int64_t priority = 0;
  std::string definition{};  // canonical text of what was submitted, for the record
  SweepOptions options{};
  bool operator==(const SweepOpened&) const = default;
};
struct TaskWanted {  // creates the task if there is none with this key, and adds the sweep's want
  std::string sweep{};
  TaskSpec spec{};
  bool operator==(const TaskWanted&) const = default;
};
struct RunAdded {  // or confirmed, when the sweep had it in an earlier generation
  std::string sweep{};
  std::int64_t generation = 0;
  RunSpec run{};
  bool operator==(const RunAdded&) const = default;
};
struct SweepSealed {  // the whole submission has arrived; runs of older generations are orphans
                      // from now on
  std::string sweep{};
  std::int64_t generation = 0;
  bool operator==(const SweepSealed&) const = default;
};
struct WantWithdrawn {  // the last one stops the task
  std::string sweep{};
  TaskKey task{};
  bool operator==(const WantWithdrawn&) const = default;
};
struct TaskRevived {  // failed or cancelled before, wanted again; counts of failures begin anew
  TaskKey task{};
  bool operator==(const TaskRevived&) const = default;
};
struct TaskCancelled {  // nobody wants it any more and no attempt of it lives
  TaskKey task{};
  bool operator==(const TaskCancelled&) const = default;
};

struct WorkerJoined {
  WorkerId worker{};
  std::string name{};         // host and folder, for people
  std::uint64_t session = 0;  // random, one per life of the worker process
  std::int64_t slots = 0;
  std::vector<std::string> labels{};
  std::int64_t memory_mb = 0;  // 0: it did not say; then memory is no reason to refuse it anything
  bool operator==(const WorkerJoined&) const = default;
};
struct WorkerDrained {  // gets nothing new
  WorkerId worker{};
  bool operator==(const WorkerDrained&) const = default;
};
struct WorkerGone {
  WorkerId worker{};
  std::string reason{};
  bool operator==(const WorkerGone&) const = default;
};

struct AttemptGranted {
  AttemptId attempt{};
  Gang gang{};
  std::map<std::string, ArtifactRef>
      inputs{};  // by input name: what it is to read, fixed at the grant
  std::optional<ArtifactRef> resume_from{};
  bool operator==(const AttemptGranted&) const = default;
};
struct AttemptStarted {
  AttemptId attempt{};
  bool operator==(const AttemptStarted&) const = default;
};
struct CheckpointCommitted {
  AttemptId attempt{};
  std::int64_t step = 0;
  ArtifactRef artifact{};
  bool operator==(const CheckpointCommitted&) const = default;
};
struct StopRequested {  // the worker is asked to end it; only escalates
  AttemptId attempt{};
  std::string reason{};
  StopKind kind = StopKind::kCancel;
  std::int64_t grace_ms = 0;  // from the request until it is killed; 0: the worker's own
  bool operator==(const StopRequested&) const = default;
};

// How an attempt ended. `delay_ms` on the ones that may be tried again: how long the task waits
// first.
struct Succeeded {
  std::map<std::string, ArtifactRef> artifacts{};  // by output
  std::vector<Score> scores{};
  std::map<std::string, ContentHash> consumed{};  // by input, as really read
  std::map<std::string, std::string> recorded{};  // build, host, device, torch version, rank count
  bool operator==(const Succeeded&) const = default;
};
struct Failed {
  FailureClass cause = FailureClass::kUser;
  std::string reason{};  // what a person reads: exit, rank, last line of the log
  std::int64_t delay_ms = 0;
  std::string signature{};  // equal for failures that are the same one again; empty: unknown
  std::int64_t step = -1;   // of the last progress before it; -1: none
  LogAction action = LogAction::kNone;
  bool operator==(const Failed&) const = default;
};
struct Lost {  // the worker vanished, or its lease ran out
  std::string reason{};
  std::int64_t delay_ms = 0;
  bool operator==(const Lost&) const = default;
};
struct Stopped {  // on request
  std::string reason{};
  bool operator==(const Stopped&) const = default;
};
struct Diverged {  // the loss became NaN or infinite: a result, not a failure
  std::string reason{};
  bool operator==(const Diverged&) const = default;
};
using Outcome = std::variant<Succeeded, Failed, Lost, Stopped, Diverged>;

struct AttemptEnded {
  AttemptId attempt{};
  Outcome outcome{};
  bool operator==(const AttemptEnded&) const = default;
};
struct ArtifactEvicted {  // its bytes are gone; if unfinished tasks need it, its producer runs
                          // again
  ContentHash artifact{};
  bool operator==(const ArtifactEvicted&) const = default;
};

// The log goes on from a mirror, which may lack what was committed last. Attempts that were granted
// meanwhile are forgotten here, but may still run somewhere and report: no number of theirs is
// given again, because every attempt granted from now on has a number above this one.
struct StoreRestored {
  std::uint32_t attempts_above = 0;
  bool operator==(const StoreRestored&) const = default;
};

// --- since version 2 ---

// A worker, by its name, because a restart of the daemon does not mend a machine: it gets nothing
// new for `for_ms` (which doubles), then one task to prove itself.
struct WorkerQuarantined {
  std::string name{};
  std::string reason{};
  std::int64_t for_ms = 0;
  bool operator==(const WorkerQuarantined&) const = default;
};
struct WorkerProbed {  // the time is over: it gets one task
  std::string name{};
  bool operator==(const WorkerProbed&) const = default;
};
struct WorkerReleased {  // it did that one, or a person said so
  std::string name{};
  std::string reason{};
  bool operator==(const WorkerReleased&) const = default;
};
// Failures of the task turned out to be its worker's: they are not counted any more.
struct FailureForgiven {
  TaskKey task{};
  std::int64_t user_failures = 0;  // so many less
  std::string reason{};
  bool operator==(const FailureForgiven&) const = default;
};
// What the search methods decided, and on what (coordinator/core/search.h): a replay decides
// nothing again.
struct RungReached {
  std::string sweep{};
  TaskKey task{};
  std::int64_t rung = 0;  // index into SearchDefinition::rungs
  double value = 0;
  bool operator==(const RungReached&) const = default;
};
struct TaskHeld {  // this sweep does not want it to go on for now
  std::string sweep{};
  TaskKey task{};
  std::string reason{};
  bool operator==(const TaskHeld&) const = default;
};
struct TaskPromoted {  // it does again
  std::string sweep{};
  TaskKey task{};
  std::string reason{};
  bool operator==(const TaskPromoted&) const = default;
};
struct TaskPruned {  // the search has no use for more of it: an end, and a result
  std::string sweep{};
  TaskKey task{};
  std::string reason{};
  bool operator==(const TaskPruned&) const = default;
};

using EventBody =
    std::variant<SweepOpened, TaskWanted, RunAdded, SweepSealed, WantWithdrawn, TaskRevived,
                 TaskCancelled, WorkerJoined, WorkerDrained, WorkerGone, AttemptGranted,
                 AttemptStarted, CheckpointCommitted, StopRequested, AttemptEnded, ArtifactEvicted,
                 StoreRestored, WorkerQuarantined, WorkerProbed, WorkerReleased, FailureForgiven,
                 RungReached, TaskHeld, TaskPromoted, TaskPruned>;

struct Event {
  WallTime at{};  // for people
  EventBody body{};
  bool operator==(const Event&) const = default;
};

// "attempt-granted": the name used in the log table, in `strata show` and in metrics.
[[nodiscard]] const char* name_of(const EventBody& body);

}  // namespace strata
