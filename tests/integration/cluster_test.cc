// The real coordinator and real workers: kill -9 of any of them, at any time, loses nothing that
// was acknowledged. After each test no process of an attempt is left, and results are those of an
// undisturbed run.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <numeric>

#include "tests/support/cluster_harness.h"
#include "tests/support/counting_task.h"
#include "tests/support/temporary_folder.h"

namespace strata {
namespace {

using testing::after;
using testing::counting;

class RealCluster : public ::testing::Test {
 protected:
  void SetUp() override { cluster_.start_coordinator(); }
  void TearDown() override {
    cluster_.stop_all();
    EXPECT_TRUE(testing::wait_for_none_below(temporary_.path()).empty())
        << "processes of attempts are left";
    const auto fsck =
        run_captured({.argv = {std::string(STRATA_BINARY_DIR) + "/bin/strata-coordinator", "fsck",
                               "--store", cluster_.store().string()}});
    ASSERT_TRUE(fsck);
    EXPECT_TRUE(fsck->exit.ok()) << fsck->output;
    if (HasFailure()) cluster_.print_logs();
  }
  static TaskSpec long_leased(TaskSpec spec, std::int64_t lease_ms = 30'000) {
    spec.lease_ms = lease_ms;
    return spec;
  }
  bool reaches(const TaskSpec& task, std::int64_t step) {
    return cluster_.eventually([&] { return cluster_.step(task.key) >= step; });
  }
  // The chain of hashes depends on steps and salt only; the pause is another parameter, so this is
  // another task.
  void expect_undisturbed(const TaskSpec& task, int steps) {
    const TaskSpec calm = counting(steps, 0);
    cluster_.start_worker("calm");
    cluster_.submit("calm", {calm});
    ASSERT_TRUE(cluster_.ends(calm.key));
    EXPECT_EQ(cluster_.artifact(task.key, "result"), cluster_.artifact(calm.key, "result"));
    EXPECT_FALSE(cluster_.artifact(task.key, "result").empty());
  }

