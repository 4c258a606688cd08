// What clients ask of the core: submissions, cancelling, retrying.
#include "coordinator/core/core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/support/core_env.h"

namespace strata {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::CoreEnv;
using testing::make_artifact;
using testing::make_run;
using testing::make_submission;
using testing::make_task;

TEST(Tasks, SubmittingTwiceCreatesNothing) {
  CoreEnv env;
  const TaskSpec task = make_task("prepare", 1);
  EXPECT_EQ(
      env.submit(make_submission("s", {task})).body,
      R"({"created":1,"generation":1,"kept":0,"revived":0,"runs":0,"sweep":"s","withdrawn":0})");
  EXPECT_EQ(
      env.submit(make_submission("s", {task})).body,
      R"({"created":0,"generation":2,"kept":1,"revived":0,"runs":0,"sweep":"s","withdrawn":0})");
  EXPECT_EQ(env.cluster().tasks().size(), 1U);
}

TEST(Tasks, ASharedTaskEndsOnlyWhenItsLastWantIsWithdrawn) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec shared = make_task("extract", 1);
  env.submit(make_submission("a", {shared}));
  env.submit(make_submission("b", {shared}));
  const auto started = env.take<StartAttempt>();
  ASSERT_EQ(started.size(), 1U);
  env.step(coordinator::PeerId(1), coordinator::CancelSweep{.request = 9, .sweep = "a"});
  EXPECT_TRUE(env.take<StopAttempt>().empty());
  EXPECT_EQ(env.take<Answer>().at(0).body, R"({"stopping":0,"withdrawn":1})");
  env.step(coordinator::PeerId(1), coordinator::CancelSweep{.request = 10, .sweep = "b"});
  ASSERT_EQ(env.take<StopAttempt>().size(), 1U);
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = started[0].attempt,
                               .outcome = Stopped{.reason = "asked"}});
  EXPECT_EQ(env.state(shared), "cancelled");
}

TEST(Tasks, AFailedTaskIsRevivedBySubmittingAgain) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("prepare", 1);
  env.submit(make_submission("s", {task}));
  const auto started = env.take<StartAttempt>();
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = started.at(0).attempt,
                               .outcome = Failed{.cause = FailureClass::kInvalid,
                                                 .reason = "spec.json: corpus is missing"}});
  EXPECT_EQ(env.state(task), "failed");
  EXPECT_EQ(env.reason(task), "spec.json: corpus is missing");
  EXPECT_EQ(
      env.submit(make_submission("s", {task})).body,
      R"({"created":0,"generation":2,"kept":0,"revived":1,"runs":0,"sweep":"s","withdrawn":0})")
      << "what is revived was not kept";
  EXPECT_EQ(env.take<StartAttempt>().at(0).attempt.number, 2U);
}

TEST(Submission, WhatDoesNotHoldTogetherIsRefusedWholeAndChangesNothing) {
  CoreEnv env;
  const TaskSpec producer = make_task("prepare", 1);
  const TaskSpec consumer = make_task("extract", 1, {producer});
  EXPECT_FALSE(env.submit(make_submission("s", {consumer})).ok) << "its producer is not there";
  TaskSpec forged = producer;
  forged.parameters = Value(Object{{"salt", 2}});
  EXPECT_FALSE(env.submit(make_submission("s", {forged})).ok)
      << "the key is not the hash of the content";
  EXPECT_FALSE(env.submit(make_submission("", {producer})).ok);
  TaskSpec wrong_output = consumer;
  wrong_output.inputs[0].output = "nothing";
  wrong_output.key = compute_key(wrong_output);
  EXPECT_FALSE(env.submit(make_submission("s", {producer, wrong_output})).ok) << "no such output";
  TaskSpec way_out = producer;
  way_out.outputs = {"../../etc"};
  EXPECT_FALSE(env.submit(make_submission("s", {way_out})).ok) << "an output is a plain name";
  SubmitTasks second = make_submission("s", {producer});
  second.first = false;
  EXPECT_FALSE(env.submit(second).ok) << "no submission is open";
  EXPECT_TRUE(env.log.empty());
}

