#include "trainer/update_meter.h"

#include <gtest/gtest.h>

namespace strata::trainer {
namespace {

class HandClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override { return now_; }
  [[nodiscard]] WallTime wall() const override { return {}; }
  void pass(std::chrono::seconds seconds) { now_ = now_ + seconds; }

 private:
  Instant now_{};
};

TEST(UpdateMeter, CountsTheTimeInsideOfUpdatesAlone) {
  HandClock clock;
  UpdateMeter meter(clock);
  meter.begin();
  clock.pass(std::chrono::seconds(2));
  meter.end(300, 0.5, 40);
  clock.pass(std::chrono::seconds(100));  // a validation, a checkpoint
  meter.begin();
  clock.pass(std::chrono::seconds(4));
  meter.end(600, 1, 80);
  EXPECT_EQ(meter.take(), (Metrics{{"frames_per_second", 150},
                                   {"seconds_per_update", 3},
                                   {"data_wait_seconds", 1.5},
                                   {"data_wait_share", 0.25},
                                   {"model_flops_per_second", 20}}));
}

TEST(UpdateMeter, SaysHowMuchOfThePeakTheModelUses) {
  HandClock clock;
  UpdateMeter meter(clock);
  meter.set_peak(100);
  meter.begin();
  clock.pass(std::chrono::seconds(2));
  meter.end(1, 0, 60);
  const Metrics metrics = meter.take();
  EXPECT_EQ(metrics.at("model_flops_per_second"), 30);
  EXPECT_EQ(metrics.at("model_flops_utilisation"), 0.3);
}

TEST(UpdateMeter, BeginsAnewAfterEveryTake) {
  HandClock clock;
  UpdateMeter meter(clock);
  EXPECT_TRUE(meter.take().empty());
  for (const double frames : {100.0, 700.0}) {
    meter.begin();
    clock.pass(std::chrono::seconds(1));
    meter.end(frames, frames / 1000, 2 * frames);
    EXPECT_EQ(meter.take(), (Metrics{{"frames_per_second", frames},
                                     {"seconds_per_update", 1},
                                     {"data_wait_seconds", frames / 1000},
                                     {"data_wait_share", frames / 1000},
                                     {"model_flops_per_second", 2 * frames}}));
  }
  EXPECT_TRUE(meter.take().empty());
}

TEST(UpdateMeter, AnUpdateThatIsNotFinishedIsNotCounted) {
  HandClock clock;
  UpdateMeter meter(clock);
  meter.begin();
  clock.pass(std::chrono::seconds(50));
  meter.begin();
  clock.pass(std::chrono::seconds(1));
  meter.end(10, 0, 0);
  EXPECT_EQ(meter.take(), (Metrics{{"frames_per_second", 10},
                                   {"seconds_per_update", 1},
                                   {"data_wait_seconds", 0},
                                   {"data_wait_share", 0},
                                   {"model_flops_per_second", 0}}));
}

}  // namespace
}  // namespace strata::trainer