  testing::TemporaryFolder temporary_;
  testing::ClusterHarness cluster_{temporary_.path()};
};

TEST_F(RealCluster, ASweepOfCommandsEnds) {
  const TaskSpec first = counting(3, 0.01);
  const TaskSpec second = after(counting(2, 0.01), first);
  cluster_.start_worker("w1");
  cluster_.submit("sweep", {first, second});
  ASSERT_TRUE(cluster_.ends(second.key));
  EXPECT_EQ(cluster_.attempts(first.key), 1);
  EXPECT_TRUE(cluster_.eventually([&] {
    return cluster_.metric_steps(first.key) == std::vector<std::int64_t>{1, 2, 3};
  }));
  cluster_.submit("sweep", {first, second});
  EXPECT_EQ(cluster_.state(second.key), "succeeded") << "submitting again runs nothing";
  EXPECT_EQ(cluster_.attempts(second.key), 1);
}

TEST_F(RealCluster, AWorkerThatIsKilledLosesItsAttemptAndNotTheTask) {
  const TaskSpec task = long_leased(counting(60, 0.03));
  cluster_.start_worker("w1");
  cluster_.submit("sweep", {task});
  ASSERT_TRUE(reaches(task, 12));
  cluster_.worker("w1").kill();
  EXPECT_TRUE(testing::wait_for_none_below(temporary_ / "w1").empty());
  cluster_.start_worker("w1");
  ASSERT_TRUE(cluster_.ends(task.key));
  EXPECT_EQ(cluster_.attempts(task.key), 2);
  expect_undisturbed(task, 60);
}

TEST_F(RealCluster, ACoordinatorThatIsKilledAdoptsTheAttemptsThatWentOn) {
  const TaskSpec task = long_leased(counting(120, 0.05));
  cluster_.start_worker("w1");
  cluster_.submit("sweep", {task});
  ASSERT_TRUE(reaches(task, 10));
  cluster_.coordinator().kill();
  cluster_.start_coordinator();
  ASSERT_TRUE(cluster_.ends(task.key));
  EXPECT_EQ(cluster_.attempts(task.key), 1) << "adopted, not started again";
  EXPECT_TRUE(cluster_.eventually([&] { return cluster_.metric_steps(task.key).size() == 120; }))
      << "no metric is lost";
  expect_undisturbed(task, 120);
}

TEST_F(RealCluster, KillingBothAtOnceLosesNothing) {
  const TaskSpec first = long_leased(counting(40, 0.03));
  const TaskSpec second = long_leased(after(counting(3, 0.01), first));
  cluster_.start_worker("w1");
  cluster_.submit("sweep", {first, second});
  ASSERT_TRUE(reaches(first, 10));
  cluster_.worker("w1").signal(SIGKILL);
  cluster_.coordinator().kill();
  cluster_.worker("w1").kill();
  cluster_.start_coordinator();
  cluster_.start_worker("w1");
  ASSERT_TRUE(cluster_.ends(second.key));
  EXPECT_EQ(cluster_.attempts(first.key), 2);
  expect_undisturbed(first, 40);
}

TEST_F(RealCluster, ARankThatIsKilledEndsTheGangAndTheTaskRunsAgain) {
  TaskSpec task = long_leased(counting(40, 0.05));
  task.resources = {.slots = 2, .ranks = 2};
  cluster_.start_worker("w1");
  cluster_.submit("sweep", {task});
  ASSERT_TRUE(reaches(task, 6));
  pid_t rank = 0;
  std::ifstream(cluster_.attempt_folder("w1", task.key, 1) / "pid.1") >> rank;
  ASSERT_GT(rank, 0);
  ::kill(rank, SIGKILL);
  ASSERT_TRUE(cluster_.ends(task.key));
  EXPECT_EQ(cluster_.attempts(task.key), 2);
  expect_undisturbed(task, 40);
}

// A program writes its points into a file and waits for nobody.
TEST_F(RealCluster, ATrainingGoesOnToItsEndWhileTheCoordinatorIsFrozenAndNoPointIsLost) {
  const TaskSpec task = long_leased(counting(1'500, 0.002), 60'000);
  cluster_.start_worker("w1");
  cluster_.submit("sweep", {task});
  ASSERT_TRUE(reaches(task, 10));
  cluster_.coordinator().signal(SIGSTOP);
  const auto folder = cluster_.attempt_folder("w1", task.key, 1);
  EXPECT_TRUE(cluster_.eventually([&] {
    const auto said = read_file(folder / "progress.jsonl");
    return said && said->find("\"step\": 1500") != std::string::npos;
  })) << "it waits for a coordinator that does not answer";
  cluster_.coordinator().signal(SIGCONT);
  ASSERT_TRUE(cluster_.ends(task.key));
  EXPECT_EQ(cluster_.attempts(task.key), 1);
  std::vector<std::int64_t> all(1'500);
  std::iota(all.begin(), all.end(), 1);
  EXPECT_TRUE(cluster_.eventually([&] { return cluster_.metric_steps(task.key) == all; }));
}

TEST_F(RealCluster, AWorkerFrozenPastItsLeaseHasItsLateReportsRefused) {
  // The lease is longer than two heartbeats of the coordinator's default, and as short as that
  // allows.
  const TaskSpec task = long_leased(counting(400, 0.05), 11'000);
  cluster_.start_worker("w1", 1);
  cluster_.submit("sweep", {task});
  ASSERT_TRUE(reaches(task, 6));
  cluster_.worker("w1").signal(SIGSTOP);
  cluster_.start_worker("w2", 1);
  ASSERT_TRUE(cluster_.eventually(
      [&] { return cluster_.attempts(task.key) == 2 && cluster_.step(task.key) > 0; }));
  cluster_.worker("w1").signal(SIGCONT);
  EXPECT_TRUE(testing::wait_for_none_below(temporary_ / "w1").empty()) << "it must let go";
  EXPECT_EQ(cluster_.attempts(task.key), 2);
  EXPECT_EQ(cluster_.state(task.key), "running");
  // The living branch has each step once: nothing of the frozen attempt came in behind the second
  // one's first point.
  const auto steps = cluster_.metric_steps(task.key);
  for (std::size_t i = 1; i < steps.size(); ++i) EXPECT_EQ(steps[i], steps[i - 1] + 1);
  cluster_.ask("cancel", Object{{"sweep", "sweep"}});
  EXPECT_TRUE(cluster_.eventually([&] { return cluster_.state(task.key) == "cancelled"; }));
}

TEST_F(RealCluster, ATaskThatTwoSweepsWantSurvivesTheCancellationOfOne) {
  const TaskSpec shared = long_leased(counting(40, 0.03));
  const TaskSpec only_first = after(counting(2, 0.01, "first"), shared);
  const TaskSpec only_second = after(counting(2, 0.01, "second"), shared);
  cluster_.start_worker("w1");
  cluster_.submit("first", {shared, only_first});
  cluster_.submit("second", {shared, only_second});
  ASSERT_TRUE(reaches(shared, 3));
  cluster_.ask("cancel", Object{{"sweep", "first"}});
  ASSERT_TRUE(cluster_.ends(only_second.key));
  EXPECT_EQ(cluster_.attempts(shared.key), 1);
  EXPECT_EQ(cluster_.state(only_first.key), "cancelled");
}

}  // namespace
}  // namespace strata
