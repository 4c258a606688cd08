// A JSON-like value with exact decimal numbers: what sweep files, specs, keys, events and reports
// are made of. Two values are equal when they mean the same: 1e-4 equals 0.0001, 1.0 equals 1, and
// the order of keys is no part of it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace strata {

// An exact decimal in its one canonical spelling ("0.0001", "-12", "1.5e300"): no sign on zero, no
// trailing zeros, exponent form only where the plain form would need more than 21 digits.
class Number {
 public:
  Number() = default;
  explicit Number(std::int64_t value);
  // The shortest decimal that reads back as this double. REQUIRES: value is finite.
  explicit Number(double value);
  // JSON's grammar for numbers, plus a leading '+' and a missing digit on one side of the point, as
  // YAML 1.2 has it.
  static Result<Number> parse(std::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] double to_double() const;
  // Nothing when it is no whole number, or does not fit.
  [[nodiscard]] std::optional<std::int64_t> to_integer() const;
  bool operator==(const Number&) const = default;

 private:
  std::string text_ = "0";
};

class Value;
using Array = std::vector<Value>;
using Object = std::map<std::string, Value, std::less<>>;

class Value {
 public:
  Value() = default;  // null
  Value(bool value) : data_(value) {}
  Value(int value) : data_(Number(std::int64_t{value})) {}
  Value(std::int64_t value) : data_(Number(value)) {}
  Value(std::uint64_t value);
  // NaN and infinities become the strings "NaN", "Infinity", "-Infinity": JSON has no other honest
  // place for them.
  Value(double value);
  Value(Number value) : data_(std::move(value)) {}
  Value(std::string value) : data_(std::move(value)) {}
  Value(std::string_view value) : data_(std::string(value)) {}
  Value(const char* value) : data_(std::string(value)) {}
  Value(Array value) : data_(std::move(value)) {}
  Value(Object value) : data_(std::move(value)) {}

  [[nodiscard]] bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  [[nodiscard]] const bool* if_bool() const { return std::get_if<bool>(&data_); }
  [[nodiscard]] const Number* if_number() const { return std::get_if<Number>(&data_); }
  [[nodiscard]] const std::string* if_string() const { return std::get_if<std::string>(&data_); }
  [[nodiscard]] const Array* if_array() const { return std::get_if<Array>(&data_); }
  [[nodiscard]] const Object* if_object() const { return std::get_if<Object>(&data_); }
  [[nodiscard]] Array* if_array() { return std::get_if<Array>(&data_); }
  [[nodiscard]] Object* if_object() { return std::get_if<Object>(&data_); }
  // A number, or one of the three strings for non-finite ones.
  [[nodiscard]] std::optional<double> to_double() const;
  [[nodiscard]] const char* kind() const;  // "null", "boolean", "number", "string", "list", "map"

  // The value at a dotted path ("align.text.layer"); null pointer where a step is missing or no
  // map.
  [[nodiscard]] const Value* find(std::string_view path) const;
  // Sets the value at a dotted path, making maps on the way. An error where a step exists and is no
  // map.
  Status set(std::string_view path, Value value);
  // Removes what is at the path, and the maps that this leaves empty: as if it had never been set.
  void unset(std::string_view path);

  bool operator==(const Value&) const = default;

 private:
  std::variant<std::monostate, bool, Number, std::string, Array, Object> data_;
};

}  // namespace strata
