// Who and where this process is, for files that say who holds something.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace strata {

[[nodiscard]] std::string host_name();
// "HOST:PORT" or "tcp://HOST:PORT", with a port from 0 to 65535, or a star for any.
[[nodiscard]] bool ends_in_port(std::string_view address);
// Of the account that this process runs under; its number where it has no name.
[[nodiscard]] std::string user_name();
// Empty where the kernel does not say.
[[nodiscard]] std::string boot_id();

// When the process began, in clock ticks since the boot; empty when there is none of that number,
// or only its zombie.
[[nodiscard]] std::string start_time_of(std::int64_t pid);

// One process of one boot of one machine. Its start time tells it from a later one with its number.
struct ProcessName {
  std::string host{};
  std::string boot{};
  std::int64_t pid = 0;
  std::string since{};  // clock ticks since the boot
  bool operator==(const ProcessName&) const = default;
  [[nodiscard]] std::string text() const;  // "process 4711 on gpu-01", for people
};
[[nodiscard]] ProcessName this_process();
// REQUIRES: it is of this host and this boot.
[[nodiscard]] bool lives(const ProcessName& process);

}  // namespace strata
