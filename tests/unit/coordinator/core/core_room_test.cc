// Making room: whom a preemption spares, and workers that say nothing of their memory.
#include <gtest/gtest.h>

#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TaskSpec needing(TaskSpec task, std::int64_t memory_mb, seconds expected = seconds(0)) {
  task.resources.memory_mb = memory_mb;
  task.resources.expected_ms = milliseconds(expected).count();
  return task;
}

void submit(CoreEnv& env, const std::string& name, std::vector<TaskSpec> tasks,
            std::int64_t priority = 0) {
  SubmitTasks submission = make_submission(name, std::move(tasks));
  submission.priority = priority;
  submission.options.preempts = priority >= 10;
  EXPECT_TRUE(env.submit(submission).ok);
}

std::set<TaskKey> started(CoreEnv& env) {
  std::set<TaskKey> keys;
  for (const StartAttempt& order : env.take<StartAttempt>()) keys.insert(order.attempt.task);
  return keys;
}

std::set<TaskKey> stopped(CoreEnv& env) {
  std::set<TaskKey> keys;
  for (const StopAttempt& order : env.take<StopAttempt>()) {
    EXPECT_EQ(order.kind, StopKind::kPreempt);
    EXPECT_TRUE(keys.insert(order.attempt.task).second) << "asked once";
  }
  return keys;
}

using Keys = std::set<TaskKey>;

TEST(Victims, AreOfTheLeastUrgentAndOfThoseTheOnesThatWereCreatedLast) {
  CoreEnv env;
  env.add_worker(5);
  const TaskSpec more[] = {make_task("train", 1), make_task("train", 2)};
  const TaskSpec less[] = {make_task("train", 3), make_task("train", 4), make_task("train", 5)};
  submit(env, "less", {less[0], less[1], less[2]}, 1);
  submit(env, "more", {more[0], more[1]}, 2);
  ASSERT_EQ(started(env).size(), 5U);
  submit(env, "gang", {make_task("gang", 1, {}, 2)}, 10);
  EXPECT_EQ(stopped(env), (Keys{less[1].key, less[2].key}));
  submit(env, "next", {make_task("gang", 2, {}, 2)}, 11);
  EXPECT_EQ(stopped(env), Keys{}) << "for the more urgent one enough is on its way out";
}

TEST(Victims, ThatAWideOneMakesNeedlessAreSpared) {
  CoreEnv env;
  env.add_worker(4);
  const TaskSpec narrow = make_task("train", 1);
  const TaskSpec wide = make_task("train", 2, {}, 3);
  submit(env, "least", {narrow}, 1);
  submit(env, "less", {wide}, 2);
  ASSERT_EQ(started(env).size(), 2U);
  const TaskSpec gang = make_task("gang", 1, {}, 3);
  submit(env, "gang", {gang}, 10);
  EXPECT_EQ(stopped(env), Keys{wide.key}) << "without the narrow one there is room as well";
  EXPECT_EQ(env.reason(narrow), "starting on w1 (attempt 1)");
}

TEST(Victims, OfThoseOfWhomOneIsEnoughTheLeastUrgentEnds) {
  CoreEnv env;
  env.add_worker(5);
  const TaskSpec least = make_task("train", 1);
  const TaskSpec less = make_task("train", 2);
  const TaskSpec wide = make_task("train", 3, {}, 3);
  submit(env, "least", {least}, 1);
  submit(env, "less", {less}, 2);
  submit(env, "wide", {wide}, 3);
  ASSERT_EQ(started(env).size(), 3U);
  submit(env, "gang", {make_task("gang", 1, {}, 4)}, 10);
  EXPECT_EQ(stopped(env), (Keys{least.key, wide.key})) << "the wide one and one of the two";
}

