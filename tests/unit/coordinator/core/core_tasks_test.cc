// What becomes of a task: who owns it, what a revival forgets, when it has failed for good.
#include <gtest/gtest.h>

#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

using coordinator::CancelSweep;
using coordinator::PeerId;
using coordinator::RetryTasks;
using std::chrono::seconds;

constexpr PeerId kClient{1};

SubmitTasks sweep(const std::string& name, std::vector<TaskSpec> tasks, std::int64_t priority = 0) {
  SubmitTasks submission = make_submission(name, std::move(tasks));
  submission.priority = priority;
  return submission;
}

const coordinator::Task& task_of(const CoreEnv& env, const TaskSpec& spec) {
  return *env.cluster().find_task(spec.key);
}

void let_time_pass(CoreEnv& env, const std::vector<WorkerId>& workers, seconds time) {
  for (seconds passed{0}; passed < time; passed += seconds(10)) {
    env.pass(seconds(10));
    for (const WorkerId worker : workers) env.heartbeat(worker);
  }
}

// --- owners ---

TEST(Owners, OfEquallyUrgentSweepsTheOneThatCameFirst) {
  CoreEnv env;
  const TaskSpec shared = make_task("train", 1);
  env.submit(sweep("z", {shared}));
  env.submit(sweep("a", {shared}));
  env.submit(sweep("m", {shared}));
  EXPECT_EQ(*env.cluster().owner_of(task_of(env, shared)), "z");
}

TEST(Owners, AWaitingTaskMovesToTheSweepThatBecomesMoreUrgent) {
  CoreEnv env;
  const TaskSpec shared = make_task("train", 1);
  const TaskSpec other = make_task("train", 2);
  env.submit(sweep("b", {shared}, 2));
  env.submit(sweep("a", {shared}, 0));
  env.submit(sweep("c", {other}, 3));
  SubmitTasks again = sweep("a", {}, 5);
  again.last = false;
  env.submit(again);
  env.add_worker(1);
  EXPECT_EQ(env.take<StartAttempt>().at(0).attempt.task, shared.key);
}

TEST(Owners, AWaitingTaskMovesBackWhenTheMoreUrgentSweepLetsItGo) {
  CoreEnv env;
  const TaskSpec shared = make_task("train", 1);
  const TaskSpec other = make_task("train", 2);
  env.submit(sweep("a", {shared}, 5));
  env.submit(sweep("b", {shared}, 0));
  env.submit(sweep("c", {other}, 3));
  env.step(kClient, CancelSweep{.request = 1, .sweep = "a"});
  env.add_worker(1);
  EXPECT_EQ(env.take<StartAttempt>().at(0).attempt.task, other.key);
}

TEST(Owners, WhatASweepWithdrawsIsOnTheAccountOfTheOneThatIsLeft) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  const TaskSpec shared = make_task("train", 1);
  const TaskSpec own[] = {make_task("train", 2), make_task("train", 3), make_task("train", 4)};
  env.submit(sweep("a", {shared}));
  ASSERT_EQ(env.take<StartAttempt>().size(), 1U);
  SubmitTasks b = sweep("b", {shared, own[0], own[1], own[2]});
  b.options.slots_max = 2;
  env.submit(b);
  const auto orders = env.take<StartAttempt>();
  ASSERT_EQ(orders.size(), 2U);
  env.step(kClient, CancelSweep{.request = 1, .sweep = "a"});
  env.succeed(worker, orders[0]);
  EXPECT_TRUE(env.take<StartAttempt>().empty()) << "with the shared one it holds two";
}

TEST(Owners, WhatAMoreUrgentSweepWantsTooIsOnItsAccount) {
  CoreEnv env;
  env.add_worker(4);
  const TaskSpec shared = make_task("train", 1);
  env.submit(sweep("a", {shared}));
  ASSERT_EQ(env.take<StartAttempt>().size(), 1U);
  SubmitTasks b = sweep("b", {shared, make_task("train", 2)}, 5);
  b.options.slots_max = 1;
  env.submit(b);
  EXPECT_TRUE(env.take<StartAttempt>().empty());
}

