#include "cli/view.h"

#include <algorithm>

#include "base/json.h"

namespace strata::cli {

const Array& as_array(const Value& value) {
  static const Array kNone;
  const Array* array = value.if_array();
  return array == nullptr ? kNone : *array;
}

const Object& as_object(const Value& value) {
  static const Object kNone;
  const Object* object = value.if_object();
  return object == nullptr ? kNone : *object;
}

const Value& at(const Value& value, std::string_view key) {
  static const Value kNull;
  const Object& object = as_object(value);
  const auto found = object.find(key);
  return found == object.end() ? kNull : found->second;
}

std::string text_at(const Value& value, std::string_view key, std::string_view fallback) {
  const std::string* text = at(value, key).if_string();
  return text == nullptr ? std::string(fallback) : *text;
}

std::int64_t integer_at(const Value& value, std::string_view key, std::int64_t fallback) {
  const Number* number = at(value, key).if_number();
  return number == nullptr ? fallback : number->to_integer().value_or(fallback);
}

double number_at(const Value& value, std::string_view key, double fallback) {
  return at(value, key).to_double().value_or(fallback);
}

bool flag_at(const Value& value, std::string_view key, bool fallback) {
  const bool* flag = at(value, key).if_bool();
  return flag == nullptr ? fallback : *flag;
}

std::vector<std::string> keys_in_order(const Object& given, const std::vector<std::string>& order) {
  std::vector<std::string> out;
  for (const std::string& key : order) {
    if (given.contains(key)) out.push_back(key);
  }
  for (const auto& [key, value] : given) {
    if (std::find(out.begin(), out.end(), key) == out.end()) out.push_back(key);
  }
  return out;
}

const Array& array_at(const Value& value, std::string_view key) { return as_array(at(value, key)); }
const Object& object_at(const Value& value, std::string_view key) {
  return as_object(at(value, key));
}

std::string brief_text(const Value& value) {
  const std::string* text = value.if_string();
  return text == nullptr ? to_canonical_json(value) : *text;
}

}  // namespace strata::cli
