#include "coordinator/metric_store.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/files.h"
#include "base/random.h"
#include "coordinator/sqlite.h"

namespace strata::coordinator {
namespace {

struct MetricStoreTest : testing::Test {
  std::filesystem::path file =
      make_temporary_folder(testing::TempDir(), "store").value() / "metrics.sqlite";
  MetricStore store = MetricStore::open(file).value();
  AttemptId attempt{.task = task_key_of("t"), .number = 1};

  WallTime clock{.unix_ms = 5};

  Result<std::vector<StoredBatch>> try_put(std::uint64_t first, std::uint64_t last) {
    MetricBatch batch{.attempt = attempt};
    for (std::uint64_t i = first; i <= last; ++i) {
      batch.points.push_back(
          {.sequence = i, .step = static_cast<std::int64_t>(i * 10), .values = {{"loss", 1.0}}});
    }
    return store.store({&batch, 1}, clock);
  }
  std::uint64_t put(std::uint64_t first, std::uint64_t last) {
    return try_put(first, last).value().at(0).up_to;
  }
  // The sequences of the attempt, in the order in which they are read.
  std::vector<std::int64_t> stored() {
    const SQLite::Database database(file.string(), SQLite::OPEN_READONLY);
    SQLite::Statement select(database,
                             "SELECT p.sequence FROM point p JOIN series s ON s.id = p.series "
                             "WHERE s.attempt = ? ORDER BY p.sequence");
    select.bind(1, static_cast<std::int64_t>(attempt.number));
    std::vector<std::int64_t> sequences;
    while (select.executeStep()) sequences.push_back(select.getColumn(0).getInt64());
    return sequences;
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

TEST_F(MetricStoreTest, ABatchThatWasOvertakenIsStoredAndNothingIsAcknowledgedBeforeItCame) {
  EXPECT_EQ(put(1, 2), 2U);
  EXPECT_EQ(put(6, 8), 2U);
  EXPECT_EQ(put(6, 8), 2U) << "repeats change nothing";
  EXPECT_EQ(put(10, 10), 2U);
  EXPECT_EQ(stored(), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(put(3, 5), 8U);
  EXPECT_EQ(stored(), (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(put(9, 9), 10U);
  EXPECT_EQ(put(3, 10), 10U);
  EXPECT_EQ(stored().size(), 10U);
}

TEST_F(MetricStoreTest, WhateverOrderBatchesComeInEachPointIsStoredOnceAndInOrder) {
  Random random(1);
  for (std::uint32_t round = 1; round <= 30; ++round) {
    attempt.number = round;
    std::vector<std::uint64_t> batches;  // by their first point
    for (std::uint64_t i = 0; i < 12; ++i) {
      batches.push_back(10 * i + 1);
      if (random.bounded(3) == 0) batches.push_back(10 * i + 1);
    }
    for (std::size_t i = batches.size(); i > 1; --i)
      std::swap(batches[i - 1], batches[random.bounded(i)]);
    std::set<std::uint64_t> sent;
    for (const std::uint64_t first : batches) {
      sent.insert(first);
      const std::uint64_t up_to = put(first, first + 9);
      std::uint64_t whole = 0;
      while (sent.contains(whole + 1)) whole += 10;
      ASSERT_EQ(up_to, whole);
      ASSERT_EQ(stored().size(), up_to) << "only what is stored is acknowledged";
    }
    ASSERT_EQ(stored().size(), 120U);
    ASSERT_EQ(stored().back(), 120);
  }
}

TEST_F(MetricStoreTest, WhatWaitsIsForgottenWithTheProcessAndWasNotAcknowledged) {
  EXPECT_EQ(put(1, 2), 2U);
  EXPECT_EQ(put(5, 6), 2U);
  store = MetricStore::open(file).value();
  EXPECT_EQ(put(3, 4), 4U);
  EXPECT_EQ(put(5, 6), 6U);
}

TEST_F(MetricStoreTest, AcknowledgedPointsThatWereLostDoNotHoldUpThoseThatFollow) {
  EXPECT_EQ(put(1, 2), 2U);
  EXPECT_EQ(put(4, 6), 2U) << "they may be on their way";
  clock.unix_ms += kGapPatience.count() - 1;
  EXPECT_EQ(put(4, 6), 2U);
  clock.unix_ms += 1;
  EXPECT_EQ(put(4, 6), 6U) << "nobody sends them: they were lost with a disk";
  EXPECT_EQ(put(3, 6), 6U) << "what is acknowledged is not taken up again";
  EXPECT_EQ(stored(), (std::vector<std::int64_t>{1, 2, 4, 5, 6}));
}

TEST_F(MetricStoreTest, AClockThatWasPutBackHoldsNothingUp) {
  clock.unix_ms = 1'000'000'000;
  EXPECT_EQ(put(2, 3), 0U);
  clock.unix_ms = 5;
  EXPECT_EQ(put(2, 3), 3U);
}

TEST_F(MetricStoreTest, WhatWaitsIsBoundedOverAllAttempts) {
  constexpr std::uint64_t kBatch = kPointsPerBatchMax;
  for (std::uint32_t i = 0; i < 2 * kPointsAheadMax / kBatch; ++i) {
    attempt.number = i + 1;
    EXPECT_EQ(put(2, kBatch + 1), 0U);
  }
  EXPECT_EQ(store.points_waiting(), kPointsAheadMax);
  attempt.number = 1;
  EXPECT_EQ(put(1, 1), kBatch + 1);
  EXPECT_EQ(store.points_waiting(), kPointsAheadMax - kBatch);
  // What found no room comes again, as nobody has acknowledged it.
  attempt.number = 2 * kPointsAheadMax / kBatch;
  EXPECT_EQ(put(1, 1), 1U);
  EXPECT_EQ(put(2, kBatch + 1), kBatch + 1);
}

TEST_F(MetricStoreTest, WhatWaitsForSendersThatAreGoneTakesNoRoomForEver) {
  constexpr std::uint64_t kBatch = kPointsPerBatchMax;
  for (std::uint32_t i = 0; i < kPointsAheadMax / kBatch; ++i) {
    attempt.number = i + 1;
    EXPECT_EQ(put(2, kBatch + 1), 0U);
  }
  attempt.number = 1'000;
  clock.unix_ms += 2 * kGapPatience.count();
  EXPECT_EQ(put(2, 3), 0U);
  EXPECT_EQ(store.points_waiting(), 2U);
  EXPECT_EQ(put(1, 1), 3U);
}

TEST_F(MetricStoreTest, AFullDiskAcknowledgesNothingAndNothingIsMissingAfterwards) {
  EXPECT_EQ(put(1, 10), 10U);
  EXPECT_EQ(put(21, 30), 10U);
  {
    // A write that fails in the middle, as on a full disk.
    SQLite::Database other(file.string(), SQLite::OPEN_READWRITE);
    other.exec(
        "CREATE TRIGGER full BEFORE INSERT ON point WHEN NEW.sequence = 25 BEGIN SELECT "
        "RAISE(ABORT, 'disk full'); END");
    EXPECT_FALSE(try_put(11, 20));
    EXPECT_EQ(stored().size(), 10U) << "all of a transaction or nothing";
    other.exec("DROP TRIGGER full");
  }
  EXPECT_EQ(put(11, 20), 20U) << "what waited was not acknowledged and may be forgotten";
  EXPECT_EQ(put(21, 30), 30U);
  EXPECT_EQ(stored().size(), 30U);
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
