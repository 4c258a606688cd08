// Drawing a plot as SVG: points with error bars, or curves with bands. Pure; nothing random, so the
// same numbers give the same bytes. Readable at the width of a paper's column (the canvas is scaled
// to about 85 mm there), colours after Okabe and Ito 2008, and every series has a marker and a dash
// of its own, so that no meaning hangs on colour alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace strata::cli {

inline constexpr std::size_t kSeriesMax = 24;  // more is no picture any more
// Of one series; longer ones are averaged in groups by the caller.
inline constexpr std::size_t kCurvePointsMax = 400;

struct PlotPoint {
  double x = 0;
  double y = 0;
  std::optional<double> low{};
  std::optional<double> high{};
};

struct PlotSeries {
  std::string name{};
  std::vector<PlotPoint> points{};  // ascending x
};

struct PlotTick {
  double x = 0;
  std::string label{};
};

struct PlotLine {  // across the whole width
  std::string label{};
  double y = 0;
};

struct Plot {
  std::string title{};
  std::string x_label{};
  std::string y_label{};
  bool curves = false;  // lines with bands, no markers
  std::vector<PlotSeries> series{};
  std::vector<PlotTick> x_ticks{};  // empty: round numbers
  std::optional<PlotLine> reference{};
  std::vector<std::string> footnotes{};
};

// REQUIRES: 1 to kSeriesMax series, each with at least one point; all numbers finite.
[[nodiscard]] std::string plot_as_svg(const Plot& plot);

// Round numbers that cover [low, high] with about `count` steps of 1, 2 or 5 times a power of ten.
[[nodiscard]] std::vector<double> nice_ticks(double low, double high, int count);

}  // namespace strata::cli
