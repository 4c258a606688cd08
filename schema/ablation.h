// The shapes of an ablation as words: from a baseline and named components to cells.
//
// A component is what its settings switch on; the baseline is the cell without any. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "schema/sweep.h"

namespace strata {

// Of a sweep with pairs: 2,016 cells.
inline constexpr std::size_t kComponentsMax = 64;

struct Component {
  std::string name{};
  Settings set{};
};

enum class AblationShape {
  kBaseline,     // no component
  kAddOne,       // each component alone
  kPairs,        // every two components
  kLeaveOneOut,  // all components but one, for each
  kAll,          // all components
};

[[nodiscard]] std::optional<AblationShape> ablation_shape(std::string_view word);
// "baseline, add_one, pairs, leave_one_out, all", for messages.
[[nodiscard]] std::string ablation_words();

// The cells of the shapes in the order given; components in theirs. Each sets the baseline first.
// Shapes of few components meet (of two, leave_one_out is add_one): equal cells are merged by
// expand(), not here.
[[nodiscard]] std::vector<Case> cases_of(const Settings& baseline,
                                         const std::vector<Component>& components,
                                         const std::vector<AblationShape>& shapes);

}  // namespace strata
