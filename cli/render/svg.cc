#include "cli/render/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "base/assert.h"
#include "cli/render/colour.h"
#include "cli/render/progress.h"

namespace strata::cli {

namespace {

constexpr double kWidth = 760;
constexpr double kPlotHeight = 360;
constexpr double kFont = 19;  // at 85 mm width about 6 pt
constexpr double kSmallFont = 15;
constexpr double kRight = 26;
constexpr double kTop = 14;
constexpr double kGlyph = 0.56;  // mean advance of a sans-serif letter, in font sizes
constexpr const char* kInk = "#222222";
constexpr const char* kFaint = "#dddddd";
constexpr const char* kGrey = "#666666";

constexpr std::array<const char*, 8> kColours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                 "#E69F00", "#56B4E9", "#000000", "#8C6D31"};
constexpr std::array<const char*, 4> kDashes = {"", "9 5", "2 5", "12 4 2 4"};

constexpr const char* kReferenceDash = "3 4";

const char* colour_of(std::size_t series) { return kColours[series % kColours.size()]; }
const char* dash_of(std::size_t series) {
  return kDashes[(series / kColours.size() + series) % kDashes.size()];
}

std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return printable(out);
}

double text_width(const std::string& text, double font) {
  return static_cast<double>(display_width(text)) * font * kGlyph;
}

// Which part of the canvas shows which numbers.
struct Frame {
  double left = 0, top = 0, right = 0, bottom = 0;
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
  [[nodiscard]] double x(double value) const {
    return left + (value - x_low) / (x_high - x_low) * (right - left);
  }
  [[nodiscard]] double y(double value) const {
    return bottom - (value - y_low) / (y_high - y_low) * (bottom - top);
  }
};

struct Range {
  double low = 0;
  double high = 0;
  bool any = false;
  void add(double value) {
    low = any ? std::min(low, value) : value;
    high = any ? std::max(high, value) : value;
    any = true;
  }
};

std::string text_at(double x, double y, const std::string& text, const char* anchor, double font,
                    const char* colour, const char* more = "") {
  return fmt::format(
      "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" font-size=\"{}\" "
      "fill=\"{}\"{}>{}</text>\n",
      x, y, anchor, font, colour, more, escape(text));
}

std::string line_at(double x1, double y1, double x2, double y2, const char* colour, double width,
                    const char* dash = "") {
  const std::string dashes = *dash == '\0' ? "" : fmt::format(" stroke-dasharray=\"{}\"", dash);
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" "
      "stroke-width=\"{}\"{}/>\n",
      x1, y1, x2, y2, colour, width, dashes);
}

std::string marker(std::size_t series, double x, double y) {
  const char* colour = colour_of(series);
  const double r = 6.5;
  switch (series % 4) {
    case 0:
      return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill=\"{}\"/>\n", x, y, r,
                         colour);
    case 1:
      return fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>\n", x - r * 0.9,
          y - r * 0.9, r * 1.8, r * 1.8, colour);
    case 2:
      return fmt::format("<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}Z\" fill=\"{}\"/>\n",
                         x, y - r * 1.25, x + r * 1.15, y + r * 0.8, x - r * 1.15, y + r * 0.8,
                         colour);
    default:
      return fmt::format(
          "<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}Z\" fill=\"{}\"/>\n",
          x, y - r * 1.3, x + r * 1.3, y, x, y + r * 1.3, x - r * 1.3, y, colour);
  }
}

int decimals_of(double step) {
  return std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 8);
}

std::string tick_text(double value, double step) {
  if (std::abs(value) >= 1e5 || (step < 1e-4 && value != 0)) return format_number(value, 3);
  return format_fixed(value, decimals_of(step));
}

// Breaks a line at spaces so that it fits.
std::vector<std::string> wrapped(const std::string& text, double width, double font) {
  std::vector<std::string> lines(1);
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t end = text.find(' ', begin);
    if (end == std::string::npos) end = text.size();
    const std::string word = text.substr(begin, end - begin);
    if (!lines.back().empty() && text_width(lines.back() + " " + word, font) > width)
      lines.emplace_back();
    lines.back() += (lines.back().empty() ? "" : " ") + word;
    begin = end + 1;
  }
  return lines;
}

struct Legend {
  std::string svg{};
  double height = 0;
};

// Names in rows above the plot; no entry for a single series without a name. The line across the
// plot has its name here, too: beside the line it would stand on the points.
Legend legend_of(const Plot& plot, double left, double top) {
  constexpr double kSample = 40;
  constexpr double kRow = 26;
  Legend out;
  double x = left;
  double y = top + kRow * 0.65;
  const auto entry = [&](const std::string& name, auto sample) {
    const double width = kSample + 8 + text_width(name, kFont - 2) + 22;
    if (x > left && x + width > kWidth - kRight) {
      x = left;
      y += kRow;
    }
    out.svg += sample(x, y - 6) + text_at(x + kSample + 8, y, name, "start", kFont - 2, kInk);
    x += width;
  };
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    if (plot.series.size() == 1 && plot.series[0].name.empty()) break;
    entry(plot.series[i].name, [&](double at, double middle) {
      return line_at(at, middle, at + kSample, middle, colour_of(i), 3,
                     plot.curves ? dash_of(i) : "") +
             (plot.curves ? "" : marker(i, at + kSample / 2, middle));
    });
  }
  if (plot.reference) {
    entry(plot.reference->label, [&](double at, double middle) {
      return line_at(at, middle, at + kSample, middle, kGrey, 2, kReferenceDash);
    });
  }
  if (!out.svg.empty()) out.height = y - top + kRow * 0.6;
  return out;
}

