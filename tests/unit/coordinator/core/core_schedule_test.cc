// Who gets slots when not everybody can: quotas, shares, reservations, backfill, preemption.

#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

using coordinator::PeerId;
using std::chrono::milliseconds;
using std::chrono::seconds;

SubmitTasks sweep(const std::string& name, std::vector<TaskSpec> tasks, SweepOptions options = {},
                  std::int64_t priority = 0) {
  SubmitTasks submission = make_submission(name, std::move(tasks));
  submission.options = std::move(options);
  submission.priority = priority;
  return submission;
}

// Tasks that differ in salt only.
std::vector<TaskSpec> several(const std::string& stage, std::int64_t first, std::int64_t count,
                              std::int64_t slots = 1) {
  std::vector<TaskSpec> tasks;
  for (std::int64_t i = 0; i < count; ++i) tasks.push_back(make_task(stage, first + i, {}, slots));
  return tasks;
}

TaskSpec lasting(TaskSpec task, seconds expected) {
  task.resources.expected_ms = milliseconds(expected).count();
  return task;
}

std::map<std::string, int> granted_by_sweep(CoreEnv& env) {
  std::map<std::string, int> granted;
  for (const StartAttempt& order : env.take<StartAttempt>())
    ++granted[*env.cluster().find_task(order.attempt.task)->wants.begin()];
  return granted;
}

TEST(Quota, ASweepNeverHoldsMoreThanItMay) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  const auto tasks = several("train", 1, 3, 2);
  env.submit(sweep("s", tasks, {.slots_max = 2}));
  const auto first = env.take<StartAttempt>();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(env.reason(tasks[1]), "its sweep may hold 2 slots at once and holds 2");
  env.succeed(worker, first[0]);
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U);
}

TEST(Quota, ATaskThatNeedsMoreThanItsSweepMayHoldIsRefusedAtSubmission) {
  CoreEnv env;
  const Answer answer = env.submit(sweep("s", several("train", 1, 1, 3), {.slots_max = 2}));
  EXPECT_FALSE(answer.ok);
  EXPECT_NE(answer.body.find("needs 3 slots and the sweep may hold 2"), std::string::npos)
      << answer.body;
  EXPECT_TRUE(env.cluster().sweeps().empty());
}

// Found by the simulator (seed 291).
TEST(Quota, WhatASweepOwnsAfterItsPriorityRoseCounts) {
  CoreEnv env;
  env.add_worker(4);
  const auto shared = several("train", 1, 1, 2);
  env.submit(sweep("other", shared, {}, 1));
  ASSERT_EQ(env.take<StartAttempt>().size(), 1U);
  auto tasks = shared;
  tasks.push_back(make_task("train", 2, {}, 2));
  env.submit(sweep("s", shared, {.slots_max = 2}, 0));
  env.submit(sweep("s", tasks, {.slots_max = 2}, 2));
  EXPECT_TRUE(env.take<StartAttempt>().empty()) << "it owns what runs for both";
  EXPECT_EQ(env.reason(tasks[1]), "its sweep may hold 2 slots at once and holds 2");
}

TEST(Quota, OfAUserIsOverAllOfTheirSweeps) {
  CoreEnv env({.scheduler = {.user_slots_max = 3}});
  env.submit(sweep("a", several("train", 1, 2), {.user = "ada"}));
  env.submit(sweep("b", several("train", 11, 2), {.user = "ada"}));
  env.submit(sweep("c", several("train", 21, 2), {.user = "bob"}));
  env.add_worker(6);
  auto granted = granted_by_sweep(env);
  EXPECT_EQ(granted["a"] + granted["b"], 3);
  EXPECT_EQ(granted["c"], 2);
}

TEST(FairShare, UsersGetTheSameWhoeverCameFirst) {
  CoreEnv env;
  env.submit(sweep("a", several("train", 1, 8), {.user = "ada"}));
  env.submit(sweep("b", several("train", 11, 8), {.user = "ada"}));
  env.submit(sweep("c", several("train", 21, 8), {.user = "bob"}));
  env.add_worker(8);
  auto granted = granted_by_sweep(env);
  EXPECT_EQ(granted["c"], 4);
  EXPECT_EQ(granted["a"], 2);
  EXPECT_EQ(granted["b"], 2);
}

