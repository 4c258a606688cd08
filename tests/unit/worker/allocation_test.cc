#include "worker/allocation.h"

#include <gtest/gtest.h>

#include <map>

namespace strata::worker {
namespace {

using std::chrono::milliseconds;

Environment given(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const std::string& name) {
    const auto it = variables.find(name);
    return it == variables.end() ? std::nullopt : std::optional(it->second);
  };
}

constexpr WallTime kNow{.unix_ms = 1'764'000'000'500};

TEST(Memory, OfTheMachineIsReadInMiB) {
  EXPECT_EQ(parse_memory_total_mb("MemTotal:       131072000 kB\nMemFree:  1 kB\n"), 128'000);
  EXPECT_FALSE(parse_memory_total_mb("MemFree: 1 kB\n"));
  EXPECT_FALSE(parse_memory_total_mb("MemTotal: lots\n"));
}

TEST(Memory, IsTheLeastOfWhatIsKnown) {
  EXPECT_EQ(memory_mb({}, {}, given({})), 0);
  EXPECT_EQ(memory_mb({}, 64'000, given({})), 64'000);
  EXPECT_EQ(memory_mb(std::int64_t{8} << 30, 64'000, given({})), 8'192);
  EXPECT_EQ(memory_mb(std::int64_t{80} << 30, 64'000, given({})), 64'000);
  EXPECT_EQ(memory_mb(std::int64_t{8} << 30, 64'000, given({{"SLURM_MEM_PER_NODE", "4096"}})),
            4'096);
  EXPECT_EQ(memory_mb({}, {}, given({{"SLURM_MEM_PER_NODE", "4096"}})), 4'096);
}

TEST(Memory, OfSlurmIsPerNodeOrPerCoreAndZeroIsNoLimit) {
  EXPECT_EQ(
      memory_mb({}, 64'000, given({{"SLURM_MEM_PER_CPU", "2000"}, {"SLURM_CPUS_ON_NODE", "8"}})),
      16'000);
  EXPECT_EQ(memory_mb({}, 64'000, given({{"SLURM_MEM_PER_CPU", "2000"}})), 64'000);
  EXPECT_EQ(memory_mb({}, 64'000, given({{"SLURM_MEM_PER_NODE", "0"}})), 64'000);
  EXPECT_EQ(memory_mb({}, 64'000, given({{"SLURM_MEM_PER_NODE", "4G"}})), 64'000);
}

TEST(Memory, OfThisMachineIsSomething) { EXPECT_GT(take_memory_mb(Cgroup::own(), given({})), 0); }

TEST(Lifetime, IsUntilTheEndOfTheSlurmJob) {
  EXPECT_EQ(*lifetime_left({}, kNow, given({{"SLURM_JOB_END_TIME", "1764000600"}})),
            milliseconds(599'500));
  EXPECT_EQ(*lifetime_left({}, kNow, given({{"SLURM_JOB_END_TIME", "1763999999"}})),
            milliseconds(0));
  EXPECT_EQ(*lifetime_left({}, kNow, given({})), std::nullopt);
}

TEST(Lifetime, GivenInMinutesCountsBeforeThat) {
  EXPECT_EQ(*lifetime_left(90, kNow, given({{"SLURM_JOB_END_TIME", "1764000600"}})),
            milliseconds(90 * 60'000));
  EXPECT_FALSE(lifetime_left(0, kNow, given({})));
  EXPECT_FALSE(lifetime_left(-5, kNow, given({})));
}

TEST(Lifetime, OfSomethingThatIsNoTimeIsUnknown) {
  for (const char* text : {"", "UNLIMITED", "-1", "0", "17640006000000000", "1764000600x"})
    EXPECT_EQ(*lifetime_left({}, kNow, given({{"SLURM_JOB_END_TIME", text}})), std::nullopt)
        << text;
}

}  // namespace
}  // namespace strata::worker
