// What may stand for a run as a whole: the worst of its tasks' states.
#pragma once

#include <array>
#include <string_view>

namespace strata {

// The worst first.
inline constexpr std::array<std::string_view, 9> kRunStates{"failed", "diverged", "cancelled",
                                                            "pruned", "running",  "queued",
                                                            "held",   "blocked",  "succeeded"};

}  // namespace strata
