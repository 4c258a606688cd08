#include "coordinator/core/core.h"

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

TEST(Scheduler, GangWaitsUntilAllItsSlotsAreFreeTogether) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(3, "gpu-07");
  const TaskSpec narrow = make_task("extract", 1);
  const TaskSpec wide = make_task("train", 1, {}, 3);
  env.submit(make_submission("s", {narrow, wide}));
  const auto started = env.take<StartAttempt>();
  ASSERT_EQ(started.size(), 1U);
  EXPECT_EQ(started[0].spec, narrow);
  EXPECT_EQ(env.reason(wide), "needs 3 slots together, 2 free on gpu-07");
  EXPECT_TRUE(env.nothing_sent());

  env.succeed(worker, started[0]);
  const auto gang = env.take<StartAttempt>();
  ASSERT_EQ(gang.size(), 1U);
  EXPECT_EQ(gang[0].spec, wide);
  EXPECT_TRUE(env.nothing_sent());
}

TEST(Scheduler, NarrowTasksBehindAWideOneDoNotStarveIt) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(2);
  const TaskSpec first = make_task("extract", 1);
  env.submit(make_submission("a", {first}));
  const auto started = env.take<StartAttempt>();
  const TaskSpec wide = make_task("train", 1, {}, 2);
  const TaskSpec late = make_task("extract", 2);
  env.submit(make_submission("b", {wide, late}));
  EXPECT_TRUE(env.nothing_sent()) << "the free slot is kept for the gang";
  env.succeed(worker, started[0]);
  const auto next = env.take<StartAttempt>();
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(next[0].spec, wide);
}

TEST(Scheduler, InfeasibleIsToldFromWaiting) {
  CoreEnv env;
  const TaskSpec task = make_task("train", 1, {}, 8);
  env.submit(make_submission("s", {task}));
  EXPECT_EQ(env.reason(task), "infeasible: needs 8 slots together; no worker has joined");
  env.add_worker(4);
  EXPECT_EQ(env.reason(task), "infeasible: needs 8 slots together; the largest worker has 4");
  EXPECT_TRUE(env.nothing_sent());
}

TEST(Scheduler, HigherPriorityGoesFirstAndATaskHasThePriorityOfItsMostUrgentWant) {
  CoreEnv env;
  const TaskSpec shared = make_task("extract", 1);
  const TaskSpec other = make_task("extract", 2);
  env.submit(make_submission("low", {other, shared}));
  SubmitTasks urgent = make_submission("high", {shared});
  urgent.priority = 5;
  env.submit(urgent);
  env.add_worker(1);
  const auto started = env.take<StartAttempt>();
  ASSERT_EQ(started.size(), 1U);
  EXPECT_EQ(started[0].spec, shared);
}

TEST(Tasks, ConsumersStartWhenTheirInputIsCommittedAndReadWhatWasCommitted) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec prepare = make_task("prepare", 1);
  const TaskSpec extract = make_task("extract", 1, {prepare});
  env.submit(make_submission("s", {prepare, extract}));
  EXPECT_EQ(env.state(extract), "blocked");
  const auto first = env.take<StartAttempt>();
  ASSERT_EQ(first.size(), 1U);
  env.succeed(worker, first[0], "corpus");
  const auto second = env.take<StartAttempt>();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].inputs.at("from_prepare"), testing::make_artifact("preparecorpus"));
}

TEST(Tasks, UserFailuresAreRetriedWithGrowingPausesUpToTheirLimit) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("prepare", 1);
  env.submit(make_submission("s", {task}));
  for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
    const auto started = env.take<StartAttempt>();
    ASSERT_EQ(started.size(), 1U) << attempt;
    EXPECT_EQ(started[0].attempt.number, attempt);
    env.from(worker, ReportEnded{.worker = worker,
                                 .attempt = started[0].attempt,
                                 .outcome = Failed{.reason = "exit code 1"}});
    if (attempt < 3) {
      EXPECT_EQ(env.reason(task),
                fmt::format("tries again in {} s after: exit code 1", attempt == 1 ? 2 : 3));
    }
    env.pass(milliseconds(999));
    EXPECT_TRUE(env.take<StartAttempt>().empty()) << "not before the pause is over";
    env.pass(seconds(3));
    env.heartbeat(worker);
  }
  EXPECT_EQ(env.state(task), "failed");
}

