// What a program says in progress.jsonl, read while it grows.
//
// The file is the spool of its metrics: points are numbered 1, 2, ... in the order of its lines,
// held in memory up to kSpoolPointsMax, and read on only when acknowledged ones have made room.
// Checkpoints are looked for ahead of that, so that a coordinator that is away holds up metrics
// only.
//
// Garbage (no JSON, too long, a step that falls) is counted and otherwise passed over.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "schema/message.h"
#include "schema/score.h"

namespace strata::worker {

inline constexpr std::size_t kProgressLineBytesMax = 64U << 10U;
inline constexpr std::size_t kSpoolPointsMax = 10'000;

// The complete lines of a growing file. A line still without its end waits; one that is too long is
// dropped and counted.
class LineTail {
 public:
  explicit LineTail(std::filesystem::path file) : file_(std::move(file)) {}
  // At most `lines_max` more lines. A file that is not there yet has none.
  [[nodiscard]] std::vector<std::string> read(std::size_t lines_max);
  [[nodiscard]] std::int64_t too_long() const { return too_long_; }
  [[nodiscard]] bool untouched() const { return offset_ == 0 && !skipping_; }

 private:
  std::filesystem::path file_;
  std::uint64_t offset_ = 0;  // of the first byte that is in no line given out
  bool skipping_ = false;     // inside a line that is too long
  std::int64_t too_long_ = 0;
};

struct AnnouncedCheckpoint {
  std::int64_t step = 0;
  std::string folder{};  // as written: relative to the attempt folder
};

class ProgressTail {
 public:
  explicit ProgressTail(const std::filesystem::path& file) : ahead_(file), metrics_(file) {}

  // Reads what is new. The newest checkpoint among it: an older one will not be resumed from.
  std::optional<AnnouncedCheckpoint> read();

  // The oldest points that nobody has acknowledged, at most kPointsPerBatchMax.
  [[nodiscard]] std::vector<MetricPoint> batch() const;
  // False: it says nothing new, as the answer to a repeat does.
  bool acknowledge(const MetricAck& ack);
  // Something is to be sent, or sent again.
  [[nodiscard]] bool pending() const { return !spool_.empty(); }
  [[nodiscard]] std::optional<std::int64_t> oldest_pending_step() const {
    return spool_.empty() ? std::nullopt : std::optional(spool_.front().step);
  }
  // Of the last line that says one, also of those whose points are not read yet; -1: none.
  [[nodiscard]] std::int64_t last_step() const { return last_step_; }
  [[nodiscard]] std::int64_t garbage() const { return garbage_ + metrics_.too_long(); }
  [[nodiscard]] const std::string& first_garbage() const { return first_garbage_; }

 private:
  void refill();
  void take(const std::string& line);

  LineTail ahead_;    // for checkpoints
  LineTail metrics_;  // behind it by what does not fit into the spool
  std::deque<MetricPoint> spool_;
  std::uint64_t sequence_ = 0;
  std::int64_t step_ = 0;
  std::int64_t last_step_ = -1;
  bool stale_ = false;
  std::int64_t garbage_ = 0;
  std::string first_garbage_;
};

}  // namespace strata::worker
