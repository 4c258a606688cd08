// The table as text, CSV, Markdown and JSON; table_latex.h has the LaTeX. Pure; all say the same,
// none says less.
#pragma once

#include <string>

#include "base/value.h"
#include "cli/render/colour.h"
#include "cli/table.h"

namespace strata::cli {

// `width`: columns that a line may take; scores that do not fit go below, with the row's names
// again.
[[nodiscard]] std::string table_as_text(const AblationTable& table, const Palette& palette,
                                        std::size_t width);
// One line per cell and score, RFC 4180: values in the score's own unit, unrounded.
[[nodiscard]] std::string table_as_csv(const AblationTable& table);
[[nodiscard]] std::string table_as_markdown(const AblationTable& table);
[[nodiscard]] Value table_as_json(const AblationTable& table);

// What stands below every form: counts, judges, how intervals are made, what is bold and why, how
// to trace.
inline constexpr std::string_view kTraceRemark = "Trace a figure";  // the last one begins so
[[nodiscard]] std::vector<std::string> table_remarks(const AblationTable& table);

// Pieces shared by the forms.
[[nodiscard]] std::string note_mark(std::size_t index);            // "a", ..., "z", "aa"
[[nodiscard]] std::string header_text(const TableColumn& column);  // "wer [%] ↓"
[[nodiscard]] std::string reference_label(
    const std::string& set);  // "other-speaker" -> "reference: other speaker"

struct CellText {
  std::string value{};    // "97.1 [95.0, 98.9]", "–"
  std::string seeds{};    // "seeds 96.8 … 97.4", "1 of 2 seeds"; may be empty
  std::string delta{};    // "Δ +1.2 [−0.3, +2.7]"; may be empty
  std::string verdict{};  // "better, p < 0.001", "one seed"; may be empty
};
// A row's name in lines of about kKeyColumns, broken at spaces and after -_/. : in one line,
// "hubert-large-ll60k-mean" would cost a score its place.
inline constexpr std::size_t kKeyColumns = 16;
[[nodiscard]] std::vector<std::string> key_lines(const std::string& text);
// Headers word over word.
[[nodiscard]] std::vector<std::string> header_lines(const std::string& text);
[[nodiscard]] CellText cell_text(const TableColumn& column, const TableCell& cell);
[[nodiscard]] std::string estimate_text(const TableColumn& column, const Estimate& estimate);

}  // namespace strata::cli
