// Real strata-worker daemons against the coordinator's core: whatever is killed or frozen on the
// way, the tasks end with the same artifacts as in an undisturbed run, and no process of an attempt
// is left.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

#include "tests/support/core_server.h"
#include "tests/support/counting_task.h"
#include "tests/support/daemon.h"
#include "tests/support/temporary_folder.h"
#include "worker/run_directory.h"

namespace strata {
namespace {

using testing::after;
using testing::CoreServer;
using testing::counting;
using testing::Daemon;

class WorkerDaemon : public ::testing::Test {
 protected:
  void TearDown() override {
    workers_.clear();
    EXPECT_TRUE(testing::wait_for_none_below(temporary_.path()).empty())
        << "processes of attempts are left";
    if (HasFailure()) {
      for (const char* name : {"w1", "w2"}) {
        std::ifstream log(temporary_ / (std::string(name) + ".log"));
        std::cerr << "--- " << name << "\n" << log.rdbuf();
      }
    }
  }
  Daemon& start(const std::string& name, int slots = 2) {
    workers_.push_back(std::make_unique<Daemon>(
        "strata-worker",
        std::vector<std::string>{"--coordinator", server_.address_file().string(), "--folder",
                                 (temporary_ / name).string(), "--slots", std::to_string(slots),
                                 "--no-gpus", "--name", name},
        temporary_ / (name + ".log")));
    return *workers_.back();
  }
  bool ends(const TaskSpec& task) {
    return server_.serve_until([&] { return server_.state(task.key) == "succeeded"; });
  }
  bool reaches(const AttemptId& attempt, std::int64_t step) {
    return server_.serve_until([&] {
      const auto& points = server_.metrics(attempt);
      return !points.empty() && points.back().step >= step;
    });
  }
  std::filesystem::path folder(const std::string& worker, const AttemptId& attempt) {
    return worker::RunDirectory(temporary_ / worker / "attempts", attempt).folder();
  }
  static pid_t pid_in(const std::filesystem::path& file) {
    pid_t pid = 0;
    std::ifstream(file) >> pid;
    return pid;
  }
  // The pid of the program's parent, which is mpirun where there are ranks.
  static pid_t parent_of(pid_t pid) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string number;
    std::string name;
    std::string state;
    pid_t parent = 0;
    stat >> number >> name >> state >> parent;
    return parent;
  }
  ContentHash result_of(const TaskSpec& task) {
    return server_.task(task.key).made().artifacts.at("result").hash;
  }
  // What a run that nobody disturbed gives: the chain of hashes depends on the steps and the salt
  // only.
  ContentHash undisturbed(int steps, const std::string& salt = "") {
    TaskSpec calm = counting(steps, 0, salt);
    if (workers_.empty() || !calm_started_) {
      start("calm");
      calm_started_ = true;
    }
    server_.submit("calm", {calm});
    EXPECT_TRUE(ends(calm));
    return result_of(calm);
  }

  testing::TemporaryFolder temporary_;
  CoreServer server_{temporary_.path()};
  std::vector<std::unique_ptr<Daemon>> workers_;
  bool calm_started_ = false;
};

TEST_F(WorkerDaemon, RunsTasksAndHandsArtifactsFromOneToTheNext) {
  const TaskSpec first = counting(3, 0.01);
  const TaskSpec second = after(counting(2, 0.01), first);
  start("w1");
  server_.submit("sweep", {first, second});
  ASSERT_TRUE(ends(second));
  EXPECT_EQ(server_.task(second.key).made().consumed.at("before"), result_of(first));
  EXPECT_EQ(server_.metrics({.task = first.key, .number = 1}).size(), 3U);
  EXPECT_EQ(server_.events<AttemptGranted>().size(), 2U);
}

TEST_F(WorkerDaemon, WithoutTheCoordinatorsArtifactFolderEndsAndTakesNothing) {
  std::filesystem::rename(server_.artifacts(), temporary_ / "unmounted");
  server_.submit("sweep", {counting(3, 0.01)});
  Daemon& worker = start("w1");
  ASSERT_TRUE(server_.serve_until([&] { return !server_.events<WorkerGone>().empty(); }));
  const auto ended = worker.wait(std::chrono::seconds(10));
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->code, 1);
  std::ifstream log(temporary_ / "w1.log");
  const std::string said{std::istreambuf_iterator<char>(log), {}};
  EXPECT_NE(said.find("does not see the coordinator's folder"), std::string::npos) << said;
  EXPECT_FALSE(std::filesystem::exists(server_.artifacts())) << "no empty store is made";
  EXPECT_TRUE(server_.events<ArtifactEvicted>().empty());
}

