// The finer points of whose fault it is: pauses between attempts, trials, and blame that is taken
// back.
#include <gtest/gtest.h>

#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Failed kNode{.cause = FailureClass::kNode, .reason = "Xid 79"};
const Failed kBug{.reason = "no GPU there"};

template <class T>
std::int64_t count(const CoreEnv& env) {
  return std::count_if(env.log.begin(), env.log.end(),
                       [](const Event& e) { return std::holds_alternative<T>(e.body); });
}

// Two workers: "good" has one slot, "bad" four, which three tasks and another one get.
struct Two {
  CoreEnv env;
  WorkerId good{};
  WorkerId bad{};
  std::vector<TaskSpec> tasks{};
  TaskSpec other = make_task("train", 50);

  explicit Two(coordinator::Options options = {}, std::int64_t attempts_max = 3)
      : env(std::move(options)) {
    good = env.add_worker(1, "good", 1);
    env.submit(make_submission("busy", {make_task("prepare", 99)}));
    bad = env.add_worker(4, "bad", 2);
    for (std::int64_t i = 0; i < 3; ++i) tasks.push_back(make_task("train", i));
    for (TaskSpec& task : tasks) task.retry.user_failures_max = attempts_max;
    auto all = tasks;
    all.push_back(other);
    env.submit(make_submission("s", all));
    env.take<StartAttempt>();
  }
  const coordinator::Task& of(const TaskSpec& spec) { return *env.cluster().find_task(spec.key); }
  AttemptId newest(const TaskSpec& spec) { return {.task = spec.key, .number = of(spec).attempts}; }
  void fail(const TaskSpec& spec, WorkerId worker, const Failed& failed = kBug) {
    env.fail(worker, newest(spec), failed);
  }
  void quarantine_bad() {
    for (const TaskSpec& task : tasks) fail(task, bad);
    EXPECT_NE(quarantine(), nullptr);
  }
  const coordinator::Quarantine* quarantine() { return env.cluster().find_quarantine("bad"); }
  void wait(seconds time) {
    for (seconds passed{0}; passed < time; passed += seconds(10)) {
      env.pass(seconds(10));
      for (const WorkerId worker : {good, bad}) {
        if (const auto* known = env.cluster().find_worker(worker)) {
          std::vector<HeldAttempt> held;
          for (const AttemptId& attempt : known->attempts) held.push_back({attempt});
          env.heartbeat(worker, held);
        }
      }
    }
  }
  void release() {
    env.step(coordinator::PeerId(1), coordinator::ReleaseWorker{.request = 1, .name = "bad"});
    EXPECT_EQ(quarantine(), nullptr);
  }
};

TEST(Pauses, DoubleUpToTheirLimitAndAreNotTheSameForEveryAttempt) {
  CoreEnv env({.backoff_first = seconds(1), .backoff_max = seconds(10)});
  const WorkerId worker = env.add_worker(1);
  TaskSpec task = make_task("train", 1);
  task.retry.user_failures_max = 30;
  env.submit(make_submission("s", {task}));
  std::vector<std::int64_t> delays;
  for (int i = 0; i < 20; ++i) {
    const auto orders = env.take<StartAttempt>();
    ASSERT_FALSE(orders.empty()) << i;
    env.fail(worker, orders.back().attempt, {.reason = "a bug"});
    const auto& ended = std::get<AttemptEnded>(env.log.back().body);
    delays.push_back(std::get<Failed>(ended.outcome).delay_ms);
    env.pass(milliseconds(delays.back() - 1));
    env.heartbeat(worker);
    EXPECT_EQ(env.state(task), "queued");
    env.pass(milliseconds(1));
    EXPECT_EQ(env.state(task), "leased") << "when the pause is over, and not later";
  }
  for (std::size_t i = 0; i < delays.size(); ++i) {
    const std::int64_t whole = i < 3 ? 1'000LL << i : 8'000;
    EXPECT_GE(delays[i], whole) << i;
    EXPECT_LT(delays[i], whole * 5 / 4) << i;
    EXPECT_LE(delays[i], 10'000) << i;
  }
  EXPECT_GT(std::set<std::int64_t>(delays.begin() + 4, delays.end()).size(), 10U)
      << "what failed together does not come back together";
}

TEST(Pauses, EndWithTheTaskAndARevivalDoesNotWaitForThem) {
  CoreEnv env({.backoff_first = seconds(5)});
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}, {make_run("c", 1, {task})}));
  env.fail(worker, env.take<StartAttempt>().at(0).attempt, {.reason = "a bug"});
  EXPECT_EQ(env.reason(task).rfind("tries again in", 0), 0U) << env.reason(task);
  EXPECT_EQ(env.core().reason(task.key, env.now() + seconds(10)),
            "behind tasks that were queued before it")
      << "the pause is over then, if nobody has looked yet";
  env.step(coordinator::PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "s"});
  ASSERT_EQ(env.state(task), "cancelled");
  env.step(coordinator::PeerId(1),
           coordinator::RetryTasks{.request = 2, .sweep = "s", .tasks = {task.key}});
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U);
  for (int i = 0; i < 10; ++i) {
    env.pass(seconds(10));
    env.heartbeat(worker, {{{.task = task.key, .number = 2}, AttemptPhase::kRunning}});
  }
  EXPECT_EQ(env.state(task), "running") << "the older pause wakes nobody";
}

