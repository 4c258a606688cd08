// Starts the processes of attempts and sees them gone. Each attempt is a session of its own under a
// strata-guard, which ends when nothing of the attempt is left and dies no later than this process
// (guard_main.cc).
//
// Thread rule: one thread, the main one: a guard is told by the kernel when the THREAD that started
// it ends. REQUIRES: the process is a subreaper (become_subreaper), so that what a killed guard
// leaves behind comes to us.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/subprocess.h"
#include "worker/session.h"

namespace strata::worker {

// For a guard to obey, before it is killed as well.
inline constexpr std::chrono::milliseconds kGuardPatience{2'000};

[[nodiscard]] Status become_subreaper();

// A program of a stage: beside our own binaries first, so that a build runs its own, then in PATH.
[[nodiscard]] Result<std::filesystem::path> find_stage_program(const std::filesystem::path& beside,
                                                               const std::string& name);

struct MpiOptions {
  std::filesystem::path
      scratch{};  // of OpenMPI's session folder and shared memory; removed with the attempt
  std::int64_t ranks = 0;
};
// argv behind mpirun; and the settings that keep it quiet, on this machine, and off a Slurm
// allocation's other nodes. Settings that the worker's own environment has already are left alone.
[[nodiscard]] std::vector<std::string> mpi_argv(const std::vector<std::string>& argv,
                                                const MpiOptions& options);
[[nodiscard]] std::map<std::string, std::string> mpi_environment(const MpiOptions& options);

struct LaunchOrder {
  std::string attempt{};            // "4f2a9c01#2"
  std::vector<std::string> argv{};  // with the spec file
  bool ranks = false;               // argv is an mpirun
  std::map<std::string, std::string> environment{};
  std::filesystem::path folder{};  // working folder
  std::filesystem::path log_file{};
  std::filesystem::path exit_file{};
  std::filesystem::path session_file{};
  std::filesystem::path scratch{};  // removed when the session is gone; empty: none
};

struct ProgramExit {
  strata::Exit exit{};      // of base/subprocess.h; the core has an action of the same name
  bool guard_lost = false;  // the guard was killed: how the program ended is not known
};

struct EndedSession {
  pid_t session = 0;
  ProgramExit how{};
};

class Launcher {
 public:
  explicit Launcher(std::filesystem::path guard_program)
      : guard_program_(std::move(guard_program)) {}

  // The session's id.
  [[nodiscard]] Result<pid_t> start(const LaunchOrder& order);
  void ask_to_stop(pid_t session);
  void kill(pid_t session, Instant now);

  // Sessions of which no process is left. Call at SIGCHLD, and every few milliseconds while
  // unsettled().
  [[nodiscard]] std::vector<EndedSession> collect(Instant now);
  [[nodiscard]] bool unsettled() const;
  [[nodiscard]] std::size_t sessions() const { return sessions_.size(); }

 private:
  struct Session {
    SessionRecord record{};
    std::filesystem::path exit_file{};
    std::filesystem::path session_file{};
    std::optional<Instant> killed_at{};
    bool guard_ended = false;
  };
  void reap();
  void kill_strays();

  std::filesystem::path guard_program_;
  std::map<pid_t, Session> sessions_;
};

// What an earlier life of this worker left running, by the session files below `attempts`. Returns
// how many sessions had processes left; an error when some would not end.
[[nodiscard]] Result<int> end_recorded_sessions(const std::filesystem::path& attempts,
                                                std::chrono::milliseconds patience);

}  // namespace strata::worker