TEST(Submission, WhatWasDroppedFromTheFileAndHasNotBegunDoesNotBegin) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec runs = make_task("train", 1);
  const TaskSpec waits = make_task("train", 2);
  const TaskSpec shared = make_task("train", 3);
  const TaskSpec stays = make_task("train", 4);
  const auto run = [](const TaskSpec& task) {
    return make_run("salt=" + to_canonical_json(*task.parameters.find("salt")), 1, {task});
  };
  env.submit(make_submission("s", {runs, waits, shared, stays},
                             {run(runs), run(waits), run(shared), run(stays)}));
  env.submit(make_submission("other", {shared}, {run(shared)}));
  const auto started = env.take<StartAttempt>();
  ASSERT_EQ(started.at(0).spec, runs);
  env.submit(make_submission("s", {stays}, {run(stays)}));
  EXPECT_TRUE(env.nothing_sent()) << "what runs is not stopped";
  EXPECT_EQ(env.state(waits), "cancelled");
  EXPECT_EQ(env.state(shared), "queued") << "the other sweep wants it";
  env.succeed(worker, started[0]);
  EXPECT_EQ(env.state(runs), "succeeded");
  EXPECT_FALSE(env.cluster().sweeps().at("s").cancelled);
  // The old file again: what was withdrawn is revived, the result is kept.
  const Answer answer =
      env.submit(make_submission("s", {runs, waits, stays}, {run(runs), run(waits), run(stays)}));
  EXPECT_NE(answer.body.find(R"("revived":1)"), std::string::npos) << answer.body;
  EXPECT_EQ(env.state(runs), "succeeded");
}

TEST(Submission, UntilItHasArrivedWholeEarlierRunsAreNoOrphans) {
  CoreEnv env;
  const TaskSpec task = make_task("train", 1);
  const RunSpec run = make_run("base", 1, {task});
  env.submit(make_submission("s", {task}, {run}));
  SubmitTasks half = make_submission("s", {make_task("train", 2)});
  half.last = false;
  env.submit(half);
  const auto& sweep = env.cluster().sweeps().at("s");
  EXPECT_TRUE(sweep.is_current(sweep.runs.at(run.key)));
  EXPECT_EQ(env.state(task), "queued") << "the client may have died: nothing is withdrawn";
  SubmitTasks rest = make_submission("s", {}, {});
  rest.first = false;
  env.submit(rest);
  EXPECT_FALSE(sweep.is_current(sweep.runs.at(run.key)));
  EXPECT_EQ(env.state(task), "cancelled");
}

TEST(Tasks, RetryingACancelledSweepWantsItsTasksAgain) {
  CoreEnv env;
  env.add_worker(1);
  const TaskSpec runs = make_task("train", 1);
  const TaskSpec waits = make_task("train", 2);
  env.submit(make_submission("s", {runs, waits},
                             {make_run("one", 1, {runs}), make_run("two", 1, {waits})}));
  env.step(coordinator::PeerId(1), coordinator::CancelSweep{.request = 2, .sweep = "s"});
  EXPECT_EQ(env.state(waits), "cancelled");
  env.step(coordinator::PeerId(1),
           coordinator::RetryTasks{.request = 3, .sweep = "s", .tasks = {runs.key, waits.key}});
  EXPECT_EQ(env.state(waits), "queued");
  EXPECT_TRUE(env.cluster().find_task(runs.key)->wants.contains("s"))
      << "it is still stopping, and then runs again";
  EXPECT_FALSE(env.cluster().sweeps().at("s").cancelled);
}

// What the server does with a plan that it has given out.
struct Planned {
  CoreEnv env{};
  TaskSpec old_task = make_task("prepare", 1);
  TaskSpec new_task = make_task("prepare", 2);
  std::shared_ptr<const coordinator::Plan> plan{};

  void make_plan(const std::vector<TaskSpec>& tasks) {
    coordinator::Plan made{.id = "p1", .sweep = "s", .scope = "file-1"};
    for (const TaskSpec& task : tasks) made.tasks.push_back(task.key);
    made.world = env.core().world_of("s", made.tasks);
    plan = std::make_shared<const coordinator::Plan>(made);
  }
  // Why it is refused; empty: it is not.
  std::string submit(const std::string& named = "p1/file-1", const std::string& sweep = "s") {
    SubmitTasks submission = make_submission(sweep, {old_task, new_task},
                                             {testing::make_run("c", 1, {old_task, new_task})});
    submission.if_plan = named;
    env.step(coordinator::PeerId(1),
             coordinator::SubmitPlanned{.submission = submission, .plan = plan});
    const Answer answer = env.take<Answer>().at(0);
    return answer.ok ? "" : answer.body;
  }
};

