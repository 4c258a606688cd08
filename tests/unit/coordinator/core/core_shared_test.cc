// Sweeps that share tasks: outputs that grow, results that are made again, wants that come and go.

#include <gtest/gtest.h>

#include "tests/support/core_env.h"

namespace strata::coordinator {
namespace {

using strata::testing::CoreEnv;
using strata::testing::make_artifact;
using strata::testing::make_run;
using strata::testing::make_submission;
using strata::testing::make_task;

constexpr PeerId kClient{1};

TaskSpec taking(const std::string& stage, int salt, const TaskSpec& from,
                const std::string& output = "result") {
  TaskSpec task = make_task(stage, salt);
  task.inputs = {{.name = "in", .producer = from.key, .output = output}};
  task.key = compute_key(task);
  return task;
}

TaskSpec making(TaskSpec task, std::vector<std::string> outputs) {
  task.outputs = std::move(outputs);
  return task;
}

// Every attempt makes its own bytes.
void succeed(CoreEnv& env, WorkerId worker, const StartAttempt& order) {
  env.from(worker, ReportStarted{.worker = worker, .attempt = order.attempt});
  Succeeded done;
  for (const std::string& output : order.spec.outputs)
    done.artifacts[output] = make_artifact(output + order.attempt.text());
  for (const auto& [input, ref] : order.inputs) done.consumed[input] = ref.hash;
  env.from(worker, ReportEnded{.worker = worker, .attempt = order.attempt, .outcome = done});
  env.take<EndedAck>();
}

std::string cancel(CoreEnv& env, const std::string& sweep) {
  env.step(kClient, CancelSweep{.request = 1, .sweep = sweep});
  return env.take<Answer>().at(0).body;
}

TEST(SharedTasks, WhoIsQueuedWaitsAgainWhenWhatItReadsIsMadeAgain) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec prepare = make_task("prepare", 1);
  const TaskSpec one = taking("read", 1, prepare);
  const TaskSpec two = taking("read", 2, prepare);
  env.submit(make_submission("first", {prepare, one, two}));
  succeed(env, worker, env.take<StartAttempt>().at(0));
  const StartAttempt running = env.take<StartAttempt>().at(0);
  const TaskSpec& queued = running.attempt.task == one.key ? two : one;
  ASSERT_EQ(env.state(queued), "queued");

  const TaskSpec grown = making(prepare, {"extra", "result"});
  const TaskSpec reads_extra = taking("plot", 1, grown, "extra");
  EXPECT_TRUE(env.submit(make_submission("second", {grown, reads_extra})).ok);
  EXPECT_EQ(env.state(prepare), "queued");
  EXPECT_EQ(env.state(queued), "blocked");

  env.restart();  // and a log with this in it can be lived with
  EXPECT_EQ(env.state(queued), "blocked");
}

TEST(SharedTasks, TheLossOfOneOutputHoldsBackThoseThatReadTheOther) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(2);
  const TaskSpec prepare = making(make_task("prepare", 1), {"x", "y"});
  TaskSpec reads_x = taking("read", 1, prepare, "x");
  reads_x.resources.slots = 2;
  const TaskSpec reads_y = taking("read", 2, prepare, "y");
  env.submit(make_submission("first", {prepare, reads_x, reads_y}));
  succeed(env, worker, env.take<StartAttempt>().at(0));
  const StartAttempt running = env.take<StartAttempt>().at(0);
  ASSERT_EQ(running.attempt.task, reads_x.key);

  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = running.attempt,
                               .outcome = Failed{.cause = FailureClass::kData, .reason = "gone"},
                               .missing_inputs = {running.inputs.at("in").hash}});
  EXPECT_EQ(env.state(prepare), "leased");
  EXPECT_EQ(env.state(reads_y), "blocked");
}

TEST(SharedTasks, OutputsThatAreAskedForWhileItRunsAddUp) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec prepare = make_task("prepare", 1);
  const TaskSpec grown = making(prepare, {"extra", "result"});
  const TaskSpec plot = taking("plot", 1, grown, "extra");
  env.submit(make_submission("first", {prepare}));
  const StartAttempt first = env.take<StartAttempt>().at(0);
  env.submit(make_submission("second", {grown, plot}));
  env.submit(make_submission("third", {prepare}));  // the newest word knows of fewer
  succeed(env, worker, first);
  const StartAttempt again = env.take<StartAttempt>().at(0);
  EXPECT_EQ(again.spec.outputs, (std::vector<std::string>{"extra", "result"}));
  succeed(env, worker, again);
  EXPECT_EQ(env.take<StartAttempt>().at(0).attempt.task, plot.key);
}

