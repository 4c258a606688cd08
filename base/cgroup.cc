#include "base/cgroup.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>
#include <vector>

#include "base/files.h"

namespace strata {
namespace {

constexpr std::uint64_t kFileBytesMax = 64U << 10U;
constexpr std::size_t kKillsBytesMax = 4'096;  // a dozen short lines
constexpr int kDepthMax = 64;
// Version 1 says "no limit" as the largest number of whole pages; nobody has half of that.
constexpr std::int64_t kNoLimitFrom = std::int64_t{1} << 60;

std::optional<std::int64_t> number_in(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\n");
  if (begin == std::string_view::npos) return {};
  std::int64_t number = 0;
  const auto [stop, error] =
      std::from_chars(text.data() + begin, text.data() + text.size(), number);
  if (error != std::errc{}) return {};
  return number;
}

// In a container the path may be one of the host's: then the mount itself is the group.
std::filesystem::path folder_of(const std::filesystem::path& mount, const std::string& group) {
  const auto folder = (mount / std::filesystem::path(group).relative_path()).lexically_normal();
  std::error_code error;
  return std::filesystem::is_directory(folder, error) ? folder : mount;
}

using Reading = std::optional<std::int64_t>;

// The least of what `read` says of the group and of those above it.
template <class Read>
Reading smallest(const std::filesystem::path& mount, const std::string& group, Read read) {
  Reading least;
  std::filesystem::path folder = folder_of(mount, group);
  for (int depth = 0; depth < kDepthMax; ++depth) {
    if (const Reading said = read(folder)) least = std::min(least.value_or(*said), *said);
    if (folder == mount || folder.string().size() <= mount.string().size()) return least;
    folder = folder.parent_path();
  }
  return least;
}

Reading number_of(const std::filesystem::path& file) {
  const auto text = read_file(file, kFileBytesMax);
  return text ? number_in(*text) : std::nullopt;
}

// The number behind `name` in lines "name number".
Reading line_of(const std::filesystem::path& file, std::string_view name) {
  std::istringstream lines(read_file(file, kFileBytesMax).value_or(""));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name) && line.size() > name.size() && line[name.size()] == ' ')
      return number_in(std::string_view(line).substr(name.size()));
  }
  return {};
}

// What one version of the interface calls its files.
struct Names {
  const char* limit;
  const char* used;
  const char* droppable;  // in memory.stat
};
constexpr Names kVersion2{"memory.max", "memory.current", "inactive_file"};
constexpr Names kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};

Reading limit_of(const std::filesystem::path& folder, const Names& names) {
  const auto text = read_file(folder / names.limit, kFileBytesMax);
  return text ? parse_memory_limit(*text) : std::nullopt;
}

Reading left_of(const std::filesystem::path& folder, const Names& names) {
  const Reading limit = limit_of(folder, names);
  if (!limit) return {};
  const std::int64_t used = number_of(folder / names.used).value_or(0);
  const std::int64_t droppable = line_of(folder / "memory.stat", names.droppable).value_or(0);
  return std::max<std::int64_t>(0, *limit - std::max<std::int64_t>(0, used - droppable));
}

Reading of_either_version(const CgroupPaths& paths, const std::filesystem::path& mount,
                          Reading (*read)(const std::filesystem::path&, const Names&)) {
  Reading least;
  if (paths.unified) {
    least = smallest(mount, *paths.unified,
                     [&](const std::filesystem::path& folder) { return read(folder, kVersion2); });
  }
  if (least || !paths.memory_v1) return least;
  return smallest(mount / "memory", *paths.memory_v1,
                  [&](const std::filesystem::path& folder) { return read(folder, kVersion1); });
}

}  // namespace

CgroupPaths parse_cgroup_paths(std::string_view text) {
  CgroupPaths paths;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos || line.size() == second + 1 || line[second + 1] != '/')
      continue;
    const std::string path = line.substr(second + 1);
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    if (controllers == ",,") paths.unified = path;
    if (controllers.find(",memory,") != std::string::npos) paths.memory_v1 = path;
  }
  return paths;
}

std::optional<std::int64_t> parse_memory_limit(std::string_view text) {
  const auto limit = number_in(text);
  return limit && *limit > 0 && *limit < kNoLimitFrom ? limit : std::nullopt;
}

std::optional<std::int64_t> parse_oom_kills(std::string_view text) {
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("oom_kill ")) return number_in(line.substr(9));
  }
  return {};
}

Cgroup Cgroup::own(const std::filesystem::path& mount) {
  const auto text = read_file("/proc/self/cgroup", kFileBytesMax);
  return {text ? parse_cgroup_paths(*text) : CgroupPaths{}, mount};
}

std::optional<std::int64_t> Cgroup::memory_limit() const {
  return of_either_version(paths_, mount_, limit_of);
}

std::optional<std::int64_t> Cgroup::memory_left() const {
  return of_either_version(paths_, mount_, left_of);
}

// It is asked at the beginning of each attempt, so where the files are is found out once.
Cgroup::Cgroup(CgroupPaths paths, std::filesystem::path mount)
    : paths_(std::move(paths)), mount_(std::move(mount)) {
  if (paths_.unified) kills_.push_back(folder_of(mount_, *paths_.unified) / "memory.events");
  if (paths_.memory_v1)
    kills_.push_back(folder_of(mount_ / "memory", *paths_.memory_v1) / "memory.oom_control");
}

std::optional<std::int64_t> Cgroup::oom_kills() const {
  std::array<char, kKillsBytesMax> bytes{};
  for (const std::filesystem::path& file : kills_) {
    const FileDescriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    const ssize_t got = fd.valid() ? ::read(fd.get(), bytes.data(), bytes.size()) : -1;
    if (got <= 0) continue;
    if (const auto kills = parse_oom_kills({bytes.data(), static_cast<std::size_t>(got)}))
      return kills;
  }
  return {};
}

}  // namespace strata
