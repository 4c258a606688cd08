#include "trainer/data/memory_budget.h"

#include <gtest/gtest.h>

#include "trainer/data/dataset.h"

namespace strata::trainer {
namespace {

TEST(MemoryBudget, IsHalfOfTheMachineSharedByItsRanks) {
  const MachineMemory machine{.total = 1'024'000, .available = 1};
  EXPECT_EQ(dataset_memory(1, machine), 512'000);
  EXPECT_EQ(dataset_memory(4, machine), 128'000);
}

TEST(MemoryBudget, HasNoLimitWhereTheKernelSaysNone) {
  EXPECT_EQ(dataset_memory(2, {}), kDatasetBytesMax);
}

}  // namespace
}  // namespace strata::trainer
