// What is left of a limit; limits and kills themselves are tested where the worker uses them.
#include "base/cgroup.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace strata {
namespace {

class CgroupFiles : public ::testing::Test {
 protected:
  void write(const std::string& file, const std::string& text) {
    ASSERT_TRUE(make_folder((temporary_ / file).parent_path()));
    ASSERT_TRUE(write_file_unsynced(temporary_ / file, text));
  }
  testing::TemporaryFolder temporary_;
};

TEST_F(CgroupFiles, WhatIsLeftIsTheLimitWithoutWhatIsUsedAndCannotBeDropped) {
  write("job/memory.max", "1000\n");
  write("job/memory.current", "700\n");
  write("job/memory.stat", "anon 300\nfile 400\ninactive_file 250\nactive_file 150\n");
  const Cgroup group({.unified = "/job"}, temporary_.path());
  EXPECT_EQ(group.memory_limit(), 1000);
  EXPECT_EQ(group.memory_left(), 1000 - (700 - 250));
}

TEST_F(CgroupFiles, TheLeastThatIsLeftUpToTheMountCounts) {
  write("job/memory.max", "1000\n");
  write("job/memory.current", "900\n");
  write("job/step/memory.max", "500\n");
  write("job/step/memory.current", "10\n");
  EXPECT_EQ(Cgroup({.unified = "/job/step"}, temporary_.path()).memory_left(), 100);
  write("job/memory.current", "5000\n");
  EXPECT_EQ(Cgroup({.unified = "/job/step"}, temporary_.path()).memory_left(), 0);
}

TEST_F(CgroupFiles, VersionOneHasOtherNamesForIt) {
  write("memory/job/memory.limit_in_bytes", "1000\n");
  write("memory/job/memory.usage_in_bytes", "600\n");
  write("memory/job/memory.stat", "inactive_file 7\ntotal_inactive_file 100\n");
  const Cgroup group({.unified = "/", .memory_v1 = "/job"}, temporary_.path());
  EXPECT_EQ(group.memory_left(), 500);
}

TEST_F(CgroupFiles, WithoutALimitNobodyKnowsWhatIsLeft) {
  write("job/memory.max", "max\n");
  write("job/memory.current", "700\n");
  EXPECT_FALSE(Cgroup({.unified = "/job"}, temporary_.path()).memory_left());
  EXPECT_FALSE(Cgroup({}, temporary_.path()).memory_left());
}

}  // namespace
}  // namespace strata
