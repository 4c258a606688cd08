// Numbers that somebody has published for the cells of a sweep (`expected:` in its file). They
// stand in a block of their own under that name, and nothing is computed from them: no mean, no
// difference, no interval. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/table.h"

namespace strata::cli {

// Of the rows and columns that `table` has, in its order; rows without any number are left out.
// Nothing where the definition has none.
[[nodiscard]] std::optional<PublishedTable> published_of(const Value& definition,
                                                         const AblationTable& table);

// "published (A-DMA, Table 2)": the source up to its first remark in parentheses.
[[nodiscard]] std::string published_label(const std::string& source);
// Its number in the column's unit, with as many digits as the column's longest; "–" for none.
[[nodiscard]] std::string published_text(const AblationTable& table, const PublishedRow& row,
                                         std::size_t column);

}  // namespace strata::cli
