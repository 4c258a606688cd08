// Starting and ending processes. Every spawned child may lead a session of its own, so that
// cleaning up can find all its descendants, whatever process groups they made for themselves (each
// rank of OpenMPI does).
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace strata {

struct Command {
  std::vector<std::string> argv{};                         // argv[0] is looked up in PATH
  std::map<std::string, std::string> extra_environment{};  // added to, or replacing, ours
  std::filesystem::path folder{};                          // working folder; empty: ours
  std::filesystem::path stdout_file{};                     // empty: inherited; opened for appending
  std::filesystem::path stderr_file{};
  bool own_session = false;      // setsid: the child's pid is then its session id
  std::vector<int> inherited{};  // descriptors that it gets under the same numbers
};

struct Exit {
  int code = 0;    // exit status, or 0 when a signal ended it
  int signal = 0;  // the signal that ended it, or 0
  [[nodiscard]] bool ok() const { return code == 0 && signal == 0; }
  // "exit code 3", "signal 9 (Killed)".
  [[nodiscard]] std::string describe() const;
};

// Uses posix_spawn: forking a large process costs milliseconds, this does not. The program is found
// before the spawn.
[[nodiscard]] Result<pid_t> spawn(const Command& command);

// Does not block; nothing while the child still runs. REQUIRES: `pid` is our child and not yet
// collected.
[[nodiscard]] Result<std::optional<Exit>> poll_exit(pid_t pid);
[[nodiscard]] Result<Exit> wait_exit(pid_t pid);

struct Captured {
  Exit exit;
  std::string output;
};
// Runs to the end and returns what it wrote to standard output. Standard error goes where ours
// goes.
[[nodiscard]] Result<Captured> run_captured(const Command& command);

// Every live process whose session id is `session`, from /proc; zombies are not live.
[[nodiscard]] std::vector<pid_t> processes_of_session(pid_t session);
// Signals all of them; returns how many there were. Call again until it returns 0: members may be
// forking.
int signal_session(pid_t session, int signal);

// The signal `signal` comes when our parent dies; call first thing in main() of a program that a
// worker starts.
void die_with_parent(int signal);

// The absolute path of a program, looked up like a shell would.
[[nodiscard]] Result<std::filesystem::path> find_program(const std::string& name);

}  // namespace strata
