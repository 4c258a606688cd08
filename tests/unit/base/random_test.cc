#include "base/random.h"

#include <gtest/gtest.h>

#include <vector>

namespace strata {
namespace {

// The published sequence for seed 12345, and the index rule of the bootstrap on it.
TEST(Random, SplitmixSequenceAndBoundedIndices) {
  Random random(12345);
  EXPECT_EQ(random.next(), 0x22118258a9d111a0ULL);
  EXPECT_EQ(random.next(), 0x346edce5f713f8edULL);
  EXPECT_EQ(random.next(), 0x1e9a57bc80e6721dULL);
  Random indices(12345);
  std::vector<std::uint64_t> drawn;
  for (int i = 0; i < 12; ++i) drawn.push_back(indices.bounded(12));
  EXPECT_EQ(drawn, (std::vector<std::uint64_t>{1, 2, 1, 2, 6, 4, 1, 5, 5, 10, 2, 4}));
}

TEST(Random, DerivedSeedsDifferByPurposeAndBySeed) {
  EXPECT_NE(derive_seed(1, "noise"), derive_seed(1, "time"));
  EXPECT_NE(derive_seed(1, "noise"), derive_seed(2, "noise"));
  EXPECT_EQ(derive_seed(1, "noise"), derive_seed(1, "noise"));
}

}  // namespace
}  // namespace strata
