// From text to an Expression: words first, then one function per level of the grammar in
// expression.h.
#include <algorithm>
#include <array>
#include <utility>

#include "schema/expression.h"

namespace strata {
namespace {

enum class Kind { kEnd, kNumber, kText, kWord, kSign };

struct Word {
  Kind kind = Kind::kEnd;
  std::string text{};      // of a text: without its quotes
  std::size_t column = 0;  // from 1
};

tl::unexpected<Error> wrong_at(std::size_t column, std::string_view what) {
  return fail(ErrorCode::kInvalid, "column {}: {}", column, what);
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t name_length(std::string_view text) {
  std::size_t n = 1;
  while (n < text.size()) {
    const char c = text[n];
    const bool joins = (c == '.' || c == '-') && n + 1 < text.size() &&
                       (is_letter(text[n + 1]) || is_digit(text[n + 1]));
    if (!is_letter(c) && !is_digit(c) && !joins) break;
    ++n;
  }
  return n;
}

std::size_t number_length(std::string_view text) {
  std::size_t n = 0;
  while (n < text.size() && (is_digit(text[n]) || text[n] == '.')) ++n;
  if (n < text.size() && (text[n] == 'e' || text[n] == 'E')) {
    std::size_t m = n + 1;
    if (m < text.size() && (text[m] == '-' || text[m] == '+')) ++m;
    if (m < text.size() && is_digit(text[m])) {
      while (m < text.size() && is_digit(text[m])) ++m;
      n = m;
    }
  }
  return n;
}

// The text between quotes; a backslash makes the next byte literal. Advances `at` past the closing
// quote.
Result<std::string> read_quoted(std::string_view text, std::size_t& at) {
  const std::size_t start = at;
  const char quote = text[at++];
  std::string out;
  while (at < text.size() && text[at] != quote) {
    if (text[at] == '\\') ++at;
    if (at < text.size()) out += text[at++];
  }
  if (at >= text.size()) return wrong_at(start + 1, fmt::format("this {} is never closed", quote));
  ++at;
  return out;
}

std::string printable(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x7f ? fmt::format("\"{}\"", c) : fmt::format("byte {:#04x}", byte);
}

Result<std::vector<Word>> split_words(std::string_view text) {
  static constexpr std::array<std::string_view, 15> kSigns{
      "!=", "<=", ">=", "==", "=", "<", ">", "+", "-", "*", "/", "(", ")", ",", "!"};
  std::vector<Word> words;
  std::size_t at = 0;
  while (at < text.size()) {
    const char c = text[at];
    const std::size_t column = at + 1;
    const std::string_view rest = text.substr(at);
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      ++at;
    } else if (c == '"' || c == '\'') {
      STRATA_TRY(std::string inner, read_quoted(text, at));
      words.push_back({Kind::kText, std::move(inner), column});
    } else if (is_letter(c)) {
      const std::size_t n = name_length(rest);
      words.push_back({Kind::kWord, std::string(rest.substr(0, n)), column});
      at += n;
    } else if (is_digit(c) || (c == '.' && rest.size() > 1 && is_digit(rest[1]))) {
      const std::size_t n = number_length(rest);
      if (n < rest.size() && is_letter(rest[n]))
        return wrong_at(column + n,
                        fmt::format("unexpected {} after a number", printable(rest[n])));
      words.push_back({Kind::kNumber, std::string(rest.substr(0, n)), column});
      at += n;
    } else {
      const auto sign =
          std::ranges::find_if(kSigns, [&](std::string_view s) { return rest.starts_with(s); });
      if (sign == kSigns.end() || *sign == "!") {
        return wrong_at(column, fmt::format("unexpected {}{}", printable(c),
                                            c == '!' ? "; write \"not\" or \"!=\"" : ""));
      }
      words.push_back({Kind::kSign, std::string(*sign == "==" ? "=" : *sign), column});
      at += sign->size();
    }
  }
  words.push_back({Kind::kEnd, "", text.size() + 1});
  return words;
}

constexpr std::array<std::string_view, 8> kReserved{"and", "or",   "not",  "in",
                                                    "is",  "null", "true", "false"};

}  // namespace

class ExpressionParser {
 public:
  ExpressionParser(std::vector<Word> words, const Expression::Known& known)
      : words_(std::move(words)), known_(known) {}

  // Takes the longest condition from here on.
  Result<Expression> condition() {
    built_.nodes_.clear();
    STRATA_CHECK_OK(disjunction());
    return std::move(built_);
  }

