// What a stage says while it runs (docs/stages.md): progress lines in the attempt folder, and the
// request to stop.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "base/files.h"
#include "base/result.h"

namespace strata::trainer {

using Metrics = std::map<std::string, double>;

// Appends to progress.jsonl of the attempt folder. Steps never fall.
class Progress {
 public:
  static Result<Progress> open(const std::filesystem::path& attempt_folder);

  [[nodiscard]] Status report(std::int64_t step, std::optional<std::int64_t> total = {},
                              const Metrics& metrics = {});
  // `checkpoint` is relative to the attempt folder. REQUIRES: it is complete.
  [[nodiscard]] Status announce_checkpoint(std::int64_t step,
                                           const std::filesystem::path& checkpoint);

 private:
  explicit Progress(LineAppender lines) : lines_(std::move(lines)) {}
  LineAppender lines_;
};

// From now on SIGTERM sets a flag instead of ending the process.
void listen_for_stop_request();
[[nodiscard]] bool stop_requested();

}  // namespace strata::trainer
