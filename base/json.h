// JSON text to and from Value. Canonical text is what gets hashed: keys sorted by bytes, exact
// decimals in their one spelling, no white space, UTF-8 as it is, only the escapes that JSON
// demands.
#pragma once

#include <string>
#include <string_view>

#include "base/value.h"

namespace strata {

inline constexpr int kJsonDepthMax = 64;

// Refuses what JSON refuses, and also duplicate keys, invalid UTF-8, and nesting deeper than
// kJsonDepthMax.
[[nodiscard]] Result<Value> parse_json(std::string_view text);
// The same of a program that is careless of JSON, as Python's json module is: NaN, Infinity and
// -Infinity without quotes become the strings of that name.
[[nodiscard]] Result<Value> parse_program_json(std::string_view text);
[[nodiscard]] std::string to_canonical_json(const Value& value);
// For people: two spaces of indent, short lists on one line.
[[nodiscard]] std::string to_pretty_json(const Value& value);

}  // namespace strata
