#include "cli/table_render.h"

#include <algorithm>
#include <set>

#include "cli/render/progress.h"
#include "cli/render/text_table.h"
#include "cli/table_published.h"

namespace strata::cli {

namespace {

std::string shown(const TableColumn& column, double value) {
  return format_fixed(column.scale * value, column.decimals);
}

std::string shown_signed(const TableColumn& column, double value) {
  const std::string text = shown(column, value);
  return value > 0 ? "+" + text : text;
}

std::string marks(const std::vector<std::size_t>& notes) {
  std::string text;
  for (const std::size_t index : notes) text += (text.empty() ? "" : ",") + note_mark(index);
  return text.empty() ? "" : " (" + text + ")";
}

// Counts of utterances as one number where all cells have the same.
std::string utterances_remark(const AblationTable& table) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    std::int64_t count = 0;
    for (const TableRow& row : table.rows) {
      if (row.cells[i].estimate) count = std::max(count, row.cells[i].estimate->utterances);
    }
    if (count > 0)
      parts.push_back(fmt::format("{} {}", table.columns[i].score, format_count(count)));
  }
  return parts.empty() ? "" : fmt::format("Utterances: {}.", fmt::join(parts, ", "));
}

// The rule of table_claim.h, in words.
std::vector<std::string> comparison_remarks(const AblationTable& table) {
  std::vector<std::string> out;
  out.push_back(fmt::format(
      "Δ: paired difference to the baseline ({}) over the same seeds and utterances, with its "
      "95\u00a0% interval.",
      table.baseline));
  out.push_back(fmt::format(
      "“better”, “worse”: the cell and the baseline have all their seeds; these are {} or "
      "more, and their paired differences all have the same sign; there are {} utterances or more; "
      "the "
      "interval of Δ excludes zero; and p is below {}, the sign-flip test over utterances after "
      "Holm's correction for all comparisons of the column. Otherwise the cell names the first "
      "of these that is missing: “{}”.",
      kClaimSeedsMin, kClaimUtterancesMin, kClaimLevel,
      fmt::join(
          std::vector<std::string_view>{name_of(Lack::kSeedsMissing), name_of(Lack::kNoCommonSeed),
                                        name_of(Lack::kOneSeed), name_of(Lack::kNoInterval),
                                        name_of(Lack::kFewUtterances),
                                        name_of(Lack::kSeedsDisagree), name_of(Lack::kInsideNoise),
                                        name_of(Lack::kNotAfterHolm)},
          "”, “")));
  out.emplace_back(
      "Intervals and p are over utterances at these training seeds: they say nothing about other "
      "seeds.");
  out.emplace_back("Bold: the best of a column, where it is “better”.");
  return out;
}

std::string judges_remark(const AblationTable& table) {
  std::vector<std::string> parts;
  for (const TableColumn& column : table.columns) {
    if (!column.judge.empty()) parts.push_back(fmt::format("{} by {}", column.score, column.judge));
  }
  return parts.empty() ? "" : fmt::format("Judges: {}.", fmt::join(parts, ", "));
}

}  // namespace

std::string note_mark(std::size_t index) {
  std::string text;
  do {
    text.insert(text.begin(), static_cast<char>('a' + static_cast<int>(index % 26)));
    index /= 26;
  } while (index-- > 0);
  return text;
}

std::string header_text(const TableColumn& column) {
  std::string text = column.score;
  if (!column.unit.empty()) text += " [" + column.unit + "]";
  if (column.better == "lower") text += " ↓";
  if (column.better == "higher") text += " ↑";
  return text;
}

std::string reference_label(const std::string& set) {
  std::string name = set;
  for (char& c : name) {
    if (c == '-' || c == '_') c = ' ';
  }
  return "reference: " + name;
}

std::vector<std::string> key_lines(const std::string& text) {
  std::vector<std::string> out;
  for (std::string line : wrap_words(text, kKeyColumns)) {
    while (display_width(line) > kKeyColumns) {
      const std::size_t cut = line.find_last_of("-_/.", kKeyColumns - 1);
      if (cut == std::string::npos || cut + 1 >= line.size()) break;
      out.push_back(line.substr(0, cut + 1));
      line.erase(0, cut + 1);
    }
    out.push_back(std::move(line));
  }
  return out;
}

