// Aligned columns of text for a terminal. Cells may hold several lines and colours. Pure.
#pragma once

#include <string>
#include <vector>

#include "cli/render/colour.h"

namespace strata::cli {

struct Column {
  std::string header{};
  bool right = false;  // numbers stand right
};

class TextTable {
 public:
  explicit TextTable(std::vector<Column> columns);
  // REQUIRES: as many cells as columns.
  void row(std::vector<std::string> cells);
  void rule();  // a line between groups of rows
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  // Columns that the widest line takes.
  [[nodiscard]] std::size_t width() const;
  [[nodiscard]] std::string text(const Palette& palette = {}) const;

 private:
  using Lines = std::vector<std::string>;
  struct Row {
    std::vector<Lines> cells{};  // empty: a rule
  };
  void measure(const std::vector<Lines>& cells);

  std::vector<Column> columns_;
  std::vector<std::size_t> widths_;
  std::vector<Row> rows_;
};

// A value's name, then the value, one a line: "workers   2".
[[nodiscard]] std::string key_value_lines(
    const std::vector<std::pair<std::string, std::string>>& lines, const Palette& palette = {});

// Broken at spaces into lines of at most `width` columns; a word that is longer keeps its own line.
// REQUIRES: no escape sequences.
[[nodiscard]] std::vector<std::string> wrap_words(std::string_view text, std::size_t width);

[[nodiscard]] std::vector<std::string> split_lines(std::string_view text);

}  // namespace strata::cli
