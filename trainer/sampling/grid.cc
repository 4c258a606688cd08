#include "trainer/sampling/grid.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/assert.h"

namespace strata::trainer {

namespace {

// In 32nds; nothing for other counts.
std::vector<int> pruned_steps(std::int64_t steps) {
  switch (steps) {
    case 5: return {0, 2, 4, 8, 16, 32};
    case 6: return {0, 2, 4, 6, 8, 16, 32};
    case 7: return {0, 2, 4, 6, 8, 16, 24, 32};
    case 10: return {0, 2, 4, 6, 8, 12, 16, 20, 24, 28, 32};
    case 12: return {0, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32};
    case 16: return {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32};
    default: return {};
  }
}

}  // namespace

std::vector<double> time_grid(std::int64_t steps, std::optional<double> sway, StepGrid grid) {
  STRATA_ASSERT(steps >= 1);
  STRATA_ASSERT(steps <= kStepsMax);
  const double s = sway.value_or(0);
  STRATA_ASSERT(s >= kSwayMin);
  STRATA_ASSERT(s <= kSwayMax);
  const std::vector<int> pruned =
      grid == StepGrid::kEpss ? pruned_steps(steps) : std::vector<int>();
  std::vector<double> times;
  for (std::int64_t i = 0; i <= steps; ++i) {
    const double t = pruned.empty() ? static_cast<double>(i) / static_cast<double>(steps)
                                    : pruned[static_cast<std::size_t>(i)] / 32.0;
    times.push_back(t + s * (std::cos(std::numbers::pi / 2 * t) - 1 + t));
  }
  times.back() = 1;  // cos(pi / 2) is not exactly 0
  return times;
}

std::int64_t estimated_duration(std::int64_t prompt_frames, std::string_view prompt_text,
                                std::string_view new_text, double speed) {
  STRATA_ASSERT(speed > 0);
  if (new_text.size() < kShortTextBytes) speed = kShortTextSpeed;
  const double frames = static_cast<double>(prompt_frames);
  if (prompt_text.empty()) return prompt_frames + static_cast<std::int64_t>(frames / speed);
  const double rate = frames / static_cast<double>(prompt_text.size());
  const double more = rate * static_cast<double>(new_text.size()) / speed;
  return prompt_frames +
         static_cast<std::int64_t>(std::min(more, static_cast<double>(kUpstreamDurationMax)));
}

std::int64_t bounded_duration(std::int64_t frames, std::int64_t prompt_frames, std::int64_t tokens,
                              std::int64_t most) {
  return std::min(std::max(std::max(tokens, prompt_frames) + 1, frames), most);
}

}  // namespace strata::trainer
