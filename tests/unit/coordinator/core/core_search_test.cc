// Searches in the core: what is judged, paused, continued and ended, through restarts, retries,
// cancelling and new submissions.

#include <gtest/gtest.h>

#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

using coordinator::PeerId;
using coordinator::RungReport;
using std::chrono::seconds;

SearchDefinition asha(std::vector<std::int64_t> rungs = {100, 300}, std::int64_t reduction = 2) {
  return {.method = SearchMethod::kAsha,
          .stage = "train",
          .metric = "loss_val",
          .rungs = std::move(rungs),
          .reduction = reduction};
}

struct Searching {
  CoreEnv env{};
  WorkerId worker{};
  std::vector<TaskSpec> trains{};
  std::vector<TaskSpec> scores{};
  std::map<TaskKey, AttemptId> attempts{};

  explicit Searching(std::int64_t count, std::int64_t slots = 8,
                     std::optional<SearchDefinition> search = asha()) {
    worker = env.add_worker(slots);
    for (std::int64_t i = 0; i < count; ++i) {
      trains.push_back(make_task("train", i));
      scores.push_back(make_task("score", i, {trains.back()}));
    }
    EXPECT_TRUE(env.submit(submission("s", search)).ok);
    begin();
  }
  SubmitTasks submission(const std::string& name, std::optional<SearchDefinition> search) const {
    std::vector<TaskSpec> tasks;
    std::vector<RunSpec> runs;
    for (std::size_t i = 0; i < trains.size(); ++i) {
      tasks.push_back(trains[i]);
      tasks.push_back(scores[i]);
      runs.push_back(make_run("cell " + std::to_string(i), 1, {trains[i], scores[i]}));
    }
    SubmitTasks submission = make_submission(name, tasks, runs);
    submission.options.search = std::move(search);
    return submission;
  }
  // What was granted begins; what was asked of the worker is noted.
  void begin() {
    for (const StartAttempt& order : env.take<StartAttempt>()) {
      attempts[order.attempt.task] = order.attempt;
      env.from(worker, ReportStarted{.worker = worker, .attempt = order.attempt});
    }
  }
  const AttemptId& attempt(std::size_t i) { return attempts.at(trains[i].key); }
  void report(std::size_t i, std::int64_t step, double value) {
    env.step({},
             RungReport{.attempt = attempt(i), .metric = "loss_val", .step = step, .value = value});
  }
  void checkpoint(std::size_t i, std::int64_t step) {
    env.from(worker,
             ReportCheckpoint{.worker = worker,
                              .attempt = attempt(i),
                              .step = step,
                              .artifact = make_artifact("checkpoint " + std::to_string(step))});
  }
  // Writes its checkpoint and ends, as it was asked.
  void obey(std::size_t i, std::int64_t step = 101) {
    checkpoint(i, step);
    env.from(worker,
             ReportEnded{.worker = worker, .attempt = attempt(i), .outcome = Stopped{"asked"}});
    env.take<EndedAck>();
    env.take<StopAttempt>();
    begin();
  }
  void reach_and_obey(std::size_t i, std::int64_t step, double value) {
    report(i, step, value);
    if (coordinator::stop_of(env.cluster().find_task(trains[i].key)->state) != nullptr)
      obey(i, step + 1);
    begin();
  }
  void succeed(std::size_t i) {
    env.from(
        worker,
        ReportEnded{.worker = worker,
                    .attempt = attempt(i),
                    .outcome = Succeeded{.artifacts = {{"result", make_artifact("weights")}}}});
    env.take<EndedAck>();
    begin();
  }
  std::string state(std::size_t i) const { return env.state(trains[i]); }
  template <class T>
  std::size_t count() const {
    return static_cast<std::size_t>(
        std::count_if(env.log.begin(), env.log.end(),
                      [](const Event& e) { return std::holds_alternative<T>(e.body); }));
  }
  const coordinator::Search& search(const std::string& sweep = "s") const {
    return *env.cluster().sweeps().at(sweep).search;
  }
};

