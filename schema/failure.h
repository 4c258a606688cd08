// Why an attempt did not succeed, who is charged for it, and what a line of its log may say about
// that. One table in charge_of() is the rule; docs/failures.md explains it to people.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace strata {

// DO NOT reorder: logs hold these by number.
enum class FailureClass : std::uint8_t {
  kUser,       // the program failed: charged to the task
  kInvalid,    // spec or inputs are wrong: final at once
  kInfra,      // a rank or the worker vanished, the lease ran out: not charged, but bounded
  kData,       // an input or checkpoint could not be read: its producer is asked again
  kMemory,     // out of memory, of the GPU or of the cgroup: the next fallback shape, or final
  kNode,       // a device or the machine is broken (Xid, ECC): the worker is quarantined
  kStorage,    // disk full, a checkpoint could not be written: the worker is quarantined
  kScheduled,  // time limit, preemption, drain: nobody's failure, goes on from its checkpoint
};

// Which counter of the task a failure of this class raises.
enum class Charge : std::uint8_t { kTask, kInfrastructure, kNobody };
[[nodiscard]] Charge charge_of(FailureClass cause);

// What is done beside what the class says. DO NOT reorder.
enum class LogAction : std::uint8_t {
  kNone,
  kStop,              // no retry: the task fails
  kAvoidWorker,       // this task is not given to this worker again while others could take it
  kQuarantineWorker,  // nobody is given this worker until it has proved itself
};

// A rule of a log policy: the first rule, in order, whose pattern is found in a line of the failed
// program's log says what the failure is.
struct LogRule {
  std::string name{};     // "nccl-unhandled-system-error"
  std::string pattern{};  // RE2 syntax, searched for in each line
  FailureClass cause = FailureClass::kUser;
  LogAction action = LogAction::kNone;
  bool operator==(const LogRule&) const = default;
};

[[nodiscard]] const char* name_of(FailureClass cause);
[[nodiscard]] const char* name_of(LogAction action);
// For people: "the task (its retry.failures)", and what follows: "tried again from ...".
[[nodiscard]] const char* charged_to(FailureClass cause);
[[nodiscard]] std::string what_follows(FailureClass cause, LogAction action);

// Why a gang is asked to stop; only escalates (a later one of a higher number counts).
// DO NOT reorder.
enum class StopKind : std::uint8_t {
  kHold,     // the search pauses it at a rung; it may go on later
  kPreempt,  // its slots are needed for something more urgent; it goes on later
  kCancel,   // nobody wants it any more
};
[[nodiscard]] const char* name_of(StopKind kind);

}  // namespace strata
