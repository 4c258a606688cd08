#include "worker/progress_tail.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"

namespace strata::worker {
namespace {

constexpr std::size_t kReadBytes = 256U << 10U;
static_assert(kReadBytes > 2 * kProgressLineBytesMax, "one read must hold a whole line");
constexpr std::size_t kAheadLinesPerRead = 4'096;

}  // namespace

std::vector<std::string> LineTail::read(std::size_t lines_max) {
  std::vector<std::string> lines;
  const FileDescriptor fd(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return lines;
  std::string bytes(kReadBytes, '\0');
  while (lines.size() < lines_max) {
    const ssize_t got = ::pread(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset_));
    if (got <= 0) return lines;
    const std::string_view text(bytes.data(), static_cast<std::size_t>(got));
    std::size_t at = 0;
    while (lines.size() < lines_max) {
      const std::size_t end = text.find('\n', at);
      const std::size_t length = (end == std::string_view::npos ? text.size() : end) - at;
      const bool too_long = !skipping_ && length > kProgressLineBytesMax;
      if (too_long) ++too_long_;
      if (end == std::string_view::npos) {
        skipping_ = skipping_ || too_long;
        if (skipping_) at = text.size();
        break;
      }
      if (!skipping_ && !too_long && length > 0) lines.emplace_back(text.substr(at, length));
      skipping_ = false;
      at = end + 1;
    }
    offset_ += at;
    if (at == 0) return lines;
  }
  return lines;
}

std::optional<AnnouncedCheckpoint> ProgressTail::read() {
  std::optional<AnnouncedCheckpoint> newest;
  for (;;) {
    const std::vector<std::string> lines = ahead_.read(kAheadLinesPerRead);
    for (const std::string& line : lines) {
      if (line.find("\"checkpoint\"") == std::string::npos) continue;
      const auto progress = parse_progress(line);
      if (!progress || progress->checkpoint.empty()) continue;
      if (!newest || progress->step >= newest->step)
        newest = {progress->step, progress->checkpoint};
    }
    if (!lines.empty()) {
      if (const auto progress = parse_progress(lines.back()))
        last_step_ = std::max(last_step_, progress->step);
    }
    if (lines.size() < kAheadLinesPerRead) break;
  }
  refill();
  return newest;
}

void ProgressTail::refill() {
  if (ahead_.untouched()) return;  // not a line is there
  while (!stale_ && spool_.size() < kSpoolPointsMax) {
    const std::vector<std::string> lines = metrics_.read(kSpoolPointsMax - spool_.size());
    if (lines.empty()) return;
    for (const std::string& line : lines) take(line);
  }
}

void ProgressTail::take(const std::string& line) {
  auto progress = parse_progress(line);
  if (!progress || progress->step < step_) {
    if (garbage_++ == 0) {
      first_garbage_ = progress ? fmt::format("step {} after step {}", progress->step, step_)
                                : fmt::format("{} ({})", line, progress.error().message);
    }
    return;
  }
  step_ = progress->step;
  if (!progress->checkpoint.empty() && progress->metrics.empty())
    return;  // it says nothing but the checkpoint
  spool_.push_back({.sequence = ++sequence_,
                    .step = progress->step,
                    .total = progress->total,
                    .values = std::move(progress->metrics)});
}

std::vector<MetricPoint> ProgressTail::batch() const {
  const auto count = static_cast<std::ptrdiff_t>(std::min(spool_.size(), kPointsPerBatchMax));
  return {spool_.begin(), spool_.begin() + count};
}

bool ProgressTail::acknowledge(const MetricAck& ack) {
  if (ack.stale) {
    stale_ = true;
    spool_.clear();
    return true;
  }
  const std::size_t before = spool_.size();
  while (!spool_.empty() && spool_.front().sequence <= ack.up_to) spool_.pop_front();
  const bool fresh = spool_.size() < before;
  refill();
  return fresh;
}

}  // namespace strata::worker