TEST(FairShare, SweepsOfAUserGetSlotsByTheirWeights) {
  CoreEnv env;
  env.submit(sweep("a", several("train", 1, 8), {.weight = 3}));
  env.submit(sweep("b", several("train", 11, 8)));
  env.add_worker(8);
  auto granted = granted_by_sweep(env);
  EXPECT_EQ(granted["a"], 6);
  EXPECT_EQ(granted["b"], 2);
}

TEST(FairShare, PriorityComesFirst) {
  CoreEnv env;
  env.submit(sweep("a", several("train", 1, 8), {.user = "ada"}));
  env.submit(sweep("b", several("train", 11, 8), {.user = "bob"}, 1));
  env.add_worker(8);
  EXPECT_EQ(granted_by_sweep(env)["b"], 8);
}

TEST(FairShare, TheSlotsOfASharedTaskMoveToTheSweepThatStillWantsIt) {
  CoreEnv env;
  env.add_worker(2);
  const TaskSpec shared = make_task("train", 1);
  env.submit(sweep("a", {shared}, {.slots_max = 1}));
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U);
  env.submit(sweep("b", {shared, make_task("train", 2)}, {.slots_max = 1}));
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U) << "the shared one is on the account of a";
  env.step(PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "a"});
  EXPECT_TRUE(env.take<Answer>().at(0).ok);
  env.submit(sweep("b2", {make_task("train", 3)}));
  EXPECT_TRUE(env.take<StartAttempt>().empty()) << "both slots are held";
  EXPECT_EQ(env.state(shared), "leased");
}

TEST(Scoring, HasAShareOfItsOwnSoThatCheckpointsNeverPileUp) {
  CoreEnv env;
  TaskSpec score = make_task("score", 1);
  score.scoring = true;
  TaskSpec second = make_task("score", 2);
  second.scoring = true;
  env.submit(sweep("long", several("train", 1, 4), {}, 5));
  env.submit(sweep("s", {score, second}));
  env.add_worker(2);
  const auto granted = env.take<StartAttempt>();
  ASSERT_EQ(granted.size(), 2U);
  EXPECT_EQ(granted[0].attempt.task, score.key) << "one slot of two, before the more urgent sweep";
  EXPECT_EQ(granted[1].spec.stage, "train") << "the share is used";
}

TEST(Backfill, FillsTheGapBeforeAWideGangWithWhatEndsBeforeItAndWithNothingElse) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  env.submit(sweep("a", {lasting(make_task("first", 1, {}, 2), seconds(100))}));
  const auto first = env.take<StartAttempt>();
  const TaskSpec wide = make_task("wide", 1, {}, 4);
  const TaskSpec fits = lasting(make_task("fits", 1), seconds(90));
  const TaskSpec too_long = lasting(make_task("long", 1), seconds(110));
  const TaskSpec silent = make_task("silent", 1);
  env.submit(sweep("b", {wide, too_long, silent, fits}));
  const auto filled = env.take<StartAttempt>();
  ASSERT_EQ(filled.size(), 1U);
  EXPECT_EQ(filled[0].attempt.task, fits.key);
  EXPECT_EQ(env.reason(wide), "needs 4 slots together, 1 free on w1");
  EXPECT_EQ(env.reason(silent),
            "needs 1 slot; w1 is kept free for " + wide.key.brief() + ", which is before it");
  env.succeed(worker, filled[0]);
  env.succeed(worker, first[0]);
  const auto then = env.take<StartAttempt>();
  ASSERT_EQ(then.size(), 1U);
  EXPECT_EQ(then[0].attempt.task, wide.key);
}

