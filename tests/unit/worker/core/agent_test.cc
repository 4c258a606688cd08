#include "worker/core/agent.h"

#include <gtest/gtest.h>

#include "tests/support/sample_sweep.h"

namespace strata::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// The agent with a clock, and what it asked for.
class Env {
 public:
  Env() : agent({.name = "w1", .session = 7, .slots = 2}, now) { tick(); }

  std::vector<Action> step(const Input& input) {
    last = agent.step(input, now);
    return last;
  }
  void tick(milliseconds passed = milliseconds(0)) {
    now = now + passed;
    step(TimePassed{});
  }
  void welcome() {
    step(Message(
        Welcome{.worker = WorkerId(3), .session = 7, .coordinator = "c", .heartbeat_ms = 5'000}));
    ++sequence;  // it greets with a heartbeat
  }
  void answer_heartbeat(std::vector<AttemptId> drop = {}) {
    step(Message(HeartbeatAck{.sequence = sequence, .drop = std::move(drop)}));
  }
  // An order that runs, with a grace of `grace`.
  StartAttempt running(milliseconds grace, milliseconds lease = seconds(600)) {
    StartAttempt started = order();
    started.spec.grace_ms = grace.count();
    started.lease_ms = lease.count();
    step(Message(started));
    step(ProcessStarted{.attempt = started.attempt});
    return started;
  }
  void stop(const StartAttempt& started, StopKind kind, milliseconds grace = milliseconds(0)) {
    step(Message(StopAttempt{.attempt = started.attempt,
                             .reason = name_of(kind),
                             .kind = kind,
                             .grace_ms = grace.count()}));
  }
  // How long until the next Kill, in steps of a tenth of a second; nothing within an hour.
  std::optional<milliseconds> until_kill(bool answered = true) {
    const Instant began = now;
    while (now - began < std::chrono::hours(1)) {
      tick(milliseconds(100));
      if (count<Kill>() > 0) return std::chrono::duration_cast<milliseconds>(now - began);
      if (const auto* heartbeat = sent<Heartbeat>(); heartbeat != nullptr && answered)
        step(Message(HeartbeatAck{.sequence = heartbeat->sequence}));
    }
    return {};
  }
  StartAttempt order(std::uint32_t number = 1, std::int64_t salt = 1, std::int64_t slots = 1) {
    const TaskSpec spec = testing::make_task("train", salt, {}, slots);
    return {.attempt = {.task = spec.key, .number = number},
            .spec = spec,
            .gang = {{.worker = WorkerId(3), .slots = slots}},
            .lease_ms = 60'000};
  }
  template <class T>
  [[nodiscard]] int count() const {
    int n = 0;
    for (const Action& action : last) n += std::holds_alternative<T>(action) ? 1 : 0;
    return n;
  }
  template <class T>
  [[nodiscard]] const T* sent() const {
    for (const Action& action : last) {
      const auto* send = std::get_if<SendMessage>(&action);
      if (send == nullptr) continue;
      if (const T* message = std::get_if<T>(&send->message)) return message;
    }
    return nullptr;
  }

  Instant now{seconds(100)};
  Agent agent;
  std::vector<Action> last{};
  std::uint64_t sequence = 0;
};

TEST(Agent, SaysHelloUntilItIsWelcome) {
  Env env;
  ASSERT_NE(env.sent<Hello>(), nullptr);
  env.tick(milliseconds(500));
  EXPECT_EQ(env.sent<Hello>(), nullptr);
  env.tick(milliseconds(600));
  EXPECT_NE(env.sent<Hello>(), nullptr);
  env.welcome();
  env.tick(seconds(60));
  EXPECT_EQ(env.sent<Hello>(), nullptr);
}

TEST(Agent, TellsAStartALittleLaterButNeverAfterTheEnd) {
  Env env;
  env.welcome();
  const StartAttempt lasting = env.running(seconds(1));
  EXPECT_EQ(env.sent<ReportStarted>(), nullptr);
  EXPECT_LE(env.agent.next_due(), env.now + milliseconds(10));
  env.tick(milliseconds(10));
  ASSERT_NE(env.sent<ReportStarted>(), nullptr);
  EXPECT_EQ(env.sent<ReportStarted>()->attempt, lasting.attempt);
  env.tick(milliseconds(10));
  EXPECT_EQ(env.sent<ReportStarted>(), nullptr) << "once";

  const StartAttempt brief = env.order(1, 2);
  env.step(Message(brief));
  env.step(ProcessStarted{.attempt = brief.attempt});
  EXPECT_EQ(env.sent<ReportStarted>(), nullptr);
  env.step(ProcessEnded{.attempt = brief.attempt, .outcome = Succeeded{}});
  ASSERT_EQ(env.last.size(), 2U);
  EXPECT_EQ(env.sent<ReportStarted>(),
            &std::get<ReportStarted>(std::get<SendMessage>(env.last[0]).message));
  EXPECT_NE(env.sent<ReportEnded>(), nullptr);
  env.step(ProcessEnded{.attempt = lasting.attempt, .outcome = Succeeded{}});
  EXPECT_EQ(env.last.size(), 1U);
}

TEST(Agent, NeverStartedIsNotToldAsAStart) {
  Env env;
  env.welcome();
  const StartAttempt order = env.order();
  env.step(Message(order));
  env.step(ProcessEnded{.attempt = order.attempt, .outcome = Failed{.reason = "no such program"}});
  EXPECT_EQ(env.sent<ReportStarted>(), nullptr);
  EXPECT_NE(env.sent<ReportEnded>(), nullptr);
}

TEST(Agent, TellsTheLastCheckpointWithTheEndUntilTheEndIsAcknowledged) {
  Env env;
  env.welcome();
  const StartAttempt order = env.order();
  env.step(Message(order));
  env.step(ProcessStarted{.attempt = order.attempt});
  env.step(Message(WhoAreYou{}));  // another coordinator answers: until it says welcome, silence
  env.step(CheckpointStored{.attempt = order.attempt, .step = 5});
  EXPECT_EQ(env.sent<ReportCheckpoint>(), nullptr);
  env.step(ProcessEnded{.attempt = order.attempt, .outcome = Stopped{.reason = "asked"}});
  EXPECT_EQ(env.sent<ReportEnded>(), nullptr);
  env.welcome();
  for (int repeat = 0; repeat < 2; ++repeat) {
    env.tick(seconds(30));
    ASSERT_NE(env.sent<ReportCheckpoint>(), nullptr) << repeat;
    EXPECT_EQ(env.sent<ReportCheckpoint>()->step, 5);
    EXPECT_EQ(env.sent<ReportCheckpoint>()->worker, WorkerId(3));
    ASSERT_NE(env.sent<ReportEnded>(), nullptr);
  }
  env.step(Message(EndedAck{.attempt = order.attempt}));
  env.tick(seconds(30));
  EXPECT_EQ(env.sent<ReportCheckpoint>(), nullptr);
}

TEST(Agent, RepeatsACheckpointUntilItIsAcknowledgedItself) {
  Env env;
  env.welcome();
  const StartAttempt order = env.order();
  env.step(Message(order));
  env.step(ProcessStarted{.attempt = order.attempt});
  env.step(CheckpointStored{.attempt = order.attempt, .step = 5});
  ASSERT_NE(env.sent<ReportCheckpoint>(), nullptr);
  env.step(Message(CheckpointAck{.attempt = order.attempt, .step = 4}));
  env.tick(seconds(5));
  ASSERT_NE(env.sent<ReportCheckpoint>(), nullptr) << "an answered heartbeat proves nothing";
  env.step(Message(CheckpointAck{.attempt = order.attempt, .step = 5}));
  env.tick(seconds(5));
  EXPECT_EQ(env.sent<ReportCheckpoint>(), nullptr);
}

TEST(Agent, LaunchesAnOrderOnceHoweverOftenItComes) {
  Env env;
  env.welcome();
  env.step(Message(env.order()));
  EXPECT_EQ(env.count<Launch>(), 1);
  env.step(Message(env.order()));
  EXPECT_TRUE(env.last.empty());
}

// Found by the simulator: a late copy of an order had the attempt done a second time, whose points
// then stood in the series of the first; and a coordinator whose disk had forgotten the end waited
// for an attempt that nobody ran.
TEST(Agent, AnOrderForAnAttemptThatIsOverIsAnsweredWithHowItEnded) {
  Env env;
  env.welcome();
  const StartAttempt order = env.order();
  env.step(Message(order));
  env.step(ProcessStarted{.attempt = order.attempt});
  env.step(ProcessEnded{.attempt = order.attempt, .outcome = Diverged{.reason = "loss is NaN"}});
  env.step(Message(EndedAck{.attempt = order.attempt}));
  env.answer_heartbeat();
  for (const Message& late : {Message(order), Message(StopAttempt{.attempt = order.attempt})}) {
    env.step(late);
    EXPECT_EQ(env.count<Launch>(), 0);
    ASSERT_NE(env.sent<ReportEnded>(), nullptr);
    EXPECT_TRUE(std::holds_alternative<Diverged>(env.sent<ReportEnded>()->outcome));
    EXPECT_EQ(env.sent<ReportEnded>()->worker, WorkerId(3));
    env.step(Message(EndedAck{.attempt = order.attempt}));
  }
  env.tick(seconds(30));
  EXPECT_EQ(env.sent<ReportEnded>(), nullptr);
}

TEST(Agent, NeverHoldsMoreSlotsThanItHas) {
  Env env;
  env.welcome();
  env.step(Message(env.order(1, 1, 2)));
  EXPECT_EQ(env.count<Launch>(), 1);
  env.step(Message(env.order(1, 2, 1)));
  EXPECT_EQ(env.count<Launch>(), 0);
}

TEST(Agent, ReportsTheEndUntilItIsAcknowledged) {
  Env env;
  env.welcome();
  const StartAttempt order = env.order();
  env.step(Message(order));
  env.step(ProcessEnded{.attempt = order.attempt, .outcome = Succeeded{}});
  ASSERT_NE(env.sent<ReportEnded>(), nullptr);
  env.tick(seconds(3));
  ASSERT_NE(env.sent<ReportEnded>(), nullptr);
  env.step(Message(order));
  EXPECT_NE(env.sent<ReportEnded>(), nullptr)
      << "an order for what has ended is answered with its end";
  EXPECT_EQ(env.count<Launch>(), 0);
  env.step(Message(EndedAck{.attempt = order.attempt}));
  env.tick(seconds(30));
  EXPECT_EQ(env.sent<ReportEnded>(), nullptr);
}

TEST(Agent, StopsItsRanksBeforeItsLeaseEndsWhenTheCoordinatorIsAway) {
  Env env;
  env.welcome();
  const Instant granted = env.now;
  const StartAttempt order = env.order();
  env.step(Message(order));
  env.step(ProcessStarted{.attempt = order.attempt});
  bool asked = false;
  bool killed = false;
  while (!killed && env.now < granted + seconds(120)) {
    env.tick(milliseconds(250));
    if (env.count<Terminate>() > 0) asked = true;
    if (env.count<Kill>() > 0) killed = true;
  }
  EXPECT_TRUE(asked);
  EXPECT_TRUE(killed);
  EXPECT_LT(env.now, granted + milliseconds(order.lease_ms));
}

TEST(Agent, AnAnsweredHeartbeatRenewsFromWhenItWasSent) {
  Env env;
  env.welcome();
  env.step(Message(env.order()));
  env.tick(seconds(5));
  ++env.sequence;
  ASSERT_NE(env.sent<Heartbeat>(), nullptr);
  EXPECT_EQ(env.sent<Heartbeat>()->sequence, env.sequence);
  const Instant sent = env.now;
  env.now = env.now + seconds(40);
  env.answer_heartbeat();
  EXPECT_EQ(env.count<Terminate>(), 0);
  while (env.count<Terminate>() == 0) env.tick(milliseconds(100));
  EXPECT_GE(env.now, sent + seconds(54)) << "60 s less a margin of a tenth";
  EXPECT_LE(env.now, sent + seconds(55));
}

TEST(Agent, WhatIsTheirsNoLongerIsKilledAndNeverReported) {
  Env env;
  env.welcome();
  const StartAttempt order = env.order();
  env.step(Message(order));
  env.answer_heartbeat({order.attempt});
  ASSERT_EQ(env.count<Kill>(), 1);
  EXPECT_TRUE(env.agent.held().empty());
  env.step(CheckpointStored{.attempt = order.attempt, .step = 5});
  EXPECT_EQ(env.sent<ReportCheckpoint>(), nullptr);
  env.step(ProcessEnded{.attempt = order.attempt, .outcome = Succeeded{}});
  EXPECT_EQ(env.sent<ReportEnded>(), nullptr);
}

TEST(Agent, AStopForWhatNeverStartedIsAnsweredAsStopped) {
  Env env;
  env.welcome();
  env.step(Message(StopAttempt{.attempt = env.order().attempt, .reason = "cancelled"}));
  ASSERT_NE(env.sent<ReportEnded>(), nullptr);
  EXPECT_TRUE(std::holds_alternative<Stopped>(env.sent<ReportEnded>()->outcome));
}

TEST(Agent, StopAsksFirstAndKillsWhenThatDoesNotHelp) {
  Env env;
  env.welcome();
  const StartAttempt order = env.order();
  env.step(Message(order));
  env.step(Message(StopAttempt{.attempt = order.attempt, .reason = "cancelled"}));
  EXPECT_EQ(env.count<Terminate>(), 1);
  env.step(Message(StopAttempt{.attempt = order.attempt, .reason = "cancelled"}));
  EXPECT_EQ(env.count<Terminate>(), 0) << "a repeat asks nothing new";
  env.tick(seconds(19));
  EXPECT_EQ(env.count<Kill>(), 0);
  env.tick(seconds(2));
  EXPECT_EQ(env.count<Kill>(), 1);
  env.tick(seconds(2));
  EXPECT_EQ(env.count<Kill>(), 1) << "again until its end is seen";
}

TEST(Agent, AStopAskedForJustBeforeTheLeaseEndsIsOverBeforeIt) {
  Env env;
  env.welcome();
  const Instant granted = env.now;
  const StartAttempt order = env.order();
  env.step(Message(order));
  env.now = granted + seconds(53);
  env.step(Message(StopAttempt{.attempt = order.attempt, .reason = "cancelled"}));
  while (env.count<Kill>() == 0 && env.now < granted + seconds(120)) env.tick(milliseconds(250));
  EXPECT_LT(env.now, granted + milliseconds(order.lease_ms));
}

TEST(Agent, AcknowledgesAStopAtOnceWithAHeartbeatThatSaysSo) {
  Env env;
  env.welcome();
  const StartAttempt order = env.running(seconds(20));
  env.stop(order, StopKind::kPreempt);
  EXPECT_EQ(env.count<Terminate>(), 1);
  ASSERT_NE(env.sent<Heartbeat>(), nullptr);
  ASSERT_EQ(env.sent<Heartbeat>()->held.size(), 1U);
  EXPECT_EQ(env.sent<Heartbeat>()->held[0].phase, AttemptPhase::kStopping);
  env.stop(order, StopKind::kPreempt);
  EXPECT_TRUE(env.last.empty()) << "a repeat is not acknowledged again, or each would bring one";
}

TEST(Agent, TheDeadlineIsTheGraceOfTheOrderElseOfTheTaskElseItsOwn) {
  const auto deadline = [](milliseconds of_task, milliseconds of_order) {
    Env env;
    env.welcome();
    const StartAttempt order = env.running(of_task);
    env.stop(order, StopKind::kPreempt, of_order);
    return env.until_kill();
  };
  EXPECT_EQ(deadline(seconds(90), seconds(5)), seconds(5));
  EXPECT_EQ(deadline(seconds(90), seconds(0)), seconds(90));
  EXPECT_EQ(deadline(seconds(0), seconds(0)), seconds(20));
}

TEST(Agent, AfterTheDeadlineItKillsAgainAndAgainUntilTheExitIsSeen) {
  Env env;
  env.welcome();
  const StartAttempt order = env.running(seconds(3));
  env.stop(order, StopKind::kPreempt);
  EXPECT_EQ(env.until_kill(), seconds(3));
  for (int again = 0; again < 5; ++again) EXPECT_EQ(env.until_kill(), seconds(1));
  env.step(ProcessEnded{.attempt = order.attempt, .outcome = Stopped{.reason = "killed"}});
  ASSERT_NE(env.sent<ReportEnded>(), nullptr);
  EXPECT_FALSE(env.until_kill());
}

TEST(Agent, ALaterStopOfAHigherKindShortensTheDeadlineAndNoneLengthensIt) {
  Env env;
  env.welcome();
  const StartAttempt order = env.running(seconds(60));
  env.stop(order, StopKind::kPreempt, seconds(60));
  env.tick(seconds(10));
  env.stop(order, StopKind::kHold, seconds(1));
  env.stop(order, StopKind::kPreempt, seconds(300));
  env.stop(order, StopKind::kCancel, seconds(300));
  EXPECT_EQ(env.count<Terminate>(), 0) << "it was asked once; a second SIGTERM says something else";
  env.tick(seconds(10));
  env.stop(order, StopKind::kCancel, seconds(5));
  env.stop(order, StopKind::kPreempt, seconds(1));
  EXPECT_EQ(env.until_kill(), seconds(5));
  env.step(ProcessEnded{.attempt = order.attempt, .outcome = Stopped{.reason = "preempt"}});
  ASSERT_NE(env.sent<ReportEnded>(), nullptr);
  EXPECT_EQ(std::get<Stopped>(env.sent<ReportEnded>()->outcome).reason, "cancel");
}

TEST(Agent, ALongGraceLastsWhileTheLeaseIsRenewedAndNotBeyondIt) {
  for (const bool answered : {true, false}) {
    Env env;
    env.welcome();
    const StartAttempt order = env.running(seconds(120), seconds(60));
    env.stop(order, StopKind::kPreempt);
    const auto killed = env.until_kill(answered);
    ASSERT_TRUE(killed);
    if (answered) {
      EXPECT_EQ(*killed, seconds(120));
    } else {
      EXPECT_LT(*killed, seconds(60));
    }
  }
}

TEST(Agent, AProgramThatHadJustFinishedWhenAskedIsReportedAsWhatItIs) {
  Env env;
  env.welcome();
  const StartAttempt order = env.running(seconds(20));
  env.stop(order, StopKind::kPreempt);
  env.step(ProcessEnded{.attempt = order.attempt, .outcome = Succeeded{}});
  ASSERT_NE(env.sent<ReportEnded>(), nullptr);
  EXPECT_TRUE(std::holds_alternative<Succeeded>(env.sent<ReportEnded>()->outcome));
}

TEST(Agent, ShuttingDownShortensALongGrace) {
  Env env;
  env.welcome();
  const StartAttempt order = env.running(seconds(500), seconds(3600));
  env.stop(order, StopKind::kPreempt);
  env.step(ShutDown{.reason = "SIGTERM"});
  EXPECT_EQ(env.count<Terminate>(), 0);
  EXPECT_EQ(env.until_kill(), seconds(60));
}

TEST(Agent, SaysHowMuchMemoryItHasAndHowLongItsAllocationLasts) {
  Agent agent({.session = 7, .memory_mb = 64'000, .ends_at = Instant(seconds(200))},
              Instant(seconds(100)));
  auto sent = agent.step(TimePassed{}, Instant(seconds(100)));
  ASSERT_EQ(sent.size(), 1U);
  const auto hello = std::get<Hello>(std::get<SendMessage>(sent[0]).message);
  EXPECT_EQ(hello.memory_mb, 64'000);
  EXPECT_EQ(hello.lifetime_left_ms, 100'000);
  sent = agent.step(
      Message(
          Welcome{.worker = WorkerId(3), .session = 7, .coordinator = "c", .heartbeat_ms = 5'000}),
      Instant(seconds(101)));
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(std::get<Heartbeat>(std::get<SendMessage>(sent[0]).message).lifetime_left_ms, 99'000);
  sent = agent.step(TimePassed{}, Instant(seconds(500)));
  EXPECT_EQ(std::get<Heartbeat>(std::get<SendMessage>(sent[0]).message).lifetime_left_ms, 0);
  Agent endless({.session = 7}, Instant(seconds(100)));
  sent = endless.step(TimePassed{}, Instant(seconds(100)));
  EXPECT_EQ(std::get<Hello>(std::get<SendMessage>(sent[0]).message).lifetime_left_ms, -1);
}

TEST(Agent, ShutsDownAfterItsGangsAreOverAndTheirEndsAreKnown) {
  Env env;
  env.welcome();
  const StartAttempt order = env.order();
  env.step(Message(order));
  env.step(ShutDown{.reason = "SIGTERM"});
  EXPECT_EQ(env.count<Terminate>(), 1);
  EXPECT_NE(env.sent<Leaving>(), nullptr)
      << "before its ends are reported, or it would be given the same tasks again";
  env.tick(seconds(6));
  EXPECT_NE(env.sent<Leaving>(), nullptr) << "again, as it may have been lost";
  env.step(ProcessEnded{.attempt = order.attempt, .outcome = Stopped{}});
  EXPECT_EQ(env.count<Exit>(), 0);
  env.step(Message(EndedAck{.attempt = order.attempt}));
  EXPECT_NE(env.sent<Goodbye>(), nullptr);
  EXPECT_EQ(env.count<Exit>(), 1);
}

TEST(Agent, ObeysOneCoordinatorOnly) {
  Env env;
  env.welcome();
  env.step(Message(Welcome{
      .worker = WorkerId(1), .session = 7, .coordinator = "another", .heartbeat_ms = 5'000}));
  ASSERT_EQ(env.count<Exit>(), 1);
  EXPECT_TRUE(std::get<Exit>(env.last.back()).refused);
}

}  // namespace
}  // namespace strata::worker
