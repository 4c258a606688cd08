#include "schema/identity_reader.h"

#include <algorithm>

namespace strata {
namespace {

Result<VersionUse> read_use(const Reading& reading, const YamlNode& node, std::string_view what) {
  STRATA_TRY(const std::string word, reading.text(node, what));
  if (word == "record") return VersionUse::kRecord;
  if (word == "key") return VersionUse::kKey;
  return reading.wrong(node.at, fmt::format("{} must be record or key, not \"{}\"", what, word));
}

Status check_known(const Reading& reading, const YamlPosition& at, const std::string& parameter,
                   const Expression::Known& known, const std::vector<std::string>& names) {
  STRATA_CHECK_OK(reading.parameter_name(at, parameter));
  if (known(parameter)) return {};
  return reading.wrong(
      at, fmt::format("there is no parameter {}{}", parameter, suggestion(parameter, names)));
}

Status check_read(const Reading& reading, const YamlPosition& at, const std::string& parameter,
                  const std::vector<StageDefinition>& stages) {
  const auto reads = [&](const StageDefinition& stage) {
    return std::ranges::any_of(stage.reads,
                               [&](const std::string& one) { return related(one, parameter); });
  };
  if (std::ranges::any_of(stages, reads)) return {};
  return reading.wrong(at, fmt::format("no stage reads {}: it is in no key anyway", parameter));
}

}  // namespace

Status read_identity(const Reading& reading, const YamlNode& node, const Expression::Known& known,
                     const std::vector<std::string>& names, Identity& identity) {
  STRATA_CHECK_OK(reading.must_be(node, YamlKind::kMap, "identity"));
  STRATA_CHECK_OK(reading.only_keys(node, {"exclude", "code", "data"}));
  if (const YamlNode* exclude = node.find("exclude")) {
    STRATA_TRY(const std::vector<std::string> listed, reading.texts(*exclude, "exclude"));
    for (std::size_t i = 0; i < listed.size(); ++i) {
      STRATA_CHECK_OK(check_known(reading, exclude->items[i].at, listed[i], known, names));
      identity.exclude.push_back(listed[i]);
    }
    std::ranges::sort(identity.exclude);
    const auto [rest, end] = std::ranges::unique(identity.exclude);
    identity.exclude.erase(rest, end);
  }
  if (const YamlNode* code = node.find("code")) {
    STRATA_TRY(identity.code, read_use(reading, *code, "code"));
  }
  if (const YamlNode* data = node.find("data")) {
    STRATA_CHECK_OK(reading.must_be(*data, YamlKind::kMap, "data"));
    for (const YamlEntry& entry : data->entries) {
      STRATA_CHECK_OK(check_known(reading, entry.at, entry.key, known, names));
      STRATA_TRY(const VersionUse use,
                 read_use(reading, entry.value, fmt::format("data.{}", entry.key)));
      identity.data.insert_or_assign(entry.key, use);
    }
  }
  return {};
}

Status check_identity(const Reading& reading, const YamlNode& node,
                      const std::vector<StageDefinition>& stages) {
  if (const YamlNode* exclude = node.find("exclude")) {
    for (const YamlNode& item : exclude->items)
      STRATA_CHECK_OK(check_read(reading, item.at, *item.scalar.if_string(), stages));
  }
  if (const YamlNode* data = node.find("data")) {
    for (const YamlEntry& entry : data->entries)
      STRATA_CHECK_OK(check_read(reading, entry.at, entry.key, stages));
  }
  return {};
}

}  // namespace strata
