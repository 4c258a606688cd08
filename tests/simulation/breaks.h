// The rules that can be broken, by name, and what must find each.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "coordinator/core/breaks.h"

namespace strata::simulation {

struct KnownBreak {
  const char* name;
  coordinator::Break rule;
  const char* invariant;
  std::uint64_t seed;  // one that finds it
};
[[nodiscard]] const std::vector<KnownBreak>& known_breaks();
// Null: there is no such rule.
[[nodiscard]] const KnownBreak* find_break(std::string_view name);

}  // namespace strata::simulation
