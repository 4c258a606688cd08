// What the log of a failed program says about who is to blame: an ordered list of rules, each a
// pattern with a class and an action (schema/failure.h). The first rule, in order, whose pattern is
// found in any line counts. A stage's own rules go before the shipped ones
// (schema/default_policy.yaml). docs/failures.md is the page for people.
//
// Patterns are RE2's: no back references, so the time is linear in the length of the log, and no
// log, however hostile, holds up the worker. log_policy.cc is the only file that includes RE2.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "schema/failure.h"

namespace strata {

inline constexpr std::size_t kLogRulesMax = 64;  // of a stage
inline constexpr std::size_t kLogRuleNameBytesMax = 64;
inline constexpr std::size_t kLogPatternBytesMax = 1'000;

// What is looked at of a log: its end, in lines that are cut.
inline constexpr std::size_t kLogTailBytesMax = 256U << 10U;
inline constexpr std::size_t kLogTailLinesMax = 4'000;
inline constexpr std::size_t kLogLineBytesMax = 4'096;

struct LogLine {
  std::int64_t number = 0;  // from 1, counted in the text that was given
  std::string text{};       // of kLogLineBytesMax bytes at most, bad ones replaced: UTF-8
  bool operator==(const LogLine&) const = default;
};

// The last kLogTailLinesMax lines that say something among the last kLogTailBytesMax bytes; a line
// of which that leaves only the end is left out. A progress bar that redraws itself (carriage
// returns) is many lines of one number.
[[nodiscard]] std::vector<LogLine> log_tail(std::string_view text);

// An error says what is wrong with the pattern.
[[nodiscard]] Status check_pattern(const std::string& pattern);

// Safe to share between threads.
class LogPolicy {
 public:
  // kInvalid: a pattern that is none, by the name of its rule.
  [[nodiscard]] static Result<LogPolicy> make(std::vector<LogRule> rules);

  [[nodiscard]] const std::vector<LogRule>& rules() const { return rules_; }
  // The first rule, in order, that takes this line.
  [[nodiscard]] std::optional<std::size_t> rule_of(std::string_view line) const;

  struct Match {
    std::size_t rule = 0;  // index into rules()
    std::size_t line = 0;  // index into the lines; the first that the rule takes
    bool operator==(const Match&) const = default;
  };
  [[nodiscard]] std::optional<Match> judge(const std::vector<LogLine>& lines) const;

 private:
  struct Patterns;
  LogPolicy() = default;
  std::vector<LogRule> rules_{};
  std::shared_ptr<const Patterns> patterns_{};
};

// A rule as it stands in a file.
struct WrittenRule {
  LogRule rule{};
  std::vector<std::string> samples{};  // lines that it takes, as real programs print them
};
// The text of a file whose key `policy` is a list of rules. Errors are "FILE:LINE:COLUMN: ...".
[[nodiscard]] Result<std::vector<WrittenRule>> parse_policy(const std::string& text,
                                                            const std::string& file_name);

extern const char* const kDefaultPolicyText;  // schema/default_policy.yaml
[[nodiscard]] const std::vector<WrittenRule>& shipped_rules();

// `own` before the shipped ones. A rule of `own` takes the place of the shipped one of its name.
[[nodiscard]] std::vector<LogRule> with_shipped(std::vector<LogRule> own);

}  // namespace strata