TEST(SearchInCore, AHeldTaskIsAskedForACheckpointAndWaitsUntilItIsPromoted) {
  Searching s(3);
  s.report(0, 100, 0.5);
  const auto stops = s.env.take<StopAttempt>();
  ASSERT_EQ(stops.size(), 1U);
  EXPECT_EQ(stops[0].kind, StopKind::kHold);
  EXPECT_EQ(s.env.reason(s.trains[0]),
            "stopping: its search: 0.5 at step 100 is not among the best 1/2 of 1");
  s.obey(0);
  EXPECT_EQ(s.state(0), "held");
  EXPECT_EQ(s.env.reason(s.trains[0]),
            "paused by its search: 0.5 at step 100 is not among the best 1/2 of 1");
  s.report(1, 100, 0.6);
  EXPECT_TRUE(s.env.take<StopAttempt>().size() == 1U) << "worse than the other one";
  const auto orders = s.env.take<StartAttempt>();
  ASSERT_EQ(orders.size(), 1U) << "the first is the best of two now";
  EXPECT_EQ(orders[0].attempt.task, s.trains[0].key);
  EXPECT_EQ(orders[0].resume_from, make_artifact("checkpoint 101"));
}

TEST(SearchInCore, WhatNobodyCanOvertakeAnyMoreIsPrunedAndItsConsumersWait) {
  Searching s(2);
  s.reach_and_obey(0, 100, 0.5);
  s.reach_and_obey(1, 100, 0.6);
  EXPECT_EQ(s.state(0), "running");
  EXPECT_EQ(s.state(1), "pruned");
  EXPECT_EQ(s.env.reason(s.trains[1]),
            "pruned by its search: 0.6 at step 100 is not among the best 1/2 of 2");
  EXPECT_EQ(s.env.state(s.scores[1]), "blocked");
  s.reach_and_obey(0, 300, 0.4);
  EXPECT_EQ(s.state(0), "running") << "the best that is left";
  s.succeed(0);
  EXPECT_EQ(s.state(0), "succeeded");
}

TEST(SearchInCore, APromotionWhileTheGangStillStopsLetsItGoOnAfterwards) {
  Searching s(3);
  s.report(0, 100, 0.5);
  s.report(1, 100, 0.6);
  s.obey(0);
  EXPECT_EQ(s.state(0), "running") << "promoted while it wrote its checkpoint";
  EXPECT_EQ(s.attempt(0).number, 2U);
}

TEST(SearchInCore, ARepeatedReportOfARungChangesNothing) {
  Searching s(3);
  s.report(0, 100, 0.5);
  const std::size_t events = s.env.log.size();
  s.report(0, 100, 0.1);
  EXPECT_EQ(s.env.log.size(), events);
  s.report(0, 300, 0.1);
  EXPECT_EQ(s.env.log.size(), events) << "held: it is not beyond the first rung";
}

TEST(SearchInCore, ReportsOfOlderAttemptsAndOtherMetricsCountForNothing) {
  Searching s(2);
  const std::size_t events = s.env.log.size();
  s.env.step({}, RungReport{.attempt = {.task = s.trains[0].key, .number = 7},
                            .metric = "loss_val",
                            .step = 100,
                            .value = 0.5});
  s.env.step({}, RungReport{.attempt = s.attempt(0), .metric = "loss", .step = 100, .value = 0.5});
  s.env.step({}, RungReport{.attempt = s.attempt(0), .metric = "loss_val", .step = 50, .value = 1});
  EXPECT_EQ(s.env.log.size(), events);
}

TEST(SearchInCore, AfterALostWorkerTheRungThatWasReachedKeepsItsValue) {
  Searching s(2);
  s.report(1, 100, 0.6);
  s.obey(1);
  s.report(0, 100, 0.5);
  EXPECT_EQ(s.state(0), "running");
  s.env.from(s.worker, ReportEnded{.worker = s.worker,
                                   .attempt = s.attempt(0),
                                   .outcome = Failed{.cause = FailureClass::kInfra}});
  s.env.pass(seconds(30));
  s.env.heartbeat(s.worker);
  s.begin();
  EXPECT_EQ(s.attempt(0).number, 2U);
  const std::size_t events = s.env.log.size();
  s.report(0, 100, 0.9);
  EXPECT_EQ(s.env.log.size(), events);
  EXPECT_EQ(s.search().find(s.trains[0].key)->values, std::vector<double>{0.5});
}

