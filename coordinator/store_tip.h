// The newest event that was committed, in a small file beside the event log ("events.sqlite-tip");
// likewise the number of transactions beside the metric points.
// The log's checksums cannot tell a log whose end is torn off from one that never went further;
// this file can: when it knows of an event that the log does not have, something acknowledged is
// lost.
//
// It is written after each commit, in place and without a sync: a kill leaves it as it is, a power
// cut may leave an older one, and that claims less. One that is torn or missing claims nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/files.h"

namespace strata::coordinator {

struct Tip {
  std::uint64_t seq = 0;
  std::uint32_t chain = 0;
  bool operator==(const Tip&) const = default;
};

[[nodiscard]] std::filesystem::path tip_file(const std::filesystem::path& database);
[[nodiscard]] std::optional<Tip> read_tip(const std::filesystem::path& database);

class TipWriter {
 public:
  // Makes the file when it is not there.
  static Result<TipWriter> open(const std::filesystem::path& database);
  // What cannot be written (a full disk) leaves an older claim, so there is no error to tell.
  void write(const Tip& tip) const;

 private:
  explicit TipWriter(FileDescriptor fd) : fd_(std::move(fd)) {}
  FileDescriptor fd_;
};

}  // namespace strata::coordinator