// --- what is said again ---

TEST(Specs, OutputsThatOthersAskedForStay) {
  CoreEnv env;
  const TaskSpec task = make_task("train", 1);
  TaskSpec grown = task;
  grown.outputs = {"log", "result"};
  env.submit(sweep("a", {grown}));
  env.submit(sweep("b", {task}));
  EXPECT_EQ(task_of(env, task).spec.outputs(), grown.outputs);
}

TEST(Specs, AShapeThatIsNoLongerGivenIsLeft) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  const TaskSpec task = make_task("train", 1);
  TaskSpec with_fallback = task;
  with_fallback.fallbacks = {{.slots = 2}, {.slots = 4}};
  env.submit(sweep("a", {with_fallback}));
  for (int i = 0; i < 2; ++i) {
    env.fail(worker, env.take<StartAttempt>().at(0).attempt,
             {.cause = FailureClass::kMemory, .reason = "OOM"});
    let_time_pass(env, {worker}, seconds(10));
  }
  ASSERT_EQ(env.take<StartAttempt>().at(0).gang.at(0).slots, 4);
  with_fallback.fallbacks.pop_back();
  env.submit(sweep("a", {with_fallback}));
  EXPECT_EQ(task_of(env, task).resources().slots, 4) << "not for the gang that is out";
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = {.task = task.key, .number = 3},
                               .outcome = Failed{.cause = FailureClass::kInfra, .reason = "lost"}});
  EXPECT_EQ(task_of(env, task).resources().slots, 2);
  env.submit(sweep("a", {task}));
  EXPECT_EQ(task_of(env, task).resources().slots, 1);
}

TEST(Specs, ARunThatComesAgainIsCountedOnce) {
  CoreEnv env;
  const TaskSpec task = make_task("train", 1);
  const RunSpec runs[] = {make_run("one", 1, {task}), make_run("two", 1, {make_task("train", 1)})};
  SubmitTasks submission = make_submission("s", {task}, {runs[0]});
  env.submit(submission);
  submission.last = false;
  env.submit(submission);
  EXPECT_EQ(env.cluster().sweeps().at("s").current_runs, 1);
}

TEST(Specs, SayingNothingNewMakesNoTaskEvents) {
  CoreEnv env;
  const SubmitTasks submission = make_submission("s", {make_task("train", 1)});
  env.submit(submission);
  const auto count = [&] {
    return std::count_if(env.log.begin(), env.log.end(), [](const Event& event) {
      return std::holds_alternative<TaskWanted>(event.body);
    });
  };
  EXPECT_EQ(count(), 1);
  env.submit(submission);
  EXPECT_EQ(count(), 1);
}

TEST(Artifacts, AreAsLargeAsTheNewestWordSays) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(2);
  const TaskSpec tasks[] = {make_task("train", 1), make_task("train", 2)};
  env.submit(sweep("s", {tasks[0], tasks[1]}));
  const auto orders = env.take<StartAttempt>();
  ArtifactRef ref = make_artifact("same bytes");
  ref.bytes = 5;
  env.from(worker,
           ReportCheckpoint{
               .worker = worker, .attempt = orders.at(0).attempt, .step = 1, .artifact = ref});
  ref.bytes = 7;
  env.from(worker,
           ReportCheckpoint{
               .worker = worker, .attempt = orders.at(1).attempt, .step = 1, .artifact = ref});
  EXPECT_EQ(env.cluster().artifact_bytes(), 7);
  ref.bytes = 9;
  for (const StartAttempt& order : orders) {
    env.from(worker, ReportEnded{.worker = worker,
                                 .attempt = order.attempt,
                                 .outcome = Succeeded{.artifacts = {{"result", ref}}}});
  }
  EXPECT_EQ(env.cluster().artifact_bytes(), 9);
  EXPECT_EQ(env.cluster().artifacts_present(), 1);
}