TEST_F(WorkerDaemon, KilledAndStartedAgainRunsTheTaskOnFromItsCheckpoint) {
  const TaskSpec task = counting(40, 0.03);
  Daemon& worker = start("w1");
  server_.submit("sweep", {task});
  ASSERT_TRUE(server_.serve_until([&] { return server_.task(task.key).checkpoint.has_value(); }));
  worker.kill();
  EXPECT_TRUE(testing::wait_for_none_below(temporary_.path()).empty())
      << "the guard ends the attempt without its worker";
  start("w1");
  ASSERT_TRUE(ends(task));
  EXPECT_EQ(server_.task(task.key).attempts, 2U);
  EXPECT_TRUE(server_.events<AttemptGranted>().back().resume_from.has_value());
  EXPECT_EQ(result_of(task), undisturbed(40));
}

TEST_F(WorkerDaemon, GoesOnWhileTheCoordinatorIsAwayAndItsAttemptIsAdopted) {
  const TaskSpec task = counting(40, 0.05);
  start("w1");
  server_.submit("sweep", {task});
  ASSERT_TRUE(reaches({.task = task.key, .number = 1}, 5));
  server_.crash_and_recover(std::chrono::milliseconds(700));
  ASSERT_TRUE(ends(task));
  EXPECT_EQ(server_.task(task.key).attempts, 1U) << "adopted, not started again";
  EXPECT_TRUE(server_.serve_until([&] {
    return server_.metrics({.task = task.key, .number = 1}).size() == 40;
  })) << "no metric is lost";
  EXPECT_EQ(result_of(task), undisturbed(40));
}

TEST_F(WorkerDaemon, ARankThatIsKilledEndsTheGangAndTheTaskRunsAgain) {
  TaskSpec task = counting(30, 0.03);
  task.resources = {.slots = 2, .ranks = 2};
  start("w1");
  server_.submit("sweep", {task});
  ASSERT_TRUE(reaches({.task = task.key, .number = 1}, 6));
  const auto attempt = folder("w1", {.task = task.key, .number = 1});
  ASSERT_TRUE(server_.serve_until([&] { return pid_in(attempt / "pid.1") > 0; }));
  ::kill(pid_in(attempt / "pid.1"), SIGKILL);
  ASSERT_TRUE(ends(task));
  EXPECT_EQ(server_.task(task.key).attempts, 2U);
  EXPECT_EQ(server_.task(task.key).user_failures, 0) << "a lost rank is not charged to the task";
  EXPECT_EQ(result_of(task), undisturbed(30));
}

TEST_F(WorkerDaemon, MpirunThatIsKilledEndsTheGangAndTheTaskRunsAgain) {
  TaskSpec task = counting(30, 0.03);
  task.resources = {.slots = 2, .ranks = 2};
  start("w1");
  server_.submit("sweep", {task});
  ASSERT_TRUE(reaches({.task = task.key, .number = 1}, 6));
  const pid_t rank = pid_in(folder("w1", {.task = task.key, .number = 1}) / "pid.0");
  ASSERT_GT(rank, 0);
  ::kill(parent_of(rank), SIGKILL);
  ASSERT_TRUE(ends(task));
  EXPECT_EQ(server_.task(task.key).attempts, 2U);
  EXPECT_EQ(server_.task(task.key).user_failures, 0);
  EXPECT_EQ(result_of(task), undisturbed(30));
}

