// Reads the part of `search` that judges tasks while they run (method asha or median). Internal to
// this room.
#pragma once

#include <optional>

#include "schema/reading.h"

namespace strata {

[[nodiscard]] bool is_judging_method(std::string_view method);

// Nothing when the method judges nobody. `stages` are those of the sweep.
[[nodiscard]] Result<std::optional<SearchDefinition>> read_judging_search(
    const Reading& reading, const YamlNode& node, const std::vector<StageDefinition>& stages);

}  // namespace strata
