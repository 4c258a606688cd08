// What a core makes of a log that was restored from its mirror: the newest events are missing, and
// workers know more than it does.
#include <gtest/gtest.h>

#include "tests/support/core_env.h"

namespace strata {
namespace {

using std::chrono::seconds;
using testing::CoreEnv;
using testing::make_artifact;
using testing::make_submission;
using testing::make_task;

constexpr std::uint32_t kSkipped = 1'000;
constexpr coordinator::PeerId kPeer{50};  // of w1 after the restore

struct RestoreTest : ::testing::Test {
  CoreEnv env;
  WorkerId worker = env.add_worker(1, "w1", 77);
  TaskSpec task = make_task("train", 1);
  StartAttempt first;

  void SetUp() override {
    env.submit(make_submission("s", {task}));
    first = env.take<StartAttempt>().at(0);
    env.from(worker, ReportStarted{.worker = worker, .attempt = first.attempt});
  }
  // The attempt under way fails, and the next one is granted.
  StartAttempt second() {
    env.from(worker, ReportEnded{.worker = worker,
                                 .attempt = first.attempt,
                                 .outcome = Failed{.reason = "exit code 1"}});
    env.take<EndedAck>();
    for (int i = 0; i < 4; ++i) {
      env.heartbeat(worker);
      env.pass(seconds(15));
    }
    env.take<HeartbeatAck>();
    return env.take<StartAttempt>().at(0);
  }
  // What came after the first `events` events is lost.
  void restore(std::size_t events) {
    env.log.resize(events);
    env.log.push_back(
        {.body = StoreRestored{.attempts_above = env.cluster().newest_attempt() + kSkipped}});
    env.restart();
  }
  void hello(std::vector<HeldAttempt> held) {
    env.step(kPeer, Hello{.name = "w1", .session = 77, .slots = 1, .held = std::move(held)});
  }
  Succeeded success(const std::string& content) const {
    return {.artifacts = {{"result", make_artifact(content)}}};
  }
};

TEST_F(RestoreTest, WhatAForgottenAttemptReportsChangesNothingAndItIsDropped) {
  // In the mirror the first attempt had just ended; its worker runs the second one.
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = first.attempt,
                               .outcome = Failed{.reason = "exit code 1"}});
  const std::size_t mirrored = env.log.size();
  for (int i = 0; i < 4; ++i) {
    env.heartbeat(worker);
    env.pass(seconds(15));
  }
  const AttemptId forgotten = env.take<StartAttempt>().at(0).attempt;
  ASSERT_EQ(forgotten.number, 2U);
  restore(mirrored);
  env.pass(seconds(5));  // the pause after the failure is over

  hello({{.attempt = forgotten, .phase = AttemptPhase::kRunning}});
  EXPECT_EQ(env.take<HeartbeatAck>().at(0).drop, std::vector<AttemptId>{forgotten});
  const auto orders = env.take<StartAttempt>();
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_GT(orders[0].attempt.number, kSkipped);
  // Everything that was under way from the forgotten attempt arrives late.
  const std::size_t events = env.log.size();
  env.step(kPeer, ReportStarted{.worker = worker, .attempt = forgotten});
  env.step(kPeer, ReportCheckpoint{.worker = worker,
                                   .attempt = forgotten,
                                   .step = 10,
                                   .artifact = make_artifact("stale checkpoint")});
  env.step(kPeer, ReportEnded{.worker = worker, .attempt = forgotten, .outcome = success("stale")});
  EXPECT_EQ(env.log.size(), events);
  EXPECT_EQ(env.state(task), "leased");
  EXPECT_EQ(env.take<EndedAck>().size(), 1U) << "its sender must stop repeating it";
  // And the attempt of this life is none the worse.
  env.step(kPeer,
           ReportEnded{.worker = worker, .attempt = orders[0].attempt, .outcome = success("good")});
  EXPECT_EQ(env.state(task), "succeeded");
  EXPECT_EQ(env.cluster().find_task(task.key)->made().artifacts.at("result"), make_artifact("good"));
}

TEST_F(RestoreTest, AnAttemptThatTheMirrorKnowsIsAdoptedAndItsResultCounts) {
  restore(env.log.size());
  EXPECT_EQ(env.state(task), "running");
  hello({{.attempt = first.attempt, .phase = AttemptPhase::kRunning}});
  EXPECT_TRUE(env.take<HeartbeatAck>().at(0).drop.empty());
  env.step(kPeer,
           ReportEnded{.worker = worker, .attempt = first.attempt, .outcome = success("good")});
  EXPECT_EQ(env.state(task), "succeeded");
}

TEST_F(RestoreTest, AnAttemptThatEndedInTheLostPartRunsOutAndIsGrantedUnderANewNumber) {
  const std::size_t mirrored = env.log.size();
  const AttemptId forgotten = second().attempt;
  restore(mirrored);
  EXPECT_EQ(env.state(task), "running") << "as the mirror knows it";
  for (int i = 0; i < 45; ++i) {  // the first one is held by nobody
    env.pass(seconds(15));
    env.step(kPeer,
             Heartbeat{
                 .worker = worker, .session = 77, .sequence = 1, .held = {{.attempt = forgotten}}});
  }
  for (const auto& ack : env.take<HeartbeatAck>())
    EXPECT_EQ(ack.drop, std::vector<AttemptId>{forgotten});
  ASSERT_EQ(env.state(task), "leased");
  EXPECT_GT(env.cluster().find_task(task.key)->attempts, kSkipped);
}

TEST_F(RestoreTest, ALogThatGivesANumberAgainIsDamaged) {
  const auto above = [&](std::uint32_t number) {
    return env.cluster().check({.body = StoreRestored{.attempts_above = number}});
  };
  EXPECT_FALSE(above(0));
  EXPECT_FALSE(above(1)) << "the first attempt has it";
  EXPECT_TRUE(above(2));
}

}  // namespace
}  // namespace strata
