#include "schema/log_policy.h"

#include <re2/re2.h>

#include <algorithm>

#include "base/assert.h"
#include "base/utf8.h"

namespace strata {
namespace {

// Of one compiled pattern; RE2 refuses what would need more (x{1000}{1000}).
constexpr std::int64_t kPatternMemoryBytes = 4LL << 20;

std::unique_ptr<const re2::RE2> compiled(const std::string& pattern) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternMemoryBytes);
  return std::make_unique<const re2::RE2>(pattern, options);
}

bool says_something(std::string_view line) {
  return line.find_first_not_of(" \t\r\n-=*") != std::string_view::npos;  // rules of dashes do not
}

}  // namespace

struct LogPolicy::Patterns {
  std::vector<std::unique_ptr<const re2::RE2>> all{};  // as rules()
};

std::vector<LogLine> log_tail(std::string_view text) {
  const std::size_t cut = text.size() > kLogTailBytesMax ? text.size() - kLogTailBytesMax : 0;
  std::vector<LogLine> lines;
  std::int64_t number =
      1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(cut), '\n');
  bool whole = cut == 0 || text[cut - 1] == '\n';
  for (std::size_t at = cut; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of("\r\n", at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (whole && says_something(line)) {
      lines.push_back({.number = number,
                       .text = encode_utf8(decode_utf8_lossy(line.substr(0, kLogLineBytesMax)))});
    }
    if (end < text.size() && text[end] == '\n') ++number;
    whole = true;
    at = end + 1;
  }
  if (lines.size() > kLogTailLinesMax)
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(kLogTailLinesMax));
  return lines;
}

Status check_pattern(const std::string& pattern) {
  if (pattern.empty()) return fail(ErrorCode::kInvalid, "an empty pattern would take every line");
  if (pattern.size() > kLogPatternBytesMax)
    return fail(ErrorCode::kTooLarge, "a pattern of more than {} bytes", kLogPatternBytesMax);
  const auto expression = compiled(pattern);
  if (!expression->ok())
    return fail(ErrorCode::kInvalid, "{} (patterns are RE2's)", expression->error());
  if (re2::RE2::PartialMatch("", *expression))
    return fail(ErrorCode::kInvalid, "it takes an empty line, so it would take every line");
  return {};
}

Result<LogPolicy> LogPolicy::make(std::vector<LogRule> rules) {
  auto patterns = std::make_shared<Patterns>();
  for (const LogRule& rule : rules) {
    patterns->all.push_back(compiled(rule.pattern));
    if (!patterns->all.back()->ok()) {
      return fail(ErrorCode::kInvalid, "log policy, rule {}: {}", rule.name,
                  patterns->all.back()->error());
    }
  }
  LogPolicy policy;
  policy.rules_ = std::move(rules);
  policy.patterns_ = std::move(patterns);
  return policy;
}

std::optional<std::size_t> LogPolicy::rule_of(std::string_view line) const {
  const re2::StringPiece piece(line.data(), line.size());
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    if (re2::RE2::PartialMatch(piece, *patterns_->all[i])) return i;
  }
  return {};
}

std::optional<LogPolicy::Match> LogPolicy::judge(const std::vector<LogLine>& lines) const {
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    for (std::size_t line = 0; line < lines.size(); ++line) {
      if (re2::RE2::PartialMatch(lines[line].text, *patterns_->all[i]))
        return Match{.rule = i, .line = line};
    }
  }
  return {};
}

const std::vector<WrittenRule>& shipped_rules() {
  static const std::vector<WrittenRule> kRules = [] {
    auto rules = parse_policy(kDefaultPolicyText, "default_policy.yaml");
    STRATA_ASSERT(rules.has_value());
    return std::move(*rules);
  }();
  return kRules;
}

std::vector<LogRule> with_shipped(std::vector<LogRule> own) {
  const std::size_t count = own.size();
  for (const WrittenRule& shipped : shipped_rules()) {
    const bool replaced =
        std::any_of(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(count),
                    [&](const LogRule& r) { return r.name == shipped.rule.name; });
    if (!replaced) own.push_back(shipped.rule);
  }
  return own;
}

}  // namespace strata
