// Answers to list, show, explain, workers and status as text. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/value.h"
#include "cli/render/colour.h"

namespace strata::cli {

[[nodiscard]] std::string sweeps_as_text(const Value& answer, const Palette& palette,
                                         std::int64_t now_ms);
// `order`: the stages of the run's sweep, producers first.
[[nodiscard]] std::string show_as_text(const Value& answer, const Palette& palette,
                                       const std::vector<std::string>& order = {});
[[nodiscard]] std::string explain_as_text(const Value& answer, const Palette& palette,
                                          const std::vector<std::string>& order = {});
[[nodiscard]] std::string workers_as_text(const Value& answer, const Palette& palette);
[[nodiscard]] std::string status_as_text(const Value& answer, const Palette& palette,
                                         std::int64_t now_ms);

}  // namespace strata::cli
