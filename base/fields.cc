#include "base/fields.h"

#include <algorithm>

#include "base/json.h"

namespace strata {

Fields::Fields(const Value& value, std::string where) : value_(value), where_(std::move(where)) {
  if (value_.if_object() == nullptr) {
    error_ = Error{ErrorCode::kInvalid,
                   fmt::format("{}: expected a map, found a {}", where_, value_.kind())};
  }
}

const Value* Fields::get(std::string_view key, bool required) {
  asked_.emplace(key);
  const Object* object = value_.if_object();
  if (object == nullptr) return nullptr;
  const auto it = object->find(key);
  if (it != object->end() && !it->second.is_null()) return &it->second;
  if (required && !error_)
    error_ = Error{ErrorCode::kInvalid, fmt::format("{}: \"{}\" is missing", where_, key)};
  return nullptr;
}

void Fields::wrong(std::string_view key, std::string_view expectation) {
  if (error_) return;
  const Object* object = value_.if_object();
  const auto it = object == nullptr ? Object::const_iterator{} : object->find(key);
  std::string found =
      object == nullptr || it == object->end() ? "nothing" : to_canonical_json(it->second);
  if (found.size() > 80) found = found.substr(0, 77) + "...";
  error_ = Error{ErrorCode::kInvalid,
                 fmt::format("{}.{}: {}, found {}", where_, key, expectation, found)};
}

std::int64_t Fields::integer(std::string_view key, std::optional<std::int64_t> fallback) {
  const Value* value = get(key, !fallback);
  if (value == nullptr) return fallback.value_or(0);
  const Number* number = value->if_number();
  const auto integer = number == nullptr ? std::nullopt : number->to_integer();
  if (!integer) wrong(key, "expected a whole number");
  return integer.value_or(fallback.value_or(0));
}

double Fields::number(std::string_view key, std::optional<double> fallback) {
  const Value* value = get(key, !fallback);
  if (value == nullptr) return fallback.value_or(0);
  const auto number = value->to_double();
  if (!number) wrong(key, "expected a number");
  return number.value_or(fallback.value_or(0));
}

bool Fields::flag(std::string_view key, std::optional<bool> fallback) {
  const Value* value = get(key, !fallback);
  if (value == nullptr) return fallback.value_or(false);
  if (value->if_bool() == nullptr) wrong(key, "expected true or false");
  return value->if_bool() != nullptr ? *value->if_bool() : fallback.value_or(false);
}

std::string Fields::text(std::string_view key, std::optional<std::string> fallback) {
  const Value* value = get(key, !fallback);
  if (value == nullptr) return fallback.value_or("");
  if (value->if_string() == nullptr) wrong(key, "expected a string");
  return value->if_string() != nullptr ? *value->if_string() : fallback.value_or("");
}

std::vector<std::int64_t> Fields::integers(std::string_view key,
                                           std::optional<std::vector<std::int64_t>> fallback) {
  const Value* value = get(key, !fallback);
  if (value == nullptr) return fallback.value_or(std::vector<std::int64_t>{});
  std::vector<std::int64_t> result;
  const Array* array = value->if_array();
  for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
    const Number* number = (*array)[i].if_number();
    const auto integer = number == nullptr ? std::nullopt : number->to_integer();
    if (integer) result.push_back(*integer);
  }
  if (array == nullptr || result.size() != array->size())
    wrong(key, "expected a list of whole numbers");
  return result;
}

std::vector<std::string> Fields::texts(std::string_view key,
                                       std::optional<std::vector<std::string>> fallback) {
  const Value* value = get(key, !fallback);
  if (value == nullptr) return fallback.value_or(std::vector<std::string>{});
  std::vector<std::string> result;
  const Array* array = value->if_array();
  for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
    if (const std::string* text = (*array)[i].if_string()) result.push_back(*text);
  }
  if (array == nullptr || result.size() != array->size()) wrong(key, "expected a list of strings");
  return result;
}

std::string Fields::choice(std::string_view key, const std::vector<std::string>& names,
                           std::optional<std::string> fallback) {
  std::string chosen = text(key, std::move(fallback));
  if (!error_ && std::find(names.begin(), names.end(), chosen) == names.end()) {
    wrong(key, fmt::format("expected one of {}", fmt::join(names, ", ")));
  }
  return chosen;
}

const Value* Fields::child(std::string_view key) { return get(key, false); }

const Value& Fields::required_child(std::string_view key) {
  static const Value kNull;
  const Value* value = get(key, true);
  return value == nullptr ? kNull : *value;
}

void Fields::require(bool holds, std::string_view key, std::string_view expectation) {
  if (!holds) wrong(key, expectation);
}

Status Fields::finish() {
  if (error_) return tl::unexpected(*error_);
  for (const auto& [key, item] : *value_.if_object()) {
    if (asked_.contains(key)) continue;
    std::vector<std::string> known(asked_.begin(), asked_.end());
    return fail(ErrorCode::kInvalid, "{}: unknown key \"{}\"; known: {}", where_, key,
                fmt::join(known, ", "));
  }
  return {};
}

}  // namespace strata
