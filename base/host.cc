#include "base/host.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <charconv>

#include "base/files.h"

namespace strata {

// Field 22 of /proc/PID/stat.
std::string start_time_of(std::int64_t pid) {
  const auto text = read_file(fmt::format("/proc/{}/stat", pid));
  if (!text) return "";
  std::size_t at = text->rfind(')');  // the name before it may hold anything
  if (at == std::string::npos || at + 2 >= text->size() || (*text)[at + 2] == 'Z') return "";
  for (int field = 2; field < 22; ++field) {
    at = text->find(' ', at + 1);
    if (at == std::string::npos) return "";
  }
  return text->substr(at + 1, text->find(' ', at + 1) - at - 1);
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

bool ends_in_port(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view port = address.substr(colon + 1);
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return port == "*" || (error == std::errc() && end == port.data() + port.size());
}

std::string user_name() {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  const bool read = getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0;
  return read && found != nullptr ? found->pw_name : std::to_string(geteuid());
}

std::string boot_id() {
  const auto text = read_file("/proc/sys/kernel/random/boot_id");
  return text ? text->substr(0, text->find('\n')) : std::string();
}

std::string ProcessName::text() const { return fmt::format("process {} on {}", pid, host); }

ProcessName this_process() {
  const std::int64_t pid = getpid();
  return {.host = host_name(), .boot = boot_id(), .pid = pid, .since = start_time_of(pid)};
}

bool lives(const ProcessName& process) {
  return process.pid > 0 && !process.since.empty() && start_time_of(process.pid) == process.since;
}

}  // namespace strata
