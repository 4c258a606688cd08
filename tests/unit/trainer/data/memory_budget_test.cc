#include "trainer/data/memory_budget.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "tests/support/temporary_folder.h"

namespace strata::trainer {
namespace {

class MemoryBudget : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    const auto path = root_ / name;
    ASSERT_TRUE(make_folder(path.parent_path()).has_value());
    ASSERT_TRUE(write_file_unsynced(path, text).has_value());
  }
  testing::TemporaryFolder root_;
};

TEST_F(MemoryBudget, IsTheMachinesWhereNoGroupSaysLess) {
  write("proc/meminfo", "MemTotal:       1000 kB\nMemFree:        10 kB\n");
  EXPECT_EQ(usable_memory(root_ / ""), 1'024'000);
  write("proc/self/cgroup", "0::/job\n");
  write("sys/fs/cgroup/job/memory.max", "max\n");
  EXPECT_EQ(usable_memory(root_ / ""), 1'024'000);
}

TEST_F(MemoryBudget, IsTheLeastLimitOfTheGroupsAboveInEitherVersion) {
  write("proc/meminfo", "MemTotal:       1000 kB\n");
  write("proc/self/cgroup", "0::/slurm/job_1/step_0\n");
  write("sys/fs/cgroup/slurm/job_1/memory.max", "5000\n");
  write("sys/fs/cgroup/slurm/job_1/step_0/memory.max", "7000\n");
  EXPECT_EQ(usable_memory(root_ / ""), 5000);
  write("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/slurm/job_1\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/slurm/job_1/memory.limit_in_bytes", "4000\n");
  EXPECT_EQ(usable_memory(root_ / ""), 4000);
}

}  // namespace
}  // namespace strata::trainer
