// What sampling decides before any tensor is touched: the times of the steps, and how long the
// speech will be.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace strata::trainer {

inline constexpr std::int64_t kStepsMax = 4096;
// Frames, prompt included (CFM.sample, max_duration): A-DMA's, and F5-TTS's since then.
inline constexpr std::int64_t kDurationMax = 4096;
inline constexpr std::int64_t kUpstreamDurationMax = 65536;
// Texts shorter than this are spoken slowly: the ratio of so few letters says little (F5-TTS:
// utils_infer).
inline constexpr std::size_t kShortTextBytes = 10;
inline constexpr double kShortTextSpeed = 0.3;

// Where steps are before sway: even, or pruned as F5-TTS does for 5, 6, 7, 10, 12 and 16 of them
// (EPSS: model/utils.py, get_epss_timesteps), where many of 32 even steps are left out late.
enum class StepGrid { kUniform, kEpss };

// steps + 1 times from 0 to 1, increasing. With sway s: t + s (cos(pi t / 2) - 1 + t), so s = -1
// gives 1 - cos(pi t / 2): small steps first. REQUIRES: 1 <= steps <= kStepsMax, -1 <= s <= 2 / (pi
// - 2).
[[nodiscard]] std::vector<double> time_grid(std::int64_t steps, std::optional<double> sway,
                                            StepGrid grid = StepGrid::kUniform);
inline constexpr double kSwayMin = -1;
// 2 / (pi - 2) = 1.7519: above it the times would not increase.
inline constexpr double kSwayMax = 1.75;

// Frames of prompt and new speech together: prompt + int(prompt / bytes of its text * bytes of the
// new text / speed), with UTF-8 bytes. A prompt without text gives the new speech the prompt's
// length.
[[nodiscard]] std::int64_t estimated_duration(std::int64_t prompt_frames,
                                              std::string_view prompt_text,
                                              std::string_view new_text, double speed = 1);

// At least one frame more than the prompt and than the text has tokens; at most `most`.
[[nodiscard]] std::int64_t bounded_duration(std::int64_t frames, std::int64_t prompt_frames,
                                            std::int64_t tokens, std::int64_t most = kDurationMax);

}  // namespace strata::trainer
