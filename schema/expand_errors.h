// What is wrong with a sweep's cells, in words. Internal to this room: expand() calls these once it
// has found that something is.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "schema/sweep.h"

namespace strata {

// "the constraints drop every cell: 4 by a > 3, 2 by b = 1".
[[nodiscard]] tl::unexpected<Error> every_cell_is_dropped(const SweepDefinition& sweep,
                                                          const std::vector<DroppedBy>& by);

// No stage exists in the cell. A run without a task would count as succeeded.
[[nodiscard]] tl::unexpected<Error> nothing_to_do(const SweepDefinition& sweep,
                                                  const std::string& cell);

// `there`: for each parameter of the baseline the values that it has in the cells, null where it is
// absent. Names the first one that no cell has as the baseline wants it.
[[nodiscard]] tl::unexpected<Error> no_cell_is_the_baseline(
    const SweepDefinition& sweep, const std::map<std::string, std::vector<Value>>& there);

[[nodiscard]] tl::unexpected<Error> two_cells_are_the_baseline(const SweepDefinition& sweep,
                                                               const std::string& one,
                                                               const std::string& other);

}  // namespace strata
