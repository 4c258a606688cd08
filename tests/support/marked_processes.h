// The live processes of a test, found by a mark that it put into its own environment before it
// started anything: whatever session, process group, parent or folder they have by now.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace strata::testing {

inline constexpr const char* kMarkVariable = "STRATA_TEST_MARK";

enum class ProcessKind { kCoordinator, kWorker, kGuard, kMpirun, kRank, kProgram };
[[nodiscard]] const char* name_of(ProcessKind kind);

struct MarkedProcess {
  pid_t pid = 0;
  ProcessKind kind = ProcessKind::kProgram;
  std::string attempt{};  // STRATA_ATTEMPT; empty for daemons
  std::string command{};  // the beginning of its command line
};

// Without this process itself; zombies carry nothing any more. Ascending by pid.
[[nodiscard]] std::vector<MarkedProcess> marked_processes(const std::string& mark);

// SIGKILL to exactly this process: false when it ended meanwhile, also when its number is already
// another's.
bool kill_marked(const MarkedProcess& process, const std::string& mark);

[[nodiscard]] std::string in_words(const std::vector<MarkedProcess>& processes);

}  // namespace strata::testing