TEST(Backfill, WhatRunsLongerThanItSaidGivesItsPlaceBack) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  env.submit(sweep("a", {lasting(make_task("first", 1, {}, 2), seconds(100))}));
  const auto first = env.take<StartAttempt>();
  env.submit(sweep("b", {make_task("wide", 1, {}, 4), lasting(make_task("fits", 1), seconds(90))}));
  const auto filled = env.take<StartAttempt>();
  env.pass(seconds(15));
  env.heartbeat(worker, {{first.at(0).attempt}, {filled.at(0).attempt}});
  env.pass(seconds(85));
  EXPECT_TRUE(env.take<StopAttempt>().empty()) << "it has until the gang could have begun";
  env.heartbeat(worker, {{first.at(0).attempt}, {filled.at(0).attempt}});
  env.pass(seconds(1));
  const auto stops = env.take<StopAttempt>();
  ASSERT_FALSE(stops.empty());
  EXPECT_EQ(stops[0].attempt, filled[0].attempt);
  EXPECT_EQ(stops[0].kind, StopKind::kPreempt);
}

TEST(Backfill, WhatTheGangLeavesOverMayBeUsedForAnyTime) {
  CoreEnv env;
  env.add_worker(6);
  env.submit(sweep("a", {lasting(make_task("first", 1, {}, 4), seconds(100))}));
  env.take<StartAttempt>();
  const TaskSpec wide = make_task("wide", 1, {}, 5);
  env.submit(sweep("b", {wide, make_task("narrow", 1), make_task("narrow", 2)}));
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U) << "one of the two free slots is over then";
}

TEST(Backfill, WhoseGangIsGoneMayRunLongerThanItSaid) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  env.submit(sweep("a", {lasting(make_task("first", 1, {}, 2), seconds(100))}));
  const auto first = env.take<StartAttempt>();
  env.submit(sweep("gang", {make_task("wide", 1, {}, 4)}));
  env.submit(sweep("b", {lasting(make_task("fits", 1), seconds(90))}));
  const auto filled = env.take<StartAttempt>();
  env.step(coordinator::PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "gang"});
  for (int i = 0; i < 8; ++i) {
    env.heartbeat(worker, {{first.at(0).attempt}, {filled.at(0).attempt}});
    env.pass(seconds(17));
  }
  EXPECT_TRUE(env.take<StopAttempt>().empty());
}

TEST(Backfill, TakesAPlaceThatIsKeptForNobodyFirst) {
  CoreEnv env;
  env.add_worker(4, "w1");
  env.submit(sweep("a", {lasting(make_task("first", 1, {}, 2), seconds(100))}));
  env.submit(sweep("gang", {make_task("wide", 1, {}, 4)}));
  env.take<StartAttempt>();
  const WorkerId idle = env.add_worker(3, "w2");
  env.submit(sweep("b", {lasting(make_task("fits", 1), seconds(90))}));
  EXPECT_EQ(env.take<StartAttempt>().at(0).gang.at(0).worker, idle);
}

TEST(Backfill, NothingIsKeptWhereTheTaskCanNeverRun) {
  CoreEnv env;
  env.add_worker(Hello{.slots = 4, .lifetime_left_ms = 3'600'000});
  const TaskSpec days = lasting(make_task("prepare", 1), std::chrono::hours(10));
  env.submit(sweep("a", {days}));
  EXPECT_NE(env.reason(days).find("ends in 3600 s"), std::string::npos) << env.reason(days);
  env.submit(sweep("b", {lasting(make_task("short", 1), seconds(600)), make_task("short", 2)}));
  EXPECT_EQ(env.take<StartAttempt>().size(), 2U);
}

