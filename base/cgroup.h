// What the kernel's control groups say about this process: how much memory it may use, how much of
// that is left, and whether the kernel killed something for using more. Both versions of the
// interface; what cannot be read is unknown, never an error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace strata {

// Of the text of /proc/PID/cgroup: the group's path below the mount, "/" at least.
struct CgroupPaths {
  std::optional<std::string> unified{};    // version 2: "0::/system.slice/job_7"
  std::optional<std::string> memory_v1{};  // "5:memory:/slurm/uid_1000/job_7"
  bool operator==(const CgroupPaths&) const = default;
};
[[nodiscard]] CgroupPaths parse_cgroup_paths(std::string_view text);

// Of memory.max (version 2) or memory.limit_in_bytes (version 1). Nothing for "max", and for the
// number that version 1 says when there is none.
[[nodiscard]] std::optional<std::int64_t> parse_memory_limit(std::string_view text);

// The number behind "oom_kill" in memory.events (version 2) or memory.oom_control (version 1).
[[nodiscard]] std::optional<std::int64_t> parse_oom_kills(std::string_view text);

class Cgroup {
 public:
  // Of this process. `mount` is /sys/fs/cgroup but in tests.
  static Cgroup own(const std::filesystem::path& mount = "/sys/fs/cgroup");
  Cgroup(CgroupPaths paths, std::filesystem::path mount);

  // The smallest limit of the group and those above it, in bytes.
  [[nodiscard]] std::optional<std::int64_t> memory_limit() const;
  // The least that is left below a limit of the group or of one above it, in bytes: pages of files
  // that the kernel may drop count as left. 0 where it is used up, nothing where no limit is.
  [[nodiscard]] std::optional<std::int64_t> memory_left() const;
  // How many processes of the group the kernel has killed so far for want of memory.
  [[nodiscard]] std::optional<std::int64_t> oom_kills() const;

 private:
  CgroupPaths paths_;
  std::filesystem::path mount_;
  std::vector<std::filesystem::path> kills_;  // files that may say oom_kills, the better one first
};

}  // namespace strata
