// Whose fault a failure is, who pays for it, and how a worker comes back.

#include <gtest/gtest.h>

#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const coordinator::Task& task_of(CoreEnv& env, const TaskSpec& spec) {
  return *env.cluster().find_task(spec.key);
}

// The order that `worker` got last; the others stay unread.
StartAttempt order_on(CoreEnv& env, WorkerId worker) {
  for (const auto& [key, task] : env.cluster().tasks()) {
    const Gang* gang = coordinator::gang_of(task.state);
    if (gang != nullptr && gang->front().worker == worker)
      return {.attempt = {.task = key, .number = task.attempts}, .spec = task.spec.whole()};
  }
  ADD_FAILURE() << "nothing runs on worker " << worker.value();
  return {};
}

void let_time_pass(CoreEnv& env, std::vector<WorkerId> workers, seconds time) {
  for (seconds passed{0}; passed < time; passed += seconds(10)) {
    env.pass(seconds(10));
    for (const WorkerId worker : workers) env.heartbeat(worker);
  }
}

TEST(Charges, FallOnTheTaskTheInfrastructureOrNobody) {
  const auto after = [](FailureClass cause) {
    CoreEnv env;
    const WorkerId worker = env.add_worker(1);
    const TaskSpec task = make_task("train", 1);
    env.submit(make_submission("s", {task}));
    env.fail(worker, env.take<StartAttempt>().at(0).attempt, {.cause = cause, .reason = "why"});
    const auto& known = *env.cluster().find_task(task.key);
    return std::make_tuple(env.state(task), known.user_failures, known.infra_failures,
                           known.ends_without_progress);
  };
  EXPECT_EQ(after(FailureClass::kUser), std::make_tuple("queued", 1, 0, 0));
  EXPECT_EQ(after(FailureClass::kInvalid), std::make_tuple("failed", 1, 0, 0));
  EXPECT_EQ(after(FailureClass::kInfra), std::make_tuple("queued", 0, 1, 0));
  EXPECT_EQ(after(FailureClass::kData), std::make_tuple("queued", 0, 1, 0));
  EXPECT_EQ(after(FailureClass::kMemory), std::make_tuple("failed", 1, 0, 0));
  EXPECT_EQ(after(FailureClass::kNode), std::make_tuple("queued", 0, 1, 0));
  EXPECT_EQ(after(FailureClass::kStorage), std::make_tuple("queued", 0, 1, 0));
  // At once again: nobody's fault has no pause.
  EXPECT_EQ(after(FailureClass::kScheduled), std::make_tuple("leased", 0, 0, 1));
}

TEST(Charges, OutOfMemoryTriesTheFallbackShapesOneAfterTheOther) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  TaskSpec task = make_task("train", 1);
  task.fallbacks = {{.slots = 2}, {.slots = 4}};
  env.submit(make_submission("s", {task}));
  for (const std::int64_t slots : {1, 2, 4}) {
    const auto order = env.take<StartAttempt>();
    ASSERT_EQ(order.size(), 1U) << slots;
    EXPECT_EQ(order[0].gang.front().slots, slots);
    EXPECT_EQ(order[0].spec.resources.slots, slots) << "what the worker is told is what it gets";
    env.fail(worker, order[0].attempt, {.cause = FailureClass::kMemory, .reason = "CUDA OOM"});
    let_time_pass(env, {worker}, seconds(10));
  }
  EXPECT_EQ(env.state(task), "failed");
  EXPECT_EQ(env.reason(task), "CUDA OOM (and no larger shape is given: see `fallbacks`)");
}

// Found by docs/state-machine.md: what said nothing was tried again for ever.
TEST(Charges, AFailureWithoutAReasonIsFinalLikeAnyOther) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  env.fail(worker, env.take<StartAttempt>().at(0).attempt, {.cause = FailureClass::kInvalid});
  EXPECT_EQ(env.state(task), "failed");
  EXPECT_EQ(env.reason(task), "it did not say why");
}

TEST(Charges, TheSameFailureTwiceInARowAtTheSameStepIsFinal) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  const Failed failed{.reason = "ValueError", .signature = "ValueError at N", .step = 120};
  env.fail(worker, env.take<StartAttempt>().at(0).attempt, failed);
  let_time_pass(env, {worker}, seconds(10));
  env.fail(worker, env.take<StartAttempt>().at(0).attempt, failed);
  EXPECT_EQ(env.state(task), "failed");
  EXPECT_EQ(env.reason(task), "ValueError (twice in a row, at step 120)");
}

