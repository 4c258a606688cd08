// Texts that people write: sweeps, conditions, YAML, JSON.
#include <map>

#include "base/assert.h"
#include "base/json.h"
#include "base/utf8.h"
#include "schema/expression.h"
#include "schema/log_policy.h"
#include "schema/sweep.h"
#include "schema/yaml.h"
#include "tests/fuzz/targets.h"

namespace strata::fuzz {
namespace {

// More runs than these are not expanded: a fuzzer is after paths, not sizes.
constexpr std::size_t kRunsExpanded = 3'000;

// Parts of an input after lines "%% NAME" are files of that name; the first part is the sweep.
std::map<std::string, std::string> files_of(std::string_view input) {
  std::map<std::string, std::string> files;
  std::string name = "s.yaml";
  while (true) {
    const std::size_t end = input.find("\n%% ");
    files[name] = std::string(input.substr(0, end));
    if (end == std::string_view::npos) return files;
    input.remove_prefix(end + 4);
    const std::size_t line = std::min(input.find('\n'), input.size());
    name = std::string(input.substr(0, line));
    input.remove_prefix(std::min(line + 1, input.size()));
  }
}

std::size_t runs_of(const SweepDefinition& definition) {
  std::size_t all = 0;
  for (const Block& block : definition.blocks) {
    std::size_t cells = 1;
    for (const Axis& axis : block.axes)
      cells = std::min(cells * std::max<std::size_t>(axis.values.size(), 1), kRunsMax);
    for (const auto& zip : block.zips)
      cells = std::min(cells * (zip.empty() ? 1 : std::max<std::size_t>(zip[0].values.size(), 1)),
                       kRunsMax);
    all += (cells + block.cases.size()) *
           std::max<std::size_t>({1, definition.seeds.size(), block.seeds.size()});
  }
  return all;
}

}  // namespace

std::string run_sweep(std::string_view input) {
  const auto files = files_of(input);
  int reads = 0;
  const auto definition = read_sweep("s.yaml", [&](const std::string& path) -> Result<std::string> {
    STRATA_ASSERT(++reads < 1'000);
    const auto it = files.find(path);
    if (it == files.end()) return fail(ErrorCode::kNotFound, "there is no file {}", path);
    return it->second;
  });
  if (!definition) return definition.error().message;
  if (runs_of(*definition) > kRunsExpanded) return "large";
  const auto expansion = expand(*definition);
  if (!expansion) return expansion.error().message;
  for (const TaskSpec& task : expansion->tasks) STRATA_ASSERT(task.key == compute_key(task));
  return fmt::format("expanded: {} cells", expansion->cells > 0 ? "some" : "no");
}

std::string run_expression(std::string_view input) {
  static const std::map<std::string, Value, std::less<>> kValues{
      {"a", 1}, {"a.b", "text"}, {"c", Value()}, {"d", true}, {"e", 0.25}, {"n", "NaN"}};
  const auto lookup = [](std::string_view name) -> const Value* {
    const auto it = kValues.find(name);
    return it == kValues.end() ? nullptr : &it->second;
  };
  const auto query = parse_query(input);
  const auto parsed = Expression::parse(input);
  if (!parsed) return parsed.error().message + (query ? " query" : "");
  const auto again = Expression::parse(parsed->text());
  if (parsed->text().size() <= kExpressionBytesMax) {
    STRATA_ASSERT(again.has_value());
    STRATA_ASSERT(again->text() == parsed->text());
  }
  const auto value = parsed->evaluate(lookup);
  static_cast<void>(parsed->holds(lookup));
  static_cast<void>(parsed->number(lookup));
  return value ? "a value" : value.error().message;
}

std::string run_yaml(std::string_view input) {
  const auto node = parse_yaml(input, "f");
  return node ? std::string("a ") + node->kind_name() : node.error().message;
}

std::string run_json(std::string_view input) {
  const auto value = parse_json(input);
  if (!value) return value.error().message;
  const std::string text = to_canonical_json(*value);
  const auto again = parse_json(text);
  STRATA_ASSERT(again.has_value());
  STRATA_ASSERT(to_canonical_json(*again) == text);
  return "a value";
}

// A policy, and behind a line "%% log" the log that it is tried on, else its own text.
std::string run_policy(std::string_view input) {
  const auto files = files_of(input);
  const auto rules = parse_policy(files.at("s.yaml"), "s.yaml");
  if (!rules) return rules.error().message;
  std::vector<LogRule> plain;
  for (const WrittenRule& written : *rules) plain.push_back(written.rule);
  const auto policy = LogPolicy::make(plain);
  STRATA_ASSERT(policy.has_value());
  const auto log = files.find("log");
  const auto lines = log_tail(log == files.end() ? input : std::string_view(log->second));
  STRATA_ASSERT(lines.size() <= kLogTailLinesMax);
  for (const LogLine& line : lines) STRATA_ASSERT(is_valid_utf8(line.text));
  const auto match = policy->judge(lines);
  if (!match) return "no rule takes a line";
  STRATA_ASSERT(policy->rule_of(lines.at(match->line).text) == match->rule);
  return "a rule takes a line";
}

}  // namespace strata::fuzz
