#include "worker/progress_tail.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace strata::worker {
namespace {

class Tail : public ::testing::Test {
 protected:
  void write(const std::string& text) { std::ofstream(file_, std::ios::app) << text; }
  static std::string point(int step) {
    return fmt::format("{{\"step\": {}, \"metrics\": {{\"loss\": 0.5}}}}\n", step);
  }

  strata::testing::TemporaryFolder temporary_;
  std::filesystem::path file_ = temporary_ / "progress.jsonl";
  ProgressTail tail_{file_};
};

TEST_F(Tail, AFileThatIsNotThereYetSaysNothing) {
  EXPECT_FALSE(tail_.read());
  EXPECT_FALSE(tail_.pending());
}

TEST_F(Tail, ALineCountsOnceItsEndIsWritten) {
  write("{\"step\": 1, \"total\": 9, \"met");
  tail_.read();
  EXPECT_FALSE(tail_.pending());
  write("rics\": {\"loss\": \"NaN\"}}\n" + point(2));
  tail_.read();
  const auto batch = tail_.batch();
  ASSERT_EQ(batch.size(), 2U);
  EXPECT_EQ(batch[0].sequence, 1U);
  EXPECT_EQ(batch[0].step, 1);
  EXPECT_EQ(batch[0].total, 9);
  EXPECT_NE(batch[0].values.at("loss"), batch[0].values.at("loss")) << "NaN";
  EXPECT_EQ(batch[1].sequence, 2U);
  EXPECT_EQ(tail_.garbage(), 0);
}

TEST_F(Tail, GarbageIsCountedAndPassedOver) {
  write("loss = 3\n" + point(5) + point(4) + "{}\n" + point(6));
  tail_.read();
  EXPECT_EQ(tail_.batch().size(), 2U);
  EXPECT_EQ(tail_.garbage(), 3) << "no JSON, a falling step, no step";
  EXPECT_NE(tail_.first_garbage().find("loss = 3"), std::string::npos);
}

TEST_F(Tail, ALineThatNeverEndsTakesNoMemoryAndHidesNothing) {
  write(point(1) + std::string(kProgressLineBytesMax + 10, 'x'));
  tail_.read();
  write(std::string(3 * kProgressLineBytesMax, 'x'));
  tail_.read();
  write(std::string(5 * kProgressLineBytesMax, 'x') + "\n" + point(2) +
        std::string(kProgressLineBytesMax + 1, 'y') + "\n" + point(3));
  tail_.read();
  EXPECT_EQ(tail_.batch().size(), 3U);
  EXPECT_EQ(tail_.garbage(), 2);
}

TEST_F(Tail, PointsStayUntilAcknowledged) {
  for (int step = 1; step <= 5; ++step) write(point(step));
  tail_.read();
  tail_.acknowledge({.up_to = 3});
  ASSERT_EQ(tail_.batch().size(), 2U);
  EXPECT_EQ(tail_.batch()[0].sequence, 4U);
  tail_.acknowledge({.up_to = 2});  // a late one
  EXPECT_EQ(tail_.batch().size(), 2U);
  tail_.acknowledge({.up_to = 5});
  EXPECT_FALSE(tail_.pending());
}

TEST_F(Tail, AStaleAttemptsPointsAreDroppedForGood) {
  write(point(1));
  tail_.read();
  tail_.acknowledge({.stale = true});
  write(point(2));
  tail_.read();
  EXPECT_FALSE(tail_.pending());
}

TEST_F(Tail, TheSpoolIsBoundedAndTheFileKeepsTheRest) {
  const int count = static_cast<int>(2 * kSpoolPointsMax + 500);
  std::string text;
  for (int step = 1; step <= count; ++step) text += point(step);
  write(text + "{\"step\": 999999, \"checkpoint\": \"c\"}\n");
  const auto checkpoint = tail_.read();
  ASSERT_TRUE(checkpoint) << "checkpoints are found behind metrics that nobody takes";
  EXPECT_EQ(checkpoint->step, 999999);
  std::uint64_t next = 1;
  while (tail_.pending()) {
    const auto batch = tail_.batch();
    ASSERT_LE(batch.size(), kPointsPerBatchMax);
    for (const MetricPoint& p : batch) {
      EXPECT_EQ(p.sequence, next);
      EXPECT_EQ(p.step, static_cast<std::int64_t>(next));
      ++next;
    }
    tail_.acknowledge({.up_to = next - 1});
  }
  EXPECT_EQ(next, static_cast<std::uint64_t>(count) + 1);
}

TEST_F(Tail, OfSeveralCheckpointsTheNewestIsToldAndOnlyOnce) {
  write(
      "{\"step\": 10, \"checkpoint\": \"checkpoints/10\"}\n{\"step\": 20, \"checkpoint\": "
      "\"checkpoints/20\"}\n" +
      point(21));
  const auto checkpoint = tail_.read();
  ASSERT_TRUE(checkpoint);
  EXPECT_EQ(checkpoint->step, 20);
  EXPECT_EQ(checkpoint->folder, "checkpoints/20");
  EXPECT_FALSE(tail_.read());
  EXPECT_EQ(tail_.batch().size(), 1U) << "a line that only announces a checkpoint is no metric";
}

}  // namespace
}  // namespace strata::worker
