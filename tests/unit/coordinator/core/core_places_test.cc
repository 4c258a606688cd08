// Which place is kept for whom: where several workers come into question, where a gang has failed
// before, and when a place is kept no more.
#include <gtest/gtest.h>

#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

using coordinator::CancelSweep;
using coordinator::PeerId;
using std::chrono::milliseconds;
using std::chrono::seconds;

TaskSpec lasting(TaskSpec task, seconds expected) {
  task.resources.expected_ms = milliseconds(expected).count();
  return task;
}

TaskSpec labelled(TaskSpec task, const std::string& label) {
  task.resources.labels = {label};
  return task;
}

void submit(CoreEnv& env, const std::string& name, std::vector<TaskSpec> tasks,
            std::int64_t priority = 0) {
  SubmitTasks submission = make_submission(name, std::move(tasks));
  submission.priority = priority;
  submission.options.preempts = priority >= 10;
  EXPECT_TRUE(env.submit(submission).ok);
}

// Of what was started since the last call.
std::map<TaskKey, WorkerId> started(CoreEnv& env) {
  std::map<TaskKey, WorkerId> where;
  for (const StartAttempt& order : env.take<StartAttempt>())
    where[order.attempt.task] = order.gang.front().worker;
  return where;
}

std::size_t places_kept(CoreEnv& env) {
  for (const auto& one : env.core().kept()) {
    if (one.what != std::string_view("workers with a place kept")) continue;
    EXPECT_LE(one.count, one.most);
    return one.count;
  }
  return 99;
}

StartAttempt order_of(CoreEnv& env, const TaskSpec& task) {
  return {.attempt = {.task = task.key, .number = env.cluster().find_task(task.key)->attempts},
          .spec = task};
}

// Two workers of four slots, each half taken.
struct TwoHalves {
  CoreEnv env{};
  WorkerId first{};
  WorkerId second{};
  TaskSpec on_first{};
  TaskSpec on_second{};

  TwoHalves(seconds until_first, seconds until_second, std::int64_t slots_on_first = 2) {
    first = env.add_worker(4, "first", 0, {"a"});
    second = env.add_worker(4, "second", 0, {"b"});
    on_first = labelled(lasting(make_task("train", 1, {}, slots_on_first), until_first), "a");
    on_second = labelled(lasting(make_task("train", 2, {}, 2), until_second), "b");
    submit(env, "halves", {on_first, on_second});
    EXPECT_EQ(started(env).size(), 2U);
  }
  // Where one ends up that does not say how long it takes: where no place is kept.
  WorkerId narrow_goes_to() {
    const TaskSpec narrow = make_task("narrow", 1);
    submit(env, "narrow", {narrow});
    const auto where = started(env);
    return where.contains(narrow.key) ? where.at(narrow.key) : WorkerId();
  }
};

TEST(Places, AreKeptWhereTheGangCanBeginFirst) {
  TwoHalves later_first(seconds(200), seconds(100));
  submit(later_first.env, "wide", {make_task("wide", 1, {}, 4)});
  EXPECT_EQ(later_first.narrow_goes_to(), later_first.first);
  TwoHalves silent_first(seconds(0), seconds(100));
  submit(silent_first.env, "wide", {make_task("wide", 1, {}, 4)});
  EXPECT_EQ(silent_first.narrow_goes_to(), silent_first.first) << "nobody knows when that ends";
  TwoHalves silent_both(seconds(0), seconds(0), 3);
  submit(silent_both.env, "wide", {make_task("wide", 1, {}, 4)});
  EXPECT_EQ(silent_both.narrow_goes_to(), silent_both.first) << "more is free on the second";
}

TEST(Places, OfTwoGangsAreOnTwoWorkers) {
  TwoHalves world(seconds(100), seconds(200));
  submit(world.env, "one", {make_task("wide", 1, {}, 4)});
  submit(world.env, "two", {lasting(make_task("wide", 2, {}, 4), seconds(500))});
  EXPECT_EQ(places_kept(world.env), 2U);
  EXPECT_EQ(world.narrow_goes_to(), WorkerId());
}

TEST(Places, StayWhereTheyAreWhenAnotherWorkerWouldBeFreeSooner) {
  TwoHalves world(seconds(100), seconds(200));
  submit(world.env, "wide", {make_task("wide", 1, {}, 4)});
  submit(world.env, "urgent", {labelled(lasting(make_task("short", 1), seconds(20)), "c")}, 5);
  const WorkerId third = world.env.add_worker(4, "third", 0, {"c"});
  ASSERT_EQ(started(world.env).size(), 1U);
  submit(world.env, "more", {lasting(make_task("more", 1, {}, 2), seconds(500))}, 0);
  started(world.env);
  EXPECT_EQ(world.env.reason(make_task("wide", 1, {}, 4)).rfind("needs 4 slots together", 0), 0U);
  EXPECT_EQ(places_kept(world.env), 1U);
  const TaskSpec on_first = labelled(make_task("narrow", 9), "a");
  submit(world.env, "narrow", {on_first});
  EXPECT_TRUE(started(world.env).empty()) << "the first worker is kept still";
  EXPECT_NE(world.env.reason(on_first).find("kept free"), std::string::npos)
      << world.env.reason(on_first);
  EXPECT_NE(world.env.cluster().find_worker(third), nullptr);
}

