#include "trainer/data/memory_budget.h"

#include "trainer/data/dataset.h"

namespace strata::trainer {

std::int64_t dataset_memory(int ranks_here, const MachineMemory& machine) {
  if (!machine.total) return kDatasetBytesMax;
  return static_cast<std::int64_t>(static_cast<double>(*machine.total) * kDatasetMemoryShare) /
         ranks_here;
}

}  // namespace strata::trainer
