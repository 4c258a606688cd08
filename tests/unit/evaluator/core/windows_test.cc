#include "evaluator/core/windows.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace strata::evaluator {
namespace {

constexpr WindowOptions kSmall{.length_max = 100, .search = 40, .quiet = 10};

TEST(Windows, ARecordingThatFitsIsOneWindow) {
  const std::vector<float> samples(100, 0.5F);
  EXPECT_THAT(cut_windows(samples, kSmall), testing::ElementsAre(Window{0, 100}));
  EXPECT_THAT(cut_windows({}, kSmall), testing::ElementsAre(Window{0, 0}));
}

TEST(Windows, ALongRecordingIsCutInTheMiddleOfTheQuietestPlaceNearTheEnd) {
  std::vector<float> samples(150, 0.5F);
  for (std::size_t i = 20; i < 30; ++i)
    samples[i] = 0;  // quiet too, but not near the end of the window
  for (std::size_t i = 72; i < 82; ++i) samples[i] = 0;
  EXPECT_THAT(cut_windows(samples, kSmall), testing::ElementsAre(Window{0, 77}, Window{77, 150}));
}

RC_GTEST_PROP(WindowsProperty, EverySampleIsInOneWindowAndNoWindowIsTooLong, ()) {
  const auto length = *rc::gen::inRange<std::size_t>(0, 1000);
  std::vector<float> samples;
  for (std::size_t i = 0; i < length; ++i)
    samples.push_back(static_cast<float>(*rc::gen::inRange(-5, 6)));
  std::size_t at = 0;
  for (const Window& window : cut_windows(samples, kSmall)) {
    RC_ASSERT(window.begin == at);
    RC_ASSERT(window.end - window.begin <= kSmall.length_max);
    RC_ASSERT(window.end > window.begin || length == 0);
    at = window.end;
  }
  RC_ASSERT(at == length);
}

}  // namespace
}  // namespace strata::evaluator
