#include "schema/expression.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

#include "base/assert.h"

namespace strata {
namespace {

// A canonical number taken apart: 0.digits * 10^exponent.
struct Decimal {
  int sign = 0;
  std::string digits{};
  std::int64_t exponent = 0;
};

Decimal take_apart(const Number& number) {
  std::string_view text = number.text();
  Decimal d;
  if (text == "0") return d;
  d.sign = 1;
  if (text.front() == '-') {
    d.sign = -1;
    text.remove_prefix(1);
  }
  if (const std::size_t e = text.find('e'); e != std::string_view::npos) {
    std::from_chars(text.data() + e + 1, text.data() + text.size(), d.exponent);
    text = text.substr(0, e);
  }
  const std::size_t point = std::min(text.find('.'), text.size());
  d.digits = text.substr(0, point);
  if (point < text.size()) d.digits += text.substr(point + 1);
  d.exponent += static_cast<std::int64_t>(point);
  const std::size_t leading = std::min(d.digits.find_first_not_of('0'), d.digits.size());
  d.digits.erase(0, leading);
  d.exponent -= static_cast<std::int64_t>(leading);
  d.digits.erase(d.digits.find_last_not_of('0') + 1);
  return d;
}

// A plain number, or one of the three texts that stand for non-finite ones.
bool is_non_finite_text(const Value& value) {
  return value.if_string() != nullptr && value.to_double().has_value();
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string shown(const Value& value) {
  if (const std::string* text = value.if_string()) return quoted(*text);
  if (const Number* number = value.if_number()) return number->text();
  if (const bool* flag = value.if_bool()) return *flag ? "true" : "false";
  return value.is_null() ? "null" : fmt::format("a {}", value.kind());
}

tl::unexpected<Error> wrong(std::string_view text) { return fail(ErrorCode::kInvalid, "{}", text); }

}  // namespace

std::strong_ordering compare(const Number& a, const Number& b) {
  if (a == b) return std::strong_ordering::equal;
  const Decimal x = take_apart(a);
  const Decimal y = take_apart(b);
  if (x.sign != y.sign) return x.sign <=> y.sign;
  auto magnitude = x.exponent <=> y.exponent;
  if (magnitude == 0)
    magnitude = x.digits.compare(y.digits) <=> 0;  // same scale: digits compare as text
  return x.sign > 0 ? magnitude : 0 <=> magnitude;
}

Result<Value> Expression::evaluate(const Lookup& lookup) const {
  if (nodes_.empty()) return Value();
  return evaluate(nodes_.size() - 1, lookup);
}

Result<bool> Expression::holds(const Lookup& lookup) const {
  if (nodes_.empty()) return false;
  return truth(nodes_.size() - 1, lookup);
}

Result<double> Expression::number(const Lookup& lookup) const {
  STRATA_TRY(const Value value, evaluate(lookup));
  const auto number = value.to_double();
  if (!number) return wrong(fmt::format("{} gives {}, not a number", text(), shown(value)));
  return *number;
}

Result<bool> Expression::truth(std::size_t node, const Lookup& lookup) const {
  STRATA_TRY(const Value value, evaluate(node, lookup));
  if (value.is_null()) return false;
  if (const bool* flag = value.if_bool()) return *flag;
  return wrong(fmt::format("{} is {}, where true or false is needed", text(node), shown(value)));
}

Result<Value> Expression::evaluate(std::size_t index, const Lookup& lookup) const {
  const Node& node = nodes_.at(index);
  switch (node.op) {
    case Op::kLiteral: return node.literal;
    case Op::kName: {
      const Value* value = lookup(node.name);
      return value == nullptr ? Value() : *value;
    }
    case Op::kNot:
    case Op::kAnd:
    case Op::kOr: return logical(node, lookup);
    case Op::kNegate:
    case Op::kAdd:
    case Op::kSubtract:
    case Op::kMultiply:
    case Op::kDivide: return arithmetic(node, lookup);
    case Op::kIsNull: {
      STRATA_TRY(const Value value, evaluate(node.of[0], lookup));
      return Value(value.is_null());
    }
    case Op::kIn: {
      STRATA_TRY(const Value value, evaluate(node.of[0], lookup));
      for (std::size_t i = 1; i < node.of.size(); ++i) {
        STRATA_TRY(const Value choice, evaluate(node.of[i], lookup));
        if (value == choice) return Value(true);
      }
      return Value(false);
    }
    case Op::kEqual:
    case Op::kNotEqual:
    case Op::kLess:
    case Op::kLessEqual:
    case Op::kGreater:
    case Op::kGreaterEqual: {
      STRATA_TRY(const Value left, evaluate(node.of[0], lookup));
      STRATA_TRY(const Value right, evaluate(node.of[1], lookup));
      if (node.op == Op::kEqual) return Value(left == right);
      if (node.op == Op::kNotEqual) return Value(!(left == right));
      return ordering(node, left, right);
    }
  }
  STRATA_ASSERT(false);
  return Value();
}

Result<Value> Expression::logical(const Node& node, const Lookup& lookup) const {
  STRATA_TRY(const bool left, truth(node.of[0], lookup));
  if (node.op == Op::kNot) return Value(!left);
  if (left == (node.op == Op::kOr)) return Value(left);
  STRATA_TRY(const bool right, truth(node.of[1], lookup));
  return Value(right);
}

Result<Value> Expression::ordering(const Node& node, const Value& left, const Value& right) const {
  if (left.is_null() || right.is_null()) return Value(false);
  std::partial_ordering order = std::partial_ordering::unordered;
  const Number* x = left.if_number();
  const Number* y = right.if_number();
  if (x != nullptr && y != nullptr) {
    order = compare(*x, *y);
  } else if ((x != nullptr && is_non_finite_text(right)) ||
             (y != nullptr && is_non_finite_text(left))) {
    order = *left.to_double() <=> *right.to_double();
  } else if (left.if_string() != nullptr && right.if_string() != nullptr) {
    order = left.if_string()->compare(*right.if_string()) <=> 0;
  } else {
    return wrong(fmt::format("{} compares {} with {}: only two numbers or two texts have an order",
                             text(static_cast<std::size_t>(&node - nodes_.data())), shown(left),
                             shown(right)));
  }
  switch (node.op) {
    case Op::kLess: return Value(order < 0);
    case Op::kLessEqual: return Value(order <= 0);
    case Op::kGreater: return Value(order > 0);
    default: return Value(order >= 0);
  }
}

Result<Value> Expression::arithmetic(const Node& node, const Lookup& lookup) const {
  std::array<double, 2> x{};
  bool has_null = false;
  for (std::size_t i = 0; i < node.of.size(); ++i) {
    STRATA_TRY(const Value value, evaluate(node.of[i], lookup));
    if (value.is_null()) {
      has_null = true;
    } else if (const bool* flag = value.if_bool()) {
      x.at(i) = *flag ? 1 : 0;
    } else if (const auto number = value.to_double()) {
      x.at(i) = *number;
    } else {
      return wrong(
          fmt::format("{} is {}: no number to calculate with", text(node.of[i]), shown(value)));
    }
  }
  if (has_null) return Value();
  switch (node.op) {
    case Op::kNegate: return Value(-x[0]);
    case Op::kAdd: return Value(x[0] + x[1]);
    case Op::kSubtract: return Value(x[0] - x[1]);
    case Op::kMultiply: return Value(x[0] * x[1]);
    default: break;
  }
  if (x[1] == 0)
    return wrong(
        fmt::format("{} divides by zero", text(static_cast<std::size_t>(&node - nodes_.data()))));
  return Value(x[0] / x[1]);
}

std::set<std::string> Expression::names() const {
  std::set<std::string> names;
  for (const Node& node : nodes_) {
    if (node.op == Op::kName) names.insert(node.name);
  }
  return names;
}

std::string Expression::text() const { return nodes_.empty() ? "null" : text(nodes_.size() - 1); }

// Every operand that is more than a name or a literal stands in parentheses: no reader has to know
// the precedence.
std::string Expression::text(std::size_t index) const {
  const Node& node = nodes_.at(index);
  const auto operand = [&](std::size_t i) {
    const Node& inner = nodes_.at(node.of.at(i));
    const bool simple = inner.op == Op::kLiteral || inner.op == Op::kName;
    return simple ? text(node.of[i]) : fmt::format("({})", text(node.of[i]));
  };
  const auto binary = [&](const char* op) {
    return fmt::format("{} {} {}", operand(0), op, operand(1));
  };
  // On the right of a comparison a bare name could be taken for a text.
  const auto right = [&](std::size_t i) {
    const bool name = nodes_.at(node.of.at(i)).op == Op::kName;
    return name ? fmt::format("({})", operand(i)) : operand(i);
  };
  const auto comparison = [&](const char* op) {
    return fmt::format("{} {} {}", operand(0), op, right(1));
  };
  switch (node.op) {
    case Op::kLiteral: return shown(node.literal);
    case Op::kName: return node.name;
    case Op::kNot: return "not " + operand(0);
    case Op::kNegate: {
      // "-1" would read back as one literal.
      const bool number = nodes_.at(node.of[0]).op == Op::kLiteral;
      return number ? fmt::format("-({})", text(node.of[0])) : "-" + operand(0);
    }
    case Op::kAnd: return binary("and");
    case Op::kOr: return binary("or");
    case Op::kEqual: return comparison("=");
    case Op::kNotEqual: return comparison("!=");
    case Op::kLess: return comparison("<");
    case Op::kLessEqual: return comparison("<=");
    case Op::kGreater: return comparison(">");
    case Op::kGreaterEqual: return comparison(">=");
    case Op::kAdd: return binary("+");
    case Op::kSubtract: return binary("-");
    case Op::kMultiply: return binary("*");
    case Op::kDivide: return binary("/");
    case Op::kIsNull: return operand(0) + " is null";
    case Op::kIn: {
      std::string list;
      for (std::size_t i = 1; i < node.of.size(); ++i) list += (i == 1 ? "" : ", ") + right(i);
      return fmt::format("{} in ({})", operand(0), list);
    }
  }
  STRATA_ASSERT(false);
  return {};
}

}  // namespace strata
