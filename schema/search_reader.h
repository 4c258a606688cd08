// Reads `search`: how the cells of a block are found, and in the same place the ranges that axes
// may be there. The one place that knows the words after `method`. Internal to this room.
#pragma once

#include <optional>

#include "schema/reading.h"

namespace strata {

struct SearchReading {
  std::optional<RandomCells> random{};  // absent: the grid
  bool judges = false;                  // while trainings run (judging_reader.h)
};
[[nodiscard]] Result<SearchReading> read_search(const Reading& reading, const YamlNode& node);

// `axis` is a map; nothing when it has none of the words of a range.
[[nodiscard]] Result<std::optional<AxisRange>> read_range(const Reading& reading,
                                                          const YamlNode& axis,
                                                          std::string_view parameter);
[[nodiscard]] const std::vector<std::string>& range_words();

}  // namespace strata
