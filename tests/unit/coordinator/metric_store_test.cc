#include "coordinator/metric_store.h"

#include <gtest/gtest.h>

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
