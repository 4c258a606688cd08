// `strata-evaluator compare A B`: two scored systems from the files that `score` left.
#pragma once

#include <filesystem>
#include <string>

#include "evaluator/core/comparison.h"

namespace strata::evaluator {

// What `score` left of one set: a report folder (report.json and utterances.jsonl in it) or one of
// these two files; or a scores.json, which knows neither speakers nor error counts nor protocol.
[[nodiscard]] Result<System> read_system(const std::filesystem::path& path, const std::string& set);

struct CompareOptions {
  std::string set{};  // as list.jsonl names it; empty: what is generated
  BootstrapOptions bootstrap{};
  bool json = false;
};

// The text to print.
[[nodiscard]] Result<std::string> compare_files(const std::filesystem::path& a,
                                                const std::filesystem::path& b,
                                                const CompareOptions& options);

}  // namespace strata::evaluator
