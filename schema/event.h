// The facts that the coordinator persists, past tense. The event log is the truth: Cluster::apply()
// of these, in order, is the state. Times and ids are inputs that were recorded, never made here.
//
// DO NOT reorder, remove or change an alternative of Event or a field's meaning: logs of older
// builds hold them by index. Append new alternatives at the end, give new fields a value that means
// "as before", and bump kEventVersion; then add a golden file under tests/golden/schema
// (CONTRIBUTING.md, "a new event").
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
#include "schema/task.h"

namespace strata {

inline constexpr std::uint16_t kEventVersion = 1;

// The slots of one worker that an attempt holds. A gang is all of them together.
struct Grant {
  WorkerId worker{};
  std::int64_t slots = 0;
  bool operator==(const Grant&) const = default;
};
using Gang = std::vector<Grant>;  // sorted by worker; never empty

// Why an attempt did not succeed, with who is charged (orchestration.md 5.3 names the classes).
enum class FailureClass : std::uint8_t {
  kUser,     // the program failed: charged to the task
  kInvalid,  // spec or inputs are wrong: final at once
  kInfra,    // a rank or the worker vanished, the lease ran out: not charged, but bounded
  kData,     // an input or checkpoint could not be read: its producer is asked again
};

struct SweepOpened {  // a submission begins; the same name again makes the next generation of it
  std::string sweep{};
  std::int64_t generation = 0;
  std::int64_t priority = 0;
  std::string definition{};  // canonical text of what was submitted, for the record
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

using EventBody = std::variant<SweepOpened, TaskWanted, RunAdded, SweepSealed, WantWithdrawn,
                               TaskRevived, TaskCancelled, WorkerJoined, WorkerDrained, WorkerGone,
                               AttemptGranted, AttemptStarted, CheckpointCommitted, StopRequested,
                               AttemptEnded, ArtifactEvicted, StoreRestored>;

struct Event {
  WallTime at{};  // for people
  EventBody body{};
  bool operator==(const Event&) const = default;
};

// "attempt-granted": the name used in the log table, in `strata show` and in metrics.
[[nodiscard]] const char* name_of(const EventBody& body);
[[nodiscard]] const char* name_of(FailureClass cause);

}  // namespace strata