// Durations are what tasks say. Whatever waits behind it, the gang in front begins when it would
// have begun without them, on whichever worker.
TEST(Backfill, NeverDelaysTheGangInFront) {
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    const auto begins_after = [&](bool with_others) {
      Random random(seed);
      CoreEnv env;
      std::vector<WorkerId> workers{env.add_worker(8)};
      if (seed % 2 == 0) workers.push_back(env.add_worker(8));
      std::vector<TaskSpec> running;
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(4 * workers.size()); ++i) {
        // On two workers none of these waits: else fair shares decide who of them and the gang goes
        // first, and those the others do move.
        const std::uint64_t most = workers.size() == 1 ? 3 : 2;
        const auto slots = static_cast<std::int64_t>(1 + random.bounded(most));
        running.push_back(lasting(make_task("running", i, {}, slots),
                                  seconds(10 + static_cast<int>(random.bounded(90)))));
      }
      env.submit(sweep("a", running));
      const TaskSpec wide =
          make_task("wide", 1, {}, static_cast<std::int64_t>(5 + random.bounded(4)));
      std::vector<TaskSpec> behind{wide};
      for (std::int64_t i = 0; with_others && i < 12; ++i) {
        TaskSpec task = make_task("other", i, {}, static_cast<std::int64_t>(1 + random.bounded(3)));
        if (random.bounded(3) > 0)
          task = lasting(task, seconds(5 + static_cast<int>(random.bounded(60))));
        behind.push_back(task);
      }
      env.submit(sweep("b", behind));
      std::map<AttemptId, std::pair<Instant, StartAttempt>> ends;
      const Instant start = env.now();
      for (int second = 0; second < 1'000; ++second) {
        for (const StartAttempt& order : env.take<StartAttempt>()) {
          if (order.attempt.task == wide.key) return env.now() - start;
          const std::int64_t takes =
              order.spec.resources.expected_ms > 0 ? order.spec.resources.expected_ms : 300'000;
          ends.try_emplace(order.attempt, env.now() + milliseconds(takes), order);
        }
        for (const WorkerId worker : workers) {
          std::vector<HeldAttempt> held;
          for (const auto& [id, end] : ends) {
            if (end.second.gang.at(0).worker == worker)
              held.push_back({id, AttemptPhase::kRunning});
          }
          env.heartbeat(worker, held);
        }
        env.pass(seconds(1));
        EXPECT_TRUE(env.take<StopAttempt>().empty()) << "everybody keeps their word";
        for (auto it = ends.begin(); it != ends.end();) {
          if (it->second.first > env.now()) {
            ++it;
            continue;
          }
          env.succeed(it->second.second.gang.at(0).worker, it->second.second);
          it = ends.erase(it);
        }
      }
      ADD_FAILURE() << "the wide gang never began, seed " << seed;
      return Duration{0};
    };
    EXPECT_EQ(begins_after(true), begins_after(false)) << "seed " << seed;
  }
}

TEST(Memory, IsHeldAndGivenBackLikeSlots) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(Hello{.slots = 4, .memory_mb = 1000});
  TaskSpec big = make_task("big", 1);
  big.resources.memory_mb = 600;
  TaskSpec other = make_task("big", 2);
  other.resources.memory_mb = 600;
  env.submit(make_submission("s", {big, other}));
  const auto first = env.take<StartAttempt>();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(env.reason(other), "needs 1 slot and 600 MiB, 400 MiB free on w1");
  env.succeed(worker, first[0]);
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U);
}

