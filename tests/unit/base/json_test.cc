#include "base/json.h"

#include <gtest/gtest.h>

namespace strata {
namespace {

std::string canonical(std::string_view text) {
  const auto value = parse_json(text);
  return value ? to_canonical_json(*value) : "error";
}

TEST(Json, CanonicalTextIsSortedExactAndTight) {
  EXPECT_EQ(canonical(R"( {"b": [1.0, 1e-4, true, null], "a": {"y": "\u00e9\n", "x": -0.0}} )"),
            "{\"a\":{\"x\":0,\"y\":\"\xC3\xA9\\n\"},\"b\":[1,0.0001,true,null]}");
}

TEST(Json, CanonicalTextIsAFixedPoint) {
  const std::string once =
      canonical(R"({"z":[{"k":"\u0001\"\\"},[]],"n":123456789012345678901234567890})");
  EXPECT_EQ(canonical(once), once);
}

TEST(Json, DuplicateKeysAreRefused) {
  const auto value = parse_json(R"({"a": 1, "a": 2})");
  ASSERT_FALSE(value.has_value());
  EXPECT_NE(value.error().message.find("\"a\" occurs twice"), std::string::npos)
      << value.error().message;
}

TEST(Json, GarbageIsAnErrorAndNeverAnExit) {
  for (const char* text : {"", "{", "[1,]", "nul", "\"\xff\"", "{\"a\":1}x", "NaN"}) {
    EXPECT_FALSE(parse_json(text).has_value()) << text;
  }
}

TEST(Json, WhatPythonWritesForNonFiniteNumbersIsReadWhereProgramsWriteIt) {
  const auto value = parse_program_json(R"({"a\"NaN": NaN, "b": [Infinity, -Infinity, "NaN\\"]})");
  ASSERT_TRUE(value.has_value()) << value.error().message;
  EXPECT_EQ(to_canonical_json(*value), R"({"a\"NaN":"NaN","b":["Infinity","-Infinity","NaN\\"]})");
  for (const char* text : {"NaNN", "[-NaN]", "{NaN: 1", "\"NaN", "\"NaN\\", "Infinity x"})
    EXPECT_FALSE(parse_program_json(text).has_value()) << text;
}

TEST(Json, NestingHasALimit) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_TRUE(parse_json(nested(kJsonDepthMax)).has_value());
  EXPECT_FALSE(parse_json(nested(kJsonDepthMax + 1)).has_value());
}

TEST(Json, PrettyTextReadsBackAsTheSameValue) {
  const auto value = parse_json(R"({"a":[1,2,[3]],"b":{},"c":{"d":"e"}})");
  ASSERT_TRUE(value.has_value());
  EXPECT_EQ(*parse_json(to_pretty_json(*value)), *value);
}

}  // namespace
}  // namespace strata