TEST(SearchInCore, AReplayGivesTheSameSearchAndDecidesNothing) {
  Searching s(5);
  s.reach_and_obey(0, 100, 0.5);
  s.reach_and_obey(1, 100, 0.6);
  s.report(2, 100, 0.4);
  s.report(3, 100, 0.7);
  const coordinator::Search before = s.search();
  s.env.restart();
  EXPECT_EQ(s.search(), before);
  const std::size_t events = s.env.log.size();
  s.env.pass(seconds(1));
  EXPECT_EQ(s.env.log.size(), events);
}

TEST(SearchInCore, AfterARestartAGangThatWasHeldIsStillAskedToStop) {
  Searching s(2);
  s.report(0, 100, 0.5);
  s.env.take<StopAttempt>();
  s.env.restart();
  s.env.step(PeerId(11), Hello{.name = "w1", .session = 1, .slots = 8, .held = {{s.attempt(0)}}});
  s.env.pass(seconds(5));
  const auto stops = s.env.take<StopAttempt>();
  ASSERT_FALSE(stops.empty());
  EXPECT_EQ(stops[0].attempt, s.attempt(0));
  EXPECT_EQ(stops[0].kind, StopKind::kHold);
}

// A mirror may end in the middle of a step: the decision that follows is taken by the next one.
TEST(SearchInCore, ALogThatEndsBeforeADecisionIsTakenUp) {
  Searching s(2);
  s.reach_and_obey(0, 100, 0.5);
  s.report(1, 100, 0.6);
  const auto cut = std::find_if(s.env.log.begin(), s.env.log.end(), [](const Event& e) {
    return std::holds_alternative<TaskPromoted>(e.body);
  });
  ASSERT_NE(cut, s.env.log.end());
  s.env.log.erase(cut, s.env.log.end());
  s.env.restart();
  s.env.pass(seconds(1));
  EXPECT_EQ(s.count<TaskPromoted>(), 1U);
  EXPECT_EQ(s.count<TaskPruned>(), 1U);
}

TEST(SearchInCore, ATaskThatAnotherSweepWantsGoesOnAndItsResultIsThere) {
  Searching s(2);
  const std::vector<TaskSpec> shared{s.trains[0], s.scores[0]};
  ASSERT_TRUE(s.env.submit(make_submission("other", shared, {make_run("x", 1, shared)})).ok);
  s.report(0, 100, 0.9);
  EXPECT_TRUE(s.env.take<StopAttempt>().empty()) << "the other sweep has no search";
  s.reach_and_obey(1, 100, 0.5);
  EXPECT_TRUE(s.search().find(s.trains[0].key)->pruned);
  EXPECT_EQ(s.state(0), "running");
  s.succeed(0);
  EXPECT_EQ(s.state(0), "succeeded");
}

TEST(SearchInCore, WhenTheOtherSweepIsCancelledTheGangIsAskedToStop) {
  Searching s(3);
  const std::vector<TaskSpec> shared{s.trains[0], s.scores[0]};
  ASSERT_TRUE(s.env.submit(make_submission("other", shared, {make_run("x", 1, shared)})).ok);
  s.report(0, 100, 0.9);
  ASSERT_TRUE(s.env.take<StopAttempt>().empty());
  s.env.step(PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "other"});
  const auto stops = s.env.take<StopAttempt>();
  ASSERT_EQ(stops.size(), 1U);
  EXPECT_EQ(stops[0].kind, StopKind::kHold);
}

TEST(SearchInCore, ATaskThatIsHeldRunsForASweepThatComesLater) {
  Searching s(3);
  s.reach_and_obey(0, 100, 0.9);
  ASSERT_EQ(s.state(0), "held");
  const std::vector<TaskSpec> shared{s.trains[0], s.scores[0]};
  ASSERT_TRUE(s.env.submit(make_submission("other", shared, {make_run("x", 1, shared)})).ok);
  s.begin();
  EXPECT_EQ(s.state(0), "running");
}

