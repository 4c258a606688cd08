// What stored points say about rungs, whatever happened between their storing and the report.

#include "coordinator/rung_watch.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/files.h"
#include "coordinator/sqlite.h"
#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

using coordinator::MetricStore;
using coordinator::RungReport;
using coordinator::RungWatch;

struct RungWatchTest : ::testing::Test {
  void SetUp() override {
    worker = env.add_worker(8);
    for (int i = 0; i < 3; ++i) tasks.push_back(make_task("train", i));
    std::vector<RunSpec> runs;
    for (const TaskSpec& task : tasks) runs.push_back(make_run(task.key.brief(), 1, {task}));
    SubmitTasks submission = make_submission("s", tasks, runs);
    submission.options.search = SearchDefinition{
        .stage = "train", .metric = "loss_val", .rungs = {100, 300}, .reduction = 2};
    EXPECT_TRUE(env.submit(submission).ok);
    begin();
  }
  void begin() {
    for (const StartAttempt& order : env.take<StartAttempt>()) {
      attempts[order.attempt.task] = order.attempt;
      env.from(worker, ReportStarted{.worker = worker, .attempt = order.attempt});
    }
    note();
  }
  void note() {
    for (; noted < env.log.size(); ++noted) watch.note(env.log[noted]);
  }
  void add(std::size_t i, std::int64_t step, double value) {
    const AttemptId attempt = attempts.at(tasks[i].key);
    const MetricBatch batch{
        .attempt = attempt,
        .points = {
            {.sequence = ++sequences[attempt], .step = step, .values = {{"loss_val", value}}}}};
    ASSERT_TRUE(metrics.store({&batch, 1}, {.unix_ms = 1}));
    watch.note_points(attempt, batch.points.back().step, env.core());
  }
  // One turn of the server.
  std::vector<RungReport> turn() {
    std::vector<RungReport> reports = watch.look(env.core(), metrics, now);
    for (const RungReport& report : reports) env.step({}, report);
    note();
    return reports;
  }

  CoreEnv env;
  WorkerId worker{};
  std::vector<TaskSpec> tasks;
  std::map<TaskKey, AttemptId> attempts;
  std::map<AttemptId, std::uint64_t> sequences;
  RungWatch watch;
  std::size_t noted = 0;
  Instant now{std::chrono::seconds(5)};
  std::filesystem::path file =
      make_temporary_folder(::testing::TempDir(), "rungs").value() / "metrics.sqlite";
  MetricStore metrics = MetricStore::open(file).value();
};

TEST_F(RungWatchTest, ARungIsReportedOnceItsPointIsStored) {
  EXPECT_TRUE(turn().empty());
  add(0, 99, 0.9);
  EXPECT_TRUE(turn().empty());
  add(0, 101, 0.1);
  const auto reports = turn();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].value, 0.9) << "the last one up to the step";
  EXPECT_EQ(reports[0].step, 100);
  EXPECT_TRUE(turn().empty());
  EXPECT_FALSE(watch.anything_due(now));
}

TEST_F(RungWatchTest, PointsThatPassSeveralRungsAreReportedOneAfterTheOther) {
  add(1, 100, 0.9);
  EXPECT_EQ(turn().size(), 1U);  // held: alone at its rung
  add(0, 100, 0.5);
  add(0, 300, 0.4);
  EXPECT_EQ(turn().at(0).step, 100);
  EXPECT_EQ(turn().at(0).step, 300);
}

TEST_F(RungWatchTest, WhatWasStoredBeforeARestartAndNotReportedIsReportedAfterIt) {
  add(0, 100, 0.9);
  env.restart();
  watch = RungWatch();
  noted = 0;
  note();
  const auto reports = turn();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].value, 0.9);
}

TEST_F(RungWatchTest, APromotedTaskIsJudgedByTheSeriesThatItContinues) {
  add(0, 100, 0.5);
  turn();
  add(0, 300, 0.45);  // it did not stop at once
  env.from(worker, ReportCheckpoint{.worker = worker,
                                    .attempt = attempts.at(tasks[0].key),
                                    .step = 305,
                                    .artifact = make_artifact("at 305")});
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = attempts.at(tasks[0].key),
                               .outcome = Stopped{"asked"}});
  note();
  EXPECT_TRUE(turn().empty()) << "held";
  add(1, 100, 0.6);
  turn();
  begin();
  ASSERT_EQ(attempts.at(tasks[0].key).number, 2U);
  const auto reports = turn();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].attempt.number, 2U);
  EXPECT_EQ(reports[0].step, 300);
  EXPECT_EQ(reports[0].value, 0.45);
}

TEST_F(RungWatchTest, AMetricThatNeverComesIsNoNumber) {
  const AttemptId attempt = attempts.at(tasks[0].key);
  const MetricBatch batch{.attempt = attempt,
                          .points = {{.sequence = 1, .step = 120, .values = {{"loss", 1}}}}};
  ASSERT_TRUE(metrics.store({&batch, 1}, {.unix_ms = 1}));
  watch.note_points(attempt, batch.points.back().step, env.core());
  const auto reports = turn();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_TRUE(std::isnan(reports[0].value));
}

TEST_F(RungWatchTest, PointsThatCannotBeReadAreLookedForAgainAfterAWhileOnly) {
  add(0, 100, 0.9);
  const auto change = [&](const char* sql) {
    SQLite::Database database(file.string(), SQLite::OPEN_READWRITE);
    database.exec(sql);
  };
  change("ALTER TABLE point RENAME TO hidden");
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(turn().empty());
  EXPECT_FALSE(watch.anything_due(now));
  EXPECT_TRUE(turn().empty());
  for (int i = 0; i < 3; ++i) {
    now = now + coordinator::kRungRetry;
    EXPECT_TRUE(watch.anything_due(now));
    EXPECT_TRUE(turn().empty());
  }
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("its search waits"), std::string::npos);
  EXPECT_EQ(said.find("its search waits"), said.rfind("its search waits")) << said;
  change("ALTER TABLE hidden RENAME TO point");
  EXPECT_TRUE(turn().empty()) << "not yet";
  now = now + coordinator::kRungRetry;
  EXPECT_EQ(turn().size(), 1U);
  EXPECT_TRUE(turn().empty());
  EXPECT_FALSE(watch.anything_due(now));
}

}  // namespace
}  // namespace strata::testing
