// strata-guard: the small process that stands over one attempt at a time.
//
//   strata-guard COMMANDS ANSWERS     (inherited file descriptors; worker/guard_protocol.h)
//
// The worker tells it to start a program; it does so in a session of its own and tells when nothing
// of the attempt is left. Then it is idle until the next one: the worker keeps as many guards as it
// ever had attempts at the same time, since to execute a program costs more than all that a guard
// does for an attempt.
//
// It is a *subreaper*: whatever loses its parent below it becomes its child, also when it made
// itself another session or process group. So "no child is left" proves that nothing of the attempt
// is left, and needs no search through /proc.
//
//   kGuardStop, SIGTERM   polite: SIGTERM to everything below it. With "spare-child" not to the
//                         program itself, which is then mpirun: that one would answer by killing
//                         its ranks after a second, before they have written their checkpoint.
//   kGuardKill            SIGKILL to everything, again until nothing is left.
//   the worker is gone    (even by kill -9: its end of the socket closes) the same, then the end.
//
// When the program has ended, whatever it left behind is killed as well (after a polite request it
// has time until kGuardKill, because the shell of a command dies at once while its child is still
// writing).
//
// It links no room and is static: that spares it half of what it costs to start.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "worker/guard_protocol.h"

extern char** environ;

namespace strata::worker {
namespace {

constexpr int kExitUsage = 125;  // as env(1) and timeout(1) have it
constexpr int kExitNotExecutable = 126;
constexpr int kExitNotFound = 127;
constexpr int kKillAgainMilliseconds = 5;
constexpr std::size_t kReadBytes = 16U << 10U;

struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
};

// "pid (comm) state ppid ...": comm may hold anything, so it starts behind the last parenthesis.
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
  if (behind == nullptr || std::sscanf(behind + 1, " %c %d", &state, &parent) != 2) return false;
  process = {pid, parent};
  return true;
}

// Everything below us. Nothing of a session or a group that began here is elsewhere.
std::vector<pid_t> members() {
  std::vector<Process> all;
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return {};
  while (const dirent* entry = ::readdir(proc)) {
    const auto pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    Process process;
    if (pid > 0 && read_process(pid, process)) all.push_back(process);
  }
  ::closedir(proc);
  std::set<pid_t> below{::getpid()};
  for (bool grown = true; grown;) {
    grown = false;
    for (const Process& p : all) {
      if (below.count(p.parent) != 0 && below.insert(p.pid).second) grown = true;
    }
  }
  below.erase(::getpid());
  return {below.begin(), below.end()};
}

// What kGuardStart carries, as pointers into it.
struct Start {
  bool spare_child = false;
  const char* folder = nullptr;
  const char* log_file = nullptr;
  std::vector<char*> argv{};
  std::vector<char*> environment{};
};

bool is_overridden(const char* entry, const std::vector<char*>& by) {
  const char* equals = std::strchr(entry, '=');
  const std::size_t name =
      equals == nullptr ? std::strlen(entry) : static_cast<std::size_t>(equals - entry) + 1;
  for (const char* other : by) {
    if (std::strncmp(other, entry, name) == 0) return true;
  }
  return false;
}

bool parse(std::string& text, Start& start) {
  std::vector<char*> words;
  for (std::size_t at = 0; at < text.size(); at = text.find('\0', at) + 1)
    words.push_back(text.data() + at);
  if (text.empty() || text.back() != '\0' || words.size() < 5) return false;
  start.spare_child = std::strcmp(words[0], kGuardSpareChild) == 0;
  start.folder = words[1];
  start.log_file = words[2];
  const auto arguments = std::strtoul(words[3], nullptr, 10);
  if (arguments == 0 || arguments > words.size() - 4) return false;
  const auto first = words.begin() + 4;
  const auto behind = first + static_cast<std::ptrdiff_t>(arguments);
  start.argv.assign(first, behind);
  start.argv.push_back(nullptr);
  start.environment.assign(behind, words.end());
  const std::vector<char*> given = start.environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!is_overridden(*entry, given)) start.environment.push_back(*entry);
  }
  start.environment.push_back(nullptr);
  return true;
}

// In the child, which has our memory until it executes: system calls only. It sets `in_place` once
// the program can be tried.
[[noreturn]] void become_program(const Start& start, const sigset_t& signals,
                                 volatile bool* in_place) {
  const auto fail = [](const char* what, const char* which) {
    const int error = errno;
    ::dprintf(STDERR_FILENO, "strata-guard: cannot %s %s: %s\n", what, which, std::strerror(error));
    ::_exit(error == ENOENT ? kExitNotFound : kExitNotExecutable);
  };
  ::setsid();
  if (::chdir(start.folder) != 0) fail("work in", start.folder);
  // The log file is new, or of an attempt whose folder is used again.
  const int log = ::open(start.log_file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) fail("write", start.log_file);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  *in_place = true;
  ::sigprocmask(SIG_UNBLOCK, &signals, nullptr);
  ::execvpe(start.argv.front(), start.argv.data(), start.environment.data());
  fail("start", start.argv.front());
  ::_exit(kExitUsage);
}

