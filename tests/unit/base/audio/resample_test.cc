#include "base/audio/resample.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace strata {
namespace {

constexpr double kTolerance = 1e-6;

std::vector<float> tone(double amplitude, double hz, int rate, int samples, double phase = 0) {
  std::vector<float> out;
  for (int n = 0; n < samples; ++n)
    out.push_back(
        static_cast<float>(amplitude * std::sin(2 * std::numbers::pi * hz * n / rate + phase)));
  return out;
}

std::vector<float> sum(std::vector<float> a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

// Values of torchaudio 0.13's resample with its defaults.
TEST(Resample, TwoTonesFrom24To16KilohertzMatchTorchaudio) {
  std::vector<float> both;
  for (int n = 0; n < 24'000; ++n) {
    both.push_back(
        static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * 440 * n / 24'000.0) +
                           0.25 * std::sin(2 * std::numbers::pi * 1234.5 * n / 24'000.0)));
  }
  const auto out = resample(both, 24'000, 16'000);
  ASSERT_EQ(out.size(), 16'000U);
  const std::vector<double> first{0.0135067, 0.1999085, 0.3767960, 0.4954300, 0.5523282, 0.5445564};
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_NEAR(out[i], first[i], kTolerance) << i;
  const std::vector<double> middle{0.2498764, 0.3070509, 0.3107455, 0.2768165};
  for (std::size_t i = 0; i < middle.size(); ++i)
    EXPECT_NEAR(out[8000 + i], middle[i], kTolerance) << i;
  const std::vector<double> last{0.0002544, 0.0368598, 0.0299086};
  for (std::size_t i = 0; i < last.size(); ++i)
    EXPECT_NEAR(out[out.size() - 3 + i], last[i], kTolerance) << i;
}

TEST(Resample, TheMelTestSignalMatchesTorchaudioBothWays) {
  const auto down = resample(
      sum(tone(0.3, 220, 24'000, 24'000), tone(0.2, 1234.5, 24'000, 24'000, 0.3)), 24'000, 16'000);
  const std::vector<std::pair<std::size_t, double>> down_golden{
      {0, 0.0567491}, {1, 0.1687261}, {100, 0.0130131}, {5000, -0.4758874}, {15999, 0.0072841}};
  for (const auto& [i, value] : down_golden) EXPECT_NEAR(down[i], value, kTolerance) << i;
  const auto up = resample(tone(0.3, 220, 16'000, 16'000), 16'000, 24'000);
  ASSERT_EQ(up.size(), 24'000U);
  const std::vector<std::pair<std::size_t, double>> up_golden{
      {0, 0.0000720}, {1, 0.0156001}, {100, -0.1501049}, {5000, -0.2599510}, {23999, -0.0156001}};
  for (const auto& [i, value] : up_golden) EXPECT_NEAR(up[i], value, kTolerance) << i;
}

// An impulse in the middle reads the kernel out: phase 0 backwards, as the convolution does not
// flip it.
TEST(Resample, TheKernelOfThreeToTwoIsTorchaudios) {
  std::vector<float> impulse(300, 0.0F);
  impulse[150] = 1;  // block 50: its tap index 0 is output 100
  const auto out = resample(impulse, 24'000, 16'000);
  // Output 2k is phase 0 of block k; tap i = 150 - 3k.
  EXPECT_NEAR(out[100], 0.66000003, 1e-7);   // i = 0
  EXPECT_NEAR(out[98], -0.00502683, 1e-7);   // i = 3
  EXPECT_NEAR(out[102], -0.00502683, 1e-7);  // i = -3
  EXPECT_NEAR(out[96], -0.00172294, 1e-7);   // i = 6
  EXPECT_NEAR(out[94], -1.64e-06, 1e-8);     // i = 9
  impulse[150] = 0;
  impulse[151] = 1;
  EXPECT_NEAR(resample(impulse, 24'000, 16'000)[101], 0.54388559,
              1e-7);  // the peak pair of phase 1: i = 1 and 2
  impulse[151] = 0;
  impulse[152] = 1;
  EXPECT_NEAR(resample(impulse, 24'000, 16'000)[101], 0.54388559, 1e-7);
}

TEST(Resample, LengthsAreRoundedUp) {
  const auto length = [](int n, int from, int to) {
    return resample(std::vector<float>(static_cast<std::size_t>(n)), from, to).size();
  };
  EXPECT_EQ(length(0, 24'000, 16'000), 0U);
  EXPECT_EQ(length(1, 24'000, 16'000), 1U);
  EXPECT_EQ(length(2, 24'000, 16'000), 2U);
  EXPECT_EQ(length(3, 24'000, 16'000), 2U);
  EXPECT_EQ(length(23'999, 24'000, 16'000), 16'000U);
  EXPECT_EQ(length(24'000, 24'000, 16'000), 16'000U);
  EXPECT_EQ(length(24'001, 24'000, 16'000), 16'001U);
  EXPECT_EQ(length(16'000, 16'000, 22'050), 22'050U);
}

TEST(Resample, EqualRatesCopyAndAConstantStaysConstantInside) {
  const std::vector<float> x{0.1F, -0.2F, 0.3F};
  EXPECT_EQ(resample(x, 8'000, 8'000), x);
  const auto flat = resample(std::vector<float>(4'000, 0.5F), 16'000, 22'050);
  for (std::size_t i = 100; i + 100 < flat.size(); ++i) ASSERT_NEAR(flat[i], 0.5, 2e-3) << i;
}

}  // namespace
}  // namespace strata
