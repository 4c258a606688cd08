#include "base/audio/dft.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numbers>

#include "base/random.h"

namespace strata {
namespace {

using Complex = std::complex<double>;

TEST(Dft, ForwardIsTheDefinitionAndInverseUndoesIt) {
  for (const int points : {2, 8, 64}) {
    const Dft dft(points);
    ASSERT_EQ(dft.points(), points);
    Random random(static_cast<std::uint64_t>(points));
    std::vector<double> re;
    std::vector<double> im;
    for (int n = 0; n < points; ++n) {
      re.push_back(random.uniform() - 0.5);
      im.push_back(random.uniform() - 0.5);
    }
    std::vector<double> got_re = re;
    std::vector<double> got_im = im;
    dft.forward(got_re, got_im);
    for (int k = 0; k < points; ++k) {
      Complex sum = 0;
      for (int n = 0; n < points; ++n) {
        const auto i = static_cast<std::size_t>(n);
        sum += Complex(re[i], im[i]) * std::polar(1.0, -2 * std::numbers::pi * k * n / points);
      }
      ASSERT_NEAR(got_re[static_cast<std::size_t>(k)], sum.real(), 1e-12) << points << " " << k;
      ASSERT_NEAR(got_im[static_cast<std::size_t>(k)], sum.imag(), 1e-12) << points << " " << k;
    }
    dft.inverse(got_re, got_im);
    for (std::size_t i = 0; i < re.size(); ++i) {
      ASSERT_NEAR(got_re[i], re[i], 1e-14);
      ASSERT_NEAR(got_im[i], im[i], 1e-14);
    }
  }
}

TEST(Dft, TheWindowIsPeriodic) {
  const std::vector<double> window = hann_window(8);
  const std::vector<double> wanted{0, 0.1464466, 0.5, 0.8535534, 1, 0.8535534, 0.5, 0.1464466};
  ASSERT_EQ(window.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(window[i], wanted[i], 1e-7) << i;
}

TEST(Dft, ReflectionRepeatsNoEdgeAndGoesOnWhereTheSignalIsShort) {
  // numpy.pad([0, 1, 2], 5, mode="reflect")
  const std::vector<std::size_t> wanted{1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1};
  for (std::size_t i = 0; i < wanted.size(); ++i)
    EXPECT_EQ(reflected(static_cast<std::int64_t>(i) - 5, 3), wanted[i]) << i;
  EXPECT_EQ(reflected(-7, 1), 0U);
}

}  // namespace
}  // namespace strata
