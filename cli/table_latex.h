// The table as LaTeX. Pure. The reader of the output loads booktabs, nothing else; every engine
// reads it (what is not ASCII is written with commands, as far as this knows a command for it).
#pragma once

#include <string>

#include "cli/table.h"

namespace strata::cli {

// What floats are made to fit: the text of `article` at 10 pt. Wider and longer pages hold them,
// too.
inline constexpr double kLatexWidthPoints = 345;
inline constexpr double kLatexHeightPoints = 500;  // of 550: the caption and the float's skips

// One float, or several where the columns or rows of one would not fit; those after the first keep
// its number.
[[nodiscard]] std::string table_as_latex(const AblationTable& table);

// Text with all that is special escaped; ligatures that would change it ("--", "?`") are broken up.
[[nodiscard]] std::string latex_text(const std::string& text);

}  // namespace strata::cli
