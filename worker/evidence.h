// What happened around a program while it ran, for outcome.h: what it wrote last, what the kernel
// said, and whether something was killed for want of memory.
//
// Everything is bounded and nothing waits: a source that cannot be read says nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cgroup.h"
#include "base/files.h"
#include "schema/log_policy.h"
#include "worker/secrets.h"

namespace strata::worker {

inline constexpr std::size_t kKernelRecordsMax = 2'000;  // read of the kernel's log, for one end
inline constexpr std::size_t kKernelLinesMax = 200;      // of those, kept

struct Evidence {
  std::vector<LogLine> log{};         // the end of its log (schema/log_policy.h), without secrets
  std::vector<std::string> kernel{};  // what the kernel said about devices, oldest first
  std::int64_t oom_kills = 0;         // in our control group, by the kernel
};

// The text of a record of /dev/kmsg, "6,1234,98765,-;text\n KEY=value"; nothing for what is none.
[[nodiscard]] std::optional<std::string> parse_kernel_record(std::string_view record);

// The end of a log, as log_tail() takes it; numbers of lines count from what was read.
[[nodiscard]] std::vector<LogLine> read_log_tail(const std::filesystem::path& log_file,
                                                 const Secrets& secrets);

// Stands by from when a program starts. Movable; may be asked on another thread.
class Witness {
 public:
  [[nodiscard]] static Witness begin(const std::filesystem::path& kernel_log = "/dev/kmsg",
                                     Cgroup cgroup = Cgroup::own());

  // Once, after the program has ended.
  [[nodiscard]] Evidence testify(const std::filesystem::path& log_file, const Secrets& secrets);

 private:
  Witness(FileDescriptor kernel_log, Cgroup cgroup)
      : kernel_log_(std::move(kernel_log)), cgroup_(std::move(cgroup)) {}

  FileDescriptor kernel_log_;  // behind what was there at the beginning; not valid: not readable
  Cgroup cgroup_;
  std::optional<std::int64_t> oom_kills_before_{};
};

}  // namespace strata::worker
