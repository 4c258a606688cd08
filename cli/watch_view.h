// A sweep that is under way, as lines. Pure: the answer to `watch` goes in.
#pragma once

#include <deque>
#include <map>
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

// What one answer to `watch` does not say.
struct Beside {
  std::map<std::string, std::int64_t> slots{};       // that a task of the stage needs
  std::map<std::string, double> ended_per_second{};  // tasks of the stage
};

// How fast tasks end, by the answers of the last minute: of tasks that take less than a second,
// their seconds say nothing about it.
class EndRates {
 public:
  void look(const Value& watch);
  // Of stages of which a task has ended between the first and the last of these looks.
  [[nodiscard]] std::map<std::string, double> per_second() const;

 private:
  struct Look {
    std::int64_t at_ms = 0;
    std::map<std::string, std::int64_t> ended{};
  };
  std::deque<Look> looks_{};
};

// From the medians of finished tasks of each stage, or from the progress of running ones, over the
// slots that are free or run the sweep's own tasks.
[[nodiscard]] Remaining remaining_of(const Value& watch, const Beside& beside = {});

// "about 3 min 20 s left", "at least 14 s left: no score has finished yet", "ended".
[[nodiscard]] std::string time_left(const Value& watch, const Beside& beside = {});

// Waiting tasks, those first for which somebody has to do something.
struct WaitingLine {
  std::string reason{};
  std::int64_t tasks = 0;
  bool behind_an_end = false;  // its producer has ended without a result
};
[[nodiscard]] std::vector<WaitingLine> waiting_lines(const Value& watch);

// `stages`: names in the order of the pipeline; others follow by name. Lines are at most `width`
// columns; kUncut where it is no terminal that shows them.
inline constexpr std::size_t kUncut = 1U << 20U;
[[nodiscard]] std::string watch_as_text(const Value& watch, const std::vector<std::string>& stages,
                                        const Palette& palette, std::size_t width,
                                        const Beside& beside = {});
// Of a picture of more lines than a terminal has, those that fit, and how many do not: what has
// scrolled away cannot be drawn over. `height` 0: all.
[[nodiscard]] std::string fit_height(const std::string& text, std::size_t height);
// One line for a log file: "adma-demo 12/24 tasks, 2 running, 0 failed, about 3 min 20 s left".
[[nodiscard]] std::string watch_as_line(const Value& watch, const Beside& beside = {});

}  // namespace strata::cli
