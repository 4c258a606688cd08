// The one small language for conditions and arithmetic: constraints, `when`, `flops`, rules of
// tables, filters of `strata query` and `strata retry`. Pure. docs/sweeps.md describes it for its
// users.
//
//   condition  := and-terms joined by `or`;  and-term := [not] comparison joined by `and`
//   comparison := sum [ (= | == | != | < | <= | > | >=) sum | [not] in (sum, ...) | is [not] null ]
//   sum        := product ((+ | -) product)*;  product := factor ((* | /) factor)*
//   factor     := -factor | number | "text" | 'text' | true | false | null | name | (condition)
//
// Names are dotted (`align.text.layer`) and may hold hyphens, so a minus between two names needs a
// space before it. A name alone on the right of a comparison, or in the list of `in`, is a text
// ("bare word") when no such parameter is known.
//
// Meaning. A missing name is null. Equality compares kinds and exact decimals, so 1e-4 = 0.0001 and
// 1 != "1"; null equals null only. Ordering needs two numbers or two texts; with null on a side it
// is false, other mixtures are errors, and the texts "NaN", "Infinity" and "-Infinity" beside a
// number mean that number. Where a truth is needed, null is false and anything but true, false or
// null is an error; `and` and `or` stop at the first side that decides. Arithmetic is done in
// double precision on numbers, with true as 1 and false as 0; null makes the result null; dividing
// by zero is an error.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"

namespace strata {

inline constexpr std::size_t kExpressionBytesMax = 16U << 10U;
inline constexpr int kExpressionDepthMax = 100;
inline constexpr std::int64_t kQueryLimitMax = 1'000'000;

// Exact comparison of decimals, whatever their size.
[[nodiscard]] std::strong_ordering compare(const Number& a, const Number& b);

class Expression {
 public:
  // A null pointer where there is no such name.
  using Lookup = std::function<const Value*(std::string_view name)>;
  // Whether a parameter of this name may exist.
  using Known = std::function<bool(std::string_view name)>;

  // An error is "column N: expected ...", N counting bytes from 1. Without `known` every name is
  // accepted, and a bare word on the right without a dot is a text. With it, an unknown name is a
  // text on the right, and an error elsewhere.
  static Result<Expression> parse(std::string_view text, const Known& known = {});

  [[nodiscard]] Result<Value> evaluate(const Lookup& lookup) const;
  // The truth of a condition.
  [[nodiscard]] Result<bool> holds(const Lookup& lookup) const;
  // The number that arithmetic gives; an error when it is null or no number.
  [[nodiscard]] Result<double> number(const Lookup& lookup) const;

  [[nodiscard]] std::set<std::string> names() const;
  // One spelling for all expressions with the same tree; parsing it gives the same tree again.
  [[nodiscard]] std::string text() const;
  bool operator==(const Expression& other) const { return text() == other.text(); }

 private:
  friend class ExpressionParser;
  enum class Op : std::uint8_t {
    kLiteral,
    kName,
    kNot,
    kNegate,
    kAnd,
    kOr,
    kEqual,
    kNotEqual,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kIn,
    kIsNull,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide
  };
  struct Node {
    Op op = Op::kLiteral;
    Value literal{};
    std::string name{};
    std::vector<std::size_t> of{};  // indices of operands, always smaller than this node's own
  };

  [[nodiscard]] Result<Value> evaluate(std::size_t node, const Lookup& lookup) const;
  [[nodiscard]] Result<bool> truth(std::size_t node, const Lookup& lookup) const;
  [[nodiscard]] Result<Value> logical(const Node& node, const Lookup& lookup) const;
  [[nodiscard]] Result<Value> ordering(const Node& node, const Value& left,
                                       const Value& right) const;
  [[nodiscard]] Result<Value> arithmetic(const Node& node, const Lookup& lookup) const;
  [[nodiscard]] std::string text(std::size_t node) const;

  std::vector<Node> nodes_{};  // the last one is the root; empty only in a default-constructed
                               // expression, which is null
};

// A filter with what may follow it: "model.depth = 18 and wer < 0.03 order by wer desc limit 10".
// Every part may be absent.
struct Query {
  std::optional<Expression> filter{};
  std::optional<Expression> order_by{};
  bool descending = false;
  std::optional<std::int64_t> limit{};
};

[[nodiscard]] Result<Query> parse_query(std::string_view text, const Expression::Known& known = {});

}  // namespace strata
