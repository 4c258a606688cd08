#include "cli/table_latex.h"

#include <algorithm>
#include <cmath>

#include "cli/render/colour.h"
#include "cli/table_published.h"
#include "cli/table_render.h"

namespace strata::cli {

namespace {

// Widths of Computer Modern's digits at the two sizes that stand in a cell, and the line's height.
constexpr double kNumberPoints = 4.25;  // \footnotesize
constexpr double kSmallPoints = 3.98;   // \scriptsize, whose letters are narrower than its digits
constexpr double kLinePoints = 9.5;
constexpr double kRowGapPoints = 4.5;   // \addlinespace
constexpr double kColumnGapPoints = 6;  // twice \tabcolsep
constexpr double kTabularPoints = 40;   // header, rules and the skip below
constexpr const char* kNewline = " \\\\\n";

struct Escape {
  std::string_view from;
  std::string_view to;
};

constexpr Escape kEscapes[] = {
    {"\\", "\\textbackslash{}"},
    {"&", "\\&"},
    {"%", "\\%"},
    {"$", "\\$"},
    {"#", "\\#"},
    {"_", "\\_"},
    {"{", "\\{"},
    {"}", "\\}"},
    {"~", "\\textasciitilde{}"},
    {"^", "\\textasciicircum{}"},
    {"<", "$<$"},
    {">", "$>$"},
    {"|", "\\textbar{}"},
    {"\"", "''"},  // a straight one is active in some languages
    {"\n", " "},
    {"\t", " "},
    {"\u00a0", "~"},
    {"−", "$-$"},
    {"Δ", "$\\Delta$"},
    {"σ", "$\\sigma$"},
    {"μ", "$\\mu$"},
    {"×", "$\\times$"},
    {"·", "$\\cdot$"},
    {"±", "$\\pm$"},
    {"≤", "$\\leq$"},
    {"≥", "$\\geq$"},
    {"→", "$\\rightarrow$"},
    {"↓", "$\\downarrow$"},
    {"↑", "$\\uparrow$"},
    {"…", "\\ldots{}"},
    {"–", "--"},
    {"—", "---"},
    {"“", "``"},
    {"”", "''"},
    {"‘", "`"},
    {"’", "'"},
};

// These become another character when one follows another, or after ? and !.
bool may_join(char c) { return c == '-' || c == '\'' || c == '`' || c == ','; }

}  // namespace

std::string latex_text(const std::string& given) {
  const std::string text = printable(given);
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto found = std::find_if(std::begin(kEscapes), std::end(kEscapes), [&](const Escape& e) {
      return text.compare(i, e.from.size(), e.from) == 0;
    });
    if (found != std::end(kEscapes)) {
      out += found->to;
      i += found->from.size();
      continue;
    }
    const char before = out.empty() ? '\0' : out.back();
    if (may_join(text[i]) && (before == text[i] || before == '?' || before == '!')) out += "{}";
    out += text[i++];
  }
  return out;
}

