// A real strata-worker is asked to stop programs that take it in different ways: one writes a
// checkpoint, one does not listen, one has a child that does not listen, one was just about to
// finish. Ask, acknowledge, wait until the deadline, kill until the exit is seen.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/counting_task.h"
#include "tests/support/daemon.h"
#include "tests/support/scripted_coordinator.h"
#include "tests/support/temporary_folder.h"
#include "worker/run_directory.h"

namespace strata {
namespace {

using testing::Daemon;
using testing::ScriptedCoordinator;

class StopProtocol : public ::testing::Test {
 protected:
  void SetUp() override {
    worker_ = std::make_unique<Daemon>(
        "strata-worker",
        std::vector<std::string>{"--coordinator", server_.address_file().string(), "--folder",
                                 (temporary_ / "w").string(), "--slots", "2", "--no-gpus",
                                 "--memory", "4096", "--lifetime", "90"},
        temporary_ / "w.log");
    ASSERT_TRUE(server_.serve_until([&] { return !server_.heard<Heartbeat>().empty(); }));
  }
  void TearDown() override {
    worker_.reset();
    EXPECT_TRUE(testing::wait_for_none_below(temporary_.path()).empty())
        << "processes of attempts are left";
    if (HasFailure()) std::cerr << std::ifstream(temporary_ / "w.log").rdbuf();
  }
  static TaskSpec shell(const std::string& script) {
    TaskSpec spec;
    spec.stage = "command";
    spec.program = {.name = "sh", .argv = {"sh", "-c", script}};
    spec.lease_ms = 60'000;
    spec.key = compute_key(spec);
    return spec;
  }
  // Started, and as far as the script's `touch ready`.
  AttemptId ready(const TaskSpec& spec) {
    const AttemptId attempt = server_.start(spec);
    const auto folder = worker::RunDirectory(temporary_ / "w" / "attempts", attempt).folder();
    EXPECT_TRUE(server_.serve_until([&] { return std::filesystem::exists(folder / "ready"); }));
    return attempt;
  }
  void preempt(const AttemptId& attempt, std::int64_t grace_ms) {
    server_.send(StopAttempt{.attempt = attempt,
                             .reason = "its slots are needed",
                             .kind = StopKind::kPreempt,
                             .grace_ms = grace_ms});
  }
  bool ends(const AttemptId& attempt) {
    return server_.serve_until([&] { return server_.outcome(attempt).has_value(); });
  }

  testing::TemporaryFolder temporary_;
  ScriptedCoordinator server_{temporary_.path()};
  std::unique_ptr<Daemon> worker_;
};

const Outcome kPreempted = Stopped{.reason = "its slots are needed"};

TEST_F(StopProtocol, AProgramThatWritesACheckpointIsStoppedWithIt) {
  const AttemptId attempt = server_.start(testing::counting(100'000, 0.01));
  ASSERT_TRUE(server_.serve_until([&] { return !server_.heard<MetricBatch>().empty(); }));
  const std::size_t before = server_.heard<ReportCheckpoint>().size();
  preempt(attempt, 20'000);
  ASSERT_TRUE(ends(attempt));
  EXPECT_EQ(*server_.outcome(attempt), kPreempted);
  EXPECT_GT(server_.heard<ReportCheckpoint>().size(), before)
      << "the checkpoint that it wrote when asked";
}

TEST_F(StopProtocol, AProgramThatDoesNotListenIsAcknowledgedAsStoppingAndKilledAtTheDeadline) {
  const AttemptId attempt = ready(shell("trap '' TERM; touch ready; while :; do sleep 0.1; done"));
  preempt(attempt, 600'000);
  EXPECT_TRUE(server_.serve_until([&] { return server_.holds(attempt, AttemptPhase::kStopping); }));
  EXPECT_FALSE(server_.serve_until([&] { return server_.outcome(attempt).has_value(); },
                                   std::chrono::seconds(1)));
  preempt(attempt, 500);
  ASSERT_TRUE(ends(attempt)) << "a shorter grace counts";
  EXPECT_EQ(*server_.outcome(attempt), kPreempted);
}

TEST_F(StopProtocol, AChildThatDoesNotListenKeepsTheAttemptAliveUntilItIsKilled) {
  const AttemptId attempt =
      ready(shell("(trap '' TERM; exec 2>/dev/null; while :; do sleep 0.1; done) & "
                  "trap 'exit 4' TERM; touch ready; wait"));
  preempt(attempt, 1'500);
  EXPECT_FALSE(server_.serve_until([&] { return server_.outcome(attempt).has_value(); },
                                   std::chrono::seconds(1)))
      << "while something of it lives, its slots are not free";
  ASSERT_TRUE(ends(attempt));
  EXPECT_EQ(*server_.outcome(attempt), kPreempted);
}

TEST_F(StopProtocol, AProgramThatFinishesInsteadHasSucceeded) {
  const AttemptId attempt =
      ready(shell("trap 'exit 0' TERM; touch ready; while :; do sleep 0.1; "
                  "done"));
  preempt(attempt, 20'000);
  ASSERT_TRUE(ends(attempt));
  EXPECT_TRUE(std::holds_alternative<Succeeded>(*server_.outcome(attempt)));
}

TEST_F(StopProtocol, ACheckpointThatDidNotFitOnTheDiskStaysAFailureOfTheStorage) {
  const AttemptId attempt =
      ready(shell("trap 'echo cp: No space left on device; exit 1' TERM; "
                  "touch ready; while :; do sleep 0.1; done"));
  preempt(attempt, 20'000);
  ASSERT_TRUE(ends(attempt));
  const Outcome outcome = *server_.outcome(attempt);
  ASSERT_TRUE(std::holds_alternative<Failed>(outcome));
  EXPECT_EQ(std::get<Failed>(outcome).cause, FailureClass::kStorage);
}

TEST_F(StopProtocol, AFailureIsReportedWithClassRuleSignatureAndStep) {
  TaskSpec spec = shell("echo '{\"step\": 7}' > progress.jsonl; echo licence 42 is gone; exit 1");
  spec.log_rules = {{.name = "licence",
                     .pattern = "licence \\d+ is gone",
                     .cause = FailureClass::kInfra,
                     .action = LogAction::kAvoidWorker}};
  const AttemptId attempt = server_.start(spec);
  ASSERT_TRUE(ends(attempt));
  EXPECT_EQ(*server_.outcome(attempt),
            Outcome(Failed{.cause = FailureClass::kInfra,
                           .reason = "exit code 1: licence 42 is gone (rule licence)",
                           .signature = "exit code 1: licence # is gone",
                           .step = 7,
                           .action = LogAction::kAvoidWorker}));
}

TEST_F(StopProtocol, TheWorkerSaysHowMuchMemoryAndTimeItHas) {
  const Hello hello = server_.heard<Hello>().front();
  EXPECT_EQ(hello.memory_mb, 4096);
  EXPECT_GT(hello.lifetime_left_ms, 89 * 60'000);
  EXPECT_LE(hello.lifetime_left_ms, 90 * 60'000);
  EXPECT_LE(server_.heard<Heartbeat>().back().lifetime_left_ms, hello.lifetime_left_ms);
}

}  // namespace
}  // namespace strata