// --- failed for good ---

struct Failing {
  CoreEnv env{};
  std::vector<WorkerId> workers{};
  TaskSpec task = make_task("train", 1);

  explicit Failing(std::int64_t count = 1) {
    for (std::int64_t i = 0; i < count; ++i) workers.push_back(env.add_worker(4));
    task.retry = {.user_failures_max = 3, .infra_failures_max = 2};
    task.fallbacks = {{.slots = 2}};
  }
  void submit() { EXPECT_TRUE(env.submit(make_submission("s", {task})).ok); }
  // Whether it is tried again.
  bool fail(const Failed& failed) {
    let_time_pass(env, workers, seconds(90));
    env.take<StartAttempt>();
    const auto& known = task_of(env, task);
    const Gang* gang = coordinator::gang_of(known.state);
    EXPECT_NE(gang, nullptr) << "nothing runs";
    if (gang == nullptr) return false;
    const WorkerId worker = gang->front().worker;
    env.fail(worker, {.task = task.key, .number = known.attempts}, failed);
    return env.state(task) != "failed";
  }
  void retry() {
    env.step(kClient, RetryTasks{.request = 1, .sweep = "s", .tasks = {task.key}});
    EXPECT_EQ(env.take<Answer>().at(0).body, R"({"revived":1})");
  }
};

const Failed kBug{.reason = "a bug"};
const Failed kInfra{.cause = FailureClass::kData, .reason = "a disk"};

TEST(Limits, EndTheTaskWithTheFailureThatReachesThem) {
  Failing user;
  user.submit();
  EXPECT_TRUE(user.fail(kBug));
  EXPECT_TRUE(user.fail(kInfra)) << "on another account";
  EXPECT_TRUE(user.fail(kBug));
  EXPECT_FALSE(user.fail(kBug));
  Failing infra;
  infra.submit();
  EXPECT_TRUE(infra.fail(kInfra));
  EXPECT_TRUE(infra.fail(kBug));
  EXPECT_FALSE(infra.fail(kInfra));
}

TEST(Limits, TheSameFailureIsOneOfEqualSignatureAndStepThatAreBothKnown) {
  const auto twice = [](const Failed& first, const Failed& second) {
    Failing world;
    world.task.retry.user_failures_max = 10;
    world.submit();
    EXPECT_TRUE(world.fail(first));
    return world.fail(second);
  };
  const Failed known{.reason = "ValueError", .signature = "ValueError", .step = 12};
  Failed other = known;
  EXPECT_FALSE(twice(known, known));
  other.step = 13;
  EXPECT_TRUE(twice(known, other));
  other.step = -1;
  EXPECT_TRUE(twice(other, other)) << "it never got anywhere";
  other = known;
  other.signature.clear();
  EXPECT_TRUE(twice(other, other)) << "nobody knows what it was";
  other.signature = "KeyError";
  EXPECT_TRUE(twice(known, other));
}

TEST(Limits, WhatNobodyWantsAnyMoreIsCancelledHoweverItFails) {
  Failing world;
  world.submit();
  ASSERT_EQ(world.env.take<StartAttempt>().size(), 1U);
  world.env.step(kClient, CancelSweep{.request = 1, .sweep = "s"});
  world.env.fail(world.workers[0], {.task = world.task.key, .number = 1},
                 {.cause = FailureClass::kInvalid, .reason = "no such layer"});
  EXPECT_EQ(world.env.state(world.task), "cancelled");
}