TEST(Victims, AreNoneThatLeaveTooLittleMemory) {
  CoreEnv env;
  env.add_worker(Hello{.slots = 4, .memory_mb = 1'000});
  const TaskSpec small = needing(make_task("train", 1), 100);
  const TaskSpec large = needing(make_task("train", 2), 800);
  submit(env, "least", {small}, 1);
  submit(env, "less", {large}, 2);
  ASSERT_EQ(started(env).size(), 2U);
  submit(env, "gang", {needing(make_task("gang", 1, {}, 2), 900)}, 10);
  EXPECT_EQ(stopped(env), Keys{large.key}) << "slots are free; the small one is not in the way";
}

TEST(Victims, WhereNoStopHelpsThereAreNone) {
  CoreEnv env;
  env.add_worker(4);
  const TaskSpec stays = make_task("score", 1, {}, 2);  // is not resumable
  submit(env, "low", {stays, make_task("train", 1), make_task("train", 2)}, 0);
  ASSERT_EQ(started(env).size(), 3U);
  submit(env, "gang", {make_task("gang", 1, {}, 3)}, 10);
  EXPECT_EQ(stopped(env), Keys{}) << "both would end for nothing";
}

TEST(Victims, AreOnTheWorkerWhereTheFewestSlotsAreTakenAndThenOnTheFirst) {
  CoreEnv env;
  env.add_worker(4, "w1");
  env.add_worker(4, "w2");
  env.add_worker(4, "w3");
  std::vector<TaskSpec> wide;
  for (std::int64_t i = 1; i <= 3; ++i) wide.push_back(make_task("train", i, {}, i == 1 ? 4 : 2));
  const auto of = [&](const std::string& worker) {
    Keys keys;
    for (const auto& [id, known] : env.cluster().workers()) {
      if (known.name != worker) continue;
      for (const AttemptId& attempt : known.attempts) keys.insert(attempt.task);
    }
    return keys;
  };
  // w1 is full with one of four; w2 and w3 with pairs of two.
  submit(env, "low",
         {wide[0], wide[1], wide[2], make_task("train", 4, {}, 2), make_task("train", 5, {}, 2)});
  ASSERT_EQ(started(env).size(), 5U);
  ASSERT_EQ(of("w1").size(), 1U);
  ASSERT_EQ(of("w2").size(), 2U);
  submit(env, "gang", {make_task("gang", 1, {}, 2)}, 10);
  const Keys victims = stopped(env);
  ASSERT_EQ(victims.size(), 1U);
  EXPECT_TRUE(of("w2").contains(*victims.begin()));
}

TEST(Victims, OneThatIsAskedToStopCountsForWhoeverComesFirst) {
  CoreEnv env;
  env.add_worker(2);
  submit(env, "low", {make_task("train", 1, {}, 2)});
  ASSERT_EQ(started(env).size(), 1U);
  submit(env, "one", {make_task("gang", 1)}, 10);
  EXPECT_EQ(stopped(env).size(), 1U);
  submit(env, "two", {make_task("gang", 2)}, 10);
  EXPECT_EQ(stopped(env), Keys{});
  env.pass(seconds(1));
  EXPECT_EQ(std::count_if(env.log.begin(), env.log.end(),
                          [](const Event& event) {
                            return std::holds_alternative<StopRequested>(event.body);
                          }),
            1)
      << "with every pass it is as it was";
}

TEST(Victims, AnUrgentGangFindsRoomAlsoWhereEverySlotIsTaken) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec low = make_task("train", 1);
  submit(env, "low", {low});
  const auto running = env.take<StartAttempt>();
  const TaskSpec urgent[] = {make_task("urgent", 1), make_task("urgent", 2)};
  submit(env, "urgent", {urgent[0], urgent[1]}, 10);
  EXPECT_EQ(stopped(env), Keys{low.key}) << "two of the same needs wait, one place is made";
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = running.at(0).attempt,
                               .outcome = Stopped{.reason = "asked"}});
  EXPECT_EQ(started(env), Keys{urgent[0].key});
}

// --- a worker that does not say how much memory it has ---

TEST(UnknownMemory, HoldsWhateverIsNeededAndIsNeverTooSmall) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(2);
  const TaskSpec huge[] = {needing(make_task("train", 1), 1'000'000),
                           needing(make_task("train", 2), 1'000'000),
                           needing(make_task("train", 3), 1'000'000)};
  submit(env, "s", {huge[0], huge[1], huge[2]});
  const auto orders = env.take<StartAttempt>();
  ASSERT_EQ(orders.size(), 2U) << "slots alone count";
  EXPECT_EQ(env.reason(huge[2]), "needs 1 slot and 1000000 MiB, 0 free on w1");
  env.succeed(worker, orders[0]);
  EXPECT_EQ(started(env), Keys{huge[2].key});
}

