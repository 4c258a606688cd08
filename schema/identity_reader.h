// Reads `identity` of pipeline and sweep files: which parameters no key counts, and which versions
// of code and data every key does. Internal to this room.
#pragma once

#include "schema/reading.h"

namespace strata {

// Laid over what `identity` holds: names are added, `code` and single paths replaced. `known` says
// whether there is such a parameter, `names` lists them for suggestions.
[[nodiscard]] Status read_identity(const Reading& reading, const YamlNode& node,
                                   const Expression::Known& known,
                                   const std::vector<std::string>& names, Identity& identity);

// Everything that `identity` names is read by some stage, or it would change nothing.
[[nodiscard]] Status check_identity(const Reading& reading, const YamlNode& node,
                                    const std::vector<StageDefinition>& stages);

}  // namespace strata
