#include "schema/labels.h"

#include <algorithm>
#include <set>

#include "base/json.h"

namespace strata {
namespace {

std::vector<std::string> parts_of(const std::string& name) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  for (;;) {
    const std::size_t dot = name.find('.', at);
    parts.push_back(name.substr(at, dot - at));
    if (dot == std::string::npos) return parts;
    at = dot + 1;
  }
}

}  // namespace

std::string shown(const Value& value) {
  if (const std::string* text = value.if_string()) return *text;
  if (const Value* name = value.find("name"); name != nullptr && name->if_string() != nullptr)
    return *name->if_string();
  return to_canonical_json(value);
}

// The last part that no other name has anywhere, else the whole name: align.text.layer beside
// align.speech.layer is "text".
std::map<std::string, std::string> short_names(const std::vector<std::string>& names) {
  std::map<std::string, int> names_with;
  for (const std::string& name : names) {
    const auto parts = parts_of(name);
    for (const std::string& part : std::set<std::string>(parts.begin(), parts.end()))
      ++names_with[part];
  }
  std::map<std::string, std::string> shorts;
  for (const std::string& name : names) {
    const auto parts = parts_of(name);
    const auto unique = std::find_if(parts.rbegin(), parts.rend(), [&](const std::string& part) {
      return names_with.at(part) == 1;
    });
    shorts[name] = unique == parts.rend() ? name : *unique;
  }
  return shorts;
}

}  // namespace strata