std::string curve(const Frame& frame, const PlotSeries& series, std::size_t index) {
  std::string band;
  std::string path;
  for (const PlotPoint& p : series.points) {
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", frame.x(p.x), frame.y(p.y));
    if (p.high)
      band +=
          fmt::format("{}{:.1f} {:.1f}", band.empty() ? "M" : "L", frame.x(p.x), frame.y(*p.high));
  }
  for (auto p = series.points.rbegin(); p != series.points.rend(); ++p) {
    if (p->low) band += fmt::format("L{:.1f} {:.1f}", frame.x(p->x), frame.y(*p->low));
  }
  std::string out;
  if (!band.empty())
    out += fmt::format("<path d=\"{}Z\" fill=\"{}\" fill-opacity=\"0.18\"/>\n", band,
                       colour_of(index));
  const char* dash = dash_of(index);
  const std::string dashes = *dash == '\0' ? "" : fmt::format(" stroke-dasharray=\"{}\"", dash);
  out += fmt::format(
      "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"3\" "
      "stroke-linejoin=\"round\"{}/>\n",
      path, colour_of(index), dashes);
  return out;
}

// Which series have a point at a place: these stand beside one another, centred on it.
using Places = std::map<double, std::vector<std::size_t>>;

Places places_of(const Plot& plot) {
  Places out;
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    for (const PlotPoint& p : plot.series[i].points) {
      if (out[p.x].empty() || out[p.x].back() != i) out[p.x].push_back(i);
    }
  }
  return out;
}

double shift_at(const Places& places, double x, std::size_t series) {
  constexpr double kApart = 13;
  constexpr double kWidest = 60;  // all of them together
  const std::vector<std::size_t>& here = places.at(x);
  const auto last = static_cast<double>(here.size() - 1);
  const auto rank = static_cast<double>(std::find(here.begin(), here.end(), series) - here.begin());
  return (rank - last / 2) * (last * kApart > kWidest ? kWidest / last : kApart);
}

std::string points(const Frame& frame, const PlotSeries& series, std::size_t index,
                   const Places& places) {
  const auto place = [&](const PlotPoint& p) {
    return frame.x(p.x) + shift_at(places, p.x, index);
  };
  std::string out;
  std::string path;
  for (const PlotPoint& p : series.points) {
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", place(p), frame.y(p.y));
  }
  out += fmt::format(
      "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-opacity=\"0.55\"/>\n",
      path, colour_of(index));
  for (const PlotPoint& p : series.points) {
    const double x = place(p);
    if (p.low && p.high) {
      out += line_at(x, frame.y(*p.low), x, frame.y(*p.high), colour_of(index), 2.4);
      out += line_at(x - 5, frame.y(*p.low), x + 5, frame.y(*p.low), colour_of(index), 2.4);
      out += line_at(x - 5, frame.y(*p.high), x + 5, frame.y(*p.high), colour_of(index), 2.4);
    }
    out += marker(index, x, frame.y(p.y));
  }
  return out;
}

std::vector<PlotTick> x_ticks_of(const Plot& plot, const Range& x) {
  if (!plot.x_ticks.empty()) return plot.x_ticks;
  std::vector<PlotTick> out;
  const std::vector<double> values = nice_ticks(x.low, x.high, 6);
  const double step = values.size() > 1 ? values[1] - values[0] : 1;
  for (const double value : values) {
    if (value < x.low - step * 1e-6 || value > x.high + step * 1e-6) continue;
    out.push_back({value, tick_text(value, step)});
  }
  return out;
}