TEST(Places, AGangThatCanBeHeldOnlyWhereItFailedKeepsAPlaceThere) {
  CoreEnv env;
  const WorkerId large = env.add_worker(4, "large");
  env.add_worker(1, "small");
  const TaskSpec wide = make_task("wide", 1, {}, 4);
  submit(env, "wide", {wide});
  env.fail(large, order_of(env, wide).attempt, {.reason = "a bug"});
  std::vector<TaskSpec> narrow;
  for (std::int64_t i = 0; i < 8; ++i) narrow.push_back(make_task("narrow", i));
  submit(env, "narrow", narrow);
  env.take<StartAttempt>();
  ASSERT_EQ(env.cluster().find_worker(large)->free, 0) << "it pauses, and others fill the worker";
  env.pass(seconds(2));
  env.take<StartAttempt>();
  for (int i = 0; i < 4; ++i) {
    const std::set<AttemptId> held = env.cluster().find_worker(large)->attempts;
    ASSERT_FALSE(held.empty());
    if (held.begin()->task == wide.key) break;
    env.from(large,
             ReportEnded{.worker = large,
                         .attempt = *held.begin(),
                         .outcome = Succeeded{.artifacts = {{"result", make_artifact("r")}}}});
    for (const auto& [key, where] : started(env)) EXPECT_TRUE(where != large || key == wide.key);
  }
  EXPECT_EQ(env.state(wide), "leased") << "when all four were free";
}

TEST(Places, AreKeptForNobodyWhoWaitsNoMoreWhoeverElseWaits) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  submit(env, "a", {lasting(make_task("first", 1, {}, 2), seconds(100))});
  submit(env, "nowhere", {labelled(make_task("other", 1), "tpu")});
  submit(env, "gang", {make_task("wide", 1, {}, 4)});
  submit(env, "b", {lasting(make_task("fits", 1), seconds(90))});
  const auto orders = env.take<StartAttempt>();
  ASSERT_EQ(orders.size(), 2U);
  EXPECT_EQ(places_kept(env), 1U);
  env.step(PeerId(1), CancelSweep{.request = 1, .sweep = "gang"});
  EXPECT_EQ(places_kept(env), 0U);
  for (int i = 0; i < 8; ++i) {
    env.heartbeat(worker, {{orders[0].attempt}, {orders[1].attempt}});
    env.pass(seconds(17));
  }
  EXPECT_TRUE(env.take<StopAttempt>().empty());
}

TEST(Places, GoWithTheirWorker) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4, "w", 7);
  submit(env, "a", {make_task("first", 1, {}, 2)});
  submit(env, "gang", {make_task("wide", 1, {}, 4)});
  EXPECT_EQ(places_kept(env), 1U);
  env.from(worker, Goodbye{.worker = worker, .session = 7, .reason = "asked"});
  EXPECT_EQ(places_kept(env), 0U);
}

TEST(Places, TheNextOfTheSameKindIsNotToldThatItsPlaceIsKeptForAnother) {
  CoreEnv env;
  env.add_worker(4);
  submit(env, "a", {make_task("first", 1, {}, 2)});
  const TaskSpec wide[] = {make_task("wide", 1, {}, 4), make_task("wide", 2, {}, 4)};
  submit(env, "gangs", {wide[0], wide[1]});
  EXPECT_EQ(env.reason(wide[1]), "needs 4 slots together, 2 free on w1");
  const TaskSpec narrow = make_task("narrow", 1);
  submit(env, "narrow", {narrow});
  EXPECT_NE(env.reason(narrow).find("kept free for " + wide[0].key.brief()), std::string::npos);
}

TEST(Backfill, WhatEndsExactlyWhenTheGangCanBeginDoesNotDelayIt) {
  CoreEnv env;
  env.add_worker(4);
  submit(env, "a", {lasting(make_task("first", 1, {}, 2), seconds(100))});
  env.take<StartAttempt>();
  const TaskSpec fits = lasting(make_task("fits", 1), seconds(100));
  submit(env, "b", {make_task("wide", 1, {}, 4), fits});
  EXPECT_TRUE(started(env).contains(fits.key));
}

TEST(Backfill, WhatOverrunsIsNotAskedForAPlaceThatItsGangFoundElsewhere) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  const TaskSpec first = lasting(make_task("first", 1, {}, 2), seconds(100));
  const TaskSpec fits = lasting(make_task("fits", 1), seconds(90));
  const TaskSpec wide = make_task("wide", 1, {}, 4);
  submit(env, "a", {first});
  submit(env, "gang", {wide});
  submit(env, "b", {fits});
  submit(env, "nowhere", {labelled(make_task("other", 1), "tpu")});
  ASSERT_EQ(started(env).size(), 2U);
  for (int i = 0; i < 9; ++i) {
    env.pass(seconds(11));
    env.heartbeat(worker, {{order_of(env, first).attempt}, {order_of(env, fits).attempt}});
  }
  env.take<StartAttempt>();
  env.add_worker(4);
  ASSERT_EQ(env.state(wide), "leased");
  env.pass(seconds(2));  // more than 100 s since the beginning
  EXPECT_TRUE(env.take<StopAttempt>().empty());
}

