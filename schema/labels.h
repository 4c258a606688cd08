// How cells are called: the last part of each parameter's name that tells it from the others, and
// its value. Internal to this room.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/value.h"

namespace strata {

// A text as it is, a model by its name, all else as JSON.
[[nodiscard]] std::string shown(const Value& value);
[[nodiscard]] std::map<std::string, std::string> short_names(const std::vector<std::string>& names);

}  // namespace strata
