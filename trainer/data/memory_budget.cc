#include "trainer/data/memory_budget.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>

#include "base/files.h"

namespace strata::trainer {
namespace {

constexpr const char* kLocalRanksVariable = "OMPI_COMM_WORLD_LOCAL_SIZE";
constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kKibibyte = 1024;

std::optional<std::int64_t> leading_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data() || number <= 0) return {};
  return number;
}

// Of a group and of all those that it is in; "max" and what is not there are no limits.
std::int64_t least_limit(const std::filesystem::path& mount, std::filesystem::path group,
                         const char* file) {
  std::int64_t least = kNoLimit;
  for (;; group = group.parent_path()) {
    const auto text = read_file(mount / group.relative_path() / file);
    if (text) least = std::min(least, leading_number(*text).value_or(kNoLimit));
    if (!group.has_relative_path()) return least;
  }
}

// Lines "0::/path" of version 2, "4:cpu,memory:/path" of version 1.
std::int64_t cgroup_limit(const std::filesystem::path& root) {
  const std::string groups = read_file(root / "proc/self/cgroup").value_or("");
  std::int64_t least = kNoLimit;
  for (std::string_view rest = groups; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string controllers =
        ',' + std::string(line.substr(first + 1, second - first - 1)) + ',';
    const std::filesystem::path group(line.substr(second + 1));
    if (controllers == ",,")
      least = std::min(least, least_limit(root / "sys/fs/cgroup", group, "memory.max"));
    if (controllers.find(",memory,") != std::string::npos)
      least = std::min(least,
                       least_limit(root / "sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
  }
  return least;
}

std::int64_t physical_memory(const std::filesystem::path& root) {
  constexpr std::string_view kTotal = "MemTotal:";
  const std::string text = read_file(root / "proc/meminfo").value_or("");
  std::size_t at = text.find(kTotal);
  if (at == std::string::npos) return kNoLimit;
  at = text.find_first_not_of(' ', at + kTotal.size());
  const auto kibibytes = leading_number(std::string_view(text).substr(std::min(at, text.size())));
  return kibibytes ? *kibibytes * kKibibyte : kNoLimit;
}

}  // namespace

std::int64_t usable_memory(const std::filesystem::path& root) {
  return std::min(physical_memory(root), cgroup_limit(root));
}

std::int64_t dataset_memory() {
  const char* text = std::getenv(kLocalRanksVariable);
  const std::int64_t ranks = leading_number(text == nullptr ? "" : text).value_or(1);
  return static_cast<std::int64_t>(static_cast<double>(usable_memory()) * kDatasetMemoryShare) /
         ranks;
}

}  // namespace strata::trainer
