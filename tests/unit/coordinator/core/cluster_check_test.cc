// What cannot follow is told before it is applied: a damaged or foreign log changes nothing.
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/core_env.h"

namespace strata::coordinator {
namespace {

using strata::testing::CoreEnv;
using strata::testing::make_artifact;
using strata::testing::make_run;
using strata::testing::make_submission;
using strata::testing::make_task;

// A worker of two slots and 1,000 MiB holds `running` (one slot, 600 MiB), which a search has asked
// to stop; `queued` waits for as much memory, `blocked` for the result of `running`; `ended` has
// failed, `gone` is cancelled.
struct ClusterCheck : ::testing::Test {
  CoreEnv env;
  TaskSpec running = with_memory(make_task("train", 1));
  TaskSpec queued = with_memory(make_task("train", 2));
  TaskSpec blocked = make_task("score", 3, {running});
  TaskSpec ended = make_task("train", 4);
  TaskSpec gone = make_task("train", 5);
  WorkerId worker{};
  AttemptId attempt{};

  static TaskSpec with_memory(TaskSpec task) {
    task.resources.memory_mb = 600;
    return task;
  }
  void SetUp() override {
    worker = env.add_worker(Hello{.slots = 2, .memory_mb = 1'000});
    env.submit(make_submission("first", {ended}));
    env.fail(worker, env.take<StartAttempt>().at(0).attempt,
             {.cause = FailureClass::kInvalid, .reason = "no"});
    env.submit(make_submission("s", {running, queued, blocked},
                               {make_run("cell", 1, {running, blocked})}));
    attempt = env.take<StartAttempt>().at(0).attempt;
    ASSERT_EQ(attempt.task, running.key);
    env.from(worker, ReportStarted{.worker = worker, .attempt = attempt});
    SubmitTasks wide = make_submission("later", {gone});
    wide.tasks[0].resources.slots = 2;
    env.submit(wide);
    env.step(PeerId(1), CancelSweep{.request = 1, .sweep = "later"});
    ASSERT_EQ(env.state(gone), "cancelled");
    ASSERT_EQ(env.state(queued), "queued");
    ASSERT_EQ(env.state(blocked), "blocked");
    follows(StopRequested{.attempt = attempt, .kind = StopKind::kHold});
  }
  // Applies it.
  void follows(EventBody body) {
    env.log.push_back({.at = WallTime{1}, .body = std::move(body)});
    env.restart();
  }
  // Why it cannot follow; empty: it can.
  std::string refused(EventBody body) const {
    Cluster cluster = env.cluster();
    const std::uint64_t applied = cluster.events_applied();
    const Status status = cluster.apply_checked({.body = std::move(body)});
    if (status) return "";
    EXPECT_EQ(status.error().code, ErrorCode::kDamaged);
    EXPECT_EQ(cluster.events_applied(), applied);
    return status.error().message;
  }
  AttemptGranted grant(const TaskSpec& task, std::uint32_t number = 1) const {
    return {.attempt = {.task = task.key, .number = number},
            .gang = {{.worker = worker, .slots = 1, .memory_mb = 400}}};
  }
};

#define EXPECT_WHY(body, why)                                            \
  do {                                                                   \
    const std::string said = refused(body);                              \
    EXPECT_NE(said.find(why), std::string::npos) << "\"" << said << '"'; \
  } while (false)

TEST_F(ClusterCheck, OfSubmissions) {
  EXPECT_EQ(refused(SweepOpened{.sweep = "s", .generation = 2}), "");
  EXPECT_WHY((SweepOpened{.sweep = "s", .generation = 1}), "generation is not the next");
  EXPECT_WHY((SweepOpened{.sweep = "s", .generation = 3}), "generation is not the next");
  EXPECT_WHY((SweepOpened{.sweep = "new", .generation = 2}), "generation is not the next");
  EXPECT_EQ(refused(TaskWanted{.sweep = "s", .spec = gone}), "");
  EXPECT_WHY((TaskWanted{.sweep = "new", .spec = gone}), "no sweep new");
  const TaskSpec unknown = make_task("train", 99);
  EXPECT_WHY((TaskWanted{.sweep = "s", .spec = make_task("score", 1, {unknown})}), "no task");
  EXPECT_WHY((RunAdded{.sweep = "new", .run = make_run("c", 1, {running})}), "no sweep new");
  EXPECT_WHY((RunAdded{.sweep = "s", .run = make_run("c", 1, {unknown})}), "no task");
  EXPECT_EQ(refused(SweepSealed{.sweep = "s", .generation = 1}), "");
  EXPECT_WHY((SweepSealed{.sweep = "s", .generation = 2}), "not opened");
  EXPECT_WHY((SweepSealed{.sweep = "new", .generation = 1}), "not opened");
  EXPECT_EQ(refused(WantWithdrawn{.sweep = "s", .task = queued.key}), "");
  EXPECT_WHY((WantWithdrawn{.sweep = "first", .task = queued.key}), "no such want");
  EXPECT_WHY((WantWithdrawn{.sweep = "s", .task = unknown.key}), "no task");
}

TEST_F(ClusterCheck, OfTasksThatEndOrBeginAgain) {
  EXPECT_EQ(refused(TaskRevived{.task = ended.key}), "");
  EXPECT_EQ(refused(TaskRevived{.task = gone.key}), "");
  EXPECT_WHY((TaskRevived{.task = queued.key}), "the task is queued");
  EXPECT_WHY((TaskRevived{.task = running.key}), "the task is running");
  EXPECT_WHY((TaskCancelled{.task = queued.key}), "wanted, final or held");
  EXPECT_WHY((TaskCancelled{.task = gone.key}), "wanted, final or held");
  follows(WantWithdrawn{.sweep = "s", .task = running.key});
  EXPECT_WHY((TaskCancelled{.task = running.key}), "wanted, final or held");
  follows(WantWithdrawn{.sweep = "s", .task = queued.key});
  EXPECT_EQ(refused(TaskCancelled{.task = queued.key}), "");
}

TEST_F(ClusterCheck, OfWorkers) {
  const WorkerId next(worker.value() + 1);
  EXPECT_EQ(refused(WorkerJoined{.worker = next, .name = "w", .slots = 1}), "");
  EXPECT_WHY((WorkerJoined{.worker = worker, .name = "w", .slots = 1}), "number is not the next");
  EXPECT_WHY((WorkerJoined{.worker = WorkerId(9), .name = "w", .slots = 1}), "is not the next");
  EXPECT_WHY((WorkerJoined{.worker = next, .name = "w", .slots = 0}), "without slots");
  EXPECT_WHY((WorkerDrained{.worker = next}), "no such worker");
  EXPECT_WHY((WorkerGone{.worker = next}), "unknown or still holds");
  EXPECT_WHY((WorkerGone{.worker = worker}), "unknown or still holds");
  EXPECT_WHY((WorkerQuarantined{.name = "", .for_ms = 1}), "no name or no time");
  EXPECT_WHY((WorkerQuarantined{.name = "w1", .for_ms = 0}), "no name or no time");
  EXPECT_WHY((WorkerProbed{.name = "w1"}), "not in quarantine");
  EXPECT_WHY((WorkerReleased{.name = "w1"}), "not in quarantine");
  follows(WorkerQuarantined{.name = "w1", .for_ms = 1});
  EXPECT_EQ(refused(WorkerProbed{.name = "w1"}), "");
}

TEST_F(ClusterCheck, OfGrants) {
  EXPECT_EQ(refused(grant(queued)), "");
  EXPECT_WHY((grant(make_task("train", 99))), "no task");
  EXPECT_WHY((grant(running, 2)), "the task is running");
  EXPECT_WHY((grant(blocked)), "the task is blocked");
  EXPECT_WHY((grant(ended, 2)), "the task is failed");
  EXPECT_WHY((grant(queued, 2)), "number is not the next");
  EXPECT_WHY((grant(queued, 0)), "number is not the next");
  AttemptGranted bad = grant(queued);
  bad.gang.clear();
  EXPECT_WHY(bad, "an empty gang");
  bad = grant(queued);
  bad.inputs["corpus"] = make_artifact("corpus");
  EXPECT_WHY(bad, "inputs are not those");
  for (const std::int64_t slots : {0, -1, 2}) {
    bad = grant(queued);
    bad.gang[0].slots = slots;
    EXPECT_WHY(bad, "slots are not free");
  }
  bad = grant(queued);
  bad.gang[0].worker = WorkerId(9);
  EXPECT_WHY(bad, "slots are not free");
  for (const std::int64_t memory : {-1, 401}) {
    bad = grant(queued);
    bad.gang[0].memory_mb = memory;
    EXPECT_WHY(bad, "memory is not free");
  }
}

TEST_F(ClusterCheck, OfAttempts) {
  AttemptId older = attempt;
  older.number = 0;
  EXPECT_WHY((AttemptStarted{.attempt = attempt}), "it had started");
  EXPECT_WHY((AttemptStarted{.attempt = older}), "is not live");
  EXPECT_WHY((AttemptStarted{.attempt = {.task = queued.key, .number = 1}}), "is not live");
  EXPECT_EQ(refused(CheckpointCommitted{.attempt = attempt, .step = 1}), "");
  EXPECT_WHY((CheckpointCommitted{.attempt = older, .step = 1}), "is not live");
  EXPECT_WHY((StopRequested{.attempt = older}), "is not live");
  EXPECT_EQ(refused(AttemptEnded{.attempt = attempt, .outcome = Stopped{}}), "");
  EXPECT_WHY((AttemptEnded{.attempt = older, .outcome = Stopped{}}), "is not live");
  EXPECT_WHY((AttemptEnded{.attempt = {.task = ended.key, .number = 1}, .outcome = Stopped{}}),
             "is not live");
}

TEST_F(ClusterCheck, OfStopsThatSayLessThanTheOneBefore) {
  const auto asks = [&](StopKind kind) { return StopRequested{.attempt = attempt, .kind = kind}; };
  const std::vector<StopKind> kinds{StopKind::kHold, StopKind::kPreempt, StopKind::kCancel};
  for (const StopKind first : kinds) {
    if (!refused(asks(first)).empty()) continue;  // less than what it was asked already
    follows(asks(first));
    for (const StopKind next : kinds)
      EXPECT_EQ(refused(asks(next)).empty(), next >= first) << static_cast<int>(next);
  }
}

TEST_F(ClusterCheck, OfArtifactsAndRestores) {
  EXPECT_WHY((ArtifactEvicted{.artifact = make_artifact("x").hash}), "no such artifact");
  EXPECT_WHY((StoreRestored{.attempts_above = 1}), "have been given such numbers");
  EXPECT_EQ(refused(StoreRestored{.attempts_above = 2}), "");
}

TEST_F(ClusterCheck, OfFailuresThatAreForgiven) {
  EXPECT_EQ(refused(FailureForgiven{.task = ended.key, .user_failures = 1}), "");
  EXPECT_WHY((FailureForgiven{.task = ended.key, .user_failures = 2}), "no such failures");
  EXPECT_WHY((FailureForgiven{.task = ended.key, .user_failures = 0}), "no such failures");
  EXPECT_WHY((FailureForgiven{.task = queued.key, .user_failures = 1}), "no such failures");
  EXPECT_WHY((FailureForgiven{.task = make_task("train", 99).key, .user_failures = 1}), "no task");
}

TEST_F(ClusterCheck, OfSearches) {
  EXPECT_EQ(refused(TaskHeld{.sweep = "s", .task = queued.key}), "");
  EXPECT_WHY((TaskHeld{.sweep = "first", .task = ended.key}), "the task has ended");
  EXPECT_WHY((TaskHeld{.sweep = "first", .task = queued.key}), "no such want");
  EXPECT_WHY((RungReached{.sweep = "first", .task = queued.key}), "no such want");
  EXPECT_WHY((TaskPromoted{.sweep = "s", .task = queued.key}), "it was not held");
  EXPECT_WHY((TaskPruned{.sweep = "s", .task = queued.key}), "it was not held");
  follows(TaskHeld{.sweep = "s", .task = queued.key});
  EXPECT_EQ(refused(TaskPromoted{.sweep = "s", .task = queued.key}), "");
  EXPECT_EQ(refused(TaskPruned{.sweep = "s", .task = queued.key}), "");
}

}  // namespace
}  // namespace strata::coordinator