TEST(SearchInCore, APrunedTaskRunsForASweepThatComesLaterAndStaysPrunedForItsOwn) {
  Searching s(2);
  s.reach_and_obey(0, 100, 0.5);
  s.reach_and_obey(1, 100, 0.6);
  ASSERT_EQ(s.state(1), "pruned");
  const std::vector<TaskSpec> shared{s.trains[1], s.scores[1]};
  ASSERT_TRUE(s.env.submit(make_submission("other", shared, {make_run("x", 1, shared)})).ok);
  s.begin();
  EXPECT_EQ(s.state(1), "running");
  EXPECT_TRUE(s.search().find(s.trains[1].key)->pruned);
  s.env.step(PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "other"});
  s.env.take<Answer>();
  s.obey(1);
  EXPECT_EQ(s.state(1), "pruned");
}

TEST(SearchInCore, CancellingWhileTheGangStopsEndsAsCancelledAndNothingIsHeld) {
  Searching s(2);
  s.report(0, 100, 0.5);
  s.env.take<StopAttempt>();
  s.env.step(PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "s"});
  s.env.take<Answer>();
  EXPECT_EQ(coordinator::stop_of(s.env.cluster().find_task(s.trains[0].key)->state)->kind,
            StopKind::kCancel);
  s.obey(0);
  EXPECT_EQ(s.state(0), "cancelled");
  ASSERT_TRUE(s.env.submit(s.submission("s", asha())).ok);
  s.begin();
  EXPECT_EQ(s.state(0), "running") << "revived, and judged anew";
  EXPECT_TRUE(s.search().find(s.trains[0].key)->values.empty());
}

TEST(SearchInCore, ASweepThatIsCancelledAndSubmittedAgainJudgesAllOfThemAnew) {
  Searching s(2);
  s.reach_and_obey(0, 100, 0.5);
  s.reach_and_obey(1, 100, 0.6);
  ASSERT_EQ(s.state(1), "pruned");
  s.env.step(PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "s"});
  s.env.take<Answer>();
  s.obey(0);
  EXPECT_TRUE(s.env.cluster().find_task(s.trains[1].key)->wants.empty());
  ASSERT_TRUE(s.env.submit(s.submission("s", asha())).ok);
  s.begin();
  EXPECT_EQ(s.state(0), "running");
  EXPECT_EQ(s.state(1), "running");
  s.reach_and_obey(1, 100, 0.6);
  s.reach_and_obey(0, 100, 0.7);
  EXPECT_EQ(s.state(0), "pruned") << "the other one is the best now, and nobody is without one";
  EXPECT_EQ(s.state(1), "running");
}

TEST(SearchInCore, ARetryOfWhatWasPrunedInACancelledSweepRunsForThatSweep) {
  Searching s(2);
  s.reach_and_obey(0, 100, 0.5);
  s.reach_and_obey(1, 100, 0.6);
  s.env.step(PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "s"});
  s.env.take<Answer>();
  s.env.step(PeerId(1),
             coordinator::RetryTasks{
                 .request = 2, .sweep = "s", .tasks = {s.trains[1].key}, .pruned_too = true});
  s.env.take<Answer>();
  s.begin();
  EXPECT_EQ(s.state(1), "running");
  EXPECT_TRUE(s.env.cluster().find_task(s.trains[1].key)->wants.contains("s"));
}

TEST(SearchInCore, APrunedTaskStaysPrunedWhenItsSweepIsSubmittedAgain) {
  Searching s(2);
  s.reach_and_obey(0, 100, 0.5);
  s.reach_and_obey(1, 100, 0.6);
  ASSERT_TRUE(s.env.submit(s.submission("s", asha())).ok);
  EXPECT_EQ(s.state(1), "pruned");
  SubmitTasks other_resources = s.submission("s", asha());
  for (TaskSpec& task : other_resources.tasks) task.resources.threads = 2;
  ASSERT_TRUE(s.env.submit(other_resources).ok);
  EXPECT_EQ(s.state(1), "pruned");
}

