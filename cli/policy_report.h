// What a log policy makes of a log: which line meets which rule, and what would follow. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/value.h"
#include "cli/render/colour.h"
#include "schema/log_policy.h"

namespace strata::cli {

// Lines that some rule takes; the rest are counted.
inline constexpr std::size_t kPolicyLinesShown = 20;

struct PolicyTrial {
  struct Line {
    LogLine line{};
    std::size_t rule = 0;  // the first that takes it, an index into the policy's rules
  };
  std::vector<Line> lines{};  // all that a rule takes
  std::optional<LogPolicy::Match> verdict{};
  std::vector<LogLine> looked_at{};  // the end of the log, as the worker looks at it
};
[[nodiscard]] PolicyTrial try_policy(const LogPolicy& policy, const std::string& log);

[[nodiscard]] Value trial_value(const LogPolicy& policy, const PolicyTrial& trial);
[[nodiscard]] std::string trial_text(const LogPolicy& policy, const PolicyTrial& trial,
                                     const std::string& file, const Palette& palette,
                                     std::size_t width);

// `own`: how many of the rules, the first ones, are the stage's.
[[nodiscard]] Value rules_value(const LogPolicy& policy, std::size_t own);
[[nodiscard]] std::string rules_text(const LogPolicy& policy, std::size_t own,
                                     const Palette& palette, std::size_t width);

}  // namespace strata::cli
