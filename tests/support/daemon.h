// A program of ours as a real process of a test: started, signalled, and gone at the end whatever
// happened.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/subprocess.h"

namespace strata::testing {

class Daemon {
 public:
  // `program` is one of the build's; its output goes to `log`.
  Daemon(const std::string& program, std::vector<std::string> arguments,
         const std::filesystem::path& log);
  ~Daemon();  // SIGKILL
  Daemon(Daemon&& other) noexcept;
  Daemon& operator=(Daemon&& other) noexcept;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const;
  void kill();  // SIGKILL, and waits
  // Nothing when it does not end in time.
  [[nodiscard]] std::optional<Exit> wait(std::chrono::seconds patience);

 private:
  pid_t pid_ = 0;
};

// Live processes whose working folder lies below `folder`: attempts run in theirs.
[[nodiscard]] std::vector<pid_t> processes_below(const std::filesystem::path& folder);
// Waits until there are none; those that are left after `patience`.
[[nodiscard]] std::vector<pid_t> wait_for_none_below(
    const std::filesystem::path& folder, std::chrono::seconds patience = std::chrono::seconds(10));

}  // namespace strata::testing
