#include <gtest/gtest.h>

#include "tests/simulation/world.h"

namespace strata::simulation {
namespace {

TEST(Simulation, InvariantsHoldUnderFaultsForAFixedListOfSeeds) {
  Statistics total;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    World world({.seed = seed});
    world.run();
    ASSERT_FALSE(world.violation().has_value()) << "seed " << seed << ": " << *world.violation();
    total.add(world.statistics());
  }
  // An idle simulation proves nothing: this much must really have happened.
  EXPECT_GT(total.coordinator_crashes, 100);
  EXPECT_GT(total.disks_lost, 20);
  EXPECT_GT(total.events_forgotten, 50);
  EXPECT_GT(total.worker_crashes, 300);
  EXPECT_GT(total.shut_downs, 100);
  EXPECT_GT(total.goodbyes, 100);
  EXPECT_GT(total.drains, 50);
  EXPECT_GT(total.dropped, 1'000);
  EXPECT_GT(total.duplicated, 900);
  EXPECT_GT(total.partitions, 200);
  EXPECT_GT(total.expiries, 20);
  EXPECT_GT(total.stale_reports, 200);
  EXPECT_GT(total.cancels, 10);
  EXPECT_GT(total.evictions, 20);
  EXPECT_GT(total.tasks_succeeded, 500);
}

TEST(Simulation, OneSeedIsOneRunByteForByte) {
  World first({.seed = 7});
  World second({.seed = 7});
  World other({.seed = 8});
  first.run();
  second.run();
  other.run();
  EXPECT_EQ(first.log_digest(), second.log_digest());
  EXPECT_NE(first.log_digest(), other.log_digest());
}

}  // namespace
}  // namespace strata::simulation