TEST(IfPlan, HoldsWhileNothingThatItSaidWouldReadOtherwise) {
  Planned p;
  p.env.add_worker(1);
  p.env.submit(make_submission("other", {p.old_task}));
  p.make_plan({p.old_task, p.new_task});
  const StartAttempt order = p.env.take<StartAttempt>().at(0);
  p.env.from(WorkerId(1), ReportStarted{.worker = WorkerId(1), .attempt = order.attempt});
  p.env.submit(make_submission("third", {make_task("prepare", 3)}));
  EXPECT_EQ(p.submit(), "") << "progress of a task, and tasks of others, are no move";
}

TEST(IfPlan, IsRefusedWhenATaskOfItIsOfAnotherClassNow) {
  Planned p;
  const WorkerId worker = p.env.add_worker(1);
  p.make_plan({p.old_task, p.new_task});
  p.env.submit(make_submission("other", {p.old_task}));
  EXPECT_THAT(p.submit(), ::testing::HasSubstr("the world has moved")) << "new, now under way";
  p.make_plan({p.old_task, p.new_task});
  p.env.succeed(worker, p.env.take<StartAttempt>().at(0));
  EXPECT_THAT(p.submit(), ::testing::HasSubstr("the world has moved")) << "under way, now kept";
  p.make_plan({p.old_task, p.new_task});
  EXPECT_EQ(p.submit(), "");
}

TEST(IfPlan, IsRefusedWhenTheSweepOrItsOrphansChanged) {
  Planned p;
  p.make_plan({p.old_task, p.new_task});
  const TaskSpec third = make_task("prepare", 3);
  p.env.submit(make_submission("s", {third}, {testing::make_run("x", 1, {third})}));
  EXPECT_THAT(p.submit(), ::testing::HasSubstr("the world has moved"))
      << "none of its tasks did, but there is a run that would become an orphan";
}

TEST(IfPlan, OfOtherTasksOrNotKnownAnyMoreIsRefused) {
  Planned p;
  p.make_plan({p.old_task, p.new_task});
  EXPECT_THAT(p.submit("p1/file-2"), ::testing::HasSubstr("is of other tasks"));
  EXPECT_THAT(p.submit("p1"), ::testing::HasSubstr("is of other tasks"));
  EXPECT_THAT(p.submit("p1/file-1", "t"), ::testing::HasSubstr("is of other tasks"));
  p.plan.reset();
  EXPECT_THAT(p.submit(), ::testing::HasSubstr("plan p1 is not known any more: plan again"));
  EXPECT_TRUE(p.env.cluster().sweeps().empty()) << "nothing of a refused submission is there";
}

TEST(Submission, OfTwoAtOnceTheOneThatBeganLastGoesOn) {
  CoreEnv env;
  const auto send = [&](std::uint64_t peer, SubmitTasks batch) {
    env.step(coordinator::PeerId(peer), std::move(batch));
    return env.take<Answer>().at(0);
  };
  const auto part = [](bool first, bool last, const TaskSpec& task) {
    SubmitTasks batch = make_submission("s", {task}, {testing::make_run("c", 1, {task})});
    batch.first = first;
    batch.last = last;
    return batch;
  };
  const TaskSpec one = make_task("train", 1);
  const TaskSpec two = make_task("train", 2);
  EXPECT_TRUE(send(1, part(true, false, one)).ok);
  EXPECT_TRUE(send(2, part(true, false, one)).ok);
  const Answer refused = send(1, part(false, true, two));
  EXPECT_FALSE(refused.ok);
  EXPECT_THAT(refused.body, ::testing::HasSubstr("another submission of it has begun since"));
  EXPECT_FALSE(env.cluster().sweeps().at("s").sealed) << "it does not end what is not its own";
  EXPECT_TRUE(send(2, part(false, true, two)).ok);
  EXPECT_TRUE(env.cluster().sweeps().at("s").sealed);
  EXPECT_EQ(env.cluster().tasks().size(), 2U);
}

}  // namespace
}  // namespace strata