TEST(SearchInCore, APrunedTaskThatWasDroppedFromTheFileAndIsBackInItKeepsNobodyWaiting) {
  Searching s(3);
  s.reach_and_obey(0, 100, 0.5);
  s.reach_and_obey(1, 100, 0.6);
  s.reach_and_obey(2, 100, 0.7);
  ASSERT_EQ(s.state(2), "pruned");
  SubmitTasks without = s.submission("s", asha());
  without.runs.pop_back();
  without.tasks.resize(without.tasks.size() - 2);
  ASSERT_TRUE(s.env.submit(without).ok);
  EXPECT_EQ(s.search().find(s.trains[2].key), nullptr);
  ASSERT_TRUE(s.env.submit(s.submission("s", asha())).ok);
  EXPECT_EQ(s.state(2), "pruned");
  EXPECT_TRUE(s.search().find(s.trains[2].key)->pruned);
}

TEST(SearchInCore, WithOtherRungsTheSearchBeginsAnewFromTheCheckpoints) {
  Searching s(2);
  s.reach_and_obey(0, 100, 0.5);
  s.reach_and_obey(1, 100, 0.6);
  ASSERT_EQ(s.state(1), "pruned");
  ASSERT_TRUE(s.env.submit(s.submission("s", asha({200}))).ok);
  const auto orders = s.env.take<StartAttempt>();
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_EQ(orders[0].attempt.task, s.trains[1].key);
  EXPECT_TRUE(orders[0].resume_from.has_value());
  EXPECT_TRUE(s.search().find(s.trains[1].key)->values.empty());
}

TEST(SearchInCore, WithoutItsSearchASweepRunsToTheEnd) {
  Searching s(3);
  s.reach_and_obey(0, 100, 0.5);
  ASSERT_EQ(s.state(0), "held");
  ASSERT_TRUE(s.env.submit(s.submission("s", std::nullopt)).ok);
  s.begin();
  EXPECT_EQ(s.state(0), "running");
  EXPECT_FALSE(s.env.cluster().sweeps().at("s").search.has_value());
}

TEST(SearchInCore, ARetryThatNamesAPrunedTaskIsAnExceptionToItsSearch) {
  Searching s(2);
  s.reach_and_obey(0, 100, 0.5);
  s.reach_and_obey(1, 100, 0.6);
  const auto retry = [&](bool named) {
    s.env.step(PeerId(1), coordinator::RetryTasks{.request = 1,
                                                  .sweep = "s",
                                                  .tasks = {s.trains[0].key, s.trains[1].key},
                                                  .pruned_too = named});
    s.env.take<Answer>();
    s.begin();
  };
  retry(false);
  EXPECT_EQ(s.state(1), "pruned") << "who retries a sweep does not undo its search";
  retry(true);
  EXPECT_EQ(s.state(1), "running");
  EXPECT_TRUE(s.search().find(s.trains[1].key)->exempt);
  s.report(1, 300, 99);
  EXPECT_TRUE(s.env.take<StopAttempt>().empty()) << "not judged any more";
}

TEST(SearchInCore, TasksThatCanNeverBeginKeepNobodyWaiting) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(4);
  std::vector<TaskSpec> prepares{make_task("prepare", 1), make_task("prepare", 2)};
  std::vector<TaskSpec> trains{make_task("train", 1, {prepares[0]}),
                               make_task("train", 2, {prepares[1]})};
  SubmitTasks submission = make_submission(
      "s", {prepares[0], prepares[1], trains[0], trains[1]},
      {make_run("a", 1, {prepares[0], trains[0]}), make_run("b", 1, {prepares[1], trains[1]})});
  submission.options.search = asha();
  ASSERT_TRUE(env.submit(submission).ok);
  std::optional<AttemptId> train;
  auto orders = env.take<StartAttempt>();
  ASSERT_EQ(orders.size(), 2U);
  for (const StartAttempt& order : orders) {
    if (order.attempt.task == prepares[0].key) env.succeed(worker, order);
  }
  for (const StartAttempt& order : env.take<StartAttempt>()) train = order.attempt;
  ASSERT_TRUE(train.has_value());
  env.step({}, RungReport{.attempt = *train, .metric = "loss_val", .step = 100, .value = 0.5});
  EXPECT_EQ(env.take<StopAttempt>().size(), 1U);
  env.from(worker, ReportEnded{.worker = worker, .attempt = *train, .outcome = Stopped{"asked"}});
  EXPECT_EQ(env.state(trains[0]), "held") << "the other one may still come";
  for (const StartAttempt& order : orders) {
    if (order.attempt.task == prepares[1].key)
      env.fail(worker, order.attempt, {.cause = FailureClass::kInvalid, .reason = "no corpus"});
  }
  EXPECT_EQ(env.state(trains[0]), "leased") << "the other one never comes";
}

