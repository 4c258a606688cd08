// A sweep that is under way, as lines. Pure: the answer to `watch` goes in.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/value.h"
#include "cli/render/colour.h"

namespace strata::cli {

inline constexpr std::size_t kRunningShown = 12;
inline constexpr std::size_t kWaitingShown = 6;
inline constexpr std::size_t kFailedShown = 6;

struct TaskCounts {
  std::int64_t blocked = 0, queued = 0, leased = 0, running = 0, succeeded = 0, failed = 0,
               cancelled = 0, diverged = 0, held = 0, pruned = 0;
  [[nodiscard]] std::int64_t total() const { return waiting() + active() + ended(); }
  [[nodiscard]] std::int64_t waiting() const { return blocked + queued + held; }
  [[nodiscard]] std::int64_t active() const { return leased + running; }
  [[nodiscard]] std::int64_t ended() const {
    return succeeded + failed + cancelled + diverged + pruned;
  }
};
[[nodiscard]] TaskCounts counts_of(const Value& by_state);

// No task of it waits or runs. A sweep without tasks has ended.
[[nodiscard]] bool has_ended(const Value& watch);

struct Remaining {
  std::optional<double> seconds{};
  double at_least = 0;            // without the stages of which nothing is known
  std::string unknown_because{};  // when there is no number
};
// From the medians of finished tasks of each stage, or from the progress of running ones, over the
// slots that there are.
[[nodiscard]] Remaining remaining_of(const Value& watch);

// "about 3 min 20 s left", "at least 14 s left: no score has finished yet", "ended".
[[nodiscard]] std::string time_left(const Value& watch);

// `stages`: names in the order of the pipeline; others follow by name. Lines are at most `width`
// columns.
[[nodiscard]] std::string watch_as_text(const Value& watch, const std::vector<std::string>& stages,
                                        const Palette& palette, std::size_t width);
// Of a picture of more lines than a terminal has, those that fit, and how many do not: what has
// scrolled away cannot be drawn over. `height` 0: all.
[[nodiscard]] std::string fit_height(const std::string& text, std::size_t height);
// One line for a log file: "adma-demo 12/24 tasks, 2 running, 0 failed, about 3 min 20 s left".
[[nodiscard]] std::string watch_as_line(const Value& watch);

}  // namespace strata::cli