TEST(Charges, ScheduledEndsAreFreeAsLongAsCheckpointsComeBetween) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  const Failed scheduled{.cause = FailureClass::kScheduled, .reason = "time limit"};
  const auto begins = [&] {
    while (env.state(task) == "queued") {
      env.heartbeat(worker);
      env.pass(seconds(10));
    }
    return env.take<StartAttempt>().at(0).attempt;
  };
  env.fail(worker, begins(), scheduled);
  EXPECT_EQ(env.state(task), "leased") << "the first end costs no time";
  env.fail(worker, begins(), scheduled);
  EXPECT_EQ(env.state(task), "queued") << "then there is a pause";
  for (std::int64_t i = 3; i < coordinator::kEndsWithoutProgressMax; ++i)
    env.fail(worker, begins(), scheduled);
  const AttemptId attempt = begins();
  env.from(worker, ReportCheckpoint{.worker = worker,
                                    .attempt = attempt,
                                    .step = 1,
                                    .artifact = make_artifact("checkpoint")});
  env.fail(worker, attempt, scheduled);
  EXPECT_EQ(env.state(task), "leased") << "it got further";
  for (std::int64_t i = 1; i < coordinator::kEndsWithoutProgressMax; ++i)
    env.fail(worker, begins(), scheduled);
  EXPECT_EQ(env.state(task), "failed");
  EXPECT_EQ(env.reason(task), "time limit (100 times without a checkpoint between)");
}

TEST(Charges, ALimitThatIsLoweredEndsNothingThatSomebodyElseIsToBlameFor) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  for (int i = 0; i < 2; ++i) {
    env.fail(worker, env.take<StartAttempt>().at(0).attempt, {.reason = "a bug"});
    let_time_pass(env, {worker}, seconds(60));
  }
  const StartAttempt third = env.take<StartAttempt>().at(0);
  task.retry.user_failures_max = 2;
  env.submit(make_submission("s", {task}));
  env.fail(worker, third.attempt,
           {.cause = FailureClass::kScheduled, .reason = "the allocation ends"});
  EXPECT_EQ(env.state(task), "leased");
}

TEST(Charges, ALogRuleMayForbidRetriesOrAWorker) {
  CoreEnv env;
  const WorkerId first = env.add_worker(1);
  const WorkerId second = env.add_worker(1);
  const TaskSpec stops = make_task("train", 1);
  env.submit(make_submission("s", {stops}));
  env.fail(first, env.take<StartAttempt>().at(0).attempt,
           {.reason = "ImportError", .action = LogAction::kStop});
  EXPECT_EQ(env.state(stops), "failed");
  const TaskSpec avoids = make_task("train", 2);
  env.submit(make_submission("s2", {avoids}));
  const auto order = env.take<StartAttempt>();
  EXPECT_EQ(task_of(env, avoids).trouble().avoids.size(), 0U);
  env.fail(first, order.at(0).attempt,
           {.cause = FailureClass::kData,
            .reason = "stale file handle",
            .action = LogAction::kAvoidWorker});
  let_time_pass(env, {first, second}, seconds(10));
  const auto again = env.take<StartAttempt>();
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again[0].gang.front().worker, second);
}

TEST(Attribution, OneTaskFailingOnThreeWorkersIsTheTask) {
  CoreEnv env;
  std::vector<WorkerId> workers;
  for (int i = 0; i < 4; ++i) workers.push_back(env.add_worker(1));
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  std::set<WorkerId> used;
  for (int i = 0; i < 3; ++i) {
    const auto order = env.take<StartAttempt>();
    ASSERT_FALSE(order.empty()) << i;
    const WorkerId worker = order[0].gang.front().worker;
    EXPECT_TRUE(used.insert(worker).second) << "where it failed it is not tried again";
    env.fail(worker, order[0].attempt, {.cause = FailureClass::kInfra, .reason = "rank 1 died"});
    let_time_pass(env, workers, seconds(20));
  }
  EXPECT_EQ(env.state(task), "failed");
  EXPECT_EQ(env.reason(task),
            "rank 1 died (it failed on w1, w2, w3: it is the task, not the machines)");
}

// Three tasks on w1, which fail there while w2 is busy with something long.
struct BadWorker {
  CoreEnv env{};
  WorkerId good = env.add_worker(1, "good");
  WorkerId bad{};
  std::vector<TaskSpec> tasks{};

