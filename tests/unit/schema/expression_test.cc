#include "schema/expression.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/random.h"

namespace strata {
namespace {

Value parameters() {
  Value v;
  EXPECT_TRUE(v.set("model.depth", 18));
  EXPECT_TRUE(v.set("align.text.layer", 8));
  EXPECT_TRUE(v.set("align.speech.layer", 0));
  EXPECT_TRUE(v.set("align.speech.loss", "neg_cosine"));
  EXPECT_TRUE(v.set("train.lr", *Number::parse("1e-4")));
  EXPECT_TRUE(v.set("ema", true));
  EXPECT_TRUE(v.set("limit", Value()));
  EXPECT_TRUE(v.set("wer", "NaN"));
  EXPECT_TRUE(v.set("huge", *Number::parse("9007199254740993")));
  return v;
}

std::string result_of(std::string_view text, const Expression::Known& known = {}) {
  const Value v = parameters();
  const auto expression = Expression::parse(text, known);
  if (!expression) return expression.error().message;
  const auto value = expression->evaluate([&](std::string_view name) { return v.find(name); });
  if (!value) return value.error().message;
  if (value->is_null()) return "null";
  if (const bool* flag = value->if_bool()) return *flag ? "true" : "false";
  if (const Number* number = value->if_number()) return number->text();
  return *value->if_string();
}

TEST(Expression, ComparesAndJoinsConditions) {
  EXPECT_EQ(result_of("model.depth = 18 and align.text.layer < 12"), "true");
  EXPECT_EQ(result_of("model.depth = 18 and not align.text.layer < 12"), "false");
  EXPECT_EQ(result_of("model.depth != 18 or (align.text.layer >= 8 and ema)"), "true");
  EXPECT_EQ(result_of("align.text.layer in (2, 4, 8)"), "true");
  EXPECT_EQ(result_of("align.text.layer not in (2, 4, 8)"), "false");
  EXPECT_EQ(result_of("limit is null"), "true");
  EXPECT_EQ(result_of("model.depth is not null"), "true");
}

TEST(Expression, AndBindsTighterThanOrAndNotTighterThanBoth) {
  EXPECT_EQ(result_of("true or false and false"), "true");
  EXPECT_EQ(result_of("not true or true"), "true");
  EXPECT_EQ(result_of("not (true or true)"), "false");
}

TEST(Expression, ArithmeticHasTheUsualPrecedence) {
  EXPECT_EQ(result_of("1 + 2 * 3 - 8 / 4"), "5");
  EXPECT_EQ(result_of("-model.depth + -2 * -(3)"), "-12");
  EXPECT_EQ(result_of("10 - 4 - 3"), "3");
  EXPECT_EQ(result_of("(align.text.layer > 0) * 10 + (align.speech.layer > 0) * 100"), "10");
}

TEST(Expression, DecimalsAreComparedExactly) {
  EXPECT_EQ(result_of("train.lr = 0.0001"), "true");
  EXPECT_EQ(result_of("train.lr <= 1e-4"), "true");
  EXPECT_EQ(result_of("huge = 9007199254740992"), "false");  // equal in double precision
  EXPECT_EQ(result_of("huge > 9007199254740992"), "true");
  EXPECT_EQ(result_of("1 = \"1\""), "false");
}

TEST(Expression, ABareWordOnTheRightIsATextUnlessItIsAKnownParameter) {
  EXPECT_EQ(result_of("align.speech.loss = neg_cosine"), "true");
  EXPECT_EQ(result_of("align.speech.loss in (l1, neg_cosine)"), "true");
  EXPECT_EQ(result_of("align.speech.loss != whisper-base"), "true");
  EXPECT_EQ(result_of("align.speech.layer < align.text.layer"), "true");
  const auto known = [](std::string_view name) { return name == "ema" || name == "limit"; };
  EXPECT_EQ(result_of("limit = ema", known), "false");
  EXPECT_EQ(result_of("ema = tru", known), "false");
  EXPECT_EQ(result_of("emma = 3", known), "column 1: there is no parameter emma");
  EXPECT_EQ(result_of("ema = emma + 1", known), "column 7: there is no parameter emma");
}

TEST(Expression, AMissingNameIsNull) {
  EXPECT_EQ(result_of("nothing.here is null"), "true");
  EXPECT_EQ(result_of("nothing.here < 3"), "false");
  EXPECT_EQ(result_of("nothing.here = 3"), "false");
  EXPECT_EQ(result_of("nothing.here != 3"), "true");
  EXPECT_EQ(result_of("nothing.here + 3"), "null");
  EXPECT_EQ(result_of("not nothing.here"), "true");
}

TEST(Expression, NonFiniteTextsBesideANumberAreNumbers) {
  EXPECT_EQ(result_of("wer < 0.03"), "false");
  EXPECT_EQ(result_of("wer >= 0.03"), "false");
  EXPECT_EQ(result_of("wer = NaN"), "true");
  EXPECT_EQ(result_of("\"Infinity\" > 1e300"), "true");
}

TEST(Expression, AMeaninglessOperationIsAnErrorThatNamesItsPart) {
  EXPECT_EQ(result_of("align.speech.loss < 3"),
            "align.speech.loss < 3 compares \"neg_cosine\" with 3: only two numbers or two texts "
            "have an order");
  EXPECT_EQ(result_of("model.depth and true"), "model.depth is 18, where true or false is needed");
  EXPECT_EQ(result_of("1 / (model.depth - 18)"), "1 / (model.depth - 18) divides by zero");
  EXPECT_EQ(result_of("align.speech.loss + 1"),
            "align.speech.loss is \"neg_cosine\": no number to calculate with");
}

TEST(Expression, AndAndOrStopAtTheSideThatDecides) {
  EXPECT_EQ(result_of("align.speech.layer = 0 or 1 / align.speech.layer > 0"), "true");
  EXPECT_EQ(result_of("align.speech.layer != 0 and 1 / align.speech.layer > 0"), "false");
}

TEST(Expression, AParseErrorNamesColumnAndExpectation) {
  EXPECT_EQ(result_of(""),
            "column 1: expected a name, a number, a text or \"(\", the text ends here");
  EXPECT_EQ(result_of("a ="),
            "column 4: expected a name, a number, a text or \"(\", the text ends here");
  EXPECT_EQ(result_of("a = 3 b"), "column 7: expected \"and\", \"or\" or the end, found \"b\"");
  EXPECT_EQ(result_of("1 < a < 3"),
            "column 7: expected the end of the comparison (join two with \"and\"), found \"<\"");
  EXPECT_EQ(result_of("a in 3"), "column 6: expected \"(\" after in, found \"3\"");
  EXPECT_EQ(result_of("a in (3 4)"), "column 9: expected \",\" or \")\", found \"4\"");
  EXPECT_EQ(result_of("(a = 3"), "column 7: expected \")\", the text ends here");
  EXPECT_EQ(result_of("a = \"x"), "column 5: this \" is never closed");
  EXPECT_EQ(result_of("a & b"), "column 3: unexpected \"&\"");
  EXPECT_EQ(result_of("!a"), "column 1: unexpected \"!\"; write \"not\" or \"!=\"");
  EXPECT_EQ(result_of("12abc = 3"), "column 3: unexpected \"a\" after a number");
  EXPECT_EQ(result_of("a = 1.2.3"),
            "column 5: \"1.2.3\" is no number: something follows the digits");
  EXPECT_EQ(result_of(std::string(300, '(') + "1"), "column 101: nested deeper than 100 levels");
}

TEST(Expression, ListsTheNamesItRefersTo) {
  const auto e = Expression::parse("a.b = word and (c > 3 or not d in (x, e.f)) and g is null");
  ASSERT_TRUE(e) << e.error().message;
  EXPECT_EQ(e->names(), (std::set<std::string>{"a.b", "c", "d", "e.f", "g"}));
}

TEST(Query, HasAFilterAnOrderAndALimit) {
  const auto q = parse_query("model.depth = 18 and wer < 0.03 order by wer desc limit 10");
  ASSERT_TRUE(q) << q.error().message;
  EXPECT_EQ(q->filter->text(), "(model.depth = 18) and (wer < 0.03)");
  EXPECT_EQ(q->order_by->text(), "wer");
  EXPECT_TRUE(q->descending);
  EXPECT_EQ(q->limit, 10);
}

TEST(Query, EveryPartMayBeAbsent) {
  EXPECT_FALSE(parse_query("")->filter.has_value());
  EXPECT_EQ(parse_query("limit 3")->limit, 3);
  EXPECT_EQ(parse_query("order by wer - sim")->order_by->text(), "wer - sim");
  EXPECT_EQ(parse_query("limit = 3")->filter->text(),
            "limit = 3");  // a parameter may have this name
  EXPECT_EQ(parse_query("a = b order by c")->filter->text(), "a = \"b\"");
}

TEST(Query, AnErrorNamesWhatMayFollow) {
  EXPECT_EQ(
      parse_query("a = 3 sort by x").error().message,
      "column 7: expected \"and\", \"or\", \"order by\", \"limit\" or the end, found \"sort\"");
  EXPECT_EQ(parse_query("a = 3 limit 0").error().message,
            "column 13: expected a whole number from 1 to 1000000 after limit, found \"0\"");
  EXPECT_EQ(parse_query("order by a limit 3 x").error().message,
            "column 20: expected the end, found \"x\"");
}

// A random text of the grammar, with little structure: what matters is that printing and reading
// agree.
std::string random_expression(Random& random, int depth) {
  const auto pick = [&](std::initializer_list<const char*> of) {
    return std::string(*(of.begin() + random.bounded(of.size())));
  };
  const auto sub = [&] { return random_expression(random, depth - 1); };
  if (depth <= 0) {
    return pick({"a", "align.text.layer", "x-y", "1", "0.0001", "1e-4", "-3", "\"a \\\"b\\\\\"",
                 "'it'", "true", "false", "null", "1e300"});
  }
  switch (random.bounded(8)) {
    case 0: return sub() + pick({" and ", " or "}) + sub();
    case 1: return "not " + sub();
    case 2:
      return "(" + sub() + ")" + pick({" = ", " != ", " < ", " <= ", " > ", " >= "}) + "(" + sub() +
             ")";
    case 3: return "(" + sub() + ")" + pick({" + ", " - ", " * ", " / "}) + "(" + sub() + ")";
    case 4: return "-(" + sub() + ")";
    case 5: return "(" + sub() + ")" + pick({" in (", " not in ("}) + "word, " + sub() + ", 3)";
    case 6: return "(" + sub() + ")" + pick({" is null", " is not null"});
    default: return "- " + sub();
  }
}

TEST(ExpressionProperty, PrintingAndReadingAgainGivesTheSameTree) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed) {
    Random random(seed);
    const std::string text = random_expression(random, 4);
    const auto first = Expression::parse(text);
    RC_PRE(first.has_value());
    const auto second = Expression::parse(first->text());
    RC_ASSERT(second.has_value());
    RC_ASSERT(second->text() == first->text());
    const auto lookup = [](std::string_view) -> const Value* { return nullptr; };
    const auto a = first->evaluate(lookup);
    const auto b = second->evaluate(lookup);
    RC_ASSERT(a.has_value() == b.has_value());
    if (a.has_value()) RC_ASSERT(*a == *b);  // no || in RC_ASSERT: it evaluates both sides
  }));
}

