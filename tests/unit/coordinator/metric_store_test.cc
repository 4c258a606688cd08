#include "coordinator/metric_store.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/files.h"
#include "coordinator/sqlite.h"

namespace strata::coordinator {
namespace {

struct MetricStoreTest : testing::Test {
  std::filesystem::path file =
      make_temporary_folder(testing::TempDir(), "store").value() / "metrics.sqlite";
  MetricStore store = MetricStore::open(file).value();
  AttemptId attempt{.task = task_key_of("t"), .number = 1};

  std::uint64_t put(std::uint64_t first, std::uint64_t last) {
    MetricBatch batch{.attempt = attempt};
    for (std::uint64_t i = first; i <= last; ++i) {
      batch.points.push_back(
          {.sequence = i, .step = static_cast<std::int64_t>(i * 10), .values = {{"loss", 1.0}}});
    }
    return store.store({&batch, 1}, {.unix_ms = 5}).value().at(0);
  }
};

TEST_F(MetricStoreTest, RepeatedPointsAreStoredOnce) {
  EXPECT_EQ(put(1, 3), 3U);
  EXPECT_EQ(put(1, 3), 3U);
  EXPECT_EQ(put(2, 5), 5U);
  EXPECT_EQ(store.points_stored(), 5U);
  store = MetricStore::open(file).value();
  EXPECT_EQ(put(1, 5), 5U);
  EXPECT_EQ(store.points_stored(), 0U);
}

TEST_F(MetricStoreTest, TheValueAtAStepIsTheLastOneUpToItOnceLaterPointsCannotChangeIt) {
  std::uint64_t sequence = 0;
  const auto add = [&](std::int64_t step, std::map<std::string, double> values) {
    const MetricBatch batch{.attempt = attempt,
                            .points = {{.sequence = ++sequence, .step = step, .values = values}}};
    ASSERT_TRUE(store.store({&batch, 1}, {.unix_ms = 5}));
  };
  const std::vector<BranchPart> whole{{.attempt = 1}};
  const auto at = [&](std::int64_t step, const std::string& metric = "loss_val") {
    return store.value_at(attempt.task, whole, metric, step).value();
  };
  EXPECT_FALSE(at(100));
  add(50, {{"loss_val", 0.7}});
  add(90, {{"loss", 3}});
  EXPECT_FALSE(at(100)) << "a later point up to the step may have another value";
  add(100, {{"loss", 2}});
  EXPECT_FALSE(at(100)) << "the metric may follow in a point of the same step";
  EXPECT_EQ(at(90), 0.7) << "there are later points";
  add(100, {{"loss_val", 0.5}});
  EXPECT_EQ(at(100), 0.5);
  add(100, {{"loss_val", 0.4}});
  EXPECT_EQ(at(100), 0.5) << "whenever it is asked, it is the first one of that step";
  add(120, {{"loss", 1}});
  EXPECT_EQ(at(110), 0.5);
  ASSERT_TRUE(at(110, "accuracy").has_value());
  EXPECT_TRUE(std::isnan(*at(110, "accuracy"))) << "there is no such metric";
}

TEST_F(MetricStoreTest, TheValueAtAStepIsThatOfTheLivingBranch) {
  const auto add = [&](std::uint32_t number, std::uint64_t sequence, std::int64_t step, double v) {
    const MetricBatch batch{
        .attempt = {.task = attempt.task, .number = number},
        .points = {{.sequence = sequence, .step = step, .values = {{"loss_val", v}}}}};
    ASSERT_TRUE(store.store({&batch, 1}, {.unix_ms = 5}));
  };
  add(1, 1, 100, 0.9);
  add(1, 2, 150, 0.1);  // after the checkpoint from which the second attempt began
  add(2, 1, 130, 0.8);
  add(2, 2, 160, 0.7);
  const std::vector<BranchPart> parts{{.attempt = 1, .last_step = 120}, {.attempt = 2}};
  EXPECT_EQ(store.value_at(attempt.task, parts, "loss_val", 155).value(), 0.8);
  EXPECT_EQ(store.value_at(attempt.task, parts, "loss_val", 110).value(), 0.9);
}

TEST_F(MetricStoreTest, AcknowledgedPointsThatWereLostDoNotHoldUpThoseThatFollow) {
  EXPECT_EQ(put(1, 2), 2U);
  EXPECT_EQ(put(4, 6), 6U);
  EXPECT_EQ(put(3, 6), 6U) << "what is acknowledged is not taken up again";
  EXPECT_EQ(store.points_stored(), 5U);
}

TEST_F(MetricStoreTest, NumbersThatAreNotFiniteSurvive) {
  MetricBatch batch{.attempt = attempt,
                    .points = {{.sequence = 1, .values = {{"loss", std::nan("")}}}}};
  ASSERT_TRUE(store.store({&batch, 1}, {}));
  SQLite::Database database(file.string(), SQLite::OPEN_READONLY);
  EXPECT_EQ(database.execAndGet("SELECT metrics FROM point").getString(), R"({"loss":"NaN"})");
}

TEST(LivingBranch, AResumedAttemptKeepsWhatWasBeforeItsCheckpointAndDropsTheDeadEnd) {
  // 1 ran from the start; 2 resumed at 100; 3 died before a checkpoint of its own; 4 resumed where
  // 2 had got to.
  const std::vector<BranchAttempt> attempts{{.attempt = 1},
                                            {.attempt = 2, .resume_step = 100},
                                            {.attempt = 3, .resume_step = 100},
                                            {.attempt = 4, .resume_step = 250}};
  const std::vector<BranchPart> expected{{.attempt = 1, .last_step = 100},
                                         {.attempt = 2, .last_step = 100},
                                         {.attempt = 3, .last_step = 250},
                                         {.attempt = 4}};
  EXPECT_EQ(living_branch(attempts), expected);
}

TEST(LivingBranch, AnAttemptThatBeganAnewDropsAllEarlierOnes) {
  const std::vector<BranchAttempt> attempts{
      {.attempt = 1}, {.attempt = 2, .resume_step = 100}, {.attempt = 3}};
  EXPECT_EQ(living_branch(attempts), std::vector<BranchPart>{{.attempt = 3}});
}

}  // namespace
}  // namespace strata::coordinator