TEST(Revival, BeginsTheCountsOfFailuresAnew) {
  Failing user;
  user.submit();
  for (int i = 0; i < 3; ++i) user.fail(kBug);
  user.retry();
  EXPECT_TRUE(user.fail(kBug));
  EXPECT_TRUE(user.fail(kBug));
  EXPECT_FALSE(user.fail(kBug));

  Failing infra;
  infra.submit();
  for (int i = 0; i < 2; ++i) infra.fail(kInfra);
  infra.retry();
  EXPECT_TRUE(infra.fail(kInfra));

  Failing scheduled;
  scheduled.submit();
  const Failed ends{.cause = FailureClass::kScheduled, .reason = "time limit"};
  while (scheduled.env.state(scheduled.task) != "failed") {
    if (scheduled.env.state(scheduled.task) == "queued") {  // a pause
      for (const WorkerId worker : scheduled.workers) scheduled.env.heartbeat(worker);
      scheduled.env.pass(std::chrono::seconds(10));
      continue;
    }
    scheduled.env.fail(
        scheduled.workers[0],
        {.task = scheduled.task.key, .number = task_of(scheduled.env, scheduled.task).attempts},
        ends);
  }
  scheduled.retry();
  EXPECT_TRUE(scheduled.fail(ends));
}

TEST(Revival, BeginsWithTheFirstShape) {
  Failing world;
  world.submit();
  const Failed memory{.cause = FailureClass::kMemory, .reason = "OOM"};
  EXPECT_TRUE(world.fail(memory));
  EXPECT_FALSE(world.fail(memory));
  world.env.take<StartAttempt>();
  world.retry();
  EXPECT_EQ(world.env.take<StartAttempt>().at(0).gang.at(0).slots, 1);
}

TEST(Revival, ForgetsWhereItFailedAndWhichFailureItWas) {
  Failing spread(4);
  spread.task.retry.user_failures_max = 10;
  spread.submit();
  EXPECT_TRUE(spread.fail(kBug));
  EXPECT_TRUE(spread.fail(kBug));
  EXPECT_FALSE(spread.fail(kBug)) << "on three workers";
  spread.retry();
  EXPECT_TRUE(spread.fail(kBug));

  Failing avoiding;
  avoiding.submit();
  EXPECT_TRUE(avoiding.fail({.cause = FailureClass::kData,
                             .reason = "stale file handle",
                             .action = LogAction::kAvoidWorker}));
  EXPECT_EQ(task_of(avoiding.env, avoiding.task).trouble().avoids.size(), 1U);
  avoiding.fail({.cause = FailureClass::kInvalid, .reason = "no"});
  avoiding.retry();
  EXPECT_TRUE(task_of(avoiding.env, avoiding.task).trouble().avoids.empty());

  Failing same;
  same.task.retry.user_failures_max = 10;
  same.submit();
  const Failed known{.reason = "ValueError", .signature = "ValueError", .step = 12};
  EXPECT_TRUE(same.fail(known));
  EXPECT_FALSE(same.fail(known));
  same.retry();
  EXPECT_TRUE(same.fail(known)) << "once, since it was wanted again";
}

// --- results that go ---

TEST(Results, TheLossOfAResultLosesNoCheckpoint) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec train = make_task("train", 1);
  const TaskSpec score = make_task("score", 1, {train});
  env.submit(make_submission("s", {train, score}));
  const auto first = env.take<StartAttempt>().at(0);
  const ArtifactRef checkpoint = make_artifact("checkpoint");
  env.from(worker,
           ReportCheckpoint{
               .worker = worker, .attempt = first.attempt, .step = 9, .artifact = checkpoint});
  env.succeed(worker, first);
  const auto reads = env.take<StartAttempt>().at(0);
  const ContentHash lost = reads.inputs.at("from_train").hash;
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = reads.attempt,
                               .outcome = Failed{.cause = FailureClass::kData, .reason = "gone"},
                               .missing_inputs = {lost, lost}});
  const auto again = env.take<StartAttempt>();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].attempt.task, train.key);
  EXPECT_EQ(again[0].resume_from, checkpoint);
  EXPECT_EQ(std::count_if(env.log.begin(), env.log.end(),
                          [](const Event& event) {
                            return std::holds_alternative<ArtifactEvicted>(event.body);
                          }),
            1)
      << "lost once, however often it is said";
}

