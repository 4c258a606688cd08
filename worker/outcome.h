// From how a program ended, and what happened around it, to what is reported. docs/failures.md is
// the table for people; in order of precedence:
//
//   code 0                      Succeeded, once its outputs are stored
//   code 2, 3                   Failed kInvalid; Diverged
//   we had asked it to stop     Stopped; Failed only where the evidence says memory, node, storage
//                               or data and the end was neither code 4 nor our signals
//   killed, and the kernel has killed something of our control group for want of memory: kMemory
//   the kernel's log            a rule of the policy with the class node takes a line of it
//   the program's log           the first rule of the policy that takes a line of it
//   code 4                      kScheduled: somebody else (a batch system) asked
//   its guard was killed        kInfra
//   with ranks: mpirun, or a rank (128 + signal), was ended by SIGKILL or SIGTERM: kInfra
//   anything else               kUser
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schema/event.h"
#include "schema/log_policy.h"
#include "worker/evidence.h"
#include "worker/launcher.h"

namespace strata::worker {

namespace exit_code {
inline constexpr int kSucceeded = 0;
inline constexpr int kInvalid = 2;
inline constexpr int kDiverged = 3;
inline constexpr int kStopped = 4;
}  // namespace exit_code

struct EndedProgram {
  ProgramExit how{};
  bool ranks = false;
  bool resumable = false;                      // only then exit code 4 has a meaning
  std::optional<std::string> asked_to_stop{};  // why, where we had asked
  Evidence evidence{};
  std::int64_t step = -1;  // of its last progress
};

// Nothing when the program succeeded: then its outputs decide.
[[nodiscard]] std::optional<Outcome> outcome_of(const EndedProgram& ended, const LogPolicy& policy);

// What a program that was asked to stop left undone is nobody's failure.
[[nodiscard]] Outcome after_request(Outcome outcome,
                                    const std::optional<std::string>& asked_to_stop);

// The rules of a stage before the shipped ones. Those of a stage that RE2 does not take (they came
// from another client than ours) are left out, and the log says so.
[[nodiscard]] LogPolicy policy_of(const std::vector<LogRule>& own);

inline constexpr std::size_t kRecordedMax = 32;
inline constexpr std::size_t kRecordedBytesMax = 1'024;

// recorded.json, which a program may write: a flat map of texts and numbers about how its result
// came to be.
[[nodiscard]] Result<std::map<std::string, std::string>> parse_recorded(std::string_view text);

}  // namespace strata::worker