TEST(Pauses, AreNotCutShortByOnesThatWereBefore) {
  CoreEnv env({.backoff_first = seconds(40)});
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}, {make_run("c", 1, {task})}));
  env.fail(worker, env.take<StartAttempt>().at(0).attempt, {.reason = "a bug"});
  env.step(coordinator::PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "s"});
  env.step(coordinator::PeerId(1),
           coordinator::RetryTasks{.request = 2, .sweep = "s", .tasks = {task.key}});
  const auto second = env.take<StartAttempt>();
  ASSERT_EQ(second.size(), 1U);
  const auto wait = [&](int fives) {
    for (int i = 0; i < fives; ++i) {
      env.pass(seconds(5));
      env.heartbeat(worker);
    }
  };
  wait(6);
  env.fail(worker, second[0].attempt, {.reason = "a bug"});
  wait(5);
  EXPECT_EQ(env.state(task), "queued") << "55 s after the first failure, 25 after the second";
  wait(5);
  EXPECT_EQ(env.state(task), "leased");
}

TEST(Trials, ATaskThatWasBlamedOnTheWorkerAndFailsThereAgainTakesNothingBack) {
  Two world({.quarantine_first = seconds(60)});
  world.quarantine_bad();
  world.env.succeed(world.bad, {.attempt = world.newest(world.other), .spec = world.other});
  world.env.step(coordinator::PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "busy"});
  world.env.from(world.good, Goodbye{.worker = world.good, .session = 1});
  world.wait(seconds(70));
  ASSERT_TRUE(world.quarantine()->probing);
  std::vector<TaskSpec> probes;
  for (const TaskSpec& task : world.tasks) {
    if (world.env.state(task) == "leased") probes.push_back(task);
  }
  ASSERT_EQ(probes.size(), 1U) << "it is the only worker, and gets one task";
  world.fail(probes[0], world.bad);
  ASSERT_NE(world.quarantine(), nullptr);
  EXPECT_FALSE(world.quarantine()->probing);
  EXPECT_EQ(world.quarantine()->for_ms, 120'000);
}

TEST(Trials, WhatFailedElsewhereBeforeIsNoEvidence) {
  CoreEnv env({.backoff_first = seconds(40), .quarantine_first = seconds(60)});
  const WorkerId bad = env.add_worker(1, "bad");
  env.submit(make_submission("first", {make_task("train", 1)}));
  env.fail(bad, env.take<StartAttempt>().at(0).attempt, kNode);
  env.step(coordinator::PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "first"});
  env.take<Answer>();
  const WorkerId good = env.add_worker(1, "good");
  const auto wait = [&](int tens) {
    for (int i = 0; i < tens; ++i) {
      env.pass(seconds(10));
      for (const WorkerId worker : {bad, good}) {
        std::vector<HeldAttempt> held;
        for (const AttemptId& attempt : env.cluster().find_worker(worker)->attempts)
          held.push_back({attempt});
        env.heartbeat(worker, held);
      }
    }
  };
  const TaskSpec task = make_task("train", 2);
  env.submit(make_submission("s", {task}));
  wait(4);
  env.fail(good, {.task = task.key, .number = 1}, kBug);
  wait(6);
  ASSERT_EQ(env.cluster().find_worker(bad)->attempts.size(), 1U) << "it is the probe";
  env.fail(bad, {.task = task.key, .number = 2}, kBug);
  ASSERT_NE(env.cluster().find_quarantine("bad"), nullptr);
  EXPECT_TRUE(env.cluster().find_quarantine("bad")->probing) << "another task shall show it";
}

TEST(Quarantine, NeedsAnotherWorkerThatTakesTasks) {
  Two drained;
  drained.env.step(coordinator::PeerId(1),
                   coordinator::DrainWorker{.request = 1, .worker = drained.good});
  for (const TaskSpec& task : drained.tasks) drained.fail(task, drained.bad);
  EXPECT_EQ(drained.quarantine(), nullptr);
  Two quarantined;
  quarantined.env.fail(quarantined.good, quarantined.newest(make_task("prepare", 99)), kNode);
  for (const TaskSpec& task : quarantined.tasks) quarantined.fail(task, quarantined.bad);
  EXPECT_EQ(quarantined.quarantine(), nullptr);
}