std::vector<std::string> header_lines(const std::string& text) { return wrap_words(text, 1); }

std::string estimate_text(const TableColumn& column, const Estimate& estimate) {
  std::string text = shown(column, estimate.value);
  if (estimate.low && estimate.high) {
    text += fmt::format(" [{}, {}]", shown(column, *estimate.low), shown(column, *estimate.high));
  }
  return text;
}

// "p < 0.001", "p 0.012": two digits, since a p-value by drawing has no more.
std::string p_text(double p) { return p < 0.001 ? "p < 0.001" : "p " + format_number(p, 2); }

CellText cell_text(const TableColumn& column, const TableCell& cell) {
  CellText out;
  out.value = cell.estimate ? estimate_text(column, *cell.estimate) : "–";
  const std::size_t seeds = cell.estimate ? cell.estimate->seeds : 0;
  if (seeds < cell.seeds_expected) {
    out.seeds = fmt::format("{} of {} seeds{}", seeds, cell.seeds_expected, marks(cell.notes));
  }
  if (seeds > 1) {
    if (!out.seeds.empty()) out.seeds += ", ";
    out.seeds += fmt::format("seeds {} … {}", shown(column, cell.estimate->seed_low),
                             shown(column, cell.estimate->seed_high));
  }
  out.verdict = verdict_text(column, cell);
  if (!cell.delta) return out;
  const Difference& delta = *cell.delta;
  out.delta = "Δ " + shown_signed(column, delta.value);
  if (delta.low && delta.high) {
    out.delta += fmt::format(" [{}, {}]", shown_signed(column, *delta.low),
                             shown_signed(column, *delta.high));
  }
  if (delta.seeds < cell.seeds_expected && delta.seeds != seeds)
    out.delta +=
        fmt::format(" ({} common)", plural(static_cast<std::int64_t>(delta.seeds), "seed"));
  // Beside another lack a p-value would read as if it could do without.
  const bool tested = cell.lacks.empty() || cell.lacks.front() == Lack::kNotAfterHolm;
  if (delta.p_holm && tested)
    out.verdict += (out.verdict.empty() ? "" : ", ") + p_text(*delta.p_holm);
  return out;
}

std::vector<std::string> table_remarks(const AblationTable& table) {
  std::vector<std::string> out;
  if (table.has_unintelligible()) {
    std::vector<std::string> unranked;
    for (const TableColumn& column : table.columns) {
      if (!column.ranked) unranked.push_back(column.score);
    }
    out.push_back(fmt::format(
        "{}: {} holds for the cells so marked. What judges say of such speech ranks nothing, so "
        "nothing is "
        "bold in {}.",
        kNotIntelligible, table.rule,
        unranked.empty() ? "these columns" : fmt::format("{}", fmt::join(unranked, ", "))));
  }
  std::vector<std::string> seeds;
  for (const std::uint64_t seed : table.seeds) seeds.push_back(std::to_string(seed));
  bool drawn = false;
  for (const TableRow& row : table.rows) {
    for (const TableCell& cell : row.cells) {
      drawn = drawn || (cell.estimate && cell.estimate->interval == IntervalKind::kBootstrap);
    }
  }
  std::string values = fmt::format(
      "Values: mean over {} ({}); “seeds”: the range of the seeds' means.",
      plural(static_cast<std::int64_t>(table.seeds.size()), "seed"), fmt::join(seeds, ", "));
  if (drawn) {
    values += fmt::format(
        " [low, high]: 95\u00a0% percentile bootstrap over utterances, each with the values of all "
        "seeds, {} "
        "resamples, seed {}.",
        format_count(table.bootstrap.resamples), table.bootstrap.seed);
  }
  out.push_back(std::move(values));
  if (!table.baseline.empty()) {
    for (std::string& remark : comparison_remarks(table)) out.push_back(std::move(remark));
  } else {
    out.push_back("The sweep names no baseline cell: no differences, and nothing is bold.");
  }
  bool reported = false;
  for (const TableRow& row : table.rows) {
    for (const TableCell& cell : row.cells)
      reported =
          reported || (cell.estimate && cell.estimate->interval == IntervalKind::kAsReported);
  }
  if (reported)
    out.push_back(
        "Where a score has no values per utterance, the interval is the one that its judge "
        "reported.");
  for (const std::string& remark : {utterances_remark(table), judges_remark(table)}) {
    if (!remark.empty()) out.push_back(remark);
  }
  if (table.published) {
    out.push_back(fmt::format(
        "{}: as written in the sweep's file{}; not measured here, and nothing is computed from it.",
        published_label(table.published->source),
        table.published->source.empty() ? "" : ", from " + table.published->source));
  }
  if (!table.judge_as_teacher.empty()) {
    out.push_back(
        fmt::format("Teacher and judge of this sweep are of one family ({}): its scores are not "
                    "independent of what was "
                    "trained for.",
                    fmt::join(table.judge_as_teacher, ", ")));
  }
  if (table.orphans > 0) {
    out.push_back(fmt::format("{} of older generations of the sweep left out.",
                              plural(static_cast<std::int64_t>(table.orphans), "run")));
  }
  if (!table.rows.empty() && !table.columns.empty()) {
    out.push_back(fmt::format("{}: strata trace {} --cell '{}' --score {}", kTraceRemark,
                              table.sweep, table.rows.front().cell, table.columns.front().score));
  }
  return out;
}

