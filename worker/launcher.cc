#include "worker/launcher.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "base/assert.h"
#include "base/files.h"
#include "base/log.h"

namespace strata::worker {
namespace {

// The guard's last word. Nothing when it could not write it, that is, when it was killed.
std::optional<strata::Exit> read_exit(const std::filesystem::path& file) {
  const auto text = read_file(file);
  if (!text) return {};
  std::istringstream words(*text);
  std::string kind;
  int number = -1;
  words >> kind >> number;
  if (!words || number < 0) return {};
  if (kind == "code") return strata::Exit{.code = number, .signal = 0};
  if (kind == "signal") return strata::Exit{.code = 0, .signal = number};
  return {};
}

void remove_scratch(const SessionRecord& record) {
  if (record.scratch.empty()) return;
  std::error_code error;
  std::filesystem::remove_all(record.scratch, error);
  if (error) log_warning("worker", "removing {}: {}", record.scratch, error.message());
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

Result<pid_t> Launcher::start(const LaunchOrder& order) {
  if (!order.scratch.empty()) STRATA_CHECK_OK(make_folder(order.scratch));
  Command command{
      .argv = {guard_program_.string(), std::to_string(::getpid()), order.exit_file.string()},
      .extra_environment = order.environment,
      .folder = order.folder,
      .stdout_file = order.log_file,
      .stderr_file = order.log_file,
      .own_session = true};
  command.extra_environment[kAttemptFolderVariable] = order.folder.string();
  if (order.ranks) command.argv.emplace_back("--spare-child");
  command.argv.emplace_back("--");
  command.argv.insert(command.argv.end(), order.argv.begin(), order.argv.end());
  STRATA_TRY(const pid_t pid, spawn(command));
  // It cannot vanish before we collect it, so the record is of this process and no other.
  auto record = record_of(pid);
  STRATA_ASSERT(record.has_value());
  record->attempt = order.attempt;
  record->scratch = order.scratch.string();
  record->folder = order.folder.string();
  if (auto status = write_record(order.session_file, *record); !status) {
    log_warning("worker", "attempt {}: {}: a worker that is killed now could not find it again",
                order.attempt, status.error().message);
  }
  sessions_.emplace(
      pid,
      Session{.record = *record, .exit_file = order.exit_file, .session_file = order.session_file});
  return pid;
}

void Launcher::ask_to_stop(pid_t session) {
  if (const auto it = sessions_.find(session); it != sessions_.end() && !it->second.guard_ended)
    ::kill(session, SIGTERM);
}

void Launcher::kill(pid_t session, Instant now) {
  const auto it = sessions_.find(session);
  if (it == sessions_.end()) return;
  if (!it->second.killed_at) it->second.killed_at = now;
  if (it->second.guard_ended) return;
  ::kill(session, SIGUSR1);
  ::kill(session, SIGCONT);  // it may have been stopped by hand
}

void Launcher::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    if (const auto it = sessions_.find(pid); it != sessions_.end()) it->second.guard_ended = true;
  }
}

// Our children that are no guards were left behind by a guard that was killed: whatever session
// they made, they are ours.
void Launcher::kill_strays() {
  for (const pid_t pid : children_of(::getpid())) {
    if (!sessions_.contains(pid)) ::kill(pid, SIGKILL);
  }
}

std::vector<EndedSession> Launcher::collect(Instant now) {
  reap();
  std::vector<EndedSession> ended;
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    Session& session = it->second;
    if (!session.guard_ended) {
      if (session.killed_at && now - *session.killed_at >= kGuardPatience) {
        for (const pid_t pid : members_of(session.record)) ::kill(pid, SIGKILL);
      }
      ++it;
      continue;
    }
    const auto exit = read_exit(session.exit_file);
    if (!exit) {  // the guard was killed, so nobody has proved yet that nothing is left
      kill_strays();
      const std::vector<pid_t> left = members_of(session.record);
      for (const pid_t pid : left) ::kill(pid, SIGKILL);
      reap();
      bool strays = false;
      for (const pid_t pid : children_of(::getpid())) strays = strays || !sessions_.contains(pid);
      if (!left.empty() || strays) {
        ++it;
        continue;
      }
    }
    remove_scratch(session.record);
    std::error_code ignored;
    std::filesystem::remove(session.session_file, ignored);
    ended.push_back({.session = it->first,
                     .how = {.exit = exit.value_or(strata::Exit{}), .guard_lost = !exit}});
    it = sessions_.erase(it);
  }
  return ended;
}

bool Launcher::unsettled() const {
  for (const auto& [pid, session] : sessions_) {
    if (session.guard_ended || session.killed_at) return true;
  }
  return false;
}

Result<int> end_recorded_sessions(const std::filesystem::path& attempts,
                                  std::chrono::milliseconds patience) {
  int ended = 0;
  std::error_code error;
  for (const auto& folder : std::filesystem::directory_iterator(attempts, error)) {
    const auto file = folder.path() / "session.json";
    if (!std::filesystem::exists(file, error)) continue;
    const auto record = read_record(file);
    if (!record) {
      log_warning("worker", "a session of an earlier life cannot be found again: {}",
                  record.error().message);
      continue;
    }
    if (!members_of(*record).empty()) {
      ++ended;
      log_warning("worker", "ending what is left of attempt {} (session {})", record->attempt,
                  record->session);
    }
    STRATA_CHECK_OK(end_session(*record, patience));
    remove_scratch(*record);
    std::filesystem::remove(file, error);
  }
  return ended;
}

}  // namespace strata::worker
