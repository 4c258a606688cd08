// From answers to plots. Pure. A score over a parameter takes its numbers from the table, so that
// both say the same.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/render/svg.h"
#include "cli/table.h"

namespace strata::cli {

// `x`: one of the table's row parameters; the others name the series. The table must have the
// column `score`.
[[nodiscard]] Result<Plot> plot_of_table(const AblationTable& table, const std::string& x,
                                         const std::string& score);

struct MetricCurve {  // of one run
  std::string cell{};
  std::uint64_t seed = 0;
  Value assignment{};                       // what the cell sets, by parameter
  std::map<std::int64_t, double> values{};  // by step; finite
};

// Mean over the seeds of a cell at the steps that all of them have, with their range as a band.
// There is a curve for every run, empty where it has no points yet; a cell with such runs says so
// in its name.
[[nodiscard]] Result<Plot> plot_of_curves(const std::string& sweep, const std::string& metric,
                                          const std::vector<MetricCurve>& curves);

// A level across a plot of curves, to read off where they reach it. kInvalid where it is no number,
// or the plot is of points, which have the baseline there.
[[nodiscard]] Status add_line(Plot& plot, double level);

// "speech 4, text –": for a cell without a label.
[[nodiscard]] std::string named_by_axes(const Value& assignment);

[[nodiscard]] Value plot_as_json(const Plot& plot);

}  // namespace strata::cli