TEST(Backfill, WhatWasCancelledIsNotAskedForItsPlaceAsWell) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  const TaskSpec first = lasting(make_task("first", 1, {}, 2), seconds(100));
  const TaskSpec fits = lasting(make_task("fits", 1), seconds(90));
  submit(env, "a", {first});
  submit(env, "gang", {make_task("wide", 1, {}, 4)});
  submit(env, "b", {fits});
  ASSERT_EQ(started(env).size(), 2U);
  env.step(PeerId(1), CancelSweep{.request = 1, .sweep = "b"});
  for (int i = 0; i < 8; ++i) {
    env.heartbeat(worker, {{order_of(env, first).attempt}, {order_of(env, fits).attempt}});
    env.pass(seconds(17));
  }
  for (const StopAttempt& stop : env.take<StopAttempt>()) EXPECT_EQ(stop.kind, StopKind::kCancel);
  EXPECT_EQ(std::count_if(env.log.begin(), env.log.end(),
                          [](const Event& event) {
                            return std::holds_alternative<StopRequested>(event.body);
                          }),
            1);
}

TEST(Preemption, GangsOfTwoSweepsWithTheSameNeedsFindRoomOnTwoWorkers) {
  CoreEnv env;
  env.add_worker(1);
  env.add_worker(1);
  submit(env, "low", {make_task("train", 1), make_task("train", 2)});
  ASSERT_EQ(started(env).size(), 2U);
  submit(env, "one", {make_task("urgent", 1)}, 10);
  EXPECT_EQ(env.take<StopAttempt>().size(), 1U);
  submit(env, "two", {make_task("urgent", 2)}, 10);
  EXPECT_EQ(env.take<StopAttempt>().size(), 1U) << "on the other one";
}

TEST(Preemption, ThePlaceThatWasMadeForOneIsNoneForTheNext) {
  CoreEnv env;
  env.add_worker(2);
  env.add_worker(2);
  std::vector<TaskSpec> low;
  for (std::int64_t i = 0; i < 4; ++i) low.push_back(make_task("train", i));
  submit(env, "low", low);
  ASSERT_EQ(started(env).size(), 4U);
  submit(env, "wide", {make_task("urgent", 1, {}, 2)}, 10);
  EXPECT_EQ(env.take<StopAttempt>().size(), 2U);
  submit(env, "narrow", {make_task("urgent", 2)}, 10);
  EXPECT_EQ(env.take<StopAttempt>().size(), 1U) << "on the other worker";
}

TEST(Preemption, ThatSparesSomebodyTakesNoMoreThanTheRest) {
  CoreEnv env;
  env.add_worker(4, "first", 0, {"a"});
  const WorkerId second = env.add_worker(4, "second", 0, {"b"});
  const TaskSpec whole = labelled(make_task("train", 1, {}, 4), "a");
  const TaskSpec narrow = labelled(make_task("train", 2), "b");
  const TaskSpec wide = labelled(make_task("train", 3, {}, 3), "b");
  submit(env, "low", {whole, narrow}, 1);
  submit(env, "less", {wide}, 2);
  ASSERT_EQ(started(env).size(), 3U);
  submit(env, "urgent", {make_task("urgent", 1, {}, 3)}, 10);
  const auto stops = env.take<StopAttempt>();
  ASSERT_EQ(stops.size(), 1U);
  EXPECT_EQ(stops[0].attempt.task, wide.key) << "three slots instead of four";
  EXPECT_EQ(env.cluster().find_worker(second)->free, 0);
}

TEST(Quota, ARunningTaskOfWhichSomethingNewIsSaidIsCountedOnce) {
  CoreEnv env;
  env.add_worker(4);
  std::vector<TaskSpec> tasks{make_task("train", 1)};
  SubmitTasks submission = make_submission("s", tasks);
  submission.options.slots_max = 2;
  env.submit(submission);
  ASSERT_EQ(started(env).size(), 1U);
  submission.tasks[0].retry.user_failures_max = 9;
  submission.tasks.push_back(make_task("train", 2));
  env.submit(submission);
  EXPECT_EQ(started(env).size(), 1U);
}

TEST(Scoring, ItsShareIsRoundedUp) {
  CoreEnv env;
  std::vector<TaskSpec> scores;
  for (std::int64_t i = 0; i < 3; ++i) {
    scores.push_back(make_task("score", i));
    scores.back().scoring = true;
  }
  std::vector<TaskSpec> trains;
  for (std::int64_t i = 0; i < 15; ++i) trains.push_back(make_task("train", i));
  submit(env, "long", trains, 5);
  submit(env, "scores", scores);
  env.add_worker(15);
  std::size_t scoring = 0;
  for (const StartAttempt& order : env.take<StartAttempt>()) scoring += order.spec.scoring ? 1 : 0;
  EXPECT_EQ(scoring, 2U) << "a tenth of fifteen";
}

}  // namespace
}  // namespace strata::testing