class Guard {
 public:
  Guard(int commands, int answers) : commands_(commands), answers_(answers) {}

  int run() {
    for (const int fd : {commands_, answers_}) {
      if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return kExitUsage;
    }
    sigemptyset(&signals_);
    for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals_, signal);
    ::sigprocmask(SIG_BLOCK, &signals_, nullptr);
    signal_fd_ = ::signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd_ < 0 || ::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return kExitUsage;
    // Shared, since a thread sanitizer makes a fork of each vfork.
    void* shared =
        ::mmap(nullptr, sizeof(bool), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return kExitUsage;
    in_place_ = static_cast<volatile bool*>(shared);
    for (;;) {
      if (child_ == 0 && worker_gone_) return 0;
      wait();
      read_signals();
      if (!read_commands()) return kExitUsage;
      if (child_ != 0 && everything_gone() && !tell_end()) return kExitUsage;
    }
  }

 private:
  void wait() const {
    // A socket that has ended is ready for ever.
    pollfd items[] = {{signal_fd_, POLLIN, 0}, {worker_gone_ ? -1 : commands_, POLLIN, 0}};
    ::poll(items, 2, killing_ ? kKillAgainMilliseconds : -1);
  }

  void read_signals() {
    signalfd_siginfo info{};
    while (::read(signal_fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      if (info.ssi_signo != SIGCHLD) ask_to_stop();
    }
  }

  // False when they cannot be understood.
  bool read_commands() {
    while (!worker_gone_) {
      char bytes[kReadBytes];
      const ssize_t got = ::recv(commands_, bytes, sizeof bytes, MSG_DONTWAIT);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) break;
      if (got <= 0) {
        worker_gone_ = true;
        killing_ = true;
        break;
      }
      input_.append(bytes, static_cast<std::size_t>(got));
      if (static_cast<std::size_t>(got) < sizeof bytes) break;
    }
    return take_commands();
  }

  bool take_commands() {
    while (!input_.empty()) {
      const char command = input_.front();
      if (command == kGuardStart) {
        std::uint32_t length = 0;
        if (input_.size() < 1 + sizeof length) return true;
        std::memcpy(&length, input_.data() + 1, sizeof length);
        if (length > kGuardStartBytesMax) return false;
        const std::size_t end = 1 + sizeof length + length;
        if (input_.size() < end) return true;
        std::string text = input_.substr(1 + sizeof length, length);
        input_.erase(0, end);
        if (child_ != 0 || !start(text)) return false;
        continue;
      }
      input_.erase(0, 1);
      if (command == kGuardStop) {
        ask_to_stop();
      } else if (command == kGuardKill) {
        killing_ = child_ != 0;
      } else {
        return false;
      }
    }
    return true;
  }

  bool start(std::string& text) {
    Start order;
    if (!parse(text, order)) return false;
    spare_child_ = order.spare_child;
    child_ended_ = false;
    asked_to_stop_ = false;
    killing_ = worker_gone_;
    *in_place_ = false;
    child_ = ::vfork();
    if (child_ == 0) become_program(order, signals_, in_place_);
    return child_ > 0;
  }

  void ask_to_stop() {
    if (child_ == 0) return;
    asked_to_stop_ = true;
    for (const pid_t pid : members()) {
      if (!spare_child_ || pid != child_) ::kill(pid, SIGTERM);
    }
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
      for (const pid_t pid : members()) ::kill(pid, SIGKILL);
    }
    return false;
  }

  // False: nobody can be told, or its program could not even be tried. Then we end without an
  // answer, which is the infrastructure's failure and not the program's.
  bool tell_end() {
    if (!*in_place_) return false;
    GuardAnswer answer{.guard = ::getpid()};
    if (WIFSIGNALED(child_status_)) {
      answer.signal = WTERMSIG(child_status_);
    } else {
      answer.code = WEXITSTATUS(child_status_);
    }
    child_ = 0;
    killing_ = false;
    return worker_gone_ || ::write(answers_, &answer, sizeof answer) == sizeof answer;
  }

  int commands_;
  int answers_;
  int signal_fd_ = -1;
  sigset_t signals_{};
  std::string input_;
  pid_t child_ = 0;  // 0: idle
  volatile bool* in_place_ = nullptr;
  int child_status_ = 0;
  bool child_ended_ = false;
  bool spare_child_ = false;
  bool asked_to_stop_ = false;
  bool killing_ = false;
  bool worker_gone_ = false;
};

}  // namespace
}  // namespace strata::worker

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "strata-guard is started by strata-worker, with two file descriptors\n");
    return 125;
  }
  return strata::worker::Guard(std::atoi(argv[1]), std::atoi(argv[2])).run();
}