TEST(UnknownMemory, ComesIntoQuestionWhereTheOthersAreTooSmall) {
  CoreEnv env;
  env.add_worker(Hello{.name = "small", .slots = 1, .memory_mb = 500});
  const TaskSpec large = needing(make_task("train", 1), 600);
  submit(env, "s", {large});
  EXPECT_EQ(env.reason(large),
            "infeasible: needs 1 slot and 600 MiB; the largest worker has 500 MiB");
  const WorkerId silent = env.add_worker(4, "silent");
  const auto orders = env.take<StartAttempt>();
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_EQ(orders[0].gang.front().worker, silent);
  EXPECT_EQ(orders[0].gang.front().memory_mb, 600) << "it is written down, should it say later";
}

TEST(UnknownMemory, WhatAGangLeavesOverHasNoBoundInIt) {
  CoreEnv env;
  env.add_worker(6);
  submit(env, "a", {needing(make_task("first", 1, {}, 4), 800, seconds(100))});
  ASSERT_EQ(started(env).size(), 1U);
  const TaskSpec wide = needing(make_task("wide", 1, {}, 5), 900);
  const TaskSpec narrow[] = {needing(make_task("narrow", 1), 700),
                             needing(make_task("narrow", 2), 700)};
  submit(env, "b", {wide, narrow[0], narrow[1]});
  EXPECT_EQ(started(env), Keys{narrow[0].key}) << "one of the two free slots is over then";
  EXPECT_EQ(env.reason(narrow[1]), "needs 1 slot and 700 MiB; w1 is kept free for " +
                                       wide.key.brief() + ", which is before it");
}

TEST(UnknownMemory, WhenTheGangCanBeginDependsOnSlotsAlone) {
  CoreEnv env;
  env.add_worker(4);
  submit(env, "a", {needing(make_task("first", 1, {}, 2), 800, seconds(100))});
  ASSERT_EQ(started(env).size(), 1U);
  const TaskSpec wide = needing(make_task("wide", 1, {}, 4), 5'000);
  const TaskSpec fits = needing(make_task("fits", 1), 700, seconds(90));
  submit(env, "b", {wide, fits, needing(make_task("long", 1), 700, seconds(110))});
  EXPECT_EQ(started(env), Keys{fits.key}) << "the gang can begin in 100 s";
}

TEST(KnownMemory, WhatAGangLeavesOverIsHandedOutOnce) {
  CoreEnv env;
  env.add_worker(Hello{.slots = 8, .memory_mb = 1'000});
  submit(env, "a", {needing(make_task("first", 1, {}, 4), 100, seconds(100))});
  ASSERT_EQ(started(env).size(), 1U);
  const TaskSpec wide = needing(make_task("wide", 1, {}, 5), 600);
  const TaskSpec narrow[] = {needing(make_task("narrow", 1), 300),
                             needing(make_task("narrow", 2), 300)};
  submit(env, "b", {wide, narrow[0], narrow[1]});
  EXPECT_EQ(started(env), Keys{narrow[0].key}) << "slots are over for three, memory for one";
}

TEST(KnownMemory, AGangBeginsOnlyWhenItsMemoryIsThereToo) {
  CoreEnv env;
  env.add_worker(Hello{.slots = 4, .memory_mb = 1'000});
  // The slots of the gang are there after 50 s, its memory after 100 s.
  submit(env, "a",
         {needing(make_task("first", 1), 100, seconds(50)),
          needing(make_task("first", 2), 600, seconds(100))});
  ASSERT_EQ(started(env).size(), 2U);
  const TaskSpec wide = needing(make_task("wide", 1, {}, 3), 900);
  const TaskSpec fits = needing(make_task("fits", 1), 100, seconds(90));
  submit(env, "b", {wide, fits});
  EXPECT_EQ(started(env), Keys{fits.key}) << "it ends before the gang could begin";
}

TEST(UnknownMemory, IsNoReasonToEndAnybody) {
  CoreEnv env;
  env.add_worker(4);
  const TaskSpec large = needing(make_task("train", 1), 900);
  submit(env, "low", {large});
  ASSERT_EQ(started(env).size(), 1U);
  const TaskSpec gang = needing(make_task("gang", 1, {}, 3), 5'000);
  submit(env, "gang", {gang}, 10);
  EXPECT_EQ(stopped(env), Keys{});
  EXPECT_EQ(started(env), Keys{gang.key});
  const TaskSpec next = needing(make_task("gang", 2), 5'000);
  submit(env, "next", {next}, 11);
  EXPECT_EQ(stopped(env).size(), 1U) << "a slot is enough";
}

}  // namespace
}  // namespace strata::testing