TEST(SharedTasks, ALaterBatchMayTakeAnOutputThatTheRunningProducerWillHave) {
  CoreEnv env;
  env.add_worker(1);
  const TaskSpec prepare = make_task("prepare", 1);
  env.submit(make_submission("first", {prepare}));
  const TaskSpec grown = making(prepare, {"extra", "result"});
  SubmitTasks begin = make_submission("second", {grown});
  begin.last = false;
  SubmitTasks end = make_submission("second", {taking("plot", 1, grown, "extra")});
  end.first = false;
  EXPECT_TRUE(env.submit(begin).ok);
  const Answer answer = env.submit(end);
  EXPECT_TRUE(answer.ok) << answer.body;
}

TEST(SharedTasks, OldWordsThatComeAgainWhileItRunsCountAgain) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  const TaskSpec task = make_task("train", 1);
  TaskSpec wider = task;
  wider.resources.slots = 4;
  env.submit(make_submission("one", {task}));
  const StartAttempt running = env.take<StartAttempt>().at(0);
  env.submit(make_submission("one", {wider}));
  env.submit(make_submission("one", {task}));
  env.fail(worker, running.attempt, Failed{.reason = "a bug"});
  EXPECT_EQ(env.cluster().find_task(task.key)->resources().slots, 1);
}

TEST(SharedTasks, ACancelledSweepWantsWhatFailedNoMore) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("first", {task}));
  env.fail(worker, env.take<StartAttempt>().at(0).attempt,
           Failed{.cause = FailureClass::kInvalid, .reason = "no such layer"});
  ASSERT_EQ(env.state(task), "failed");
  cancel(env, "first");
  EXPECT_EQ(env.state(task), "failed") << "what happened stays so";

  env.submit(make_submission("second", {task}));
  ASSERT_EQ(env.take<StartAttempt>().size(), 1U);
  EXPECT_NE(cancel(env, "second").find("\"stopping\":1"), std::string::npos);
  EXPECT_EQ(env.take<StopAttempt>().size(), 1U);
}

TEST(SharedTasks, ACancelEndsTheSubmissionThatIsUnderWay) {
  CoreEnv env;
  env.add_worker(1);
  const TaskSpec prepare = make_task("prepare", 1);
  SubmitTasks begin = make_submission("one", {prepare});
  begin.last = false;
  SubmitTasks end = make_submission("one", {taking("read", 1, prepare)});
  end.first = false;
  env.submit(begin);
  cancel(env, "one");
  const Answer refused = env.submit(end);
  EXPECT_FALSE(refused.ok);
  EXPECT_NE(refused.body.find("cancelled while it was being submitted"), std::string::npos);
  begin.last = true;
  EXPECT_TRUE(env.submit(begin).ok) << "from its beginning, it may come again";
}

TEST(SharedTasks, ARetryWantsResultsAgainSoThatALostOneIsMadeForSomebody) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec prepare = make_task("prepare", 1);
  const TaskSpec read = taking("read", 1, prepare);
  SubmitTasks submission = make_submission("one", {prepare, read});
  submission.runs = {make_run("cell", 1, {prepare, read})};
  env.submit(submission);
  const StartAttempt order = env.take<StartAttempt>().at(0);
  cancel(env, "one");
  succeed(env, worker, order);  // before it was stopped
  env.step(kClient, RetryTasks{.request = 2, .tasks = {read.key, prepare.key}});
  EXPECT_TRUE(env.cluster().find_task(prepare.key)->wants.contains("one"));
}

TEST(SharedTasks, AQuotaThatATaskCanNeverMeetDoesNotHoldItBackForAnother) {
  CoreEnv env;
  env.add_worker(8);
  const TaskSpec filler = make_task("fill", 1, {}, 8);
  env.submit(make_submission("zero", {filler}));
  TaskSpec task = make_task("train", 1);
  SubmitTasks small = make_submission("small", {task});
  small.options.slots_max = 2;
  env.submit(small);
  task.resources.slots = 4;
  ASSERT_TRUE(env.submit(make_submission("large", {task})).ok);
  EXPECT_EQ(env.reason(task).find("may hold 2"), std::string::npos) << env.reason(task);
}

TEST(SharedTasks, WhatNoUserMayHoldIsRefusedAtOnce) {
  CoreEnv env({.scheduler = {.user_slots_max = 2}});
  env.add_worker(8);
  const Answer answer = env.submit(make_submission("one", {make_task("train", 1, {}, 4)}));
  EXPECT_FALSE(answer.ok);
  EXPECT_NE(answer.body.find("a user may hold 2"), std::string::npos) << answer.body;
}

}  // namespace
}  // namespace strata::coordinator