TEST(Quarantine, ForgivesNoMoreThanIsCounted) {
  Two world({.backoff_first = milliseconds(100)}, 1);
  const TaskSpec& twice = world.tasks[0];
  world.fail(twice, world.bad);
  ASSERT_EQ(world.env.state(twice), "failed");
  world.env.step(coordinator::PeerId(1),
                 coordinator::RetryTasks{.request = 1, .tasks = {twice.key}});
  ASSERT_EQ(world.env.state(twice), "leased");
  for (const TaskSpec& task : world.tasks) world.fail(task, world.bad);
  ASSERT_NE(world.quarantine(), nullptr);
  EXPECT_EQ(world.of(twice).user_failures, 0);
}

TEST(Quarantine, ForgivesOnlyWhatWasCharged) {
  Two world({.backoff_first = milliseconds(100)}, 5);
  const TaskSpec& task = world.tasks[0];
  const Failed infra{.cause = FailureClass::kInfra, .reason = "NCCL"};
  // A failure of its own on the good worker, which a checkpoint on the bad one made forget where.
  world.env.fail(world.good, world.newest(make_task("prepare", 99)),
                 {.cause = FailureClass::kInvalid, .reason = "no"});
  world.fail(task, world.bad, infra);
  world.wait(seconds(10));
  ASSERT_EQ(world.env.cluster().find_worker(world.good)->attempts.size(), 1U);
  world.fail(task, world.good);
  world.env.submit(make_submission("busy again", {make_task("prepare", 98)}));
  world.wait(seconds(10));
  ASSERT_EQ(world.of(task).user_failures, 1);
  ASSERT_EQ(world.env.state(task), "leased");
  world.env.from(world.bad, ReportCheckpoint{.worker = world.bad,
                                             .attempt = world.newest(task),
                                             .step = 1,
                                             .artifact = make_artifact("c")});
  for (const TaskSpec& one : world.tasks) world.fail(one, world.bad, infra);
  ASSERT_NE(world.quarantine(), nullptr);
  EXPECT_EQ(world.of(task).user_failures, 1);
  EXPECT_EQ(count<FailureForgiven>(world.env), 0);
}

TEST(Quarantine, WhatStillRanThereIsNoNewsWhateverBecomesOfIt) {
  Two fails;
  fails.fail(fails.tasks[0], fails.bad, kNode);
  fails.fail(fails.tasks[1], fails.bad, kNode);
  EXPECT_EQ(count<WorkerQuarantined>(fails.env), 1);
  EXPECT_EQ(fails.quarantine()->for_ms, 600'000);
  Two succeeds;
  succeeds.quarantine_bad();
  succeeds.env.succeed(succeeds.bad,
                       {.attempt = succeeds.newest(succeeds.other), .spec = succeeds.other});
  EXPECT_NE(succeeds.quarantine(), nullptr) << "it is not on trial yet";
}

TEST(Quarantine, IsNeverLongerThanItsLimit) {
  Two world({.quarantine_first = seconds(60), .quarantine_max = seconds(100)});
  world.env.from(world.good, Goodbye{.worker = world.good, .session = 1});
  world.fail(world.tasks[0], world.bad, kNode);
  world.fail(world.tasks[1], world.bad, kNode);
  world.fail(world.tasks[2], world.bad, kNode);
  world.fail(world.other, world.bad, kNode);
  for (const std::int64_t for_ms : {60'000, 100'000, 100'000}) {
    ASSERT_NE(world.quarantine(), nullptr);
    EXPECT_EQ(world.quarantine()->for_ms, for_ms);
    world.wait(seconds(110));
    const auto& held = world.env.cluster().find_worker(world.bad)->attempts;
    ASSERT_EQ(held.size(), 1U);
    world.env.fail(world.bad, *held.begin(), kNode);
  }
}

TEST(Quarantine, OfAWorkerThatWasReleasedBeginsFromNothing) {
  Two world;
  world.quarantine_bad();
  world.release();
  world.wait(seconds(10));
  world.env.fail(world.bad, *world.env.cluster().find_worker(world.bad)->attempts.begin(), kBug);
  EXPECT_EQ(world.quarantine(), nullptr) << "one failure since";
  world.wait(seconds(700));
  EXPECT_EQ(count<WorkerProbed>(world.env), 0) << "it is in no quarantine that could end";
}

TEST(Quarantine, ForAnotherReasonIsNotEndedByBlameThatWasTakenBackBefore) {
  Two world;
  world.quarantine_bad();
  world.release();
  world.fail(world.other, world.bad, kNode);
  ASSERT_NE(world.quarantine(), nullptr);
  world.env.fail(world.good, world.newest(make_task("prepare", 99)),
                 {.cause = FailureClass::kInvalid, .reason = "no"});
  world.wait(seconds(10));
  const auto& held = world.env.cluster().find_worker(world.good)->attempts;
  ASSERT_EQ(held.size(), 1U);
  world.env.fail(world.good, *held.begin(), kBug);  // it was blamed on the bad one then
  EXPECT_NE(world.quarantine(), nullptr);
}

}  // namespace
}  // namespace strata::testing