namespace {

std::string text_of_cell(const TableColumn& column, const TableRow& row, const TableCell& cell,
                         const Palette& palette) {
  const CellText parts = cell_text(column, cell);
  std::string text = palette.paint(cell.best ? Tint::kBold : Tint::kPlain, parts.value);
  if (cell.best && !palette.on()) text = "*" + parts.value + "*";
  if (!parts.seeds.empty()) {
    text += "\n" + palette.paint(cell.notes.empty() ? Tint::kDim : Tint::kWarn, parts.seeds);
  }
  if (row.baseline) return text + "\n" + palette.paint(Tint::kDim, "baseline");
  if (!parts.delta.empty()) text += "\n" + parts.delta;
  const Verdict verdict = verdict_of(column, cell);
  const Tint tint = verdict == Verdict::kBetter  ? Tint::kGood
                    : verdict == Verdict::kWorse ? Tint::kBad
                                                 : Tint::kDim;
  if (!parts.verdict.empty()) text += "\n" + palette.paint(tint, parts.verdict);
  return text;
}

// Row names that would take half of the line or more stand in lines of their own.
bool has_wide_names(const AblationTable& table, std::size_t width) {
  std::size_t used = 0;
  for (std::size_t k = 0; k < table.row_names.size(); ++k) {
    std::size_t widest = display_width(table.row_headers[k]);
    for (const TableRow& row : table.rows)
      widest = std::max(widest, display_width(row_key_text(table.row_names[k], row.keys[k])));
    used += widest + 2;
  }
  return 2 * used > width;
}

std::string in_lines(const std::vector<std::string>& lines) {
  return fmt::format("{}", fmt::join(lines, "\n"));
}

struct PanelStyle {
  const Palette& palette;
  bool wide_names = false;
};

std::vector<Column> name_columns(const AblationTable& table, const PanelStyle& style) {
  std::vector<Column> out;
  for (const std::string& name : table.row_headers)
    out.push_back({.header = style.wide_names ? in_lines(header_lines(name)) : name});
  return out;
}

std::vector<std::string> name_cells(const AblationTable& table, const TableRow& row,
                                    const PanelStyle& style) {
  std::vector<std::string> out;
  for (std::size_t k = 0; k < row.keys.size(); ++k) {
    const std::string text = printable(row_key_text(table.row_names[k], row.keys[k]));
    out.push_back(style.wide_names ? in_lines(key_lines(text)) : text);
  }
  return out;
}

// One panel: the row's names and the score columns [first, last).
TextTable panel(const AblationTable& table, const PanelStyle& style, std::size_t first,
                std::size_t last) {
  const Palette& palette = style.palette;
  std::vector<Column> columns = name_columns(table, style);
  for (std::size_t i = first; i < last; ++i)
    columns.push_back({.header = header_text(table.columns[i])});
  TextTable out(columns);
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    const TableRow& row = table.rows[r];
    if (r > 0) out.rule();
    std::vector<std::string> cells = name_cells(table, row, style);
    for (std::size_t i = first; i < last; ++i) {
      std::string text = text_of_cell(table.columns[i], row, row.cells[i], palette);
      if (!row.intelligible && !table.columns[i].ranked)
        text += "\n" + palette.paint(Tint::kWarn, "not intelligible:\ndo not rank");
      cells.push_back(std::move(text));
    }
    out.row(std::move(cells));
  }
  return out;
}