TEST(Tasks, InfrastructureIsNotChargedToTheUser) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("prepare", 1);
  env.submit(make_submission("s", {task}));
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = env.take<StartAttempt>().at(0).attempt,
                               .outcome = Failed{.cause = FailureClass::kInfra,
                                                 .reason = "rank 1 was killed"}});
  EXPECT_EQ(env.cluster().find_task(task.key)->user_failures, 0);
  EXPECT_EQ(env.cluster().find_task(task.key)->infra_failures, 1);
}

TEST(Tasks, DivergedIsAResultAndIsNotTriedAgain) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = env.take<StartAttempt>().at(0).attempt,
                               .outcome = Diverged{.reason = "loss is NaN at 12"}});
  EXPECT_EQ(env.state(task), "diverged");
  env.submit(make_submission("s", {task}));
  EXPECT_TRUE(env.take<StartAttempt>().empty());
}

TEST(Tasks, SuccessWithoutADeclaredOutputIsAFailure) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("prepare", 1);
  env.submit(make_submission("s", {task}));
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = env.take<StartAttempt>().at(0).attempt,
                               .outcome = Succeeded{}});
  EXPECT_NE(env.state(task), "succeeded");
  EXPECT_EQ(env.cluster().find_task(task.key)->trouble().last_failure,
            "it ended well but made no output \"result\"");
}

TEST(Tasks, AResultWhoseInputWasMadeAgainDifferentlyIsOutdated) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec prepare = make_task("prepare", 1);
  const TaskSpec extract = make_task("extract", 1, {prepare});
  env.submit(make_submission("s", {prepare, extract}));
  env.succeed(worker, env.take<StartAttempt>().at(0), "one");
  env.succeed(worker, env.take<StartAttempt>().at(0));
  const ContentHash corpus = env.cluster().find_task(prepare.key)->made().artifacts.at("result").hash;
  EXPECT_FALSE(env.cluster().find_task(extract.key)->outdated);

  // A second consumer finds the corpus gone: its producer runs again, with other bytes this time.
  const TaskSpec train = make_task("train", 1, {prepare});
  env.submit(make_submission("s", {prepare, extract, train}));
  const auto reads = env.take<StartAttempt>();
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = reads.at(0).attempt,
                               .outcome = Failed{.cause = FailureClass::kData,
                                                 .reason = "an input is gone"},
                               .missing_inputs = {corpus}});
  env.take<EndedAck>();
  const auto again = env.take<StartAttempt>();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].spec, prepare);
  EXPECT_EQ(again[0].attempt.number, 2U);
  env.succeed(worker, again[0], "two");
  EXPECT_TRUE(env.cluster().find_task(extract.key)->outdated);
  EXPECT_FALSE(env.cluster().find_task(prepare.key)->outdated);
}

TEST(Tasks, WhetherADeepDiamondIsOutdatedIsFoundWithoutWalkingEveryWay) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  std::vector<TaskSpec> tasks{make_task("root", 1)};
  for (std::uint64_t level = 1; level <= 60; ++level) {  // 2^60 ways from the last to the first
    const TaskSpec above = tasks.back();
    const TaskSpec left = make_task("left", level, {above});
    const TaskSpec right = make_task("right", level, {above});
    tasks.insert(tasks.end(), {left, right, make_task("join", level, {left, right})});
  }
  env.submit(make_submission("s", tasks));
  for (std::size_t i = 0; i < tasks.size(); ++i)
    env.succeed(worker, env.take<StartAttempt>().at(0));
  EXPECT_FALSE(env.cluster().find_task(tasks.back().key)->outdated);
}

TEST(Tasks, AnOutputAskedForWhileItRunsIsMadeByOneMoreRun) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec train = make_task("train", 1);
  env.submit(make_submission("s", {train}));
  const auto first = env.take<StartAttempt>();
  TaskSpec with_log = train;
  with_log.outputs = {"log", "result"};
  TaskSpec reads_log = make_task("plot", 1, {train});
  reads_log.inputs[0].output = "log";
  reads_log.key = compute_key(reads_log);
  EXPECT_TRUE(env.submit(make_submission("s", {with_log, reads_log})).ok);
  env.succeed(worker, first.at(0));
  const auto again = env.take<StartAttempt>();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].spec.outputs, (std::vector<std::string>{"log", "result"}));
  env.succeed(worker, again[0]);
  const auto plot = env.take<StartAttempt>();
  ASSERT_EQ(plot.size(), 1U) << "not the producer for a third time";
  EXPECT_EQ(plot[0].spec, reads_log);
}

