#include "cli/plot.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "cli/render/progress.h"
#include "cli/table_render.h"
#include "cli/view.h"

namespace strata::cli {

namespace {

constexpr double kGapMin = 0.04;  // of the axis, between neighbouring values

std::optional<double> number_of(const Value& value) {
  const Number* number = value.if_number();
  return number == nullptr ? std::nullopt : std::optional<double>(number->to_double());
}

// Places on the x axis: the numbers themselves, or one place after another where a value is no
// number or where the numbers span so much (1, 10, 100) that the small ones would stand on one
// another.
std::vector<PlotTick> places_of(const std::vector<Value>& values, const std::string& parameter) {
  std::vector<double> numbers;
  for (const Value& value : values) {
    if (const auto number = number_of(value)) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  bool to_scale = numbers.size() == values.size();
  for (std::size_t i = 1; i < numbers.size(); ++i) {
    to_scale =
        to_scale && numbers[i] - numbers[i - 1] >= kGapMin * (numbers.back() - numbers.front());
  }
  std::vector<PlotTick> out;
  for (const Value& value : values) {
    const std::string label = row_key_text(parameter, value);
    double place = static_cast<double>(out.size());
    if (const auto number = number_of(value)) {
      const auto rank = std::lower_bound(numbers.begin(), numbers.end(), *number) - numbers.begin();
      place = to_scale                          ? *number
              : numbers.size() == values.size() ? static_cast<double>(rank)
                                                : place;
    }
    out.push_back({place, label == "–" ? "none" : label});
  }
  return out;
}

// By the parameters that are not on the x axis; a label stands there only where they do not name
// the cell.
std::string series_name(const AblationTable& table, const TableRow& row, std::size_t x) {
  std::string name;
  for (std::size_t k = 0; k < row.keys.size(); ++k) {
    if (k == x || table.row_names[k] == kCellColumn) continue;
    name += (name.empty() ? "" : ", ") + table.row_headers[k] + " " +
            row_key_text(table.row_names[k], row.keys[k]);
  }
  if (row.labelled) name += (name.empty() ? "" : ": ") + row.cell;
  return name;
}

void add_table_footnotes(Plot& plot, const AblationTable& table, const TableColumn& column) {
  bool drawn = false;
  bool incomplete = false;
  for (const TableRow& row : table.rows) {
    const TableCell& cell = row.cells[static_cast<std::size_t>(&column - table.columns.data())];
    drawn = drawn || (cell.estimate && cell.estimate->interval == IntervalKind::kBootstrap);
    incomplete = incomplete || !cell.estimate || cell.estimate->seeds < cell.seeds_expected;
  }
  const std::string seeds = plural(static_cast<std::int64_t>(table.seeds.size()), "seed");
  plot.footnotes.push_back(
      fmt::format("Points: mean over {}{}.", seeds,
                  drawn ? "; bars: 95 % bootstrap interval over utterances, not paired" : ""));
  if (incomplete)
    plot.footnotes.emplace_back("Some cells lack seeds or have no score: see strata table.");
  if (table.has_unintelligible() && !column.ranked)
    plot.footnotes.push_back("Cells are " + std::string(kNotIntelligible) + ".");
}

}  // namespace

Result<Plot> plot_of_table(const AblationTable& table, const std::string& x,
                           const std::string& score) {
  const auto column = std::find_if(table.columns.begin(), table.columns.end(),
                                   [&](const TableColumn& c) { return c.score == score; });
  const auto axis = std::find(table.row_names.begin(), table.row_names.end(), x);
  if (column == table.columns.end())
    return fail(ErrorCode::kNotFound, "sweep '{}' has no score '{}'", table.sweep, score);
  if (axis == table.row_names.end())
    return fail(ErrorCode::kNotFound, "sweep '{}' has no parameter '{}'", table.sweep, x);
  const auto c = static_cast<std::size_t>(column - table.columns.begin());
  const auto k = static_cast<std::size_t>(axis - table.row_names.begin());
  std::vector<Value> values;  // in the table's order, which is the axis' order
  for (const TableRow& row : table.rows) {
    if (std::find(values.begin(), values.end(), row.keys[k]) == values.end())
      values.push_back(row.keys[k]);
  }
  Plot plot{.title = table.sweep, .x_label = table.row_headers[k], .y_label = header_text(*column)};
  plot.x_ticks = places_of(values, x);
  for (const TableRow& row : table.rows) {
    const TableCell& cell = row.cells[c];
    if (!cell.estimate) continue;
    const std::string name = series_name(table, row, k);
    auto series = std::find_if(plot.series.begin(), plot.series.end(),
                               [&](const PlotSeries& s) { return s.name == name; });
    if (series == plot.series.end()) series = plot.series.insert(plot.series.end(), {.name = name});
    const auto place = static_cast<std::size_t>(
        std::find(values.begin(), values.end(), row.keys[k]) - values.begin());
    PlotPoint point{.x = plot.x_ticks[place].x, .y = column->scale * cell.estimate->value};
    if (cell.estimate->low) point.low = column->scale * *cell.estimate->low;
    if (cell.estimate->high) point.high = column->scale * *cell.estimate->high;
    series->points.push_back(point);
    if (row.baseline) plot.reference = PlotLine{.label = "baseline", .y = point.y};
  }
  if (plot.series.empty())
    return fail(ErrorCode::kNotFound, "no cell of sweep '{}' has the score '{}' yet", table.sweep,
                score);
  if (plot.series.size() > kSeriesMax) {
    return fail(ErrorCode::kTooLarge, "{} series are no picture (at most {}): choose another --x",
                plot.series.size(), kSeriesMax);
  }
  const auto by_x = [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; };
  for (PlotSeries& series : plot.series)
    std::stable_sort(series.points.begin(), series.points.end(), by_x);
  std::sort(plot.x_ticks.begin(), plot.x_ticks.end(),
            [](const PlotTick& a, const PlotTick& b) { return a.x < b.x; });
  add_table_footnotes(plot, table, *column);
  return plot;
}

namespace {

// The steps that all seeds have: a mean over fewer would jump where one of them ends.
std::vector<PlotPoint> mean_curve(const std::vector<const MetricCurve*>& seeds) {
  std::vector<PlotPoint> out;
  for (const auto& [step, ignored] : seeds.front()->values) {
    std::vector<double> values;
    for (const MetricCurve* seed : seeds) {
      const auto found = seed->values.find(step);
      if (found != seed->values.end()) values.push_back(found->second);
    }
    if (values.size() < seeds.size()) continue;
    double sum = 0;
    for (const double value : values) sum += value;
    PlotPoint point{.x = static_cast<double>(step), .y = sum / static_cast<double>(values.size())};
    if (values.size() > 1) {
      const auto [low, high] = std::minmax_element(values.begin(), values.end());
      point.low = *low;
      point.high = *high;
    }
    out.push_back(point);
  }
  return out;
}

// Neighbours become one point, at their middle.
std::vector<PlotPoint> grouped(const std::vector<PlotPoint>& points, std::size_t group) {
  std::vector<PlotPoint> out;
  for (std::size_t begin = 0; begin < points.size(); begin += group) {
    const std::size_t end = std::min(begin + group, points.size());
    const auto mean = [&](auto part) {
      double sum = 0;
      for (std::size_t i = begin; i < end; ++i) sum += part(points[i]);
      return sum / static_cast<double>(end - begin);
    };
    PlotPoint point{.x = mean([](const PlotPoint& p) { return p.x; }),
                    .y = mean([](const PlotPoint& p) { return p.y; })};
    if (points[begin].low) {
      point.low = mean([](const PlotPoint& p) { return *p.low; });
      point.high = mean([](const PlotPoint& p) { return *p.high; });
    }
    out.push_back(point);
  }
  return out;
}

}  // namespace

std::string named_by_axes(const Value& assignment) {
  std::vector<std::string> parameters;
  for (const auto& [parameter, value] : as_object(assignment)) parameters.push_back(parameter);
  std::vector<std::string> names = short_names(parameters);
  const auto last_word = [](const std::string& name) { return name.substr(name.rfind(' ') + 1); };
  const bool shared =
      names.size() > 1 && std::all_of(names.begin(), names.end(), [&](const auto& n) {
        return n.find(' ') != std::string::npos && last_word(n) == last_word(names[0]);
      });
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string name = shared ? names[i].substr(0, names[i].rfind(' ')) : names[i];
    out += (out.empty() ? "" : ", ") + name + " " +
           row_key_text(parameters[i], at(assignment, parameters[i]));
  }
  return out.empty() ? "the only cell" : out;
}

Result<Plot> plot_of_curves(const std::string& sweep, const std::string& metric,
                            const std::vector<MetricCurve>& curves) {
  const auto name_of = [](const MetricCurve& curve) {
    return curve.cell.empty() ? named_by_axes(curve.assignment) : curve.cell;
  };
  std::vector<std::string> cells;
  for (const MetricCurve& curve : curves) {
    if (curve.values.empty() ||
        std::find(cells.begin(), cells.end(), name_of(curve)) != cells.end())
      continue;
    cells.push_back(name_of(curve));
  }
  if (cells.empty())
    return fail(ErrorCode::kNotFound, "no run of sweep '{}' has points of the metric '{}'", sweep,
                metric);
  if (cells.size() > kSeriesMax) {
    return fail(ErrorCode::kTooLarge, "{} cells are no picture (at most {})", cells.size(),
                kSeriesMax);
  }
  Plot plot{.title = sweep, .x_label = "step", .y_label = metric, .curves = true};
  std::size_t group_max = 1;
  for (const std::string& cell : cells) {
    std::vector<const MetricCurve*> seeds;
    std::size_t seeds_expected = 0;
    for (const MetricCurve& curve : curves) {
      if (name_of(curve) != cell) continue;
      ++seeds_expected;
      if (!curve.values.empty()) seeds.push_back(&curve);
    }
    const std::vector<PlotPoint> points = mean_curve(seeds);
    if (points.empty()) continue;
    std::string name = cell;
    if (seeds.size() < seeds_expected)
      name += fmt::format(" ({} of {} seeds)", seeds.size(), seeds_expected);
    const std::size_t group = (points.size() + kCurvePointsMax - 1) / kCurvePointsMax;
    group_max = std::max(group_max, group);
    plot.series.push_back({.name = name, .points = grouped(points, group)});
  }
  if (plot.series.empty()) {
    return fail(ErrorCode::kConflict,
                "the seeds of no cell of sweep '{}' have a step of '{}' in common", sweep, metric);
  }
  plot.footnotes.emplace_back(
      "Lines: mean over the seeds of a cell at the steps that all have; bands: their range.");
  if (group_max > 1)
    plot.footnotes.push_back(
        fmt::format("Up to {} neighbouring steps are averaged into one point.", group_max));
  return plot;
}

Status add_line(Plot& plot, double level) {
  if (!std::isfinite(level)) return fail(ErrorCode::kInvalid, "--line {} is no number", level);
  if (!plot.curves)
    return fail(ErrorCode::kInvalid,
                "--line goes with --x step: over a parameter there is the "
                "baseline to compare with");
  plot.reference = PlotLine{.label = fmt::format("{} {}", plot.y_label, level), .y = level};
  return {};
}

Value plot_as_json(const Plot& plot) {
  Array all;
  for (const PlotSeries& series : plot.series) {
    Array points;
    for (const PlotPoint& p : series.points) {
      Object point{{"x", p.x}, {"y", p.y}};
      if (p.low) point["low"] = *p.low;
      if (p.high) point["high"] = *p.high;
      points.push_back(std::move(point));
    }
    all.push_back(Object{{"name", series.name}, {"points", std::move(points)}});
  }
  Array notes;
  for (const std::string& note : plot.footnotes) notes.push_back(note);
  Object out{{"title", plot.title},
             {"x", plot.x_label},
             {"y", plot.y_label},
             {"series", std::move(all)},
             {"notes", std::move(notes)}};
  if (plot.reference)
    out["line"] = Object{{"label", plot.reference->label}, {"y", plot.reference->y}};
  return out;
}

}  // namespace strata::cli