std::string reference_lines(const AblationTable& table, const Palette& palette, std::size_t first,
                            std::size_t last) {
  std::vector<Column> columns = {{.header = ""}};
  for (std::size_t i = first; i < last; ++i)
    columns.push_back({.header = header_text(table.columns[i])});
  TextTable out(columns);
  for (const ReferenceRow& row : table.references) {
    std::vector<std::string> cells = {reference_label(row.set)};
    bool any = false;
    for (std::size_t i = first; i < last; ++i) {
      any = any || row.cells[i].has_value();
      cells.push_back(row.cells[i]
                          ? estimate_text(table.columns[i], *row.cells[i]) + marks(row.notes[i])
                          : "–");
    }
    if (any) out.row(std::move(cells));
  }
  return out.empty() ? "" : out.text(palette);
}

// All in one block below the panels: single numbers are narrow.
std::string published_lines(const AblationTable& table, const PanelStyle& style) {
  if (!table.published) return "";
  std::vector<Column> columns = name_columns(table, style);
  for (const std::size_t i : table.published->columns)
    columns.push_back({.header = header_text(table.columns[i]), .right = true});
  TextTable out(columns);
  for (const PublishedRow& row : table.published->rows) {
    std::vector<std::string> cells = name_cells(table, table.rows[row.row], style);
    for (const std::size_t i : table.published->columns)
      cells.push_back(published_text(table, row, i));
    out.row(std::move(cells));
  }
  return style.palette.paint(Tint::kBold, printable(published_label(table.published->source))) +
         ", not measured here\n" + out.text(style.palette) + "\n";
}

// Greedy: as many score columns as the width takes, at least one.
std::vector<std::pair<std::size_t, std::size_t>> panels_of(const AblationTable& table,
                                                           std::size_t width) {
  std::vector<std::pair<std::size_t, std::size_t>> out;
  std::size_t first = 0;
  const Palette plain;
  const PanelStyle style{.palette = plain, .wide_names = has_wide_names(table, width)};
  while (first < table.columns.size()) {
    std::size_t last = first + 1;
    while (last < table.columns.size() && panel(table, style, first, last + 1).width() <= width)
      ++last;
    out.emplace_back(first, last);
    first = last;
  }
  return out;
}

}  // namespace

std::string table_as_text(const AblationTable& table, const Palette& palette, std::size_t width) {
  std::string out = palette.paint(Tint::kBold, table.sweep) + "\n";
  const auto say = [&](Tint tint, const std::string& text) {
    for (const std::string& line : wrap_words(printable(text), width))
      out += palette.paint(tint, line) + "\n";
  };
  if (!table.description.empty()) say(Tint::kPlain, table.description);
  out += "\n";
  const PanelStyle style{.palette = palette, .wide_names = has_wide_names(table, width)};
  for (const auto& [first, last] : panels_of(table, width)) {
    out += panel(table, style, first, last).text(palette) + "\n";
    const std::string references = reference_lines(table, palette, first, last);
    if (!references.empty()) out += references + "\n";
  }
  out += published_lines(table, style);
  for (std::size_t i = 0; i < table.notes.size(); ++i) {
    say(Tint::kWarn, "(" + note_mark(i) + ") " + table.notes[i]);
  }
  for (const std::string& remark : table_remarks(table)) {
    if (remark.starts_with(kTraceRemark)) {
      out += palette.paint(Tint::kDim, printable(remark)) + "\n";  // whole, to be copied
    } else {
      say(Tint::kDim, remark);
    }
  }
  return out;
}

}  // namespace strata::cli
