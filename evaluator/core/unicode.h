// The few Unicode rules of Python's str that published evaluation protocols rest on, at Unicode
// 14.0 (Python 3.11) whatever version the installed utf8proc knows: a character that 14.0 does not
// assign has no case, no decomposition and the category Cn. Pure; utf8proc ends in unicode.cc.
#pragma once

#include <string>
#include <string_view>

namespace strata::evaluator {

// Python's str.isspace() for one character, which is also what \s matches.
[[nodiscard]] bool is_python_space(char32_t point);
// What Python's \w matches: letters, numbers of any kind, the low line.
[[nodiscard]] bool is_python_word(char32_t point);
// What Python's \d matches (category Nd), as 0 to 9; -1 for everything else.
[[nodiscard]] int decimal_value(char32_t point);
// Category Mn.
[[nodiscard]] bool is_nonspacing_mark(char32_t point);
// First letter of the general category: 'L', 'M', 'N', 'P', 'S', 'Z' or 'C'.
[[nodiscard]] char major_category(char32_t point);

// Python's str.lower(): full mapping (U+0130 gives two characters) and the final form of the Greek
// sigma.
[[nodiscard]] std::u32string python_lower(std::u32string_view text);
// Normal forms KD and KC. REQUIRES: every element is a Unicode scalar value.
[[nodiscard]] std::u32string normal_form_kd(std::u32string_view text);
[[nodiscard]] std::u32string normal_form_kc(std::u32string_view text);

// "15.0.0": what the installed library knows. For messages; no result depends on it as long as the
// test over every character passes.
[[nodiscard]] const char* library_unicode_version();

}  // namespace strata::evaluator
