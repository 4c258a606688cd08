// Reading answers of the coordinator: a missing or strange field gives the fallback, so that a
// client of one version can show what a coordinator of another one says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"

namespace strata::cli {

// One step, not a dotted path: names of scores hold slashes and names of parameters hold dots. Null
// where there is none.
[[nodiscard]] const Value& at(const Value& value, std::string_view key);
[[nodiscard]] std::string text_at(const Value& value, std::string_view key,
                                  std::string_view fallback = "");
[[nodiscard]] std::int64_t integer_at(const Value& value, std::string_view key,
                                      std::int64_t fallback = 0);
[[nodiscard]] double number_at(const Value& value, std::string_view key, double fallback = 0);
[[nodiscard]] bool flag_at(const Value& value, std::string_view key, bool fallback = false);
// The keys of `given`, those of `order` first and as there, the others by name.
[[nodiscard]] std::vector<std::string> keys_in_order(const Object& given,
                                                     const std::vector<std::string>& order);
// Empty when it is no list, no map.
[[nodiscard]] const Array& array_at(const Value& value, std::string_view key);
[[nodiscard]] const Object& object_at(const Value& value, std::string_view key);

[[nodiscard]] const Array& as_array(const Value& value);
[[nodiscard]] const Object& as_object(const Value& value);
// How a parameter's value is written for people: texts without quotes, the rest as JSON.
[[nodiscard]] std::string brief_text(const Value& value);

}  // namespace strata::cli