  [[nodiscard]] const Word& here() const { return words_.at(at_); }
  [[nodiscard]] bool at_word(std::string_view text) const {
    return here().kind == Kind::kWord && here().text == text;
  }
  bool take_word(std::string_view text) { return at_word(text) && advance(); }
  bool take_sign(std::string_view text) {
    return here().kind == Kind::kSign && here().text == text && advance();
  }
  [[nodiscard]] bool next_is_word(std::string_view text) const {
    return at_ + 1 < words_.size() && words_[at_ + 1].kind == Kind::kWord &&
           words_[at_ + 1].text == text;
  }
  [[nodiscard]] bool next_is_number() const {
    return at_ + 1 < words_.size() && words_[at_ + 1].kind == Kind::kNumber;
  }
  bool advance() {
    ++at_;
    return true;
  }
  [[nodiscard]] tl::unexpected<Error> expected(std::string_view what) const {
    const Word& word = here();
    const std::string found =
        word.kind == Kind::kEnd ? "the text ends here" : fmt::format("found \"{}\"", word.text);
    return wrong_at(word.column, fmt::format("expected {}, {}", what, found));
  }

 private:
  using Op = Expression::Op;
  using Step = Status (ExpressionParser::*)();

  [[nodiscard]] std::size_t last() const { return built_.nodes_.size() - 1; }
  void add(Op op, std::vector<std::size_t> of) {
    built_.nodes_.push_back({.op = op, .of = std::move(of)});
  }
  void add_literal(Value value) {
    built_.nodes_.push_back({.op = Op::kLiteral, .literal = std::move(value)});
  }

  // Each step leaves its result as the last node.
  Status disjunction() {
    if (++depth_ > kExpressionDepthMax) {
      return wrong_at(here().column,
                      fmt::format("nested deeper than {} levels", kExpressionDepthMax));
    }
    STRATA_CHECK_OK(conjunction());
    while (take_word("or")) STRATA_CHECK_OK(join(Op::kOr, &ExpressionParser::conjunction));
    --depth_;
    return {};
  }

  Status conjunction() {
    STRATA_CHECK_OK(negation());
    while (take_word("and")) STRATA_CHECK_OK(join(Op::kAnd, &ExpressionParser::negation));
    return {};
  }

  Status negation() {
    int nots = 0;
    while (take_word("not")) ++nots;
    if (nots > kExpressionDepthMax) return wrong_at(here().column, "too many nots");
    STRATA_CHECK_OK(comparison());
    for (; nots > 0; --nots) add(Op::kNot, {last()});
    return {};
  }

  Status join(Op op, Step right) {
    const std::size_t left = last();
    if (++joins_ > kExpressionDepthMax * 4) return wrong_at(here().column, "too long");
    STRATA_CHECK_OK((this->*right)());
    add(op, {left, last()});
    return {};
  }

  Status comparison() {
    STRATA_CHECK_OK(sum());
    const std::size_t left = last();
    if (here().kind == Kind::kSign) {
      static constexpr std::array<std::pair<std::string_view, Op>, 6> kOps{
          {{"=", Op::kEqual},
           {"!=", Op::kNotEqual},
           {"<", Op::kLess},
           {"<=", Op::kLessEqual},
           {">", Op::kGreater},
           {">=", Op::kGreaterEqual}}};
      const auto is_here = [&](const auto& entry) { return entry.first == here().text; };
      const auto op = std::ranges::find_if(kOps, is_here);
      if (op == kOps.end()) return {};
      advance();
      STRATA_CHECK_OK(right_side());
      add(op->second, {left, last()});
      if (std::ranges::find_if(kOps, is_here) != kOps.end() && here().kind == Kind::kSign) {
        return expected("the end of the comparison (join two with \"and\")");
      }
      return {};
    }
    if (take_word("is")) {
      const bool negated = take_word("not");
      if (!take_word("null")) return expected("null");
      add(Op::kIsNull, {left});
      if (negated) add(Op::kNot, {last()});
      return {};
    }
    const bool negated = at_word("not") && next_is_word("in") && advance();
    if (!take_word("in")) return {};
    STRATA_CHECK_OK(choices(left));
    if (negated) add(Op::kNot, {last()});
    return {};
  }

  Status choices(std::size_t left) {
    if (!take_sign("(")) return expected("\"(\" after in");
    std::vector<std::size_t> of{left};
    do {
      STRATA_CHECK_OK(right_side());
      of.push_back(last());
    } while (take_sign(","));
    if (!take_sign(")")) return expected("\",\" or \")\"");
    add(Op::kIn, std::move(of));
    return {};
  }

  // Where a name alone may be a bare text.
  Status right_side() {
    const Word& word = here();
    const bool reserved = std::ranges::find(kReserved, word.text) != kReserved.end();
    if (word.kind == Kind::kWord && !reserved) {
      const Word& next = words_.at(at_ + 1);
      const bool alone = next.kind != Kind::kSign || next.text == ")" || next.text == "," ||
                         next.text == "=" || next.text.find_first_of("<>!") != std::string::npos;
      const bool is_name = known_ ? known_(word.text) : word.text.find('.') != std::string::npos;
      if (alone && !is_name) {
        add_literal(word.text);
        advance();
        return {};
      }
    }
    return sum();
  }

