// Searches in the core at their edges: results that are lost, inputs that can never come, reports
// that come after the end, restarts while a submission is under way.
#include <gtest/gtest.h>

#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

using coordinator::PeerId;
using coordinator::RungReport;
using std::chrono::seconds;

SearchDefinition asha(std::vector<std::int64_t> rungs, std::int64_t reduction) {
  return {.method = SearchMethod::kAsha,
          .stage = "train",
          .metric = "loss_val",
          .rungs = std::move(rungs),
          .reduction = reduction};
}

SubmitTasks searching(const std::string& name, std::vector<TaskSpec> tasks,
                      std::optional<SearchDefinition> search) {
  SubmitTasks submission = make_submission(name, std::move(tasks));
  std::int64_t cell = 0;
  for (const TaskSpec& task : submission.tasks)
    submission.runs.push_back(make_run("cell " + std::to_string(++cell), 1, {task}));
  submission.options.search = std::move(search);
  return submission;
}

template <class T>
std::int64_t count(const CoreEnv& env) {
  return std::count_if(env.log.begin(), env.log.end(),
                       [](const Event& e) { return std::holds_alternative<T>(e.body); });
}

AttemptId newest(const CoreEnv& env, const TaskSpec& task) {
  return {.task = task.key, .number = env.cluster().find_task(task.key)->attempts};
}

void report(CoreEnv& env, const TaskSpec& task, std::int64_t step, double value) {
  env.step(
      {},
      RungReport{.attempt = newest(env, task), .metric = "loss_val", .step = step, .value = value});
}

std::vector<TaskSpec> trains(std::int64_t count) {
  std::vector<TaskSpec> tasks;
  for (std::int64_t i = 0; i < count; ++i) tasks.push_back(make_task("train", i));
  return tasks;
}

TEST(Judged, AResultThatWasThereBeforeTheSearchIsNotJudgedWhenItIsMadeAgain) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  const auto tasks = trains(3);
  env.submit(make_submission("plain", {tasks[0]}));
  env.succeed(worker, env.take<StartAttempt>().at(0));
  env.submit(searching("s", tasks, asha({100}, 3)));
  ASSERT_TRUE(env.cluster().sweeps().at("s").search->find(tasks[0].key)->exempt);
  // Its result is gone when somebody reads it.
  const TaskSpec score = make_task("score", 1, {tasks[0]});
  env.submit(make_submission("more", {score}));
  env.take<StartAttempt>();
  env.from(worker,
           ReportEnded{.worker = worker,
                       .attempt = newest(env, score),
                       .outcome = Failed{.cause = FailureClass::kData, .reason = "gone"},
                       .missing_inputs = {
                           env.cluster().find_task(tasks[0].key)->made().artifacts.at("result").hash}});
  ASSERT_EQ(env.state(tasks[0]), "leased");
  report(env, tasks[0], 100, 9);
  EXPECT_FALSE(is_held(*env.cluster().find_task(tasks[0].key)));
  EXPECT_EQ(count<TaskHeld>(env), 0);
}

TEST(Judged, NobodyWaitsForATaskWhoseInputsInputCanNeverCome) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(8);
  const TaskSpec prepare = make_task("prepare", 1);
  const TaskSpec extract = make_task("extract", 1, {prepare});
  const TaskSpec stuck = make_task("train", 9, {extract});
  const auto tasks = trains(2);
  env.submit(searching("s", {tasks[0], tasks[1], prepare, extract, stuck}, asha({100}, 3)));
  env.take<StartAttempt>();
  report(env, tasks[0], 100, 1);
  report(env, tasks[1], 100, 2);
  EXPECT_EQ(count<TaskPruned>(env), 0) << "a third may come";
  env.fail(worker, newest(env, prepare), {.cause = FailureClass::kInvalid, .reason = "no corpus"});
  ASSERT_EQ(env.state(stuck), "blocked");
  EXPECT_EQ(env.cluster().fate_of(stuck.key), coordinator::Search::Fate::kEndedBadly);
  EXPECT_EQ(count<TaskPromoted>(env) + count<TaskPruned>(env), 2);
}

