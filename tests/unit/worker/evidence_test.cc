#include "worker/evidence.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace strata::worker {
namespace {

class Testimony : public ::testing::Test {
 protected:
  void write(const std::filesystem::path& file, const std::string& text) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
  }
  std::filesystem::path group() { return temporary_ / "cgroup/job_7"; }
  Cgroup cgroup() { return {{.unified = "/job_7"}, temporary_ / "cgroup"}; }

  strata::testing::TemporaryFolder temporary_;
  Secrets secrets_;
};

TEST(KernelRecord, IsTheTextBetweenItsPrefixAndItsKeys) {
  EXPECT_EQ(parse_kernel_record("4,1234,98765432,-;NVRM: Xid (PCI:0000:3b:00): 79\n SUBSYSTEM=pci"),
            "NVRM: Xid (PCI:0000:3b:00): 79");
  EXPECT_EQ(parse_kernel_record("6,1,2,-;a; b"), "a; b");
  EXPECT_FALSE(parse_kernel_record(" SUBSYSTEM=pci;x"));
  EXPECT_FALSE(parse_kernel_record(""));
}

TEST_F(Testimony, OfTheLogIsItsEndWithoutSecrets) {
  ASSERT_TRUE(write_file_atomic(temporary_ / "secrets", "TOKEN=hunter2secret\n", 0600));
  secrets_ = *Secrets::gather(temporary_ / "secrets");
  const auto log = temporary_ / "log.txt";
  write(log, std::string(kLogTailBytesMax, 'x') + "\nlogin hunter2secret\nlast\n");
  const auto lines = read_log_tail(log, secrets_);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].text, "login <TOKEN>");
  EXPECT_EQ(lines[1].text, "last");
  write(log, std::string(2 * kLogTailBytesMax, 'x'));
  EXPECT_TRUE(read_log_tail(log, secrets_).empty()) << "half of a line may be half of a secret";
  EXPECT_TRUE(read_log_tail(temporary_ / "none", secrets_).empty());
}

TEST_F(Testimony, ANamedPipeInPlaceOfTheLogHoldsNothingUp) {
  const auto pipe = temporary_ / "log.txt";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_TRUE(read_log_tail(pipe, secrets_).empty());
}

TEST_F(Testimony, OfTheKernelIsWhatItSaidOfDevicesSinceTheBeginning) {
  // A file stands for /dev/kmsg: read() gives the rest of it at once, so it holds one record.
  const auto kernel = temporary_ / "kmsg";
  write(kernel, "4,1,2,-;NVRM: Xid (PCI:0000:3b:00): 48, before we began\n");
  Witness quiet = Witness::begin(kernel, cgroup());
  EXPECT_TRUE(quiet.testify(temporary_ / "none", secrets_).kernel.empty());
  Witness witness = Witness::begin(kernel, cgroup());
  std::ofstream(kernel, std::ios::app) << "4,2,3,-;NVRM: Xid (PCI:0000:3b:00): 79, off the bus\n";
  EXPECT_EQ(witness.testify(temporary_ / "none", secrets_).kernel,
            std::vector<std::string>{"NVRM: Xid (PCI:0000:3b:00): 79, off the bus"});
  Witness other = Witness::begin(kernel, cgroup());
  std::ofstream(kernel, std::ios::app) << "6,3,4,-;python[7]: segfault at 0 ip 0 sp 0 error 4\n";
  EXPECT_TRUE(other.testify(temporary_ / "none", secrets_).kernel.empty());
  Witness blind = Witness::begin(temporary_ / "nowhere", cgroup());
  EXPECT_TRUE(blind.testify(temporary_ / "none", secrets_).kernel.empty());
}

TEST_F(Testimony, OfWantOfMemoryIsHowManyTheKernelKilledMeanwhile) {
  write(group() / "memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 3\n");
  Witness witness = Witness::begin(temporary_ / "nowhere", cgroup());
  write(group() / "memory.events", "low 0\nhigh 0\nmax 12\noom 4\noom_kill 5\n");
  EXPECT_EQ(witness.testify(temporary_ / "none", secrets_).oom_kills, 2);
  Witness unaware = Witness::begin(temporary_ / "nowhere", Cgroup({}, temporary_ / "cgroup"));
  EXPECT_EQ(unaware.testify(temporary_ / "none", secrets_).oom_kills, 0);
}

TEST_F(Testimony, OfThisMachineIsGivenWhateverCanBeRead) {
  Witness witness = Witness::begin();
  EXPECT_EQ(witness.testify(temporary_ / "none", secrets_).oom_kills, 0);
}

TEST_F(Testimony, TheGroupsOfAProcessAreReadInBothVersions) {
  EXPECT_EQ(parse_cgroup_paths("0::/system.slice/slurmstepd.scope/job_7/step_0\n"),
            (CgroupPaths{.unified = "/system.slice/slurmstepd.scope/job_7/step_0"}));
  EXPECT_EQ(parse_cgroup_paths("9:name=systemd:/\n5:cpu,memory:/slurm/uid_0/job_7\n0::/\n"),
            (CgroupPaths{.unified = "/", .memory_v1 = "/slurm/uid_0/job_7"}));
  EXPECT_EQ(parse_cgroup_paths("garbage\n::\n0:"), CgroupPaths{});
}

TEST_F(Testimony, TheSmallestLimitUpToTheMountCounts) {
  write(temporary_ / "cgroup/memory.max", "max\n");
  write(group() / "memory.max", "8589934592\n");
  write(group() / "step_0/memory.max", "17179869184\n");
  EXPECT_EQ(Cgroup({.unified = "/job_7/step_0"}, temporary_ / "cgroup").memory_limit(),
            8'589'934'592);
  write(group() / "memory.max", "max\n");
  write(group() / "step_0/memory.max", "max\n");
  EXPECT_FALSE(Cgroup({.unified = "/job_7/step_0"}, temporary_ / "cgroup").memory_limit());
}

TEST_F(Testimony, VersionOneIsReadWhereVersionTwoSaysNothing) {
  const auto folder = temporary_ / "cgroup/memory/job_7";
  write(folder / "memory.limit_in_bytes", "4294967296\n");
  write(folder / "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
  const Cgroup both({.unified = "/", .memory_v1 = "/job_7"}, temporary_ / "cgroup");
  EXPECT_EQ(both.memory_limit(), 4'294'967'296);
  EXPECT_EQ(both.oom_kills(), 4);
  write(folder / "memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_FALSE(both.memory_limit()) << "that is how version 1 says that there is none";
}

TEST_F(Testimony, InAContainerTheMountItselfIsTheGroup) {
  write(temporary_ / "cgroup/memory.max", "1073741824\n");
  write(temporary_ / "cgroup/memory.events", "oom_kill 1\n");
  const Cgroup ours({.unified = "/kubepods/pod7/of-the-host"}, temporary_ / "cgroup");
  EXPECT_EQ(ours.memory_limit(), 1'073'741'824);
  EXPECT_EQ(ours.oom_kills(), 1);
}

}  // namespace
}  // namespace strata::worker
