// From how a program ended to what is reported (docs/stages.md, exit codes). Who is charged:
//
//   code 0                 Succeeded, once its outputs are stored
//   code 2                 Failed kInvalid: a retry gives the same answer
//   code 3                 Diverged
//   code 4                 Stopped where we had asked, else Failed kInfra: somebody else (a batch
//   system) asked any other, or a signal Stopped where we had asked, else Failed kUser with the
//   last line of the log the guard was killed   Failed kInfra with ranks: mpirun ended by SIGKILL
//   or SIGTERM, or a rank ended so (128 + signal): Failed kInfra, a rank was lost
#pragma once

#include <map>
#include <optional>
#include <string>

#include "schema/event.h"
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
  std::optional<std::string> asked_to_stop{};  // why, where we had asked
  std::string last_log_line{};
};

// Nothing when the program succeeded: then its outputs decide.
[[nodiscard]] std::optional<Outcome> outcome_of(const EndedProgram& ended);

inline constexpr std::size_t kRecordedMax = 32;
inline constexpr std::size_t kRecordedBytesMax = 1'024;

// recorded.json, which a program may write: a flat map of texts and numbers about how its result
// came to be.
[[nodiscard]] Result<std::map<std::string, std::string>> parse_recorded(std::string_view text);

}  // namespace strata::worker
