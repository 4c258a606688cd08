// What settings of cells come to: how one value is laid over another, and what a parameter may be.
#include <algorithm>
#include <set>

#include "schema/reading.h"

namespace strata {

Status lay_over_value(Value& base, const std::string& path, const Value& value) {
  const Object* map = value.if_object();
  const Value* before = base.find(path);
  if (map == nullptr || before == nullptr || before->if_object() == nullptr)
    return base.set(path, value);
  for (const auto& [key, inner] : *map)
    STRATA_CHECK_OK(lay_over_value(base, path + "." + key, inner));
  return {};
}

std::vector<std::string> values_of(const SweepDefinition& definition,
                                   const std::string& parameter) {
  std::set<std::string> out;
  const auto add = [&](const Value* value) {
    if (value != nullptr && value->if_string() != nullptr) out.insert(*value->if_string());
  };
  const auto add_setting = [&](const std::string& name, const Value& value) {
    if (name == parameter) {
      add(&value);
    } else if (is_at_or_below(parameter, name)) {
      add(value.find(std::string_view(parameter).substr(name.size() + 1)));
    }
  };
  add(definition.base.find(parameter));
  for (const Block& block : definition.blocks) {
    for (const auto& [name, value] : block.set) add_setting(name, value);
    const auto add_axis = [&](const Axis& axis) {
      for (const Value& value : axis.values) add_setting(axis.parameter, value);
    };
    std::ranges::for_each(block.axes, add_axis);
    for (const auto& group : block.zips) std::ranges::for_each(group, add_axis);
    for (const Case& one : block.cases) {
      for (const auto& [name, value] : one.set) add_setting(name, value);
    }
  }
  return {out.begin(), out.end()};
}

}  // namespace strata