TEST(Leases, ASilentGangIsGivenUpAndItsLateReportsChangeNothing) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1, "w1");
  TaskSpec task = make_task("train", 1);
  task.lease_ms = 60'000;
  env.submit(make_submission("s", {task}));
  const auto first = env.take<StartAttempt>();
  env.pass(seconds(59));
  EXPECT_EQ(env.state(task), "leased");
  env.pass(seconds(2));
  EXPECT_EQ(env.state(task), "queued");
  env.heartbeat(worker, {{.attempt = first.at(0).attempt, .phase = AttemptPhase::kRunning}});
  EXPECT_EQ(env.take<HeartbeatAck>().at(0).drop, std::vector<AttemptId>{first[0].attempt});
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U) << "the unanswered order was said again meanwhile";
  env.pass(seconds(2));
  const auto second = env.take<StartAttempt>();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].attempt.number, 2U);

  const std::size_t events = env.log.size();
  Succeeded late;
  late.artifacts["result"] = testing::make_artifact("late");
  env.from(worker, ReportEnded{.worker = worker, .attempt = first[0].attempt, .outcome = late});
  env.from(worker, ReportCheckpoint{.worker = worker,
                                    .attempt = first[0].attempt,
                                    .step = 999,
                                    .artifact = testing::make_artifact("late")});
  env.from(worker, ReportStarted{.worker = worker, .attempt = first[0].attempt});
  EXPECT_EQ(env.log.size(), events) << "I3: an older attempt changes nothing";
  EXPECT_EQ(env.take<EndedAck>().size(), 1U) << "but it is told to stop repeating";
}

TEST(Leases, AWorkerThatLetOneRunOutInSilenceGetsNothingUntilItIsHeardAgain) {
  CoreEnv env;
  const WorkerId frozen = env.add_worker(1, "w1");
  TaskSpec task = make_task("train", 1);
  task.lease_ms = 10'000;  // shorter than slow_after
  env.submit(make_submission("s", {task}));
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U);
  env.pass(seconds(11));
  EXPECT_EQ(env.state(task), "queued");
  env.take<StartAttempt>();
  env.pass(seconds(2));
  EXPECT_EQ(env.state(task), "queued") << "its slot is free, but nobody knows whether it lives";
  EXPECT_TRUE(env.take<StartAttempt>().empty());
  env.heartbeat(frozen);
  env.pass(seconds(2));
  EXPECT_EQ(env.take<StartAttempt>().at(0).attempt.number, 2U);
}

TEST(Leases, AHeartbeatThatWasUnderWayWhenTheOrderCameDoesNotSpeakForAFrozenWorker) {
  CoreEnv env;
  const WorkerId frozen = env.add_worker(1, "w1");
  TaskSpec task = make_task("train", 1);
  task.lease_ms = 11'000;  // shorter than slow_after
  env.submit(make_submission("s", {task}));
  const auto first = env.take<StartAttempt>();
  env.from(frozen, ReportStarted{.worker = frozen, .attempt = first.at(0).attempt});
  env.pass(milliseconds(100));
  env.heartbeat(frozen);  // over another socket, and sent before
  env.pass(milliseconds(10'950));
  EXPECT_EQ(env.state(task), "queued");
  env.pass(seconds(2));
  EXPECT_EQ(env.state(task), "queued") << "it was silent for all of the lease but its first moment";
  const WorkerId other = env.add_worker(1, "w2");
  const auto second = env.take<StartAttempt>();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].attempt.number, 2U);
  EXPECT_TRUE(env.cluster().find_worker(other)->attempts.contains(second[0].attempt));
}

