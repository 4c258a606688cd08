#include "cli/render/text_table.h"

#include <algorithm>

#include "base/assert.h"

namespace strata::cli {

namespace {

constexpr std::string_view kGap = "  ";
constexpr std::size_t kRuleMax = 110;  // a long reason does not make a long rule

std::string padded(const std::string& cell, std::size_t width, bool right, bool last) {
  const std::size_t used = display_width(cell);
  const std::string fill(width > used ? width - used : 0, ' ');
  if (right) return fill + cell;
  return last ? cell : cell + fill;  // no spaces at the end of a line
}

void trim_end(std::string& line) {
  while (!line.empty() && line.back() == ' ') line.pop_back();
}

}  // namespace

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (true) {
    const std::size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return lines;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string> wrap_words(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  for (const std::string& paragraph : split_lines(text)) {
    std::string line;
    std::size_t begin = 0;
    while (begin <= paragraph.size()) {
      const std::size_t end = std::min(paragraph.find(' ', begin), paragraph.size());
      const std::string word = paragraph.substr(begin, end - begin);
      if (!line.empty() && display_width(line) + 1 + display_width(word) > width) {
        lines.push_back(std::move(line));
        line.clear();
      }
      line += (line.empty() ? "" : " ") + word;
      begin = end + 1;
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

TextTable::TextTable(std::vector<Column> columns)
    : columns_(std::move(columns)), widths_(columns_.size(), 0) {
  std::vector<Lines> headers;
  for (const Column& column : columns_) headers.push_back(split_lines(column.header));
  measure(headers);
}

void TextTable::measure(const std::vector<Lines>& cells) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    for (const std::string& line : cells[i]) widths_[i] = std::max(widths_[i], display_width(line));
  }
}

void TextTable::row(std::vector<std::string> cells) {
  STRATA_ASSERT(cells.size() == columns_.size());
  Row made;
  for (const std::string& cell : cells) made.cells.push_back(split_lines(cell));
  measure(made.cells);
  rows_.push_back(std::move(made));
}

void TextTable::rule() { rows_.push_back({}); }

std::size_t TextTable::width() const {
  std::size_t total = columns_.empty() ? 0 : kGap.size() * (columns_.size() - 1);
  for (const std::size_t width : widths_) total += width;
  return total;
}

std::string TextTable::text(const Palette& palette) const {
  std::string out;
  const auto write = [&](const std::vector<Lines>& cells, bool header) {
    std::size_t height = 0;
    for (const Lines& lines : cells) height = std::max(height, lines.size());
    for (std::size_t y = 0; y < height; ++y) {
      std::string line;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        if (i > 0) line += kGap;
        const std::string cell = y < cells[i].size() ? cells[i][y] : std::string();
        line += padded(cell, widths_[i], columns_[i].right, i + 1 == cells.size());
      }
      trim_end(line);
      out += header ? palette.paint(Tint::kBold, line) : line;
      out += '\n';
    }
  };
  std::string rule;
  for (std::size_t i = 0; i < std::min(width(), kRuleMax); ++i) rule += "─";
  rule = palette.paint(Tint::kDim, rule) + "\n";
  std::vector<Lines> headers;
  for (const Column& column : columns_) headers.push_back(split_lines(column.header));
  write(headers, true);
  out += rule;
  for (const Row& row : rows_) {
    if (row.cells.empty()) {
      out += rule;
    } else {
      write(row.cells, false);
    }
  }
  return out;
}

std::string key_value_lines(const std::vector<std::pair<std::string, std::string>>& lines,
                            const Palette& palette) {
  std::size_t width = 0;
  for (const auto& [key, value] : lines) width = std::max(width, display_width(key));
  std::string out;
  for (const auto& [key, value] : lines) {
    bool first = true;
    for (const std::string& part : split_lines(value)) {
      const std::string name = first ? key : "";
      std::string line = palette.paint(Tint::kDim, name) +
                         std::string(width - display_width(name), ' ') + "  " + part;
      trim_end(line);
      out += line + "\n";
      first = false;
    }
  }
  return out;
}

}  // namespace strata::cli
