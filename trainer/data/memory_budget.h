// How much memory a rank may fill with mels and features.
#pragma once

#include <cstdint>

#include "trainer/machine_memory.h"

namespace strata::trainer {

// Of what the ranks of a machine may use together: the rest is for weights, activations and the
// page cache, through which all of them read the features that they do not hold.
inline constexpr double kDatasetMemoryShare = 0.5;

// Bytes, the share of one of the ranks that are on this machine. No limit where the kernel does not
// say what the machine has. REQUIRES: ranks_here >= 1.
[[nodiscard]] std::int64_t dataset_memory(int ranks_here, const MachineMemory& machine);

}  // namespace strata::trainer
