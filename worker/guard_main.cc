// strata-guard: the small process that stands over one attempt.
//
//   strata-guard WORKER_PID EXIT_FILE [--spare-child] -- PROGRAM ARGUMENTS...
//
// The worker starts it as the leader of a session of its own; it starts PROGRAM and ends when
// nothing of the attempt is left. It is a *subreaper*: whatever loses its parent below it becomes
// its child, also when it made itself another session or process group. So "no child is left"
// proves that nothing of the attempt is left, and needs no search through /proc.
//
//   SIGTERM   polite: SIGTERM to everything in the session. With --spare-child not to PROGRAM
//   itself, which is then mpirun:
//             that one would answer by killing its ranks after a second, before they have written
//             their checkpoint.
//   SIGUSR1   SIGKILL to everything, again until nothing is left.
//   SIGUSR2   sent by the kernel when the worker dies, even by kill -9: the same.
//
// When PROGRAM has ended, whatever it left behind is killed as well (after SIGTERM it has time
// until SIGUSR1, because the shell of a command dies at once while its child is still writing).
// EXIT_FILE then gets one line, "code N" or "signal N".
//
// It links no room and is static: it is started once for every attempt, and a fork in it must stay
// cheap.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <dirent.h>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int kExitUsage = 125;  // as env(1) and timeout(1) have it
constexpr int kExitNotExecutable = 126;
constexpr int kExitNotFound = 127;
constexpr long kKillAgainNanoseconds = 5'000'000;

struct Arguments {
  pid_t worker = 0;
  std::string exit_file;
  bool spare_child = false;
  char** program = nullptr;
};

struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t session = 0;
};

bool parse_arguments(int argc, char** argv, Arguments& arguments) {
  if (argc < 5) return false;
  arguments.worker = static_cast<pid_t>(std::strtol(argv[1], nullptr, 10));
  arguments.exit_file = argv[2];
  int next = 3;
  if (std::string_view(argv[next]) == "--spare-child") {
    arguments.spare_child = true;
    ++next;
  }
  if (next + 1 >= argc || std::string_view(argv[next]) != "--") return false;
  arguments.program = argv + next + 1;
  return arguments.worker > 0;
}

// "pid (comm) state ppid pgrp session ...": comm may hold anything, so it starts behind the last
// parenthesis.
bool read_process(pid_t pid, Process& process) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/stat", static_cast<int>(pid));
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[1024];
  const ssize_t length = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (length <= 0) return false;
  text[length] = '\0';
  const char* behind = std::strrchr(text, ')');
  char state = 0;
  int parent = 0;
  int group = 0;
  int session = 0;
  if (behind == nullptr ||
      std::sscanf(behind + 1, " %c %d %d %d", &state, &parent, &group, &session) != 4)
    return false;
  process = {pid, parent, session};
  return true;
}

// Everything below us and everything of our session, without us.
std::vector<Process> members() {
  std::vector<Process> all;
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return all;
  while (const dirent* entry = ::readdir(proc)) {
    const auto pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    Process process;
    if (pid > 0 && read_process(pid, process)) all.push_back(process);
  }
  ::closedir(proc);
  const pid_t self = ::getpid();
  std::set<pid_t> below{self};
  for (bool grown = true; grown;) {
    grown = false;
    for (const Process& p : all) {
      if (below.count(p.parent) != 0 && below.insert(p.pid).second) grown = true;
    }
  }
  std::vector<Process> ours;
  for (const Process& p : all) {
    if (p.pid != self && (p.session == self || below.count(p.pid) != 0)) ours.push_back(p);
  }
  return ours;
}

class Guard {
 public:
  explicit Guard(Arguments arguments) : arguments_(std::move(arguments)) {}

  int run() {
    sigemptyset(&signals_);
    for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2})
      sigaddset(&signals_, signal);
    ::sigprocmask(SIG_BLOCK, &signals_, nullptr);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::prctl(PR_SET_PDEATHSIG, SIGUSR2);
    if (::getppid() != arguments_.worker)
      return kExitUsage;  // it died before the line above: nobody wants this attempt
    child_ = ::fork();
    if (child_ < 0) return kExitUsage;
    if (child_ == 0) become_program();
    while (!everything_gone()) wait_for_signal();
    return write_exit();
  }

 private:
  [[noreturn]] void become_program() {
    ::sigprocmask(SIG_UNBLOCK, &signals_, nullptr);
    ::execvp(arguments_.program[0], arguments_.program);
    const int error = errno;
    std::fprintf(stderr, "strata-guard: cannot start %s: %s\n", arguments_.program[0],
                 std::strerror(error));
    ::_exit(error == ENOENT ? kExitNotFound : kExitNotExecutable);
  }

  // Collects what has ended. True when not one child is left, ours or adopted.
  bool everything_gone() {
    for (;;) {
      int status = 0;
      const pid_t pid = ::waitpid(-1, &status, WNOHANG);
      if (pid < 0 && errno == EINTR) continue;
      if (pid < 0) return true;  // ECHILD
      if (pid == 0) break;
      if (pid == child_) {
        child_status_ = status;
        child_ended_ = true;
      }
    }
    if (child_ended_ && !asked_to_stop_) killing_ = true;
    if (killing_) {
      for (const Process& process : members()) ::kill(process.pid, SIGKILL);
    }
    return false;
  }

  void wait_for_signal() {
    const timespec again{0, kKillAgainNanoseconds};
    const int signal =
        killing_ ? ::sigtimedwait(&signals_, nullptr, &again) : ::sigwaitinfo(&signals_, nullptr);
    if (signal == SIGUSR1 || signal == SIGUSR2) killing_ = true;
    if (signal == SIGTERM || signal == SIGINT || signal == SIGHUP) {
      asked_to_stop_ = true;
      for (const Process& process : members()) {
        if (arguments_.spare_child && process.pid == child_) continue;
        ::kill(process.pid, SIGTERM);
      }
    }
  }

  int write_exit() const {
    const bool by_signal = WIFSIGNALED(child_status_);
    const int number = by_signal ? WTERMSIG(child_status_) : WEXITSTATUS(child_status_);
    char line[32];
    const int length =
        std::snprintf(line, sizeof line, "%s %d\n", by_signal ? "signal" : "code", number);
    const int fd =
        ::open(arguments_.exit_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || ::write(fd, line, static_cast<std::size_t>(length)) != length) return kExitUsage;
    return 0;
  }

  Arguments arguments_;
  sigset_t signals_{};
  pid_t child_ = 0;
  int child_status_ = 0;
  bool child_ended_ = false;
  bool asked_to_stop_ = false;
  bool killing_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse_arguments(argc, argv, arguments)) {
    std::fprintf(
        stderr,
        "usage: strata-guard WORKER_PID EXIT_FILE [--spare-child] -- PROGRAM ARGUMENTS...\n");
    return kExitUsage;
  }
  return Guard(arguments).run();
}
