#include "trainer/sampling/grid.h"

#include <gtest/gtest.h>

#include <string>

namespace strata::trainer {
namespace {

void expect_near(const std::vector<double>& got, const std::vector<double>& wanted,
                 double tolerance) {
  ASSERT_GE(got.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(got[i], wanted[i], tolerance) << i;
}

TEST(TimeGrid, SwayOfMinusOneTakesSmallStepsFirst) {
  EXPECT_EQ(time_grid(4, -1).size(), 5U);
  expect_near(time_grid(4, -1), {0, 0.07612, 0.292893, 0.617317, 1}, 5e-7 + 5e-6);
  expect_near(time_grid(16, -1), {0, 0.004815, 0.019215, 0.04306, 0.07612}, 5e-6);
}

TEST(TimeGrid, WithoutSwayAndWithSwayOfZeroStepsAreEqual) {
  expect_near(time_grid(4, {}), {0, 0.25, 0.5, 0.75, 1}, 0);
  EXPECT_EQ(time_grid(7, {}), time_grid(7, 0.0));
}

TEST(TimeGrid, BeginsAtZeroEndsAtOneAndIncreasesForEverySwayAllowed) {
  for (const double sway : {kSwayMin, -0.4, 0.0, 1.0, kSwayMax}) {
    for (const std::int64_t steps : {1, 2, 5, 32, 200}) {
      const auto grid = time_grid(steps, sway);
      EXPECT_EQ(grid.front(), 0);
      EXPECT_EQ(grid.back(), 1);
      for (std::size_t i = 0; i + 1 < grid.size(); ++i)
        EXPECT_LT(grid[i], grid[i + 1]) << sway << " " << i;
    }
  }
}

// Numbers worked out by hand from F5-TTS's rule.
TEST(EstimatedDuration, FollowsTheRatioOfBytesToFrames) {
  EXPECT_EQ(estimated_duration(100, std::string(20, 'a'), std::string(40, 'b')), 100 + 200);
  EXPECT_EQ(estimated_duration(100, std::string(30, 'a'), std::string(20, 'b')), 100 + 66);
  EXPECT_EQ(estimated_duration(100, std::string(20, 'a'), std::string(40, 'b'), 2), 100 + 100);
  EXPECT_EQ(estimated_duration(100, "\xC3\xA9\xC3\xA9", std::string(10, 'b')),
            100 + 250);  // four bytes, two letters
  EXPECT_EQ(estimated_duration(90, std::string(20, 'a'), std::string(9, 'b')),
            90 + 135);  // short texts at speed 0.3
  EXPECT_EQ(estimated_duration(100, "", std::string(40, 'b')), 200);
}

TEST(BoundedDuration, HasOneFrameMoreThanPromptAndTokensAndALimit) {
  EXPECT_EQ(bounded_duration(300, 100, 50), 300);
  EXPECT_EQ(bounded_duration(90, 100, 50), 101);
  EXPECT_EQ(bounded_duration(90, 20, 150), 151);
  EXPECT_EQ(bounded_duration(99'999, 20, 50), kDurationMax);
}

}  // namespace
}  // namespace strata::trainer
