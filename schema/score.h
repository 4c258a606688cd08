// A final number of a task, with its interval and the judge that gave it; and a point of a metric
// over steps.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/value.h"

namespace strata {

inline constexpr std::size_t kScoresMax = 256;  // of one task
// Of scores.json: its content travels in one frame, where it may take three times as much.
inline constexpr std::size_t kScoresBytesMax = 4U << 20U;
inline constexpr std::size_t kScoreItemsMax = 100'000;  // of one score
inline constexpr std::size_t kMetricsPerPointMax = 64;

struct Score {
  std::string name{};  // "wer", "wer/recordings"
  double value = 0;
  std::string unit{};
  std::optional<double> low{};  // 95 % interval
  std::optional<double> high{};
  std::int64_t count = 0;
  std::string better{};                   // "lower", "higher", "none"
  std::string judge{};                    // "whisper-base@1", empty where no model judges
  std::map<std::string, double> items{};  // per utterance; their mean is `value`
  bool operator==(const Score&) const = default;
};

// What tables rely on: items are finite, and their mean is the value.
[[nodiscard]] Status check_items(const Score& score);

// The content of scores.json (docs/stages.md). An error names the score and the field.
[[nodiscard]] Result<std::vector<Score>> parse_scores(std::string_view text);

// One line of progress.jsonl.
struct Progress {
  std::int64_t step = 0;
  std::optional<std::int64_t> total{};
  std::map<std::string, double> metrics{};
  std::string checkpoint{};  // relative folder, when the line announces one
  bool operator==(const Progress&) const = default;
};
[[nodiscard]] Result<Progress> parse_progress(std::string_view line);

}  // namespace strata
