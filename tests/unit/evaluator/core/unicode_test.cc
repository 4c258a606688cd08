#include "evaluator/core/unicode.h"

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "tests/unit/evaluator/golden_rows.h"

namespace strata::evaluator {
namespace {

TEST(Unicode, LowerIsThatOfPythonWhereSimpleMappingIsWrong) {
  const auto rows = golden_rows("python_lower.jsonl");
  ASSERT_EQ(rows.size(), 13U);
  for (const Value& row : rows) {
    EXPECT_EQ(encode_utf8(python_lower(decode_utf8(text_at(row, "text")).value())),
              text_at(row, "lower"));
  }
}

TEST(Unicode, PythonHasTwentyNineSpaces) {
  int spaces = 0;
  for (char32_t point = 0; point < 0x110000; ++point) spaces += is_python_space(point) ? 1 : 0;
  EXPECT_EQ(spaces, 29);
  EXPECT_FALSE(is_python_space(U'\u200B'));
}

TEST(Unicode, NormalFormKcOrdersMarksAndComposesAcrossCharacters) {
  EXPECT_EQ(normal_form_kc(U"e\u0301"), U"\u00E9");
  EXPECT_EQ(normal_form_kc(U"\u0071\u0307\u0323"), U"\u0071\u0323\u0307");
  EXPECT_EQ(normal_form_kc(U"\u2460\uFB01"), U"1fi");
  EXPECT_EQ(normal_form_kc(U"\u1100\u1161\u11A8"), U"\uAC01");
}

TEST(Unicode, NormalFormKdOrdersMarksAndLeavesThemApart) {
  EXPECT_EQ(normal_form_kd(U"\u00E9\u2026"), U"e\u0301...");
  EXPECT_EQ(normal_form_kd(U"\u0071\u0307\u0323 \u0307\u0323"), U"\u0071\u0323\u0307 \u0323\u0307");
  EXPECT_EQ(normal_form_kd(U"\uAC01"), U"\u1100\u1161\u11A8");
}

// U+1C89 is a capital letter, U+1E4EE a mark of class 232, U+16D68 composed of two others, all in
// versions after 14.0 only.
TEST(Unicode, ACharacterOfALaterVersionIsUnassigned) {
  for (const char32_t point : {U'\u1C89', U'\U0001E4EE', U'\U00016D68', U'\U00016D67'}) {
    const std::u32string text{point, U'\u0301', point};
    EXPECT_EQ(major_category(point), 'C');
    EXPECT_FALSE(is_python_word(point));
    EXPECT_EQ(python_lower(text), text);
    EXPECT_EQ(normal_form_kd(text), text);
    EXPECT_EQ(normal_form_kc(text), text);
  }
  EXPECT_EQ(normal_form_kc(U"\u0301\U0001E4EE"), U"\u0301\U0001E4EE");
  EXPECT_EQ(normal_form_kc(U"\u0065\U0001E4EE\u0301"), U"\u0065\U0001E4EE\u0301");
}

TEST(Unicode, DecimalsAreThoseOfCategoryNd) {
  EXPECT_EQ(decimal_value(U'7'), 7);
  EXPECT_EQ(decimal_value(U'\u0663'), 3);
  EXPECT_EQ(decimal_value(U'\U0001FBF9'), 9);
  EXPECT_EQ(decimal_value(U'\u00B2'), -1);
  EXPECT_EQ(decimal_value(U'\U0010FFFF'), -1);
}

TEST(Unicode, MajorCategoryIsTheFirstLetterOfTheGeneralCategory) {
  EXPECT_EQ(major_category(U'a'), 'L');
  EXPECT_EQ(major_category(U'\u0301'), 'M');
  EXPECT_EQ(major_category(U'$'), 'S');
  EXPECT_EQ(major_category(U'!'), 'P');
}

}  // namespace
}  // namespace strata::evaluator
