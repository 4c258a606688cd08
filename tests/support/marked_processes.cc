#include "tests/support/marked_processes.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/files.h"

namespace strata::testing {
namespace {

constexpr std::uint64_t kProcFileMax = 4U << 20U;
constexpr std::size_t kCommandShown = 100;

// The entries "NAME=value" of a process's first environment; nothing when it is gone or not ours.
std::map<std::string, std::string> environment_of(pid_t pid) {
  std::map<std::string, std::string> environment;
  const auto text = read_file(fmt::format("/proc/{}/environ", pid), kProcFileMax);
  if (!text) return environment;
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\0', at), text->size());
    const std::string entry = text->substr(at, end - at);
    if (const std::size_t equals = entry.find('='); equals != std::string::npos)
      environment.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    at = end + 1;
  }
  return environment;
}

ProcessKind kind_of(pid_t pid, const std::map<std::string, std::string>& environment) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink(fmt::format("/proc/{}/exe", pid), error);
  const std::string name = program.filename().string();
  if (name == "strata-coordinator") return ProcessKind::kCoordinator;
  if (name == "strata-worker") return ProcessKind::kWorker;
  if (name == "strata-guard") return ProcessKind::kGuard;
  if (name == "orterun" || name == "mpirun") return ProcessKind::kMpirun;
  return environment.contains("OMPI_COMM_WORLD_RANK") ? ProcessKind::kRank : ProcessKind::kProgram;
}

std::optional<MarkedProcess> look_at(pid_t pid, const std::string& mark) {
  const auto environment = environment_of(pid);
  const auto found = environment.find(kMarkVariable);
  if (found == environment.end() || found->second != mark) return {};
  MarkedProcess process{.pid = pid, .kind = kind_of(pid, environment)};
  if (const auto attempt = environment.find("STRATA_ATTEMPT"); attempt != environment.end())
    process.attempt = attempt->second;
  auto command = read_file(fmt::format("/proc/{}/cmdline", pid), kProcFileMax).value_or("");
  std::replace(command.begin(), command.end(), '\0', ' ');
  process.command = command.substr(0, kCommandShown);
  return process;
}

}  // namespace

const char* name_of(ProcessKind kind) {
  switch (kind) {
    case ProcessKind::kCoordinator: return "coordinator";
    case ProcessKind::kWorker: return "worker";
    case ProcessKind::kGuard: return "guard";
    case ProcessKind::kMpirun: return "mpirun";
    case ProcessKind::kRank: return "rank";
    case ProcessKind::kProgram: return "program";
  }
  return "";
}

std::vector<MarkedProcess> marked_processes(const std::string& mark) {
  std::vector<MarkedProcess> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto pid = static_cast<pid_t>(std::stol(name));
    if (pid == ::getpid()) continue;
    if (auto process = look_at(pid, mark)) found.push_back(std::move(*process));
  }
  std::sort(found.begin(), found.end(),
            [](const MarkedProcess& a, const MarkedProcess& b) { return a.pid < b.pid; });
  return found;
}

bool kill_marked(const MarkedProcess& process, const std::string& mark) {
  // The descriptor holds on to the process; what is looked at behind it is that process or nothing.
  const FileDescriptor fd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!fd.valid() || !look_at(process.pid, mark)) return false;
  return ::syscall(SYS_pidfd_send_signal, fd.get(), SIGKILL, nullptr, 0) == 0;
}

std::string in_words(const std::vector<MarkedProcess>& processes) {
  std::string words;
  for (const MarkedProcess& process : processes) {
    words += fmt::format("\n  {} {} {} {}", process.pid, name_of(process.kind), process.attempt,
                         process.command);
  }
  return words;
}

}  // namespace strata::testing
