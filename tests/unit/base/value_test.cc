#include "base/value.h"

#include <gtest/gtest.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/random.h"

namespace strata {
namespace {

std::string spelled(std::string_view text) {
  const auto number = Number::parse(text);
  return number ? number->text() : "error: " + number.error().message;
}

TEST(Number, OneValueHasOneSpelling) {
  for (const char* text : {"1e-4", "0.0001", "0.00010", "1E-04", "+.0001", "10e-5", "00.0001"}) {
    EXPECT_EQ(spelled(text), "0.0001") << text;
  }
  for (const char* text : {"0", "-0", "0.0", "0e9", "-0.000"})
    EXPECT_EQ(spelled(text), "0") << text;
  EXPECT_EQ(spelled("1.0"), "1");
  EXPECT_EQ(spelled("12300"), "12300");
  EXPECT_EQ(spelled("-1.50e2"), "-150");
}

TEST(Number, VeryLargeAndVerySmallNumbersKeepAllDigits) {
  EXPECT_EQ(spelled("123456789012345678901234567890"), "1.2345678901234567890123456789e29");
  EXPECT_EQ(spelled("100000000000000000000"), "100000000000000000000");
  EXPECT_EQ(spelled("1e300"), "1e300");
  EXPECT_EQ(spelled("0.1000000000000000055511151231257827"),
            "1.000000000000000055511151231257827e-1");
}

TEST(Number, GarbageIsRefused) {
  for (const char* text :
       {"", ".", "-", "1e", "0x10", "1_000", "1.2.3", "nan", "1e99999999", "12 "}) {
    EXPECT_FALSE(Number::parse(text).has_value()) << text;
  }
}

TEST(Number, AnExponentBeyondTheLimitIsToldFromAText) {
  for (const char* text : {"1e10000000", "1e-2147483648", "0.1e-2147483648", "1e99999999999"}) {
    const auto number = Number::parse(text);
    ASSERT_FALSE(number) << text;
    EXPECT_EQ(number.error().code, ErrorCode::kTooLarge) << text;
  }
  for (const char* text : {"1e+-5", "1e", "1e+", "1ex"}) {
    const auto number = Number::parse(text);
    ASSERT_FALSE(number) << text;
    EXPECT_EQ(number.error().code, ErrorCode::kInvalid) << text;
  }
  EXPECT_EQ(Number::parse("1e+5")->text(), "100000");
}

TEST(Number, DoublesSurviveTheRoundTrip) {
  for (const double value : {0.1, 1e-300, 1.7976931348623157e308, -2.5, 7.5e-5, 1.0 / 3}) {
    EXPECT_EQ(Number(value).to_double(), value);
  }
}

// The short way from a double to its text gives the spelling that the long way gives.
TEST(Number, ADoubleHasTheSpellingOfItsDecimal) {
  Random random(5);
  const auto expect = [](double value) {
    std::array<char, 64> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    const std::string_view text(digits.data(), static_cast<std::size_t>(end - digits.data()));
    ASSERT_EQ(Number(value).text(), Number::parse(text)->text());
  };
  for (const double value : {0.0, -0.0, 1.0, -1.0, 100.0, 1e20, 1e21, 1e22, 123456789012345680000.0,
                             -123456789012345680000.0, 1e-4, 1e-5, 1.5e-7, 0.1, 1.0 / 3, 5e-324})
    expect(value);
  for (int i = 0; i < 20'000; ++i) {
    const auto bits = random.next();
    double value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    if (std::isfinite(value)) expect(value);
    expect(static_cast<double>(random.bounded(1'000'000)) / 1'000.0);
    expect(std::ldexp(static_cast<double>(random.bounded(1U << 20U)),
                      static_cast<int>(random.bounded(120)) - 60));
  }
}

TEST(Number, OnlyWholeNumbersAreIntegers) {
  EXPECT_EQ(Number::parse("1e3")->to_integer(), 1000);
  EXPECT_EQ(Number::parse("0.5")->to_integer(), std::nullopt);
  EXPECT_EQ(Number::parse("1e30")->to_integer(), std::nullopt);
}

TEST(Value, NonFiniteNumbersAreStringsThatReadBack) {
  EXPECT_EQ(*Value(std::nan("")).if_string(), "NaN");
  EXPECT_EQ(Value(-HUGE_VAL).to_double(), -HUGE_VAL);
  EXPECT_EQ(Value("nonsense").to_double(), std::nullopt);
}

TEST(Value, PathsFindAndSet) {
  Value v;
  ASSERT_TRUE(v.set("align.text.layer", 3).has_value());
  ASSERT_NE(v.find("align.text.layer"), nullptr);
  EXPECT_EQ(*v.find("align.text.layer"), Value(3));
  EXPECT_EQ(v.find("align.speech.layer"), nullptr);
  EXPECT_EQ(v.find("align.text.layer.deeper"), nullptr);
  EXPECT_FALSE(v.set("align.text.layer.deeper", 1).has_value());
  EXPECT_FALSE(v.set("align..x", 1).has_value());
}

TEST(Value, UnsetLeavesNoTraceOfThePath) {
  Value value = Object{{"a", Object{{"b", Object{{"c", 1}}}, {"d", 2}}}, {"e", 3}};
  value.unset("a.b.c");
  EXPECT_EQ(value, Value(Object{{"a", Object{{"d", 2}}}, {"e", 3}})) << "the empty map goes, too";
  value.unset("a.x");
  value.unset("e.x");
  value.unset("x.y");
  EXPECT_EQ(value, Value(Object{{"a", Object{{"d", 2}}}, {"e", 3}}))
      << "what is not there stays so";
  value.unset("a.d");
  value.unset("e");
  EXPECT_EQ(value, Value(Object{}));
}

}  // namespace
}  // namespace strata
