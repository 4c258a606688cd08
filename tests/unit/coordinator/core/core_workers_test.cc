// What the core holds of workers beside the log: leases, who was heard, whose life is over, and
// what of it a restart begins anew.
#include <gtest/gtest.h>

#include <limits>

#include "coordinator/core/admission.h"
#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

using coordinator::CancelSweep;
using coordinator::PeerId;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr PeerId kClient{1};
constexpr PeerId kPeer{50};

TaskSpec leased_for(TaskSpec task, seconds lease) {
  task.lease_ms = milliseconds(lease).count();
  return task;
}

template <class T>
std::int64_t count(const CoreEnv& env) {
  return std::count_if(env.log.begin(), env.log.end(),
                       [](const Event& e) { return std::holds_alternative<T>(e.body); });
}

std::size_t kept(CoreEnv& env, std::string_view what) {
  for (const auto& one : env.core().kept()) {
    EXPECT_LE(one.count, one.most) << one.what;
    if (one.what == what) return one.count;
  }
  ADD_FAILURE() << "nothing is called " << what;
  return 0;
}

void hello_again(CoreEnv& env, const std::string& name, std::uint64_t session, std::int64_t slots,
                 std::vector<HeldAttempt> held = {}) {
  env.step(kPeer, Hello{.name = name, .session = session, .slots = slots, .held = std::move(held)});
}

// --- leases ---

TEST(Leases, EndWithTheirTimeAndNotBefore) {
  CoreEnv env;
  env.add_worker(1);
  const TaskSpec task = leased_for(make_task("train", 1), seconds(10));
  env.submit(make_submission("s", {task}));
  env.pass(milliseconds(9'999));
  EXPECT_EQ(env.state(task), "leased");
  env.pass(milliseconds(1));
  EXPECT_EQ(env.state(task), "queued");
}

TEST(Leases, ASilentWorkerThatHoldsOneIsNotForgotten) {
  CoreEnv env;
  env.add_worker(1);
  const TaskSpec task = leased_for(make_task("train", 1), seconds(600));
  env.submit(make_submission("s", {task}));
  env.pass(minutes(9));
  EXPECT_EQ(env.state(task), "leased");
  EXPECT_EQ(env.cluster().workers().size(), 1U);
  env.pass(minutes(2));
  EXPECT_EQ(env.state(task), "queued");
  EXPECT_TRUE(env.cluster().workers().empty());
}

TEST(Leases, AWorkerThatIsHeardButNamesAnAttemptNoMoreIsNotDoubted) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = leased_for(make_task("train", 1), seconds(10));
  env.submit(make_submission("s", {task}));
  env.from(worker,
           ReportStarted{.worker = worker, .attempt = env.take<StartAttempt>().at(0).attempt});
  for (const int wait : {5, 4}) {
    env.pass(seconds(wait));
    env.heartbeat(worker);
  }
  env.pass(seconds(1));
  EXPECT_EQ(env.state(task), "queued") << "nobody holds it";
  env.pass(seconds(3));
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U) << "the worker was heard 4 s ago";
}

TEST(Leases, AnAttemptThatIsBeingSetUpHasNotStarted) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  const AttemptId attempt = env.take<StartAttempt>().at(0).attempt;
  env.heartbeat(worker, {{attempt, AttemptPhase::kStarting}});
  EXPECT_EQ(env.state(task), "leased");
  env.heartbeat(worker, {{attempt, AttemptPhase::kRunning}});
  EXPECT_EQ(env.state(task), "running");
}

TEST(Orders, ThatAreOwedAreSaidAgainOnceInAWhile) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  env.submit(make_submission("s", {make_task("train", 1)}));
  ASSERT_EQ(env.take<StartAttempt>().size(), 1U);
  env.pass(seconds(2));
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U);
  env.pass(milliseconds(1'999));
  EXPECT_TRUE(env.take<StartAttempt>().empty());
  env.pass(milliseconds(1));
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U);
  EXPECT_NE(env.cluster().find_worker(worker), nullptr);
}

TEST(Orders, GoToNobodyWhoIsNotConnected) {
  CoreEnv env;
  env.add_worker(1);
  env.submit(make_submission("s", {make_task("train", 1)}));
  env.take<StartAttempt>();
  env.restart();
  env.step(kClient, CancelSweep{.request = 1, .sweep = "s"});
  EXPECT_EQ(env.take<Answer>().at(0).body, R"({"stopping":1,"withdrawn":1})");
  EXPECT_TRUE(env.nothing_sent()) << "there is no connection yet";
  hello_again(env, "w1", 1, 1);
  env.pass(seconds(2));
  EXPECT_EQ(env.take<StopAttempt>().size(), 1U);
}

TEST(Orders, ACancelGivesTheWorkersOwnGrace) {
  CoreEnv env;
  env.add_worker(1);
  TaskSpec task = make_task("train", 1);
  task.grace_ms = 45'000;
  env.submit(make_submission("s", {task}));
  env.step(kClient, CancelSweep{.request = 1, .sweep = "s"});
  const auto stops = env.take<StopAttempt>();
  ASSERT_EQ(stops.size(), 1U);
  EXPECT_EQ(stops[0].grace_ms, 0) << "nobody waits for a checkpoint";
}