TEST(SearchInCore, AStageThatIsNotResumableCannotBeSearched) {
  CoreEnv env;
  TaskSpec task = make_task("train", 1);
  task.resumable = false;
  SubmitTasks submission = make_submission("s", {task}, {make_run("a", 1, {task})});
  submission.options.search = asha();
  const Answer answer = env.submit(submission);
  EXPECT_FALSE(answer.ok);
  EXPECT_NE(answer.body.find("is not resumable"), std::string::npos) << answer.body;
  EXPECT_TRUE(env.log.empty());
}

TEST(SearchInCore, RungsThatDoNotAscendAreRefused) {
  CoreEnv env;
  SubmitTasks submission = make_submission("s", {make_task("train", 1)});
  submission.options.search = asha({300, 100});
  EXPECT_FALSE(env.submit(submission).ok);
}

TEST(SearchInCore, MedianStoppingEndsATaskAtOnce) {
  SearchDefinition median = asha({100, 300});
  median.method = SearchMethod::kMedian;
  median.others_min = 2;
  Searching s(3, 8, median);
  s.report(0, 100, 0.5);
  s.report(1, 100, 0.6);
  EXPECT_TRUE(s.env.take<StopAttempt>().empty());
  s.report(2, 100, 0.9);
  EXPECT_EQ(s.env.take<StopAttempt>().size(), 1U);
  s.obey(2);
  EXPECT_EQ(s.state(2), "pruned");
  EXPECT_EQ(s.state(0), "running");
}

TEST(SearchInCore, TheResultOfATaskThatEndedBeforeItCouldStopCounts) {
  Searching s(2);
  s.report(0, 100, 0.9);
  s.succeed(0);
  EXPECT_EQ(s.state(0), "succeeded");
  s.reach_and_obey(1, 100, 0.5);
  EXPECT_EQ(s.state(1), "running");
}

TEST(SearchInCore, WhatIsDroppedFromTheFileIsNoLongerJudged) {
  Searching s(3);
  s.report(0, 100, 0.9);
  s.env.take<StopAttempt>();
  Searching smaller(0);
  SubmitTasks rest = s.submission("s", asha());
  rest.runs.erase(rest.runs.begin());
  rest.tasks.erase(rest.tasks.begin(), rest.tasks.begin() + 2);
  ASSERT_TRUE(s.env.submit(rest).ok);
  EXPECT_EQ(s.search().find(s.trains[0].key), nullptr);
  s.obey(0);
  EXPECT_NE(s.state(0), "held") << "nobody would ever let it go";
}

TEST(SearchInTheCore, ASubmissionThatBreaksOffDoesNotStopItForEver) {
  Searching s(3, 8, asha({100}, 3));
  SubmitTasks again = s.submission("s", asha({100}, 3));
  again.last = false;
  s.env.submit(again);  // and its client dies
  for (std::size_t i = 0; i < 3; ++i) s.report(i, 100, static_cast<double>(3 - i));
  const auto held = [&] {
    return std::count_if(s.trains.begin(), s.trains.end(), [&](const TaskSpec& task) {
      return s.env.cluster().find_task(task.key)->trouble().holds.contains("s") &&
             !s.env.cluster().find_task(task.key)->trouble().pruned.contains("s");
    });
  };
  ASSERT_GT(held(), 0) << "more might have come";
  for (int i = 0; i < 13; ++i) {
    std::vector<HeldAttempt> running;
    for (std::size_t t = 0; t < 3; ++t) running.push_back({s.attempt(t), AttemptPhase::kRunning});
    s.env.heartbeat(s.worker, running);
    s.env.pass(seconds(10));
  }
  EXPECT_EQ(held(), 0);
}

}  // namespace
}  // namespace strata::testing
