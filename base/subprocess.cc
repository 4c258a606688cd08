#include "base/subprocess.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "base/assert.h"
#include "base/files.h"

extern char** environ;

namespace strata {
namespace {

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& extra) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string name(text.substr(0, text.find('=')));
    if (!extra.contains(name)) merged.emplace_back(text);
  }
  for (const auto& [name, value] : extra) merged.push_back(name + "=" + value);
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& s : strings) result.push_back(s.data());
  result.push_back(nullptr);
  return result;
}

class SpawnSettings {
 public:
  SpawnSettings() {
    STRATA_ASSERT(posix_spawn_file_actions_init(&actions) == 0);
    STRATA_ASSERT(posix_spawnattr_init(&attributes) == 0);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

Exit to_exit(int status) {
  if (WIFSIGNALED(status)) return {.code = 0, .signal = WTERMSIG(status)};
  return {.code = WEXITSTATUS(status), .signal = 0};
}

Result<pid_t> spawn_with(const Command& command, int stdout_fd) {
  if (command.argv.empty())
    return fail(ErrorCode::kInvalid, "starting a program: the command is empty");
  STRATA_TRY(const std::filesystem::path program, find_program(command.argv.front()));
  SpawnSettings settings;
  const auto add_output = [&](const std::filesystem::path& path, int fd) {
    if (path.empty()) return;
    STRATA_ASSERT(posix_spawn_file_actions_addopen(&settings.actions, fd, path.c_str(),
                                                   O_WRONLY | O_CREAT | O_APPEND, 0644) == 0);
  };
  STRATA_ASSERT(posix_spawn_file_actions_addopen(&settings.actions, 0, "/dev/null", O_RDONLY, 0) ==
                0);
  add_output(command.stdout_file, 1);
  if (stdout_fd >= 0)
    STRATA_ASSERT(posix_spawn_file_actions_adddup2(&settings.actions, stdout_fd, 1) == 0);
  if (!command.stderr_file.empty() && command.stderr_file == command.stdout_file) {
    STRATA_ASSERT(posix_spawn_file_actions_adddup2(&settings.actions, 1, 2) == 0);
  } else {
    add_output(command.stderr_file, 2);
  }
  for (const int fd : command.inherited)  // onto itself: without close-on-exec
    STRATA_ASSERT(posix_spawn_file_actions_adddup2(&settings.actions, fd, fd) == 0);
  if (!command.folder.empty()) {
    STRATA_ASSERT(posix_spawn_file_actions_addchdir_np(&settings.actions, command.folder.c_str()) ==
                  0);
  }
  // A child begins with no blocked signals and default handlers, whatever this process does with
  // its own.
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (command.own_session) flags = static_cast<short>(flags | POSIX_SPAWN_SETSID);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  STRATA_ASSERT(posix_spawnattr_setsigmask(&settings.attributes, &none) == 0);
  STRATA_ASSERT(posix_spawnattr_setsigdefault(&settings.attributes, &all) == 0);
  STRATA_ASSERT(posix_spawnattr_setflags(&settings.attributes, flags) == 0);

  std::vector<std::string> argv = command.argv;
  std::vector<std::string> environment = merged_environment(command.extra_environment);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, program.c_str(), &settings.actions, &settings.attributes,
                                pointers(argv).data(), pointers(environment).data());
  if (error != 0) {
    return fail(ErrorCode::kUnavailable, "starting {} in {}: {}", program.string(),
                command.folder.empty() ? "." : command.folder.string(), std::strerror(error));
  }
  return pid;
}

}  // namespace

std::string Exit::describe() const {
  if (signal != 0) return fmt::format("signal {} ({})", signal, strsignal(signal));
  return fmt::format("exit code {}", code);
}

Result<std::filesystem::path> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    std::error_code error;
    const auto absolute = std::filesystem::absolute(name, error);
    if (!error && ::access(absolute.c_str(), X_OK) == 0) return absolute;
    return fail(ErrorCode::kNotFound, "program {}: not there, or not executable", name);
  }
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/usr/bin:/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const auto candidate = std::filesystem::path(folder.empty() ? "." : folder) / name;
    if (::access(candidate.c_str(), X_OK) == 0 && !std::filesystem::is_directory(candidate))
      return candidate;
  }
  return fail(ErrorCode::kNotFound, "program {}: not found in PATH", name);
}

Result<pid_t> spawn(const Command& command) { return spawn_with(command, -1); }

Result<std::optional<Exit>> poll_exit(pid_t pid) {
  int status = 0;
  const pid_t got = ::waitpid(pid, &status, WNOHANG);
  if (got < 0)
    return fail(ErrorCode::kInternal, "waiting for process {}: {}", pid, std::strerror(errno));
  if (got == 0) return std::optional<Exit>();
  return std::optional<Exit>(to_exit(status));
}

Result<Exit> wait_exit(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR)
      return fail(ErrorCode::kInternal, "waiting for process {}: {}", pid, std::strerror(errno));
  }
  return to_exit(status);
}

Result<Captured> run_captured(const Command& command) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return fail(ErrorCode::kUnavailable, "making a pipe: {}", std::strerror(errno));
  const FileDescriptor read_end(ends[0]);
  FileDescriptor write_end(ends[1]);
  STRATA_TRY(const pid_t pid, spawn_with(command, write_end.get()));
  write_end.reset();
  Captured captured;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t n = ::read(read_end.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    captured.output.append(buffer.data(), static_cast<std::size_t>(n));
  }
  STRATA_TRY(captured.exit, wait_exit(pid));
  return captured;
}

std::vector<pid_t> processes_of_session(pid_t session) {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto stat = read_file(entry.path() / "stat");
    if (!stat) continue;  // it ended meanwhile
    // "pid (comm) state ppid pgrp session ...": comm may hold anything, so start behind its last
    // parenthesis.
    const std::size_t behind = stat->rfind(')');
    if (behind == std::string::npos) continue;
    std::istringstream fields(stat->substr(behind + 1));
    char state = 0;
    long parent = 0;
    long group = 0;
    long its_session = 0;
    fields >> state >> parent >> group >> its_session;
    if (its_session == session && state != 'Z' && state != 'X') found.push_back(std::stoi(name));
  }
  return found;
}

int signal_session(pid_t session, int signal) {
  const std::vector<pid_t> members = processes_of_session(session);
  for (const pid_t pid : members) ::kill(pid, signal);
  return static_cast<int>(members.size());
}

void die_with_parent(int signal) { ::prctl(PR_SET_PDEATHSIG, signal); }

}  // namespace strata