// --- reports ---

TEST(Reports, OfTheSameCheckpointAreWrittenDownOnce) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  env.submit(make_submission("s", {make_task("train", 1)}));
  const AttemptId attempt = env.take<StartAttempt>().at(0).attempt;
  for (int i = 0; i < 3; ++i) {
    env.from(worker,
             ReportCheckpoint{
                 .worker = worker, .attempt = attempt, .step = 10, .artifact = make_artifact("c")});
    EXPECT_EQ(env.take<CheckpointAck>().size(), 1U) << "each is acknowledged";
  }
  EXPECT_EQ(count<CheckpointCommitted>(env), 1);
}

TEST(Reports, OfALivingAttemptByAnotherWorkerAreNeitherTakenNorAcknowledged) {
  CoreEnv env;
  const WorkerId first = env.add_worker(1);
  env.submit(make_submission("s", {make_task("train", 1)}));
  const AttemptId attempt = env.take<StartAttempt>().at(0).attempt;
  const WorkerId second = env.add_worker(1);
  env.from(second,
           ReportCheckpoint{
               .worker = second, .attempt = attempt, .step = 10, .artifact = make_artifact("c")});
  env.from(second, ReportStarted{.worker = second, .attempt = attempt});
  EXPECT_TRUE(env.take<CheckpointAck>().empty()) << "it may yet turn out to be its own";
  EXPECT_EQ(count<CheckpointCommitted>(env) + count<AttemptStarted>(env), 0);
  env.from(first, ReportEnded{.worker = first, .attempt = attempt, .outcome = Diverged{"NaN"}});
  env.from(second,
           ReportCheckpoint{
               .worker = second, .attempt = attempt, .step = 10, .artifact = make_artifact("c")});
  EXPECT_EQ(env.take<CheckpointAck>().size(), 1U) << "it is over: nobody needs to repeat it";
}

TEST(Reports, ThatAWorkerLeavesAreWrittenDownOnce) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1, "w", 7);
  for (int i = 0; i < 3; ++i) env.from(worker, Leaving{.worker = worker, .session = 7});
  EXPECT_EQ(count<WorkerDrained>(env), 1);
}

TEST(Reports, WhatAWorkerSaysOfALossIsPausedAsTheCoordinatorSays) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = env.take<StartAttempt>().at(0).attempt,
                               .outcome = Lost{.reason = "?", .delay_ms = 1'000'000'000}});
  env.pass(seconds(2));
  env.pass(seconds(2));
  EXPECT_EQ(env.state(task), "leased");
}

// --- who they are ---

TEST(Workers, OlderAndNewerProtocolsAreRefused) {
  const auto refused = [](std::uint16_t min, std::uint16_t max) {
    CoreEnv env;
    env.step(kPeer, Hello{.protocol_min = min,
                          .protocol_max = max,
                          .build = "b",
                          .name = "w",
                          .session = 1,
                          .slots = 1});
    EXPECT_EQ(env.take<Refused>().size() + env.take<Welcome>().size(), 1U);
    return env.cluster().workers().empty();
  };
  EXPECT_TRUE(refused(0, kProtocolVersion - 1));
  EXPECT_TRUE(refused(kProtocolVersion + 1, kProtocolVersion + 2));
  EXPECT_FALSE(refused(0, kProtocolVersion));
  EXPECT_FALSE(refused(kProtocolVersion, kProtocolVersion + 1));
}

TEST(Workers, WithOtherSlotsItIsAnotherLife) {
  CoreEnv env;
  const WorkerId before = env.add_worker(1, "w", 7);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  hello_again(env, "w", 7, 4);
  EXPECT_NE(env.take<Welcome>().at(0).worker, before);
  ASSERT_EQ(env.cluster().workers().size(), 1U);
  EXPECT_EQ(env.cluster().workers().begin()->second.slots, 4);
  EXPECT_EQ(env.state(task), "queued");
}

TEST(Workers, ALifetimeOfAnyLengthIsBelieved) {
  CoreEnv env;
  env.add_worker(Hello{.slots = 1, .lifetime_left_ms = std::numeric_limits<std::int64_t>::max()});
  TaskSpec task = make_task("prepare", 1);
  task.resources.expected_ms = coordinator::kLifetimeMsMax / 2;
  env.submit(make_submission("s", {task}));
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U);
}