TEST(Checkpoints, AreResumedFromUntilTheStoreLosesThem) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  const ArtifactRef checkpoint = testing::make_artifact("checkpoint");
  const auto first = env.take<StartAttempt>();
  env.from(
      worker,
      ReportCheckpoint{
          .worker = worker, .attempt = first.at(0).attempt, .step = 10, .artifact = checkpoint});
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = first[0].attempt,
                               .outcome = Failed{.cause = FailureClass::kInfra, .reason = "lost"}});
  env.pass(seconds(3));
  const auto second = env.take<StartAttempt>();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].resume_from, checkpoint);
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = second[0].attempt,
                               .outcome = Failed{.cause = FailureClass::kData, .reason = "gone"},
                               .missing_inputs = {checkpoint.hash}});
  env.pass(seconds(5));
  env.heartbeat(worker);
  const auto third = env.take<StartAttempt>();
  ASSERT_EQ(third.size(), 1U);
  EXPECT_FALSE(third[0].resume_from.has_value()) << "what is gone is not asked for again";
}

TEST(Checkpoints, AreNotResumedFromWithOtherInputs) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec prepare = make_task("prepare", 1);
  const TaskSpec train = make_task("train", 1, {prepare});
  env.submit(make_submission("s", {prepare, train}));
  env.succeed(worker, env.take<StartAttempt>().at(0), "one");
  const auto first = env.take<StartAttempt>();
  const ContentHash corpus = first.at(0).inputs.at("from_prepare").hash;
  env.from(worker, ReportCheckpoint{.worker = worker,
                                    .attempt = first[0].attempt,
                                    .step = 10,
                                    .artifact = testing::make_artifact("checkpoint")});
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = first[0].attempt,
                               .outcome = Failed{.cause = FailureClass::kData, .reason = "gone"},
                               .missing_inputs = {corpus}});
  env.take<EndedAck>();
  env.succeed(worker, env.take<StartAttempt>().at(0), "two");
  env.pass(seconds(3));
  env.heartbeat(worker);
  const auto second = env.take<StartAttempt>();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_NE(second[0].inputs.at("from_prepare").hash, corpus);
  EXPECT_FALSE(second[0].resume_from.has_value());
}

TEST(Checkpoints, OfChangedInputsAreTakenFromTheFirstStepOn) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec prepare = make_task("prepare", 1);
  const TaskSpec train = make_task("train", 1, {prepare});
  env.submit(make_submission("s", {prepare, train}));
  env.succeed(worker, env.take<StartAttempt>().at(0), "one");
  const auto first = env.take<StartAttempt>().at(0).attempt;
  env.from(worker, ReportStarted{.worker = worker, .attempt = first});
  env.from(
      worker,
      ReportCheckpoint{
          .worker = worker, .attempt = first, .step = 10'000, .artifact = make_artifact("old")});
  const ContentHash corpus = env.cluster().find_task(prepare.key)->made().artifacts.at("result").hash;
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = first,
                               .outcome = Failed{.cause = FailureClass::kData, .reason = "gone"},
                               .missing_inputs = {corpus}});
  env.take<EndedAck>();
  env.succeed(worker, env.take<StartAttempt>().at(0), "two");
  env.pass(seconds(5));
  const auto second = env.take<StartAttempt>().at(0);
  EXPECT_FALSE(second.resume_from.has_value());
  const auto report = [&](std::int64_t step) {
    env.from(worker, ReportCheckpoint{.worker = worker,
                                      .attempt = second.attempt,
                                      .step = step,
                                      .artifact = make_artifact(std::to_string(step))});
    return env.cluster().find_task(train.key)->checkpoint->step;
  };
  EXPECT_EQ(report(100), 100);
  EXPECT_EQ(report(50), 100) << "of the same inputs only a later one counts";
}

TEST(Leases, AnOrderThatItsWorkerCannotTakeYetIsAsYoungAsItsHeartbeat) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  TaskSpec task = make_task("train", 1);
  task.lease_ms = 60'000;
  env.submit(make_submission("s", {task}));
  env.pass(seconds(50));
  env.heartbeat(worker);
  env.pass(seconds(50));
  EXPECT_EQ(env.state(task), "leased");
}

