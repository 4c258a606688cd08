// Starts the processes of attempts and sees them gone. Each attempt is a session of its own under a
// strata-guard, which tells when nothing of the attempt is left and ends no later than this process
// (guard_main.cc). A guard has one attempt at a time and is used again: there are as many as there
// were attempts at the same time.
//
// Thread rule: one thread. REQUIRES: the process is a subreaper (become_subreaper), so that what a
// killed guard leaves behind comes to us; it has no other children, and forks none.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/files.h"
#include "base/subprocess.h"
#include "worker/session.h"

namespace strata::worker {

// For a guard to obey, before it is killed as well.
inline constexpr std::chrono::milliseconds kGuardPatience{2'000};
// For an idle guard to take an order, before another one is asked.
inline constexpr std::chrono::seconds kGuardTakesOrder{1};

// Where attempts with ranks have what OpenMPI shares.
inline constexpr const char* kMemoryFolder = "/dev/shm";

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
  std::filesystem::path scratch{};  // removed when the session is gone; empty: none
};

struct ProgramExit {
  strata::Exit exit{};      // of base/subprocess.h; the core has an action of the same name
  bool guard_lost = false;  // the guard was killed: how the program ended is not known
};

struct EndedSession {
  pid_t guard = 0;
  ProgramExit how{};
};

class Launcher {
 public:
  // `attempts`: the folder of all of them.
  Launcher(std::filesystem::path guard_program, std::filesystem::path attempts)
      : guard_program_(std::move(guard_program)), attempts_(std::move(attempts)) {}
  ~Launcher();  // ends what runs, and the guards
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  // The guard that has it; no other attempt has until this one was collected.
  [[nodiscard]] Result<pid_t> start(const LaunchOrder& order);
  void ask_to_stop(pid_t guard);
  void kill(pid_t guard, Instant now);

  // Readable when collect() has something to say; -1 before the first start. It says nothing of
  // guards that were killed: those are children.
  [[nodiscard]] int ready_fd() const { return answers_.get(); }
  // Sessions of which no process is left. Call when ready_fd() is readable, at SIGCHLD, and every
  // few milliseconds while unsettled().
  [[nodiscard]] std::vector<EndedSession> collect(Instant now);
  [[nodiscard]] bool unsettled() const;
  [[nodiscard]] std::size_t sessions() const;

 private:
  struct Session {
    std::filesystem::path folder{};
    std::filesystem::path scratch{};
    std::optional<Instant> killed_at{};
    std::optional<strata::Exit> exit{};  // nothing of it is left
  };
  struct Guard {
    FileDescriptor commands{};
    std::optional<Session> session{};  // none: idle
    bool gone = false;
  };
  [[nodiscard]] Result<pid_t> start_guard();
  [[nodiscard]] bool command(pid_t guard, std::string_view bytes);
  void reap();
  void read_answers();
  [[nodiscard]] bool is_settled(Guard& guard);
  [[nodiscard]] bool kill_strays();

  std::filesystem::path guard_program_;
  std::filesystem::path attempts_;
  FileDescriptor answers_;        // of all guards
  FileDescriptor answers_write_;  // their end
  std::map<pid_t, Guard> guards_;
};

// The beginning of the names of all folders in memory of the attempts of one worker, which are the
// same in its next life.
[[nodiscard]] std::string scratch_prefix(const std::filesystem::path& attempts);

// Ends what an earlier life of this worker left running below `attempts`, and removes what it left
// in `memory`. Returns how many processes that were; an error when some would not end.
[[nodiscard]] Result<std::size_t> end_leftovers(const std::filesystem::path& attempts,
                                                const std::filesystem::path& memory,
                                                std::chrono::milliseconds patience);

}  // namespace strata::worker