TEST(Lifetime, IsCountedFromWhatTheWorkerSaidLast) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(Hello{.slots = 1, .lifetime_left_ms = 600'000});
  const TaskSpec task = lasting(make_task("prepare", 1), seconds(500));
  env.pass(seconds(110));
  const auto* known = env.cluster().find_worker(worker);
  env.from(
      worker,
      Heartbeat{
          .worker = worker, .session = known->session, .sequence = 1, .lifetime_left_ms = 490'000});
  env.submit(make_submission("s", {task}));
  EXPECT_TRUE(env.take<StartAttempt>().empty());
  EXPECT_EQ(env.reason(task), "needs 1 slot for 500 s; w1 ends in 490 s");
}

TEST(Explain, AWorkerThatEndsSoonBeginsNothingMoreAndTheRuleIsSaid) {
  CoreEnv env;
  env.add_worker(Hello{.slots = 1, .lifetime_left_ms = 47'000});
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  EXPECT_EQ(env.reason(task),
            "needs 1 slot; w1 ends in 47 s, and a worker that ends in less than 60 s begins "
            "nothing more");
}

TEST(Preemption, AsksResumableTasksOfLowerPriorityToMakeRoomAndTheyGoOnLater) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(2);
  TaskSpec low = make_task("train", 1, {}, 2);
  low.grace_ms = 45'000;
  env.submit(sweep("low", {low}));
  const auto running = env.take<StartAttempt>();
  const ArtifactRef checkpoint = make_artifact("checkpoint");
  const TaskSpec urgent = make_task("urgent", 1, {}, 2);
  env.submit(sweep("urgent", {urgent}, {.preempts = true}, 10));
  const auto stops = env.take<StopAttempt>();
  ASSERT_EQ(stops.size(), 1U);
  EXPECT_EQ(stops[0].attempt, running.at(0).attempt);
  EXPECT_EQ(stops[0].kind, StopKind::kPreempt);
  EXPECT_EQ(stops[0].grace_ms, 45'000);
  EXPECT_EQ(env.reason(low), "stopping: its slots are needed for " + urgent.key.brief() +
                                 " of urgent, which is more urgent");
  env.from(
      worker,
      ReportCheckpoint{
          .worker = worker, .attempt = running[0].attempt, .step = 10, .artifact = checkpoint});
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = running[0].attempt,
                               .outcome = Stopped{.reason = "asked"}});
  const auto then = env.take<StartAttempt>();
  ASSERT_EQ(then.size(), 1U);
  EXPECT_EQ(then[0].attempt.task, urgent.key);
  env.succeed(worker, then[0]);
  const auto again = env.take<StartAttempt>();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].attempt.task, low.key);
  EXPECT_EQ(again[0].resume_from, checkpoint);
  EXPECT_EQ(env.cluster().find_task(low.key)->user_failures, 0);
  EXPECT_EQ(env.cluster().find_task(low.key)->infra_failures, 0);
}

TEST(Preemption, TakesNoMoreThanItNeedsAndAsksOnce) {
  CoreEnv env;
  env.add_worker(4);
  env.submit(sweep("low", several("train", 1, 4)));
  EXPECT_EQ(env.take<StartAttempt>().size(), 4U);
  env.submit(sweep("urgent", {make_task("urgent", 1, {}, 2)}, {.preempts = true}, 10));
  EXPECT_EQ(env.take<StopAttempt>().size(), 2U);
  env.submit(sweep("nothing", {make_task("other", 1)}));
  EXPECT_TRUE(env.take<StopAttempt>().empty()) << "enough is on its way out";
}

TEST(Preemption, SparesEqualsAndWhatCannotGoOnAndNeedsToBeAskedFor) {
  CoreEnv env;
  env.add_worker(1);
  env.submit(sweep("low", {make_task("score", 1)}));
  env.submit(sweep("urgent", {make_task("urgent", 1)}, {.preempts = true}, 10));
  EXPECT_TRUE(env.take<StopAttempt>().empty()) << "a task that is not resumable";
  CoreEnv equal;
  equal.add_worker(1);
  equal.submit(sweep("low", {make_task("train", 1)}, {}, 10));
  equal.submit(sweep("urgent", {make_task("urgent", 1)}, {.preempts = true}, 10));
  EXPECT_TRUE(equal.take<StopAttempt>().empty());
  CoreEnv polite;
  polite.add_worker(1);
  polite.submit(sweep("low", {make_task("train", 1)}));
  polite.submit(sweep("urgent", {make_task("urgent", 1)}, {}, 10));
  EXPECT_TRUE(polite.take<StopAttempt>().empty());
}

TEST(Preemption, BecomesACancellationWhenNobodyWantsItAnyMore) {
  CoreEnv env;
  env.add_worker(1);
  env.submit(sweep("low", {make_task("train", 1)}));
  env.submit(sweep("urgent", {make_task("urgent", 1)}, {.preempts = true}, 10));
  ASSERT_EQ(env.take<StopAttempt>().size(), 1U);
  env.step(PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "low"});
  const auto stops = env.take<StopAttempt>();
  ASSERT_EQ(stops.size(), 1U);
  EXPECT_EQ(stops[0].kind, StopKind::kCancel);
}

}  // namespace
}  // namespace strata::testing
