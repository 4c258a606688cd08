// What a batch system, or the person who started the worker, gave it of the machine: memory, and
// time until it ends. The coordinator gives nothing that does not fit into either.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/result.h"

namespace strata::worker {

// The value of an environment variable; nothing where it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
[[nodiscard]] Environment process_environment();

// MemTotal of /proc/meminfo, in MiB.
[[nodiscard]] std::optional<std::int64_t> parse_memory_total_mb(std::string_view meminfo);

// In MiB: the smallest of what the cgroup allows, what Slurm says that the job has on this node
// (SLURM_MEM_PER_NODE, else SLURM_MEM_PER_CPU for each of SLURM_CPUS_ON_NODE), and what the machine
// has. 0: unknown.
[[nodiscard]] std::int64_t memory_mb(std::optional<std::int64_t> cgroup_bytes,
                                     std::optional<std::int64_t> machine_mb,
                                     const Environment& environment);
// The same for this machine.
[[nodiscard]] std::int64_t take_memory_mb(const Cgroup& cgroup, const Environment& environment);

// How much longer the allocation lasts: `minutes` where given, else until SLURM_JOB_END_TIME (Unix
// seconds; Slurm sets it from 23.02 on, the job script for older ones). Nothing: it has no end that
// we know. kInvalid: minutes below one.
[[nodiscard]] Result<std::optional<std::chrono::milliseconds>> lifetime_left(
    std::optional<std::int64_t> minutes, WallTime now, const Environment& environment);

}  // namespace strata::worker
