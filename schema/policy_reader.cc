// A log policy as it stands in a file: the `policy` of a stage, and the one that ships.
#include <algorithm>
#include <array>

#include "schema/reading.h"

namespace strata {
namespace {

constexpr std::array kClasses{FailureClass::kUser,    FailureClass::kInvalid,  FailureClass::kInfra,
                              FailureClass::kData,    FailureClass::kMemory,   FailureClass::kNode,
                              FailureClass::kStorage, FailureClass::kScheduled};
constexpr std::array kActions{LogAction::kNone, LogAction::kStop, LogAction::kAvoidWorker,
                              LogAction::kQuarantineWorker};

// One of `all` by its name.
template <class Word, std::size_t count>
Result<Word> read_word(const Reading& reading, const YamlNode& node, const std::string& what,
                       const std::array<Word, count>& all) {
  STRATA_TRY(const std::string text, reading.text(node, what));
  std::vector<std::string> names;
  for (const Word word : all) {
    if (name_of(word) == text) return word;
    names.emplace_back(name_of(word));
  }
  const std::string close = suggestion(text, names);
  return reading.wrong(node.at,
                       fmt::format("there is no {} \"{}\"{} expected one of {}", what, text,
                                   close.empty() ? ":" : close + ";", fmt::join(names, ", ")));
}

bool is_rule_name(std::string_view name) {
  return !name.empty() && name.size() <= kLogRuleNameBytesMax && name.front() != '-' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

Status read_samples(const Reading& reading, const YamlNode& node, WrittenRule& rule) {
  STRATA_TRY(rule.samples, reading.texts(node, "samples"));
  STRATA_TRY(const LogPolicy alone, LogPolicy::make({rule.rule}));
  for (std::size_t i = 0; i < rule.samples.size(); ++i) {
    if (!alone.rule_of(rule.samples[i]))
      return reading.wrong(node.items[i].at,
                           fmt::format("the rule {} does not take this sample", rule.rule.name));
  }
  return {};
}

Result<WrittenRule> read_rule(const Reading& reading, const YamlNode& node) {
  STRATA_CHECK_OK(reading.must_be(node, YamlKind::kMap, "a rule of policy"));
  STRATA_CHECK_OK(reading.only_keys(node, {"name", "match", "class", "action", "samples"}));
  const YamlNode* name = node.find("name");
  const YamlNode* match = node.find("match");
  const YamlNode* cause = node.find("class");
  if (name == nullptr || match == nullptr || cause == nullptr)
    return reading.wrong(node.at, "a rule of policy needs name, match and class");
  WrittenRule written;
  STRATA_TRY(written.rule.name, reading.text(*name, "name"));
  if (!is_rule_name(written.rule.name)) {
    return reading.wrong(
        name->at, fmt::format("\"{}\" is no name of a rule: expected small letters, digits and -",
                              written.rule.name));
  }
  STRATA_TRY(written.rule.pattern, reading.text(*match, "match"));
  if (const Status status = check_pattern(written.rule.pattern); !status)
    return reading.wrong(match->at, fmt::format("match: {}", status.error().message));
  STRATA_TRY(written.rule.cause, read_word(reading, *cause, "class", kClasses));
  if (const YamlNode* action = node.find("action")) {
    STRATA_TRY(written.rule.action, read_word(reading, *action, "action", kActions));
  }
  if (const YamlNode* samples = node.find("samples"))
    STRATA_CHECK_OK(read_samples(reading, *samples, written));
  return written;
}

}  // namespace

Result<std::vector<WrittenRule>> read_policy(const Reading& reading, const YamlNode& node) {
  STRATA_CHECK_OK(reading.must_be(node, YamlKind::kList, "policy"));
  if (node.items.size() > kLogRulesMax)
    return reading.wrong(node.at, fmt::format("policy has more than {} rules", kLogRulesMax));
  std::vector<WrittenRule> rules;
  for (const YamlNode& item : node.items) {
    STRATA_TRY(WrittenRule one, read_rule(reading, item));
    const auto same = std::ranges::find(rules, one.rule.name,
                                        [](const WrittenRule& other) { return other.rule.name; });
    if (same != rules.end())
      return reading.wrong(item.at, fmt::format("there are two rules {}", one.rule.name));
    rules.push_back(std::move(one));
  }
  return rules;
}

Result<std::vector<WrittenRule>> parse_policy(const std::string& text,
                                              const std::string& file_name) {
  const FileReader given = [&](const std::string&) -> Result<std::string> { return text; };
  Reading reading(given);
  STRATA_TRY(const YamlNode file, reading.open(file_name));
  STRATA_CHECK_OK(reading.only_keys(file, {"policy"}));
  const YamlNode* policy = file.find("policy");
  if (policy == nullptr) return reading.wrong(file.at, "there is no policy in it");
  return read_policy(reading, *policy);
}

}  // namespace strata