  BadWorker() {
    env.submit(make_submission("busy", {make_task("prepare", 99)}));
    env.take<StartAttempt>();
    bad = env.add_worker(3, "bad");
    for (std::int64_t i = 0; i < 3; ++i) tasks.push_back(make_task("train", i));
    env.submit(make_submission("s", tasks));
  }
  void fail_on_bad(std::size_t i) {
    env.fail(bad, {.task = tasks[i].key, .number = task_of(env, tasks[i]).attempts},
             {.reason = "no GPU there"});
  }
};

TEST(Attribution, ADiskThatIsFullOnThreeWorkersIsNotTheTask) {
  CoreEnv env;
  std::vector<WorkerId> workers;
  for (int i = 0; i < 4; ++i) workers.push_back(env.add_worker(1));
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  for (int i = 0; i < 3; ++i) {
    const StartAttempt order = env.take<StartAttempt>().back();
    env.fail(order.gang.at(0).worker, order.attempt,
             {.cause = FailureClass::kStorage, .reason = "No space left on device"});
    let_time_pass(env, workers, seconds(20));
  }
  EXPECT_EQ(env.state(task), "leased");
  EXPECT_EQ(task_of(env, task).infra_failures, 3);
}

TEST(Attribution, ACheckpointShowsThatTheTaskWorksAfterAll) {
  CoreEnv env;
  std::vector<WorkerId> workers;
  for (int i = 0; i < 4; ++i) workers.push_back(env.add_worker(1));
  TaskSpec task = make_task("train", 1);
  task.retry.user_failures_max = 10;
  env.submit(make_submission("s", {task}));
  for (int i = 0; i < 3; ++i) {
    const StartAttempt order = env.take<StartAttempt>().back();
    const WorkerId worker = order.gang.at(0).worker;
    env.from(worker, ReportStarted{.worker = worker, .attempt = order.attempt});
    env.from(worker, ReportCheckpoint{.worker = worker,
                                      .attempt = order.attempt,
                                      .step = 100 * (i + 1),
                                      .artifact = make_artifact(std::to_string(i))});
    env.fail(worker, order.attempt, {.reason = "a bug"});
    let_time_pass(env, workers, seconds(60));
  }
  EXPECT_EQ(env.state(task), "leased");
}

TEST(Attribution, ThreeTasksFailingOnOneWorkerAreTheWorkerAndAreForgiven) {
  BadWorker world;
  world.fail_on_bad(0);
  world.fail_on_bad(1);
  EXPECT_TRUE(world.env.cluster().quarantines().empty());
  world.fail_on_bad(2);
  ASSERT_EQ(world.env.cluster().quarantines().count("bad"), 1U);
  EXPECT_EQ(world.env.cluster().find_quarantine("bad")->reason,
            "3 tasks failed there and nowhere else, the last one: no GPU there");
  for (const TaskSpec& task : world.tasks) {
    EXPECT_EQ(task_of(world.env, task).user_failures, 0);
    EXPECT_EQ(world.env.state(task), "queued");
  }
  let_time_pass(world.env, {world.good, world.bad}, seconds(60));
  EXPECT_TRUE(world.env.cluster().find_worker(world.bad)->attempts.empty());
}

TEST(Attribution, ASuccessThereOrAnHourBetweenClearsTheWorker) {
  BadWorker cleared;
  cleared.fail_on_bad(0);
  cleared.fail_on_bad(1);
  cleared.env.succeed(cleared.bad, order_on(cleared.env, cleared.bad));
  cleared.env.submit(make_submission("more", {make_task("train", 10)}));
  cleared.env.fail(cleared.bad, order_on(cleared.env, cleared.bad).attempt, {.reason = "no"});
  EXPECT_TRUE(cleared.env.cluster().quarantines().empty());
  BadWorker slow;
  slow.fail_on_bad(0);
  slow.fail_on_bad(1);
  const std::vector<HeldAttempt> held{{order_on(slow.env, slow.bad).attempt}};
  const std::vector<HeldAttempt> busy{{order_on(slow.env, slow.good).attempt}};
  for (int minute = 0; minute <= 60; ++minute) {
    for (int half = 0; half < 6; ++half) {
      slow.env.heartbeat(slow.bad, held);
      slow.env.heartbeat(slow.good, busy);
      slow.env.pass(seconds(10));
    }
  }
  slow.fail_on_bad(2);
  EXPECT_TRUE(slow.env.cluster().quarantines().empty());
}