TEST_F(WorkerDaemon, FrozenPastItsLeaseHasItsLateReportsRefused) {
  TaskSpec task = counting(120, 0.05);
  task.lease_ms = 2'000;
  Daemon& frozen = start("w1", 1);
  server_.submit("sweep", {task});
  const AttemptId first{.task = task.key, .number = 1};
  ASSERT_TRUE(reaches(first, 6));
  frozen.signal(SIGSTOP);  // its program and guard go on
  start("w2", 1);
  const AttemptId second{.task = task.key, .number = 2};
  ASSERT_TRUE(reaches(second, 1));
  const std::size_t points = server_.metrics(first).size();
  const std::int64_t checkpoints = server_.checkpoint_reports();
  frozen.signal(SIGCONT);
  ASSERT_TRUE(server_.serve_until([&] {
    return testing::processes_below(temporary_ / "w1").empty();
  })) << "it must let go";
  EXPECT_EQ(server_.state(task.key), "running");
  EXPECT_EQ(server_.metrics(first).size(), points) << "late metrics are refused";
  EXPECT_TRUE(server_.serve_until([&] { return server_.stale_batches() > 0; }));
  EXPECT_GE(server_.checkpoint_reports(), checkpoints);
  ASSERT_TRUE(ends(task));
  EXPECT_EQ(server_.task(task.key).attempts, 2U);
  bool lost = false;
  for (const Event& event :
       server_.log()) {  // from the loss of the first attempt on, nothing of it is in the log
    if (const auto* ended = std::get_if<AttemptEnded>(&event.body);
        ended != nullptr && ended->attempt == first)
      lost = true;
    if (const auto* checkpoint = std::get_if<CheckpointCommitted>(&event.body)) {
      EXPECT_FALSE(lost && checkpoint->attempt == first);
    }
  }
  EXPECT_TRUE(lost);
  EXPECT_EQ(result_of(task), undisturbed(120));
}

TEST_F(WorkerDaemon, ATaskThatTwoSweepsWantSurvivesTheCancellationOfOne) {
  const TaskSpec shared = counting(30, 0.03);
  const TaskSpec only_first = after(counting(2, 0.01, "first"), shared);
  const TaskSpec only_second = after(counting(2, 0.01, "second"), shared);
  start("w1");
  server_.submit("first", {shared, only_first});
  server_.submit("second", {shared, only_second});
  ASSERT_TRUE(reaches({.task = shared.key, .number = 1}, 3));
  server_.cancel("first");
  ASSERT_TRUE(ends(only_second));
  EXPECT_EQ(server_.task(shared.key).attempts, 1U);
  EXPECT_EQ(server_.state(only_first.key), "cancelled");
}

TEST_F(WorkerDaemon, ACancelledTaskStopsWithACheckpoint) {
  const TaskSpec task = counting(1'000, 0.05);
  start("w1");
  server_.submit("sweep", {task});
  ASSERT_TRUE(reaches({.task = task.key, .number = 1}, 1));
  server_.cancel("sweep");
  ASSERT_TRUE(server_.serve_until([&] { return server_.state(task.key) == "cancelled"; }));
  EXPECT_TRUE(testing::wait_for_none_below(temporary_.path()).empty());
}

TEST_F(WorkerDaemon, AskedToEndItDrainsWithACheckpointAndAnotherGoesOn) {
  const TaskSpec task = counting(60, 0.05);
  Daemon& worker = start("w1");
  server_.submit("sweep", {task});
  ASSERT_TRUE(reaches({.task = task.key, .number = 1}, 7));
  worker.signal(SIGTERM);
  std::optional<Exit> exit;
  ASSERT_TRUE(server_.serve_until(
      [&] { return (exit = worker.wait(std::chrono::seconds(0))).has_value(); }));
  EXPECT_TRUE(exit->ok()) << exit->describe();
  start("w2");
  ASSERT_TRUE(ends(task));
  const auto checkpoint = server_.events<CheckpointCommitted>();
  ASSERT_FALSE(checkpoint.empty());
  EXPECT_TRUE(server_.events<AttemptGranted>().back().resume_from.has_value());
  EXPECT_EQ(server_.task(task.key).user_failures, 0);
  EXPECT_EQ(result_of(task), undisturbed(60));
}

TEST_F(WorkerDaemon, ASecondWorkerInTheSameFolderIsRefused) {
  start("w1");
  ASSERT_TRUE(server_.serve_until([&] { return !server_.cluster().workers().empty(); }));
  Daemon& second = start("w1");
  const auto exit = second.wait(std::chrono::seconds(10));
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->code, 1);
}

}  // namespace
}  // namespace strata