TEST(ExpressionProperty, ExactOrderAgreesWithDoublesWhereTheyAreExact) {
  EXPECT_TRUE(rc::check([](std::int32_t a, std::int32_t b, unsigned scale) {
    const double divisor = static_cast<double>(1U << (scale % 12));
    const double x = a / divisor;
    const double y = b / divisor;
    const auto order = compare(Number(x), Number(y));
    RC_ASSERT((order < 0) == (x < y));
    RC_ASSERT((order > 0) == (x > y));
  }));
}

TEST(ExpressionProperty, AnyBytesGiveAnExpressionOrAnError) {
  static constexpr std::string_view kPieces[] = {
      "and", "or", "not ",      "in",     "is",   "null", "(",   ")",  ",",
      "=",   "<",  "-",         "1",      "e",    ".",    "a.b", "\"", "'",
      "\\",  " ",  "order by ", "limit ", "\x01", "\xff", "/0",  "*"};
  for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
    Random random(seed);
    std::string text;
    for (std::uint64_t n = random.bounded(24); n > 0; --n)
      text += kPieces[random.bounded(std::size(kPieces))];
    const auto query = parse_query(text);
    if (!query) {
      EXPECT_FALSE(query.error().message.empty());
    } else if (query->filter) {
      (void)query->filter->evaluate([](std::string_view) -> const Value* { return nullptr; });
    }
  }
}

}  // namespace
}  // namespace strata