std::string axes(const Plot& plot, const Frame& frame, const Range& x,
                 const std::vector<double>& y_ticks) {
  std::string out;
  const double step = y_ticks.size() > 1 ? y_ticks[1] - y_ticks[0] : 1;
  for (const double value : y_ticks) {
    out += line_at(frame.left, frame.y(value), frame.right, frame.y(value), kFaint, 1.2);
    out +=
        text_at(frame.left - 10, frame.y(value) + 6.5, tick_text(value, step), "end", kFont, kInk);
  }
  out += line_at(frame.left, frame.bottom, frame.right, frame.bottom, kInk, 1.8);
  double taken = -1e9;
  for (const PlotTick& tick : x_ticks_of(plot, x)) {
    const double at = frame.x(tick.x);
    const double half = text_width(tick.label, kFont) / 2;
    out += line_at(at, frame.bottom, at, frame.bottom + 7, kInk, 1.8);
    if (at - half < taken + 6) continue;  // a label that would run into the one before
    out += text_at(at, frame.bottom + 27, tick.label, "middle", kFont, kInk);
    taken = at + half;
  }
  out += text_at((frame.left + frame.right) / 2, frame.bottom + 56, plot.x_label, "middle",
                 kFont + 1, kInk);
  const double middle = (frame.top + frame.bottom) / 2;
  out += fmt::format(
      "<text transform=\"translate({:.1f} {:.1f}) rotate(-90)\" text-anchor=\"middle\" "
      "font-size=\"{}\" "
      "fill=\"{}\">{}</text>\n",
      22.0, middle, kFont + 1, kInk, escape(plot.y_label));
  return out;
}

struct Ranges {
  Range x{};
  Range y{};
};

Ranges ranges_of(const Plot& plot) {
  Ranges out;
  for (const PlotSeries& series : plot.series) {
    STRATA_ASSERT(!series.points.empty());
    for (const PlotPoint& p : series.points) {
      STRATA_ASSERT(std::isfinite(p.x));
      STRATA_ASSERT(std::isfinite(p.y));
      out.x.add(p.x);
      out.y.add(p.y);
      if (p.low) out.y.add(*p.low);
      if (p.high) out.y.add(*p.high);
    }
  }
  for (const PlotTick& tick : plot.x_ticks) out.x.add(tick.x);
  if (plot.reference) out.y.add(plot.reference->y);
  return out;
}

Frame frame_of(const Plot& plot, const Ranges& ranges, const std::vector<double>& y_ticks,
               double top) {
  Frame frame{.top = top, .right = kWidth - kRight, .bottom = top + kPlotHeight};
  const double step = y_ticks.size() > 1 ? y_ticks[1] - y_ticks[0] : 1;
  double widest = 0;
  for (const double value : y_ticks)
    widest = std::max(widest, text_width(tick_text(value, step), kFont));
  frame.left = 44 + widest + 10;
  const double room = plot.curves ? 0.0 : 0.05;  // so that markers do not stand on the frame
  const double span = ranges.x.high > ranges.x.low ? ranges.x.high - ranges.x.low : 1;
  frame.x_low = ranges.x.low - (ranges.x.high > ranges.x.low ? room * span : 0.5);
  frame.x_high = ranges.x.high + (ranges.x.high > ranges.x.low ? room * span : 0.5);
  frame.y_low = y_ticks.front();
  frame.y_high = y_ticks.back();
  return frame;
}

}  // namespace

std::vector<double> nice_ticks(double low, double high, int count) {
  STRATA_ASSERT(count > 0);
  if (!(high > low)) {
    const double pad = low == 0 ? 1 : std::abs(low) * 0.1;
    low -= pad;
    high += pad;
  }
  const double raw = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  const double ratio = raw / power;
  const double step = power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
  const double first = std::floor(low / step + 1e-9);
  const double last = std::ceil(high / step - 1e-9);
  std::vector<double> out;
  for (double i = first; i <= last + 0.5; i += 1) out.push_back(i * step);
  return out;
}

std::string plot_as_svg(const Plot& plot) {
  STRATA_ASSERT(!plot.series.empty());
  STRATA_ASSERT(plot.series.size() <= kSeriesMax);
  const Ranges ranges = ranges_of(plot);
  const std::vector<double> y_ticks = nice_ticks(ranges.y.low, ranges.y.high, 5);
  double top = kTop;
  std::string head;
  if (!plot.title.empty()) {
    head = text_at(16, top + 18, plot.title, "start", kFont + 1, kInk, " font-weight=\"bold\"");
    top += 34;
  }
  const Legend legend = legend_of(plot, 16, top);
  top += legend.height + 14;
  const Frame frame = frame_of(plot, ranges, y_ticks, top);
  std::string body = axes(plot, frame, ranges.x, y_ticks);
  if (plot.reference) {
    const double y = frame.y(plot.reference->y);
    body += line_at(frame.left, y, frame.right, y, kGrey, 2, kReferenceDash);
  }
  const Places places = places_of(plot);
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    body +=
        plot.curves ? curve(frame, plot.series[i], i) : points(frame, plot.series[i], i, places);
  }
  double bottom = frame.bottom + 74;
  for (const std::string& note : plot.footnotes) {
    for (const std::string& line : wrapped(note, kWidth - 32, kSmallFont)) {
      bottom += kSmallFont + 5;
      body += text_at(16, bottom, line, "start", kSmallFont, kGrey);
    }
  }
  const double height = bottom + 16;
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
             "viewBox=\"0 0 "
             "{0:.0f} {1:.0f}\" "
             "font-family=\"Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif\">\n"
             "<title>{2}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
             kWidth, height, escape(plot.title)) +
         head + legend.svg + body + "</svg>\n";
}

}  // namespace strata::cli
