// The few Unicode rules of Python's str that published evaluation protocols rest on. Pure; utf8proc
// ends in unicode.cc.
#pragma once

#include <string>
#include <string_view>

namespace strata::evaluator {

// Python's str.isspace() for one character, which is also what \s matches.
[[nodiscard]] bool is_python_space(char32_t point);
// Python's str.lower(): full mapping (U+0130 gives two characters) and the final form of the Greek
// sigma.
[[nodiscard]] std::u32string python_lower(std::u32string_view text);
// Normal form KC. REQUIRES: every element is a Unicode scalar value.
[[nodiscard]] std::u32string normal_form_kc(std::u32string_view text);
// First letter of the general category: 'L', 'M', 'N', 'P', 'S', 'Z' or 'C'.
[[nodiscard]] char major_category(char32_t point);

}  // namespace strata::evaluator
