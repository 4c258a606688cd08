#include "worker/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/files.h"
#include "base/host.h"
#include "base/log.h"
#include "schema/artifact.h"
#include "worker/guard_protocol.h"

namespace strata::worker {
namespace {

void remove_scratch(const std::filesystem::path& scratch) {
  if (scratch.empty()) return;
  std::error_code error;
  std::filesystem::remove_all(scratch, error);
  if (error) log_warning("worker", "removing {}: {}", scratch.string(), error.message());
}

// What kGuardStart carries. A text ends at its first NUL, as it does for the kernel.
std::string start_command(const LaunchOrder& order) {
  std::string body;
  const auto add = [&](const std::string& text) { body.append(text.c_str()).push_back('\0'); };
  add(order.ranks ? kGuardSpareChild : "");
  add(order.folder.string());
  add(order.log_file.string());
  add(std::to_string(order.argv.size()));
  for (const std::string& argument : order.argv) add(argument);
  add(std::string(kAttemptFolderVariable) + "=" + order.folder.string());
  for (const auto& [name, value] : order.environment) add(name + "=" + value);
  const auto length = static_cast<std::uint32_t>(body.size());
  std::string command(1, kGuardStart);
  command.append(reinterpret_cast<const char*>(&length), sizeof length);
  return command + body;
}

}  // namespace

Status become_subreaper() {
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0) return {};
  return fail(ErrorCode::kUnsupported, "becoming a subreaper: {}", std::strerror(errno));
}

Result<std::filesystem::path> find_stage_program(const std::filesystem::path& beside,
                                                 const std::string& name) {
  if (name.find('/') == std::string::npos) {
    const auto candidate = beside / name;
    std::error_code error;
    if (::access(candidate.c_str(), X_OK) == 0 && !std::filesystem::is_directory(candidate, error))
      return candidate;
  }
  auto found = find_program(name);
  if (!found && name.find('/') == std::string::npos) {
    return fail(ErrorCode::kNotFound, "program {}: neither in {} nor in the worker's PATH", name,
                beside.string());
  }
  return found;
}

std::vector<std::string> mpi_argv(const std::vector<std::string>& argv, const MpiOptions& options) {
  std::vector<std::string> all{"mpirun",          "-n",        std::to_string(options.ranks),
                               "--oversubscribe", "--bind-to", "none"};
  all.insert(all.end(), argv.begin(), argv.end());
  return all;
}