TEST(Results, OnlyAResultIsOutdated) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec prepare = make_task("prepare", 1);
  const TaskSpec extract = make_task("extract", 1, {prepare});
  const TaskSpec train = make_task("train", 1, {extract});
  env.submit(make_submission("s", {prepare, extract, train}));
  env.succeed(worker, env.take<StartAttempt>().at(0), "one");
  env.succeed(worker, env.take<StartAttempt>().at(0), "one");
  const auto lose = [&](const StartAttempt& order) {
    std::vector<ContentHash> missing;
    for (const auto& [name, ref] : order.inputs) missing.push_back(ref.hash);
    env.from(worker, ReportEnded{.worker = worker,
                                 .attempt = order.attempt,
                                 .outcome = Failed{.cause = FailureClass::kData, .reason = "gone"},
                                 .missing_inputs = missing});
    env.take<EndedAck>();
  };
  lose(env.take<StartAttempt>().at(0));                        // the training has nothing to read,
  lose(env.take<StartAttempt>().at(0));                        // nor has who makes it again
  env.succeed(worker, env.take<StartAttempt>().at(0), "two");  // and now there is another corpus
  EXPECT_NE(env.state(extract), "succeeded");
  EXPECT_FALSE(task_of(env, extract).outdated) << "it is made again anyway";
}

TEST(Results, WhatIsNotResumableBeginsAnewWhateverItWrote) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec score = make_task("score", 1);
  env.submit(make_submission("s", {score}));
  const auto first = env.take<StartAttempt>().at(0);
  env.from(worker, ReportCheckpoint{.worker = worker,
                                    .attempt = first.attempt,
                                    .step = 9,
                                    .artifact = make_artifact("checkpoint")});
  env.fail(worker, first.attempt, {.cause = FailureClass::kScheduled, .reason = "time limit"});
  EXPECT_FALSE(env.take<StartAttempt>().at(0).resume_from.has_value());
}

TEST(Results, WhatWasMadeFromAnOutdatedResultIsOutdatedTooUntilTheOldBytesAreThereAgain) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec prepare = make_task("prepare", 1);
  const TaskSpec extract = make_task("extract", 1, {prepare});
  const TaskSpec train = make_task("train", 1, {extract});
  const TaskSpec score = make_task("score", 1, {train});
  std::vector<TaskSpec> tasks{prepare, extract, train, score};
  env.submit(make_submission("s", tasks));
  env.succeed(worker, env.take<StartAttempt>().at(0), "one");
  for (int i = 0; i < 3; ++i) env.succeed(worker, env.take<StartAttempt>().at(0));
  const auto outdated = [&](const TaskSpec& task) {
    return env.cluster().find_task(task.key)->outdated;
  };
  const auto lose_and_make_again = [&](std::uint64_t reader, const std::string& content) {
    tasks.push_back(make_task("plot", reader, {prepare}));
    env.submit(make_submission("s", tasks));
    const StartAttempt reads = env.take<StartAttempt>().at(0);
    env.from(worker, ReportEnded{.worker = worker,
                                 .attempt = reads.attempt,
                                 .outcome = Failed{.cause = FailureClass::kData, .reason = "gone"},
                                 .missing_inputs = {reads.inputs.begin()->second.hash}});
    env.take<EndedAck>();
    env.succeed(worker, env.take<StartAttempt>().at(0), content);
    env.heartbeat(worker);
    env.pass(std::chrono::seconds(10));
    env.succeed(worker, env.take<StartAttempt>().at(0));  // the reader
  };
  lose_and_make_again(1, "two");
  EXPECT_FALSE(outdated(prepare));
  for (const TaskSpec& task : {extract, train, score}) EXPECT_TRUE(outdated(task)) << task.stage;
  lose_and_make_again(2, "one");
  for (const TaskSpec& task : {extract, train, score}) EXPECT_FALSE(outdated(task)) << task.stage;
}

}  // namespace
}  // namespace strata::testing
