#include "tests/support/daemon.h"

#include <signal.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "base/assert.h"

namespace strata::testing {
namespace {

constexpr std::chrono::milliseconds kPoll{10};

}  // namespace

Daemon::Daemon(const std::string& program, std::vector<std::string> arguments,
               const std::filesystem::path& log) {
  Command command{.argv = {std::string(STRATA_BINARY_DIR) + "/bin/" + program},
                  .stdout_file = log,
                  .stderr_file = log};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  const auto pid = spawn(command);
  STRATA_ASSERT(pid.has_value());
  pid_ = *pid;
}

Daemon::~Daemon() { kill(); }
Daemon::Daemon(Daemon&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
Daemon& Daemon::operator=(Daemon&& other) noexcept {
  if (this != &other) {
    kill();
    pid_ = std::exchange(other.pid_, 0);
  }
  return *this;
}

void Daemon::signal(int number) const {
  if (pid_ != 0) ::kill(pid_, number);
}

void Daemon::kill() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  (void)wait_exit(std::exchange(pid_, 0));
}

std::optional<Exit> Daemon::wait(std::chrono::seconds patience) {
  if (pid_ == 0) return {};
  for (std::chrono::milliseconds waited{0};; waited += kPoll) {
    const auto exit = poll_exit(pid_);
    if (!exit) return {};
    if (*exit) {
      pid_ = 0;
      return **exit;
    }
    if (waited >= patience) return {};
    std::this_thread::sleep_for(kPoll);
  }
}

std::vector<pid_t> processes_below(const std::filesystem::path& folder) {
  std::vector<pid_t> found;
  std::error_code error;
  const std::string prefix = folder.string() + "/";
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto cwd = std::filesystem::read_symlink(entry.path() / "cwd", error);
    if (!error && cwd.string().starts_with(prefix))
      found.push_back(static_cast<pid_t>(std::stol(name)));
  }
  return found;
}

std::vector<pid_t> wait_for_none_below(const std::filesystem::path& folder,
                                       std::chrono::seconds patience) {
  for (std::chrono::milliseconds waited{0}; waited < patience; waited += kPoll) {
    if (processes_below(folder).empty()) return {};
    std::this_thread::sleep_for(kPoll);
  }
  return processes_below(folder);
}

}  // namespace strata::testing