  Status sum() {
    STRATA_CHECK_OK(product());
    for (;;) {
      if (take_sign("+")) {
        STRATA_CHECK_OK(join(Op::kAdd, &ExpressionParser::product));
      } else if (take_sign("-")) {
        STRATA_CHECK_OK(join(Op::kSubtract, &ExpressionParser::product));
      } else {
        return {};
      }
    }
  }

  Status product() {
    STRATA_CHECK_OK(factor());
    for (;;) {
      if (take_sign("*")) {
        STRATA_CHECK_OK(join(Op::kMultiply, &ExpressionParser::factor));
      } else if (take_sign("/")) {
        STRATA_CHECK_OK(join(Op::kDivide, &ExpressionParser::factor));
      } else {
        return {};
      }
    }
  }

  Status factor() {
    int minuses = 0;
    while (take_sign("-")) ++minuses;
    if (minuses > kExpressionDepthMax) return wrong_at(here().column, "too many minuses");
    if (minuses > 0 && here().kind == Kind::kNumber) {
      const auto number = Number::parse("-" + here().text);
      if (!number) return wrong_at(here().column, number.error().message);
      add_literal(*number);
      advance();
      --minuses;
    } else {
      STRATA_CHECK_OK(primary());
    }
    for (; minuses > 0; --minuses) add(Op::kNegate, {last()});
    return {};
  }

  Status primary() {
    if (take_sign("(")) {
      STRATA_CHECK_OK(disjunction());
      if (!take_sign(")")) return expected("\")\"");
      return {};
    }
    const Word& word = here();
    if (word.kind == Kind::kNumber) {
      const auto number = Number::parse(word.text);
      if (!number) return wrong_at(word.column, number.error().message);
      add_literal(*number);
    } else if (word.kind == Kind::kText) {
      add_literal(word.text);
    } else if (word.kind == Kind::kWord && word.text == "null") {
      add_literal(Value());
    } else if (word.kind == Kind::kWord && (word.text == "true" || word.text == "false")) {
      add_literal(word.text == "true");
    } else if (word.kind == Kind::kWord &&
               std::ranges::find(kReserved, word.text) == kReserved.end()) {
      if (known_ && !known_(word.text))
        return wrong_at(word.column, fmt::format("there is no parameter {}", word.text));
      built_.nodes_.push_back({.op = Op::kName, .name = word.text});
    } else {
      return expected("a name, a number, a text or \"(\"");
    }
    advance();
    return {};
  }

  std::vector<Word> words_;
  const Expression::Known& known_;
  std::size_t at_ = 0;
  int depth_ = 0;
  int joins_ = 0;
  Expression built_{};
};

namespace {

Result<ExpressionParser> start(std::string_view text, const Expression::Known& known) {
  if (text.size() > kExpressionBytesMax) {
    return fail(ErrorCode::kTooLarge, "{} bytes is too long: at most {} are read", text.size(),
                kExpressionBytesMax);
  }
  STRATA_TRY(auto words, split_words(text));
  return ExpressionParser(std::move(words), known);
}

}  // namespace

Result<Expression> Expression::parse(std::string_view text, const Known& known) {
  STRATA_TRY(ExpressionParser parser, start(text, known));
  STRATA_TRY(Expression expression, parser.condition());
  if (parser.here().kind != Kind::kEnd) return parser.expected("\"and\", \"or\" or the end");
  return expression;
}

Result<Query> parse_query(std::string_view text, const Expression::Known& known) {
  STRATA_TRY(ExpressionParser parser, start(text, known));
  Query query;
  const auto at_order = [&] { return parser.at_word("order") && parser.next_is_word("by"); };
  const auto at_limit = [&] { return parser.at_word("limit") && parser.next_is_number(); };
  if (parser.here().kind != Kind::kEnd && !at_order() && !at_limit()) {
    STRATA_TRY(query.filter, parser.condition());
  }
  if (parser.take_word("order")) {
    if (!parser.take_word("by")) return parser.expected("\"by\" after order");
    STRATA_TRY(query.order_by, parser.condition());
    query.descending = parser.take_word("desc");
    if (!query.descending) parser.take_word("asc");
  }
  if (parser.take_word("limit")) {
    const auto number = Number::parse(parser.here().text);
    const auto limit =
        number && parser.here().kind == Kind::kNumber ? number->to_integer() : std::nullopt;
    if (!limit || *limit < 1 || *limit > kQueryLimitMax) {
      return parser.expected(
          fmt::format("a whole number from 1 to {} after limit", kQueryLimitMax));
    }
    query.limit = *limit;
    parser.advance();
  }
  if (parser.here().kind != Kind::kEnd) {
    return parser.expected(query.limit ? "the end"
                           : query.order_by
                               ? "\"limit\" or the end"
                               : "\"and\", \"or\", \"order by\", \"limit\" or the end");
  }
  return query;
}

}  // namespace strata