TEST(Leases, HeartbeatsRenewThem) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  TaskSpec task = make_task("train", 1);
  task.lease_ms = 60'000;
  env.submit(make_submission("s", {task}));
  const auto order = env.take<StartAttempt>();
  for (int i = 0; i < 10; ++i) {
    env.pass(seconds(30));
    env.heartbeat(worker, {{.attempt = order.at(0).attempt, .phase = AttemptPhase::kRunning}});
  }
  EXPECT_EQ(env.state(task), "running")
      << "the heartbeat also told what a lost report of the start did not";
}

TEST(Recovery, GangsAreAdoptedAndWhatWasOwedIsSaidAgain) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(2, "w1", 77);
  const TaskSpec running = make_task("train", 1);
  const TaskSpec granted = make_task("train", 2);
  env.submit(make_submission("s", {running, granted}));
  const auto orders = env.take<StartAttempt>();
  ASSERT_EQ(orders.size(), 2U);
  env.from(worker, ReportStarted{.worker = worker, .attempt = orders[0].attempt});
  env.restart();
  EXPECT_EQ(env.state(running), "running");
  env.step(coordinator::PeerId(50),
           Hello{.name = "w1",
                 .session = 77,
                 .slots = 2,
                 .held = {{.attempt = orders[0].attempt, .phase = AttemptPhase::kRunning}}});
  EXPECT_EQ(env.take<Welcome>().at(0).worker, worker) << "the same worker, not a new one";
  EXPECT_TRUE(env.take<HeartbeatAck>().at(0).drop.empty());
  env.pass(seconds(3));
  const auto again = env.take<StartAttempt>();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0], orders[1]);
}

TEST(Recovery, ARestartedWorkerLosesWhatItHeldAtOnce) {
  CoreEnv env;
  env.add_worker(1, "w1", 1);
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  env.take<StartAttempt>();
  env.add_worker(1, "w1", 2);
  EXPECT_EQ(env.state(task), "queued");
  EXPECT_EQ(env.cluster().workers().size(), 1U);
}

TEST(Workers, OneThatIsLeavingGetsNothingNewAndNothingThereIsLostOrFailed) {
  CoreEnv env;
  const WorkerId leaving = env.add_worker(2);
  const TaskSpec stopped = make_task("train", 1);
  const TaskSpec never_began = make_task("train", 2);
  env.submit(make_submission("s", {stopped, never_began}));
  const auto started = env.take<StartAttempt>();
  ASSERT_EQ(started.size(), 2U);
  env.from(leaving, Leaving{.worker = leaving, .session = 99});
  EXPECT_TRUE(env.nothing_sent()) << "an earlier life of it";
  env.from(leaving, Leaving{.worker = leaving, .session = 1});
  env.from(leaving, Leaving{.worker = leaving, .session = 1});
  env.from(leaving, ReportEnded{.worker = leaving,
                                .attempt = started[0].attempt,
                                .outcome = Stopped{.reason = "the worker shuts down"}});
  env.take<EndedAck>();
  env.pass(std::chrono::milliseconds(2'500));
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U)
      << "what it does not confirm is said again; what it stopped is not given back to it";
  env.from(leaving, Goodbye{.worker = leaving, .session = 1, .reason = "asked by SIGTERM"});
  EXPECT_TRUE(env.nothing_sent());
  for (const TaskSpec& task : {stopped, never_began}) {
    EXPECT_EQ(env.state(task), "queued");
    EXPECT_EQ(env.cluster().find_task(task.key)->infra_failures, 0);
    EXPECT_EQ(env.cluster().find_task(task.key)->user_failures, 0);
  }
  env.add_worker(2);
  EXPECT_EQ(env.take<StartAttempt>().size(), 2U) << "at once: nothing to wait for";
}

TEST(Workers, OneThatWasDrainedOrSaidGoodbyeGetsNothingWhenItIsHeardAgain) {
  CoreEnv env;
  const WorkerId drained = env.add_worker(1, "drained", 11);
  env.step(coordinator::PeerId(1), coordinator::DrainWorker{.request = 1, .worker = drained});
  env.take<Answer>();
  env.pass(std::chrono::minutes(3));  // a partition: it is forgotten
  ASSERT_TRUE(env.cluster().workers().empty());
  const WorkerId left = env.add_worker(1, "left", 12);
  env.from(left, Goodbye{.worker = left, .session = 12, .reason = "asked by SIGTERM"});
  env.add_worker(1, "drained", 11);
  env.add_worker(1, "left", 12);  // a Hello that came late
  const TaskSpec task = make_task("train", 1);
  env.submit(make_submission("s", {task}));
  EXPECT_TRUE(env.nothing_sent());
  EXPECT_EQ(env.state(task), "queued");
  env.add_worker(1, "left", 13);  // its next life
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U);
}