namespace {

// The first thing in a table's cell or after a rule: there, [ and * would be read as arguments.
std::string latex_field(const std::string& text) {
  const std::string out = latex_text(text);
  return out.starts_with('[') || out.starts_with('*') ? "{}" + out : out;
}

std::string superscript(const std::vector<std::size_t>& notes) {
  std::string text;
  for (const std::size_t index : notes) text += (text.empty() ? "" : ",") + note_mark(index);
  return text.empty() ? "" : "\\textsuperscript{" + text + "}";
}

// What stands in a cell, above one another: the value, and in small print what qualifies it.
struct LatexCell {
  std::string value{};
  std::vector<std::string> small{};
};

LatexCell lines_of(const TableColumn& column, const TableRow& row, const TableCell& cell) {
  const CellText parts = cell_text(column, cell);
  LatexCell out{.value = parts.value};
  const auto add = [&](const std::string& text) {
    if (!text.empty()) out.small.push_back(text);
  };
  std::string seeds = parts.seeds;
  const std::size_t mark = seeds.find(" (");  // notes stand as superscripts here
  if (!cell.notes.empty() && mark != std::string::npos)
    seeds.erase(mark, seeds.find(')', mark) + 1 - mark);
  add(seeds);
  if (row.baseline) add("baseline");
  add(parts.delta);
  add(parts.verdict);
  if (!row.intelligible && !column.ranked) {
    const std::size_t colon = kNotIntelligible.find(": ") + 1;  // in two lines
    add(std::string(kNotIntelligible.substr(0, colon)));
    add(std::string(kNotIntelligible.substr(colon + 1)));
  }
  return out;
}

std::string latex_cell(const TableColumn& column, const TableRow& row, const TableCell& cell) {
  const LatexCell lines = lines_of(column, row, cell);
  const std::string value = latex_field(lines.value);
  std::string out = "\\begin{tabular}[t]{@{}l@{}}";
  out += (cell.best ? "\\textbf{" + value + "}" : value) + superscript(cell.notes);
  for (const std::string& text : lines.small) out += " \\\\ \\scriptsize " + latex_text(text);
  return out + "\\end{tabular}";
}

double points(const std::string& text, double each) {
  return each * static_cast<double>(display_width(text));
}

std::string stacked(const std::vector<std::string>& lines, char where) {
  if (lines.size() == 1) return latex_field(lines[0]);
  std::string out = fmt::format("\\begin{{tabular}}[{}]{{@{{}}l@{{}}}}", where);
  for (std::size_t i = 0; i < lines.size(); ++i)
    out += (i == 0 ? "" : " \\\\ ") + latex_field(lines[i]);
  return out + "\\end{tabular}";
}

double widest_of(const std::vector<std::string>& lines, double each) {
  double out = 0;
  for (const std::string& line : lines) out = std::max(out, points(line, each));
  return out;
}

double width_of_keys(const AblationTable& table) {
  double out = 0;
  for (std::size_t k = 0; k < table.row_names.size(); ++k) {
    double widest = widest_of(header_lines(table.row_headers[k]), kNumberPoints);
    for (const TableRow& row : table.rows) {
      const auto lines = key_lines(row_key_text(table.row_names[k], row.keys[k]));
      widest = std::max(widest, widest_of(lines, kNumberPoints));
    }
    out += widest + kColumnGapPoints;
  }
  return out;
}

double width_of_column(const AblationTable& table, std::size_t column) {
  double widest = points(header_text(table.columns[column]), kNumberPoints);
  for (const TableRow& row : table.rows) {
    const LatexCell lines = lines_of(table.columns[column], row, row.cells[column]);
    widest = std::max(widest, points(lines.value, kNumberPoints));
    for (const std::string& text : lines.small)
      widest = std::max(widest, points(text, kSmallPoints));
  }
  for (const ReferenceRow& row : table.references) {
    if (row.cells[column])
      widest = std::max(
          widest, points(estimate_text(table.columns[column], *row.cells[column]), kNumberPoints));
  }
  return widest + kColumnGapPoints;
}

using Panel = std::vector<std::size_t>;  // score columns that stand side by side

// Greedy: as many score columns as the page takes, at least one.
std::vector<Panel> panels_of(const AblationTable& table) {
  const double keys = width_of_keys(table);
  std::vector<Panel> out;
  double used = 0;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const double width = width_of_column(table, i);
    if (out.empty() || keys + used + width > kLatexWidthPoints) {
      out.emplace_back();
      used = 0;
    }
    out.back().push_back(i);
    used += width;
  }
  return out;
}

// One row's names, each a field, and how many lines they take.
std::pair<std::vector<std::string>, std::size_t> latex_keys(const AblationTable& table,
                                                            const TableRow& row) {
  std::pair<std::vector<std::string>, std::size_t> out{{}, 1};
  for (std::size_t k = 0; k < row.keys.size(); ++k) {
    const auto lines = key_lines(row_key_text(table.row_names[k], row.keys[k]));
    out.first.push_back(stacked(lines, 't'));
    out.second = std::max(out.second, lines.size());
  }
  return out;
}

// Fields of a line; the first of them may be an empty text.
std::string in_one_line(const std::vector<std::string>& fields) {
  return fmt::format("{}", fmt::join(fields, " & ")) + kNewline;
}

std::string open_tabular(const AblationTable& table, const Panel& panel, char align) {
  std::string out = "\\begin{tabular}{" + std::string(table.row_names.size(), 'l') +
                    std::string(panel.size(), align) + "}\n\\toprule\n";
  std::vector<std::string> header;
  for (const std::string& name : table.row_headers)
    header.push_back(stacked(header_lines(name), 'b'));
  for (const std::size_t i : panel) header.push_back(latex_field(header_text(table.columns[i])));
  return out + in_one_line(header) + "\\midrule\n";
}

constexpr const char* kCloseTabular = "\\bottomrule\n\\end{tabular}\n";

std::string reference_rows(const AblationTable& table, const Panel& panel) {
  std::string out;
  for (const ReferenceRow& row : table.references) {
    std::string line = latex_field(reference_label(row.set));
    if (table.row_names.size() > 1)
      line = fmt::format("\\multicolumn{{{}}}{{l}}{{{}}}", table.row_names.size(), line);
    for (const std::size_t i : panel) {
      line += " & ";
      line += row.cells[i] ? latex_text(estimate_text(table.columns[i], *row.cells[i])) +
                                 superscript(row.notes[i])
                           : "--";
    }
    out += line + kNewline;
  }
  return out.empty() ? "" : "\\midrule\n" + out;
}

// A part of the table that is not broken, and how high it will stand.
struct Piece {
  std::string text{};
  double height = 0;
};

