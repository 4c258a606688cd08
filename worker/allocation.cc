#include "worker/allocation.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <sstream>

#include "base/files.h"
#include "base/log.h"

namespace strata::worker {
namespace {

constexpr std::int64_t kBytesPerMb = std::int64_t{1} << 20;
constexpr std::int64_t kLifetimeMinutesMax = 10LL * 366 * 24 * 60;
constexpr std::int64_t kMemoryMbMax = std::int64_t{1} << 40;

// Above 0, or nothing: batch systems say 0 where there is no limit.
std::optional<std::int64_t> positive(const std::optional<std::string>& text, std::int64_t most) {
  if (!text) return {};
  std::int64_t number = 0;
  const char* const end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, number);
  if (error != std::errc{} || stop != end || number <= 0 || number > most) return {};
  return number;
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

std::optional<std::int64_t> parse_memory_total_mb(std::string_view meminfo) {
  std::istringstream lines{std::string(meminfo)};
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("MemTotal:")) continue;
    std::istringstream words(line.substr(9));
    std::int64_t number = 0;
    std::string unit;
    if (words >> number >> unit && unit == "kB" && number > 0) return number / 1024;
  }
  return {};
}

std::int64_t memory_mb(std::optional<std::int64_t> cgroup_bytes,
                       std::optional<std::int64_t> machine_mb, const Environment& environment) {
  std::optional<std::int64_t> least = machine_mb;
  const auto limit = [&](std::optional<std::int64_t> mb) {
    if (mb && *mb > 0) least = std::min(least.value_or(*mb), *mb);
  };
  if (cgroup_bytes) limit(*cgroup_bytes / kBytesPerMb);
  const auto per_node = positive(environment("SLURM_MEM_PER_NODE"), kMemoryMbMax);
  const auto per_cpu = positive(environment("SLURM_MEM_PER_CPU"), kMemoryMbMax);
  const auto cpus = positive(environment("SLURM_CPUS_ON_NODE"), 1'000'000);
  limit(per_node);
  if (!per_node && per_cpu && cpus) limit(*per_cpu * *cpus);
  return least.value_or(0);
}

std::int64_t take_memory_mb(const Cgroup& cgroup, const Environment& environment) {
  const auto meminfo = read_file("/proc/meminfo");
  return memory_mb(cgroup.memory_limit(), meminfo ? parse_memory_total_mb(*meminfo) : std::nullopt,
                   environment);
}

Result<std::optional<std::chrono::milliseconds>> lifetime_left(std::optional<std::int64_t> minutes,
                                                               WallTime now,
                                                               const Environment& environment) {
  using Left = std::optional<std::chrono::milliseconds>;
  if (minutes) {
    if (*minutes < 1 || *minutes > kLifetimeMinutesMax) {
      return fail(ErrorCode::kInvalid, "--lifetime {}: expected minutes, from 1 to {}", *minutes,
                  kLifetimeMinutesMax);
    }
    return Left(std::chrono::minutes(*minutes));
  }
  const auto text = environment("SLURM_JOB_END_TIME");
  if (!text || text->empty()) return Left();
  const auto end = positive(text, now.unix_ms / 1000 + kLifetimeMinutesMax * 60);
  if (!end) {
    log_warning("worker", "SLURM_JOB_END_TIME={}: not a time, so the worker knows no end", *text);
    return Left();
  }
  return Left(std::chrono::milliseconds(std::max<std::int64_t>(0, *end * 1000 - now.unix_ms)));
}

}  // namespace strata::worker
