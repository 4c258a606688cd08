#include "cli/table_published.h"

#include <algorithm>

#include "cli/render/progress.h"
#include "cli/view.h"

namespace strata::cli {

namespace {

constexpr int kDigitsMax = 10;  // significant; a published number has four or five

// Digits after the point that `value` needs.
int decimals_of(double value) {
  const std::string text = fmt::format("{:.{}g}", value, kDigitsMax);
  const std::size_t point = text.find('.');
  if (point == std::string::npos || text.find('e') != std::string::npos) return 0;
  return static_cast<int>(text.size() - point - 1);
}

}  // namespace

std::optional<PublishedTable> published_of(const Value& definition, const AblationTable& table) {
  PublishedTable out{.source = text_at(definition, "expected_source")};
  out.decimals.resize(table.columns.size(), 0);
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    const Value& numbers = at(at(definition, "expected"), table.rows[r].cell);
    PublishedRow row{.row = r};
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
      row.values.push_back(at(numbers, table.columns[c].score).to_double());
      if (!row.values.back()) continue;
      out.decimals[c] =
          std::max(out.decimals[c], decimals_of(table.columns[c].scale * *row.values.back()));
    }
    const bool any = std::any_of(row.values.begin(), row.values.end(),
                                 [](const auto& value) { return value.has_value(); });
    if (any) out.rows.push_back(std::move(row));
  }
  if (out.rows.empty()) return std::nullopt;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    const bool any = std::any_of(out.rows.begin(), out.rows.end(), [&](const PublishedRow& row) {
      return row.values[c].has_value();
    });
    if (any) out.columns.push_back(c);
  }
  return out;
}

std::string published_label(const std::string& source) {
  const std::string name = source.substr(0, source.find(" ("));
  return name.empty() ? "published" : "published (" + name + ")";
}

std::string published_text(const AblationTable& table, const PublishedRow& row,
                           std::size_t column) {
  const auto& value = row.values[column];
  if (!value) return "–";
  return format_fixed(table.columns[column].scale * *value, table.published->decimals[column]);
}

}  // namespace strata::cli