// Rows of one panel, in as many tabulars as it takes to keep each on a page; the references stand
// in the last one.
std::vector<Piece> pieces_of(const AblationTable& table, const Panel& panel) {
  std::vector<Piece> out;
  for (const TableRow& row : table.rows) {
    auto [fields, lines] = latex_keys(table, row);
    for (const std::size_t i : panel) {
      fields.push_back(latex_cell(table.columns[i], row, row.cells[i]));
      lines = std::max(lines, 1 + lines_of(table.columns[i], row, row.cells[i]).small.size());
    }
    const double height = static_cast<double>(lines) * kLinePoints + kRowGapPoints;
    if (out.empty() || out.back().height + height > kLatexHeightPoints) {
      if (!out.empty()) out.back().text += kCloseTabular;
      out.push_back({open_tabular(table, panel, 'l'), kTabularPoints});
    } else {
      out.back().text += "\\addlinespace\n";
    }
    out.back().text += in_one_line(fields);
    out.back().height += height;
  }
  if (out.empty()) return out;
  out.back().text += reference_rows(table, panel) + kCloseTabular;
  out.back().height += kLinePoints * static_cast<double>(table.references.size());
  return out;
}

Piece published_piece(const AblationTable& table) {
  const PublishedTable& published = *table.published;
  Piece out{.text = "\\emph{" + latex_text(published_label(published.source)) +
                    ", not measured here}\\par\n" + open_tabular(table, published.columns, 'r'),
            .height = kTabularPoints + kLinePoints};
  for (const PublishedRow& row : published.rows) {
    auto [fields, lines] = latex_keys(table, table.rows[row.row]);
    for (const std::size_t i : published.columns)
      fields.push_back(latex_text(published_text(table, row, i)));
    out.text += in_one_line(fields);
    out.height += kLinePoints * static_cast<double>(lines);
  }
  out.text += kCloseTabular;
  return out;
}

// Notes and captions below the tabulars, in as many pieces as keep each on a page.
std::vector<Piece> note_pieces(const AblationTable& table) {
  constexpr const char* kOpen = "\\begin{minipage}{\\linewidth}\\footnotesize\\raggedright\n";
  constexpr const char* kClose = "\\end{minipage}\n";
  std::vector<Piece> out;
  const auto add = [&](const std::string& text, const std::string& latex) {
    const double lines = std::ceil(points(text, kNumberPoints) / kLatexWidthPoints);
    const double height = kLinePoints * lines;
    if (out.empty() || out.back().height + height > kLatexHeightPoints) {
      if (!out.empty()) out.back().text += kClose;
      out.push_back({kOpen, 0});
    }
    out.back().text += latex;
    out.back().height += height;
  };
  for (std::size_t i = 0; i < table.notes.size(); ++i) {
    add(table.notes[i],
        fmt::format("\\textsuperscript{{{}}}~{}\\par\n", note_mark(i), latex_text(table.notes[i])));
  }
  for (const std::string& remark : table_remarks(table)) {
    if (remark.starts_with(kTraceRemark)) continue;  // for the author: a comment at the top
    add(remark, latex_text(remark) + "\n");
  }
  if (!out.empty()) out.back().text += kClose;
  return out;
}

// For the author, not for the reader.
std::string head_comment(const AblationTable& table) {
  std::string out = "% needs \\usepackage{booktabs}\n";
  for (const std::string& remark : table_remarks(table)) {
    if (!remark.starts_with(kTraceRemark)) continue;
    std::string line = printable(remark);
    std::replace(line.begin(), line.end(), '\n', ' ');
    out += "% " + line + "\n";
  }
  return out;
}

}  // namespace

std::string table_as_latex(const AblationTable& table) {
  std::vector<Piece> pieces;
  for (const Panel& panel : panels_of(table)) {
    for (Piece& piece : pieces_of(table, panel)) pieces.push_back(std::move(piece));
  }
  if (table.published) pieces.push_back(published_piece(table));
  for (Piece& piece : note_pieces(table)) pieces.push_back(std::move(piece));
  const std::string caption =
      latex_text(table.description.empty() ? table.sweep : table.description);
  std::string out = head_comment(table);
  double height = 0;
  bool open = false;
  bool continued = false;
  for (const Piece& piece : pieces) {
    if (open && height + piece.height > kLatexHeightPoints) {
      out += "\\end{table}\n";
      open = false;
      continued = true;
    }
    if (!open) {
      out += "\\begin{table}\n\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}\n";
      out += continued ? "\\addtocounter{table}{-1}\\caption{" + caption + " (continued)}\n"
                       : "\\caption{" + caption + "}\n";
      open = true;
      height = 0;
    }
    out += "\\par\\medskip\n" + piece.text;
    height += piece.height;
  }
  return out + "\\end{table}\n";
}

}  // namespace strata::cli