TEST(Judged, TheLastPointsMayComeAfterTheEnd) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  const auto tasks = trains(2);
  env.submit(searching("s", tasks, asha({100}, 2)));
  for (const StartAttempt& order : env.take<StartAttempt>()) {
    if (order.attempt.task == tasks[0].key) env.succeed(worker, order);
  }
  EXPECT_EQ(env.core().watched(tasks[0].key).size(), 1U);
  report(env, tasks[0], 100, 0.5);
  EXPECT_EQ(count<RungReached>(env), 1);
  EXPECT_TRUE(env.core().watched(tasks[0].key).empty());
  env.step({}, RungReport{.attempt = {.task = tasks[0].key, .number = 7},
                          .metric = "loss_val",
                          .step = 100,
                          .value = 1});
  report(env, tasks[0], 100, 0.4);
  EXPECT_EQ(count<RungReached>(env), 1);
}

TEST(Judged, ARungIsWatchedOnceForAllSweepsThatAskForIt) {
  CoreEnv env;
  const auto tasks = trains(1);
  env.submit(searching("a", tasks, asha({100}, 2)));
  env.submit(searching("b", tasks, asha({100}, 3)));
  env.submit(searching("c", tasks, asha({50}, 3)));
  env.submit(searching("none", tasks, std::nullopt));
  const auto watched = env.core().watched(tasks[0].key);
  ASSERT_EQ(watched.size(), 2U);
  EXPECT_EQ(watched[0].step, 100);
  EXPECT_EQ(watched[1].step, 50);
}

TEST(Judged, WhatIsHeldIsNotHeldAgainToBePruned) {
  CoreEnv env;
  env.add_worker(4);
  const auto tasks = trains(3);
  env.submit(searching("s", tasks, asha({100}, 3)));
  for (std::size_t i = 0; i < 3; ++i) report(env, tasks[i], 100, static_cast<double>(i));
  EXPECT_EQ(count<TaskPruned>(env), 2);
  std::map<TaskKey, int> held;
  for (const Event& event : env.log) {
    if (const auto* e = std::get_if<TaskHeld>(&event.body)) ++held[e->task];
  }
  for (const auto& [key, times] : held) EXPECT_EQ(times, 1);
}

TEST(Judged, WhatFailedWhileItWasHeldIsDecidedWhenItIsWantedAgain) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  const auto tasks = trains(3);
  env.submit(searching("s", tasks, asha({100}, 2)));
  report(env, tasks[0], 100, 9);
  report(env, tasks[1], 100, 0.1);
  env.fail(worker, newest(env, tasks[0]), {.cause = FailureClass::kInvalid, .reason = "no"});
  ASSERT_EQ(env.state(tasks[0]), "failed");
  report(env, tasks[2], 100, 5);  // the last one: the rung is closed
  env.step(PeerId(1), coordinator::RetryTasks{.request = 1, .sweep = "s", .tasks = {tasks[0].key}});
  EXPECT_EQ(env.state(tasks[0]), "pruned") << "nobody else would ask any more";
}

TEST(Judged, AfterARestartASubmissionThatIsUnderWayIsWaitedForForAWhile) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4, "w", 7);
  const auto tasks = trains(3);
  env.submit(searching("s", tasks, asha({100}, 3)));
  SubmitTasks again = searching("s", tasks, asha({100}, 3));
  again.last = false;
  env.submit(again);
  env.restart();
  std::vector<HeldAttempt> held;
  for (const TaskSpec& task : tasks) held.push_back({newest(env, task), AttemptPhase::kRunning});
  env.step(PeerId(50), Hello{.name = "w", .session = 7, .slots = 4, .held = held});
  // The worst two come first, the best one goes on by the rule.
  for (std::size_t i = 3; i-- > 0;) report(env, tasks[i], 100, static_cast<double>(i));
  EXPECT_EQ(count<TaskPruned>(env), 0) << "more may come";
  for (int i = 0; i < 13; ++i) {
    env.step(PeerId(50), Heartbeat{.worker = worker, .session = 7, .sequence = 1, .held = held});
    env.pass(seconds(10));
  }
  EXPECT_EQ(count<TaskPruned>(env), 2) << "its client is gone";
}

}  // namespace
}  // namespace strata::testing