TEST(Attribution, AWorkerThatIsAloneIsNotQuarantinedForWhatTasksDo) {
  CoreEnv env;
  const WorkerId only = env.add_worker(4);
  std::vector<TaskSpec> tasks;
  for (std::int64_t i = 0; i < 4; ++i) tasks.push_back(make_task("train", i));
  env.submit(make_submission("s", tasks));
  for (const StartAttempt& order : env.take<StartAttempt>())
    env.fail(only, order.attempt, {.reason = "a typo"});
  EXPECT_TRUE(env.cluster().quarantines().empty());
}

TEST(Attribution, ATaskThatFailsElsewhereTooTakesTheBlameBack) {
  BadWorker world;
  for (std::size_t i = 0; i < 3; ++i) world.fail_on_bad(i);
  ASSERT_EQ(world.env.cluster().quarantines().count("bad"), 1U);
  world.env.succeed(world.good, order_on(world.env, world.good));
  let_time_pass(world.env, {world.good, world.bad}, seconds(10));
  world.env.fail(world.good, order_on(world.env, world.good).attempt, {.reason = "no GPU there"});
  EXPECT_TRUE(world.env.cluster().quarantines().empty());
  EXPECT_TRUE(std::holds_alternative<WorkerReleased>(world.env.log.back().body) ||
              std::any_of(world.env.log.begin(), world.env.log.end(), [](const Event& e) {
                return std::holds_alternative<WorkerReleased>(e.body);
              }));
}

TEST(Quarantine, OfABrokenDeviceIsAtOnceAndEndsWithATaskThatGoesWell) {
  CoreEnv env({.quarantine_first = std::chrono::minutes(10)});
  const WorkerId worker = env.add_worker(2);
  const TaskSpec task = make_task("prepare", 1);
  const TaskSpec other = make_task("prepare", 2);
  env.submit(make_submission("s", {task}));
  env.fail(worker, env.take<StartAttempt>().at(0).attempt,
           {.cause = FailureClass::kNode, .reason = "Xid 79: GPU has fallen off the bus"});
  env.submit(make_submission("s2", {other}));
  let_time_pass(env, {worker}, minutes(9));
  EXPECT_TRUE(env.take<StartAttempt>().empty());
  EXPECT_EQ(
      env.reason(other),
      "needs 1 slot; w1 is in quarantine: Xid 79: GPU has fallen off the bus (`strata release w1` "
      "ends it)");
  let_time_pass(env, {worker}, seconds(70));
  const auto probe = env.take<StartAttempt>();
  ASSERT_FALSE(probe.empty());
  EXPECT_EQ(env.cluster().find_worker(worker)->free, 1) << "one task, not two";
  env.succeed(worker, probe[0]);
  EXPECT_TRUE(env.cluster().quarantines().empty());
  EXPECT_FALSE(env.take<StartAttempt>().empty()) << "the other one follows at once";
}

TEST(Quarantine, DoublesWhenTheProbeFailsAndOutlivesRestarts) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("prepare", 1);
  env.submit(make_submission("s", {task}));
  const Failed broken{.cause = FailureClass::kNode, .reason = "ECC"};
  env.fail(worker, env.take<StartAttempt>().at(0).attempt, broken);
  let_time_pass(env, {worker}, minutes(11));
  env.fail(worker, env.take<StartAttempt>().at(0).attempt, broken);
  EXPECT_EQ(env.cluster().find_quarantine("w1")->for_ms, 2 * 600'000);
  env.restart();
  const WorkerId again = env.add_worker(1, "w1", 77);
  EXPECT_NE(again, worker);
  let_time_pass(env, {again}, minutes(19));
  EXPECT_TRUE(env.take<StartAttempt>().empty()) << "a restart does not mend a machine";
  let_time_pass(env, {again}, minutes(2));
  EXPECT_FALSE(env.take<StartAttempt>().empty());
}

TEST(Quarantine, IsEndedByAPerson) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  env.submit(make_submission("s", {make_task("prepare", 1)}));
  env.fail(worker, env.take<StartAttempt>().at(0).attempt,
           {.cause = FailureClass::kStorage, .reason = "No space left on device"});
  env.step(coordinator::PeerId(1), coordinator::ReleaseWorker{.request = 5, .name = "w2"});
  EXPECT_FALSE(env.take<Answer>().at(0).ok);
  env.step(coordinator::PeerId(1), coordinator::ReleaseWorker{.request = 6, .name = "w1"});
  EXPECT_TRUE(env.take<Answer>().at(0).ok);
  EXPECT_TRUE(env.cluster().quarantines().empty());
}

}  // namespace
}  // namespace strata::testing