std::map<std::string, std::string> mpi_environment(const MpiOptions& options) {
  const std::map<std::string, std::string> wanted{
      {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
      {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
      {"OMPI_MCA_plm", "isolated"},  // a gang lies within one worker: no daemon elsewhere
      {"OMPI_MCA_ras", "^slurm,tm,gridengine"},
      {"OMPI_MCA_btl", "self,vader,tcp"},
      {"OMPI_MCA_btl_base_warn_component_unused", "0"},
      {"OMPI_MCA_opal_warn_on_missing_libcuda", "0"},
      {"OMPI_MCA_orte_tmpdir_base", options.scratch.string()},
      {"OMPI_MCA_btl_vader_backing_directory", options.scratch.string()},
  };
  std::map<std::string, std::string> missing;
  for (const auto& [name, value] : wanted) {
    if (std::getenv(name.c_str()) == nullptr) missing.emplace(name, value);
  }
  return missing;
}

Launcher::~Launcher() {
  for (auto& [pid, guard] : guards_) guard.commands.reset();  // that is the order to end
  for (auto& [pid, guard] : guards_) {
    if (guard.gone) continue;
    ::kill(pid, SIGCONT);
    (void)wait_exit(pid);
  }
}

// A guard's descriptors are closed at exec in all programs but itself, so that it sees our end.
Result<pid_t> Launcher::start_guard() {
  if (!answers_.valid()) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      return fail(ErrorCode::kUnavailable, "making a pipe: {}", std::strerror(errno));
    answers_ = FileDescriptor(ends[0]);
    answers_write_ = FileDescriptor(ends[1]);
    if (::fcntl(answers_.get(), F_SETFL, O_NONBLOCK) != 0)
      return fail(ErrorCode::kUnavailable, "a pipe: {}", std::strerror(errno));
  }
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail(ErrorCode::kUnavailable, "making a socket: {}", std::strerror(errno));
  FileDescriptor ours(ends[0]);
  const FileDescriptor its(ends[1]);
  const timeval patience{.tv_sec = kGuardTakesOrder.count(), .tv_usec = 0};
  if (::setsockopt(ours.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0)
    return fail(ErrorCode::kUnavailable, "a socket: {}", std::strerror(errno));
  STRATA_TRY(const pid_t pid,
             spawn({.argv = {guard_program_.string(), std::to_string(its.get()),
                             std::to_string(answers_write_.get())},
                    .extra_environment = {{kAttemptFolderVariable, attempts_.string()}},
                    .own_session = true,
                    .inherited = {its.get(), answers_write_.get()}}));
  guards_[pid].commands = std::move(ours);
  return pid;
}

bool Launcher::command(pid_t guard, std::string_view bytes) {
  const int fd = guards_.at(guard).commands.get();
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

Result<pid_t> Launcher::start(const LaunchOrder& order) {
  const std::string start = start_command(order);
  if (start.size() > kGuardStartBytesMax)
    return fail(ErrorCode::kInvalid, "a command and its environment of {} bytes", start.size());
  if (!order.scratch.empty()) STRATA_CHECK_OK(make_folder(order.scratch));
  Session session{.folder = order.folder, .scratch = order.scratch};
  for (auto& [pid, guard] : guards_) {
    if (guard.session || guard.gone) continue;
    guard.session = session;
    if (command(pid, start)) return pid;
    // Killed while it was idle, or stopped; it may have a part of the order, so it must go.
    ::kill(pid, SIGKILL);
    guard.session.reset();
    guard.gone = true;
    (void)wait_exit(pid);
  }
  STRATA_TRY(const pid_t pid, start_guard());
  guards_.at(pid).session = std::move(session);
  // If it takes nothing, it is gone, and collect() says that it was lost.
  (void)command(pid, start);
  return pid;
}

void Launcher::ask_to_stop(pid_t guard) {
  const auto it = guards_.find(guard);
  if (it != guards_.end() && it->second.session && !it->second.gone)
    (void)command(guard, {&kGuardStop, 1});
}

void Launcher::kill(pid_t guard, Instant now) {
  const auto it = guards_.find(guard);
  if (it == guards_.end() || !it->second.session) return;
  Session& session = *it->second.session;
  if (!session.killed_at) session.killed_at = now;
  if (it->second.gone) return;
  ::kill(guard, SIGCONT);  // it may have been stopped by hand
  (void)command(guard, {&kGuardKill, 1});
}

void Launcher::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    if (const auto it = guards_.find(pid); it != guards_.end()) it->second.gone = true;
  }
}

void Launcher::read_answers() {
  GuardAnswer answer;
  while (answers_.valid() &&
         ::read(answers_.get(), &answer, sizeof answer) == static_cast<ssize_t>(sizeof answer)) {
    const auto it = guards_.find(answer.guard);
    if (it != guards_.end() && it->second.session)
      it->second.session->exit = strata::Exit{.code = answer.code, .signal = answer.signal};
  }
}

// Our children that are no guards were left behind by a guard that was killed: whatever session
// they made, they are ours. False when there is none.
bool Launcher::kill_strays() {
  bool strays = false;
  for (const pid_t pid : children_of(::getpid())) {
    if (guards_.contains(pid)) continue;
    strays = true;
    ::kill(pid, SIGKILL);
  }
  return strays;
}

// Whether nothing is left of the session of a guard that was killed before it could say so.
bool Launcher::is_settled(Guard& guard) {
  const bool strays = kill_strays();
  const std::vector<pid_t> left = processes_in(guard.session->folder);
  for (const pid_t pid : left) ::kill(pid, SIGKILL);
  return left.empty() && !strays;
}

std::vector<EndedSession> Launcher::collect(Instant now) {
  reap();
  read_answers();  // behind reap(): what a guard says comes before its end
  std::vector<EndedSession> ended;
  for (auto it = guards_.begin(); it != guards_.end();) {
    auto& [pid, guard] = *it;
    if (!guard.session) {
      it = guard.gone ? guards_.erase(it) : std::next(it);
      continue;
    }
    Session& session = *guard.session;
    if (!session.exit && !guard.gone) {
      if (session.killed_at && now - *session.killed_at >= kGuardPatience) {
        for (const pid_t member : processes_from(pid)) ::kill(member, SIGKILL);
      }
      ++it;
      continue;
    }
    if (!session.exit && !is_settled(guard)) {
      ++it;
      continue;
    }
    remove_scratch(session.scratch);
    ended.push_back(
        {.guard = pid,
         .how = {.exit = session.exit.value_or(strata::Exit{}), .guard_lost = !session.exit}});
    guard.session.reset();
    it = guard.gone ? guards_.erase(it) : std::next(it);
  }
  return ended;
}

bool Launcher::unsettled() const {
  return std::any_of(guards_.begin(), guards_.end(), [](const auto& entry) {
    const auto& [pid, guard] = entry;
    return guard.session && (guard.gone || guard.session->killed_at);
  });
}

std::size_t Launcher::sessions() const {
  return static_cast<std::size_t>(
      std::count_if(guards_.begin(), guards_.end(),
                    [](const auto& entry) { return entry.second.session.has_value(); }));
}

std::string scratch_prefix(const std::filesystem::path& attempts) {
  // A container may have its own name and folders, and the memory of its machine.
  return "strata-" + content_hash_of(host_name() + attempts.string()).hex().substr(0, 16) + "-";
}

Result<std::size_t> end_leftovers(const std::filesystem::path& attempts,
                                  const std::filesystem::path& memory,
                                  std::chrono::milliseconds patience) {
  STRATA_TRY(const std::size_t ended, end_processes_in(attempts, patience));
  if (ended > 0) log_warning("worker", "ended {} processes that an earlier life left", ended);
  const std::string prefix = scratch_prefix(attempts);
  std::error_code error;
  for (const auto& folder : std::filesystem::directory_iterator(memory, error)) {
    if (folder.path().filename().string().starts_with(prefix)) remove_scratch(folder.path());
  }
  return ended;
}

}  // namespace strata::worker
