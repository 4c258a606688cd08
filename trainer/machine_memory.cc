#include "trainer/machine_memory.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <sstream>
#include <string>

#include "base/files.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kBytesPerKb = 1024;  // as /proc/meminfo has them
constexpr const char* kRanksHereVariable = "OMPI_COMM_WORLD_LOCAL_SIZE";

std::optional<std::int64_t> number_in(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  std::int64_t number = 0;
  const auto [stop, error] =
      std::from_chars(text.data() + begin, text.data() + text.size(), number);
  return error == std::errc{} && number > 0 ? std::optional(number) : std::nullopt;
}

// "MemAvailable:   22904712 kB"
std::optional<std::int64_t> line_of(const std::string& meminfo, std::string_view name) {
  std::istringstream lines(meminfo);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name)) continue;
    const auto kb = number_in(std::string_view(line).substr(name.size()));
    return kb ? std::optional(*kb * kBytesPerKb) : std::nullopt;
  }
  return {};
}

std::optional<std::int64_t> smaller(std::optional<std::int64_t> a, std::optional<std::int64_t> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

}  // namespace

MachineMemory machine_memory(const Cgroup& cgroup, const std::filesystem::path& meminfo) {
  const std::string text = read_file(meminfo).value_or("");
  return {.total = smaller(line_of(text, "MemTotal:"), cgroup.memory_limit()),
          .available = smaller(line_of(text, "MemAvailable:"), cgroup.memory_left())};
}

int ranks_here(int ranks) {
  const char* said = std::getenv(kRanksHereVariable);
  const auto here = said != nullptr ? number_in(said) : std::nullopt;
  return here ? static_cast<int>(std::min<std::int64_t>(*here, ranks)) : ranks;
}

}  // namespace strata::trainer