TEST(Workers, SessionsThatAreOverAreRememberedUpToABound) {
  CoreEnv env;
  for (std::uint64_t session = 1; session <= 1'100; ++session) {
    hello_again(env, "w", session, 1);
    env.step(kPeer, Leaving{.session = 10'000 + session});
    env.take<Welcome>();
    env.take<HeartbeatAck>();
  }
  EXPECT_GE(kept(env, "sessions that were replaced"), 1'000U);
  EXPECT_GE(kept(env, "sessions that are closed"), 1'000U);
}

TEST(Workers, OfAttemptsThatHaveEndedNothingIsKept) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  const auto lasting = [](TaskSpec task, seconds expected) {
    task.resources.expected_ms = milliseconds(expected).count();
    return task;
  };
  env.submit(make_submission("a", {lasting(make_task("first", 1, {}, 2), seconds(100))}));
  env.submit(make_submission(
      "b", {make_task("wide", 1, {}, 4), lasting(make_task("fits", 1), seconds(90))}));
  EXPECT_EQ(kept(env, "times of grants"), 2U);
  EXPECT_EQ(kept(env, "ends that were promised"), 1U);
  EXPECT_EQ(kept(env, "workers with a place kept"), 1U);
  for (int i = 0; i < 3; ++i) {
    for (const StartAttempt& order : env.take<StartAttempt>()) env.succeed(worker, order);
  }
  EXPECT_EQ(kept(env, "leases"), 0U);
  EXPECT_EQ(kept(env, "times of grants"), 0U);
  EXPECT_EQ(kept(env, "ends that were promised"), 0U);
  EXPECT_EQ(kept(env, "workers with a place kept"), 0U);
}

// --- after a restart ---

TEST(Restart, AHeartbeatOverTheFirstConnectionIsEnoughWhereThereIsNoOther) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1, "w", 7);
  env.restart();
  env.step(kPeer, Heartbeat{.worker = worker, .session = 7, .sequence = 3});
  EXPECT_EQ(env.take<HeartbeatAck>().at(0).sequence, 3U);
  env.submit(make_submission("s", {make_task("train", 1)}));
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U);

  CoreEnv two({.heartbeat_address = "tcp://127.0.0.1:1"});
  const WorkerId other = two.add_worker(1, "w", 7);
  two.restart();
  two.step(kPeer, Heartbeat{.worker = other, .session = 7, .sequence = 3});
  EXPECT_EQ(two.take<WhoAreYou>().size(), 1U) << "it does not know where heartbeats go now";
}

TEST(Restart, WhatRunsIsOnItsSweepsAccountStill) {
  CoreEnv env;
  env.add_worker(4, "w", 7);
  const TaskSpec tasks[] = {make_task("train", 1), make_task("train", 2), make_task("train", 3)};
  SubmitTasks submission = make_submission("s", {tasks[0], tasks[1], tasks[2]});
  submission.options.slots_max = 2;
  env.submit(submission);
  std::vector<HeldAttempt> held;
  for (const StartAttempt& order : env.take<StartAttempt>()) held.push_back({order.attempt});
  ASSERT_EQ(held.size(), 2U);
  env.restart();
  hello_again(env, "w", 7, 4, held);
  EXPECT_TRUE(env.take<StartAttempt>().empty());
  EXPECT_EQ(env.reason(tasks[2]), "its sweep may hold 2 slots at once and holds 2");
}

TEST(Restart, PausesBeginAnew) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1, "w", 7);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  env.fail(worker, env.take<StartAttempt>().at(0).attempt, {.reason = "a bug"});
  env.restart();
  hello_again(env, "w", 7, 1);
  EXPECT_TRUE(env.take<StartAttempt>().empty());
  env.pass(seconds(2));
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U);
}

TEST(Restart, AWorkerOnTrialIsOnTrialStill) {
  CoreEnv env({.quarantine_first = seconds(60)});
  const WorkerId worker = env.add_worker(1, "w", 7);
  env.submit(make_submission("s", {make_task("train", 1)}));
  env.fail(worker, env.take<StartAttempt>().at(0).attempt,
           {.cause = FailureClass::kNode, .reason = "ECC"});
  env.pass(seconds(60));
  ASSERT_EQ(count<WorkerProbed>(env), 1);
  env.restart();
  env.pass(seconds(600));
  EXPECT_EQ(count<WorkerProbed>(env), 1);
  EXPECT_EQ(kept(env, "workers in quarantine"), 0U);
}

TEST(Restart, AWorkerThatWasDrainedBeforeItStaysSoWhenItIsForgottenAfterIt) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1, "w", 7);
  env.step(kClient, coordinator::DrainWorker{.request = 1, .worker = worker});
  env.restart();
  env.pass(minutes(3));
  ASSERT_TRUE(env.cluster().workers().empty());
  hello_again(env, "w", 7, 1);
  env.submit(make_submission("s", {make_task("train", 1)}));
  EXPECT_TRUE(env.take<StartAttempt>().empty());
}

TEST(Restart, WhoeverGoesOnWithASubmissionIsTaken) {
  CoreEnv env;
  SubmitTasks part = make_submission("s", {make_task("train", 1)});
  part.last = false;
  env.submit(part);
  env.restart();
  part = make_submission("s", {make_task("train", 2)});
  part.first = false;
  const Answer answer = env.submit(part);
  EXPECT_TRUE(answer.ok) << answer.body;
}

}  // namespace
}  // namespace strata::testing