TEST(Workers, TwoOfOneNameDoNotTakeEachOthersPlaceForEver) {
  CoreEnv env;
  env.add_worker(1, "gpu", 11);
  const WorkerId second = env.add_worker(1, "gpu", 12);
  env.heartbeat(second);
  env.take<HeartbeatAck>();
  env.step(coordinator::PeerId(50), Hello{.name = "gpu", .session = 11, .slots = 1});
  const auto refused = env.take<Refused>();
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_NE(refused[0].reason.find("--name"), std::string::npos) << refused[0].reason;
  EXPECT_NE(env.cluster().find_worker(second), nullptr);
}

TEST(Workers, ALateHelloOfALifeThatIsOverIsNoSecondWorker) {
  CoreEnv env;
  env.add_worker(1, "gpu", 12);
  env.step(coordinator::PeerId(50), Hello{.name = "gpu", .session = 11, .slots = 1});  // came late
  env.take<Welcome>();
  env.take<HeartbeatAck>();
  env.add_worker(1, "gpu", 12);
  EXPECT_TRUE(env.take<Refused>().empty());
  ASSERT_EQ(env.cluster().workers().size(), 1U);
  EXPECT_EQ(env.cluster().workers().begin()->second.session, 12U);
}

// After a restore the worker may have a number that was forgotten (simulator, seed 453).
TEST(Workers, ALeavingWorkerIsKnownByItsSessionWhateverItsNumber) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1, "w", 7);
  env.from(worker, Leaving{.worker = WorkerId(99), .session = 7});
  env.submit(make_submission("s", {make_task("prepare", 1)}));
  EXPECT_TRUE(env.take<StartAttempt>().empty());
  env.from(worker, Goodbye{.worker = WorkerId(99), .session = 7, .reason = "asked"});
  EXPECT_TRUE(env.cluster().workers().empty());
}

TEST(Workers, HeartbeatsOverTheirOwnConnectionDoNotMoveWhereOrdersGo) {
  CoreEnv env({.heartbeat_address = "tcp://127.0.0.1:1"});
  const WorkerId worker = env.add_worker(1, "w", 7);
  const coordinator::PeerId beside(1'000);
  const Heartbeat heartbeat{.worker = worker, .session = 7, .sequence = 1};
  const auto output =
      env.core().step({.peer = beside, .body = heartbeat, .beside = true}, env.now(), WallTime{1});
  ASSERT_EQ(output.effects.size(), 1U);
  EXPECT_EQ(output.effects[0].to, beside);
  env.submit(make_submission("s", {make_task("prepare", 1)}));
  EXPECT_EQ(env.take<StartAttempt>().size(), 1U);
  env.restart();
  const auto after =
      env.core().step({.peer = beside, .body = heartbeat, .beside = true}, env.now(), WallTime{1});
  ASSERT_EQ(after.effects.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<WhoAreYou>(after.effects[0].message))
      << "nobody knows where its orders go: it has to say Hello";
}

TEST(Workers, AForeignProtocolIsRefusedInWords) {
  CoreEnv env;
  env.step(coordinator::PeerId(9), Hello{.protocol_min = 7,
                                         .protocol_max = 9,
                                         .build = "0.9",
                                         .name = "w",
                                         .session = 1,
                                         .slots = 1});
  EXPECT_EQ(env.take<Refused>().at(0).reason,
            "this coordinator speaks protocol 2, the worker (0.9) 7 to 9: install the same version "
            "on both");
}

TEST(Workers, AnUnknownSessionIsAskedWhoItIs) {
  CoreEnv env;
  env.step(coordinator::PeerId(9), Heartbeat{.worker = WorkerId(4), .session = 3});
  EXPECT_EQ(env.take<WhoAreYou>().size(), 1U);
}

}  // namespace
}  // namespace strata
