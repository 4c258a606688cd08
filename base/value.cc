#include "base/value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/assert.h"

namespace strata {
namespace {

constexpr int kPlainDigitsMax = 21;      // longer plain forms are written with an exponent
constexpr int kExponentMax = 1'000'000;  // a larger one is a mistake, not a number

struct Parts {
  bool negative = false;
  std::string digits;  // without leading or trailing zeros; empty for zero
  int exponent = 0;    // value = 0.digits * 10^exponent
};

// Exponent and spelling rules live here only.
std::string spell(const Parts& p) {
  if (p.digits.empty()) return "0";
  const std::string sign = p.negative ? "-" : "";
  const int n = static_cast<int>(p.digits.size());
  if (p.exponent > kPlainDigitsMax || p.exponent < -kPlainDigitsMax + n) {
    std::string mantissa = p.digits.substr(0, 1);
    if (n > 1) mantissa += "." + p.digits.substr(1);
    return fmt::format("{}{}e{}", sign, mantissa, p.exponent - 1);
  }
  if (p.exponent <= 0)
    return sign + "0." + std::string(static_cast<std::size_t>(-p.exponent), '0') + p.digits;
  if (p.exponent >= n)
    return sign + p.digits + std::string(static_cast<std::size_t>(p.exponent - n), '0');
  const auto point = static_cast<std::size_t>(p.exponent);
  return sign + p.digits.substr(0, point) + "." + p.digits.substr(point);
}

std::string_view take_digits(std::string_view& text) {
  const std::size_t n = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view digits = text.substr(0, n);
  text.remove_prefix(n);
  return digits;
}

}  // namespace

Result<Number> Number::parse(std::string_view text) {
  const std::string_view whole_text = text;
  const auto bad = [&](const char* why) {
    return fail(ErrorCode::kInvalid, "\"{}\" is no number: {}", whole_text, why);
  };
  Parts p;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    p.negative = text.front() == '-';
    text.remove_prefix(1);
  }
  const std::string_view whole = take_digits(text);
  std::string_view fraction;
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    fraction = take_digits(text);
  }
  if (whole.empty() && fraction.empty()) return bad("it has no digits");
  int exponent = 0;
  if (!text.empty() && (text.front() == 'e' || text.front() == 'E')) {
    text.remove_prefix(1);
    const bool plus = !text.empty() && text.front() == '+';
    if (plus) text.remove_prefix(1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exponent);
    if (error == std::errc::invalid_argument || (plus && text.front() == '-'))
      return bad("its exponent is wrong");
    if (error != std::errc() || exponent < -kExponentMax || exponent > kExponentMax) {
      return fail(ErrorCode::kTooLarge, "\"{}\": its exponent is larger than {}", whole_text,
                  kExponentMax);
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  }
  if (!text.empty()) return bad("something follows the digits");

  p.digits = std::string(whole) + std::string(fraction);
  p.exponent = static_cast<int>(whole.size()) + exponent;
  const std::size_t leading = std::min(p.digits.find_first_not_of('0'), p.digits.size());
  p.digits.erase(0, leading);
  p.exponent -= static_cast<int>(leading);
  p.digits.erase(p.digits.find_last_not_of('0') + 1);
  Number number;
  number.text_ = spell(p);
  return number;
}

Number::Number(std::int64_t value) : text_(fmt::format("{}", value)) {}

Number::Number(double value) {
  STRATA_ASSERT(std::isfinite(value));
  std::array<char, 64> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  STRATA_ASSERT(error == std::errc());
  const std::string_view text(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  // The plain form of most numbers is canonical as it is; metric points have many of them.
  const bool plain = text.find('e') == std::string_view::npos;
  if (plain && text != "-0" && text.size() < std::size_t{kPlainDigitsMax}) {
    text_ = text;
    return;
  }
  const auto parsed = parse(text);
  STRATA_ASSERT(parsed.has_value());
  *this = *parsed;
}

double Number::to_double() const {
  double value = 0;
  const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
  if (error == std::errc::result_out_of_range) {
    const bool small = text_.find("e-") != std::string::npos;
    return small ? 0.0 : (text_.front() == '-' ? -HUGE_VAL : HUGE_VAL);
  }
  return value;
}

std::optional<std::int64_t> Number::to_integer() const {
  std::int64_t value = 0;
  const char* const last = text_.data() + text_.size();
  const auto [end, error] = std::from_chars(text_.data(), last, value);
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

Value::Value(std::uint64_t value) {
  const auto parsed = Number::parse(fmt::format("{}", value));
  STRATA_ASSERT(parsed.has_value());
  data_ = *parsed;
}

Value::Value(double value) {
  if (std::isnan(value)) {
    data_ = std::string("NaN");
  } else if (std::isinf(value)) {
    data_ = std::string(value > 0 ? "Infinity" : "-Infinity");
  } else {
    data_ = Number(value);
  }
}

std::optional<double> Value::to_double() const {
  if (const Number* number = if_number()) return number->to_double();
  if (const std::string* text = if_string()) {
    if (*text == "NaN") return std::nan("");
    if (*text == "Infinity") return HUGE_VAL;
    if (*text == "-Infinity") return -HUGE_VAL;
  }
  return std::nullopt;
}

const char* Value::kind() const {
  static constexpr std::array<const char*, 6> kKinds{"null",   "boolean", "number",
                                                     "string", "list",    "map"};
  return kKinds.at(data_.index());
}

const Value* Value::find(std::string_view path) const {
  const Value* at = this;
  for (;;) {
    const std::size_t dot = path.find('.');
    const Object* object = at->if_object();
    if (object == nullptr) return nullptr;
    const auto it = object->find(path.substr(0, dot));
    if (it == object->end()) return nullptr;
    at = &it->second;
    if (dot == std::string_view::npos) return at;
    path.remove_prefix(dot + 1);
  }
}

Status Value::set(std::string_view path, Value value) {
  const std::string whole(path);
  Value* at = this;
  for (;;) {
    if (at->is_null()) *at = Object{};
    Object* object = at->if_object();
    if (object == nullptr)
      return fail(ErrorCode::kInvalid, "cannot set {}: a part of it is a {}, not a map", whole,
                  at->kind());
    const std::size_t dot = path.find('.');
    const std::string key(path.substr(0, dot));
    if (key.empty())
      return fail(ErrorCode::kInvalid, "cannot set \"{}\": it has an empty part", whole);
    at = &(*object)[key];
    if (dot == std::string_view::npos) break;
    path.remove_prefix(dot + 1);
  }
  *at = std::move(value);
  return {};
}

void Value::unset(std::string_view path) {
  Object* object = if_object();
  if (object == nullptr) return;
  const std::size_t dot = path.find('.');
  const auto it = object->find(path.substr(0, dot));
  if (it == object->end()) return;
  if (dot != std::string_view::npos) {
    it->second.unset(path.substr(dot + 1));
    const Object* rest = it->second.if_object();
    if (rest == nullptr || !rest->empty()) return;
  }
  object->erase(it);
}

}  // namespace strata
