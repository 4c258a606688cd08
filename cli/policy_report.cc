#include "cli/policy_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/render/text_table.h"

namespace strata::cli {

namespace {

// Columns that the others need beside the text of a line, or a pattern.
constexpr std::size_t kColumnsBeside = 62;
constexpr std::size_t kTextColumnsMin = 30;

std::size_t columns_for_text(std::size_t width) {
  return std::max(kTextColumnsMin, width > kColumnsBeside ? width - kColumnsBeside : 0);
}

Value rule_value(const LogRule& rule) {
  return Object{{"rule", rule.name},
                {"class", name_of(rule.cause)},
                {"action", name_of(rule.action)},
                {"charged", charged_to(rule.cause)},
                {"next", what_follows(rule.cause, rule.action)}};
}

Value verdict_value(const LogPolicy& policy, const PolicyTrial& trial) {
  if (!trial.verdict) return {};
  Value value = rule_value(policy.rules()[trial.verdict->rule]);
  const LogLine& line = trial.looked_at[trial.verdict->line];
  Object object = *value.if_object();
  object.emplace("line", line.number);
  object.emplace("text", line.text);
  return object;
}

}  // namespace

PolicyTrial try_policy(const LogPolicy& policy, const std::string& log) {
  PolicyTrial trial{.looked_at = log_tail(log)};
  for (const LogLine& line : trial.looked_at) {
    if (const auto rule = policy.rule_of(line.text))
      trial.lines.push_back({.line = line, .rule = *rule});
  }
  trial.verdict = policy.judge(trial.looked_at);
  return trial;
}

Value trial_value(const LogPolicy& policy, const PolicyTrial& trial) {
  Array lines;
  for (const PolicyTrial::Line& taken : trial.lines) {
    const LogRule& rule = policy.rules()[taken.rule];
    lines.emplace_back(Object{{"line", taken.line.number},
                              {"text", taken.line.text},
                              {"rule", rule.name},
                              {"class", name_of(rule.cause)},
                              {"action", name_of(rule.action)}});
  }
  return Object{{"looked_at", static_cast<std::int64_t>(trial.looked_at.size())},
                {"lines", std::move(lines)},
                {"verdict", verdict_value(policy, trial)}};
}

std::string trial_text(const LogPolicy& policy, const PolicyTrial& trial, const std::string& file,
                       const Palette& palette, std::size_t width) {
  const std::size_t first =
      trial.looked_at.empty() ? 1 : static_cast<std::size_t>(trial.looked_at[0].number);
  const std::string looked = fmt::format("{} lines of {}{} looked at", trial.looked_at.size(), file,
                                         first > 1 ? fmt::format(", from line {} on,", first) : "");
  if (!trial.verdict) {
    return fmt::format(
        "no rule takes any of them ({}):\nhow the program ended decides alone "
        "(docs/failures.md)\n",
        looked);
  }
  TextTable table({{.header = "line", .right = true}, {"rule"}, {"class"}, {"action"}, {"text"}});
  for (std::size_t i = 0; i < std::min(trial.lines.size(), kPolicyLinesShown); ++i) {
    const LogRule& rule = policy.rules()[trial.lines[i].rule];
    table.row({std::to_string(trial.lines[i].line.number), rule.name, name_of(rule.cause),
               name_of(rule.action),
               shorten(printable(trial.lines[i].line.text), columns_for_text(width))});
  }
  std::string text = table.text(palette);
  if (trial.lines.size() > kPolicyLinesShown)
    text += fmt::format("and {} more\n", trial.lines.size() - kPolicyLinesShown);
  const LogRule& rule = policy.rules()[trial.verdict->rule];
  text += fmt::format("\n{}: the first rule, in order, that takes a line ({})\n",
                      palette.paint(Tint::kBold, rule.name), looked);
  text += key_value_lines({{"by line", std::to_string(trial.looked_at[trial.verdict->line].number)},
                           {"class", name_of(rule.cause)},
                           {"action", name_of(rule.action)},
                           {"charged to", charged_to(rule.cause)},
                           {"what follows", what_follows(rule.cause, rule.action)}});
  return text;
}

Value rules_value(const LogPolicy& policy, std::size_t own) {
  Array rules;
  for (std::size_t i = 0; i < policy.rules().size(); ++i) {
    Object rule = *rule_value(policy.rules()[i]).if_object();
    rule.emplace("pattern", policy.rules()[i].pattern);
    rule.emplace("from", i < own ? "stage" : "shipped");
    rules.emplace_back(std::move(rule));
  }
  return Object{{"rules", std::move(rules)}};
}

std::string rules_text(const LogPolicy& policy, std::size_t own, const Palette& palette,
                       std::size_t width) {
  TextTable table({{.header = "#", .right = true}, {"rule"}, {"class"}, {"action"}, {"pattern"}});
  for (std::size_t i = 0; i < policy.rules().size(); ++i) {
    const LogRule& rule = policy.rules()[i];
    if (i == own && own > 0) table.rule();
    table.row({std::to_string(i + 1), rule.name, name_of(rule.cause), name_of(rule.action),
               shorten(printable(rule.pattern), columns_for_text(width))});
  }
  return table.text(palette);
}

}  // namespace strata::cli
