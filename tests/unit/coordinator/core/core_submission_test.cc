// What a submission may hold, at its bounds.
#include <gtest/gtest.h>

#include "coordinator/core/log_chain.h"
#include "coordinator/core/plan.h"
#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

std::string refused(CoreEnv& env, const SubmitTasks& submission) {
  const Answer answer = env.submit(submission);
  return answer.ok ? "" : answer.body;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(SubmissionBounds, AQuotaHoldsForEveryShapeOfATask) {
  CoreEnv env({.scheduler = {.user_slots_max = 4}});
  TaskSpec task = make_task("train", 1, {}, 2);
  task.fallbacks = {{.slots = 3}};
  SubmitTasks submission = make_submission("s", {task});
  submission.options.slots_max = 2;
  EXPECT_TRUE(contains(refused(env, submission), "needs 3 slots and the sweep may hold 2"));
  submission.options.slots_max = 3;
  EXPECT_EQ(refused(env, submission), "");
  submission.tasks[0].fallbacks = {{.slots = 5}};
  submission.options.slots_max = 0;
  EXPECT_TRUE(contains(refused(env, submission), "needs 5 slots and a user may hold 4"));
  submission.tasks[0].fallbacks = {{.slots = 4}};
  EXPECT_EQ(refused(env, submission), "");
}

TEST(SubmissionBounds, ABatchHoldsSoManyTasksAndRuns) {
  CoreEnv env;
  SubmitTasks submission = make_submission("s", {});
  for (std::size_t i = 0; i <= kTasksPerBatchMax; ++i)
    submission.tasks.push_back(make_task("train", static_cast<std::int64_t>(i)));
  EXPECT_TRUE(contains(refused(env, submission), "\"code\":\"too-large\"") ||
              contains(refused(env, submission), "a batch holds at most 256"));
  submission.tasks.pop_back();
  EXPECT_EQ(refused(env, submission), "");
  for (std::size_t i = 0; i <= kTasksPerBatchMax; ++i)
    submission.runs.push_back(make_run("c", 1, {submission.tasks[0]}));
  EXPECT_TRUE(contains(refused(env, submission), "a batch holds at most 256"));
}

TEST(SubmissionBounds, ARunNamesTasksThatAreThere) {
  CoreEnv env;
  const TaskSpec task = make_task("train", 1);
  const TaskSpec unknown = make_task("train", 2);
  EXPECT_TRUE(contains(refused(env, make_submission("s", {task}, {make_run("c", 1, {unknown})})),
                       "not there"));
  EXPECT_TRUE(env.log.empty());
}

TEST(SubmissionBounds, AnOutputThatTheRunningProducerHasMayBeTakenWhateverWasSaidOfItSince) {
  CoreEnv env;
  env.add_worker(1);
  TaskSpec prepare = make_task("prepare", 1);
  TaskSpec grown = prepare;
  grown.outputs = {"extra", "result"};
  env.submit(make_submission("first", {grown}));
  env.submit(make_submission("second", {prepare}));
  TaskSpec plot = make_task("plot", 1, {prepare});
  plot.inputs[0].output = "extra";
  plot.key = compute_key(plot);
  EXPECT_EQ(refused(env, make_submission("third", {plot})), "");
}

TEST(Plans, TellTasksOfDifferentClassesApart) {
  using coordinator::plan_class;
  EXPECT_EQ(plan_class("", false, false), 'n');
  for (const char* state : {"failed", "cancelled"}) EXPECT_EQ(plan_class(state, false, true), 'r');
  for (const char* state : {"succeeded", "diverged", "pruned"}) {
    EXPECT_EQ(plan_class(state, false, true), 'k');
    EXPECT_EQ(plan_class(state, true, true), 'o');
  }
  for (const char* state : {"blocked", "queued", "leased", "running", "held"})
    EXPECT_EQ(plan_class(state, false, true), 'u');
}

TEST(Plans, WhatASearchPrunedRunsAgainForASweepThatDoesNotWantItNow) {
  using coordinator::plan_class;
  EXPECT_EQ(plan_class("pruned", false, false), 'r');
  EXPECT_EQ(plan_class("succeeded", false, false), 'k');
}

TEST(LogChain, DependsOnTheFrameItsNumberAndAllThatWasBefore) {
  using coordinator::chained;
  const std::uint32_t chain = chained(7, 3, "frame");
  EXPECT_EQ(chained(7, 3, "frame"), chain);
  EXPECT_NE(chained(8, 3, "frame"), chain);
  EXPECT_NE(chained(7, 4, "frame"), chain);
  EXPECT_NE(chained(7, 3ULL | 1ULL << 63U, "frame"), chain);
  EXPECT_NE(chained(7, 3, "Frame"), chain);
}

}  // namespace
}  // namespace strata::testing
