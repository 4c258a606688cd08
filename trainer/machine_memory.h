// What memory this machine has for training, and how many ranks share it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/cgroup.h"

namespace strata::trainer {

// Bytes. Nothing: the kernel does not say.
struct MachineMemory {
  // What a process could have at most: MemTotal, or the control group's limit.
  std::optional<std::int64_t> total{};
  // What is there now: MemAvailable, or what is left below that limit.
  std::optional<std::int64_t> available{};
};

// The smaller one where several say something.
[[nodiscard]] MachineMemory machine_memory(const Cgroup& cgroup = Cgroup::own(),
                                           const std::filesystem::path& meminfo = "/proc/meminfo");

// How many of `ranks` are on this machine: mpirun says so; without it all of them.
[[nodiscard]] int ranks_here(int ranks);

}  // namespace strata::trainer
