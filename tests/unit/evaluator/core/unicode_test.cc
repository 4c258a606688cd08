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

TEST(Unicode, MajorCategoryIsTheFirstLetterOfTheGeneralCategory) {
  EXPECT_EQ(major_category(U'a'), 'L');
  EXPECT_EQ(major_category(U'\u0301'), 'M');
  EXPECT_EQ(major_category(U'$'), 'S');
  EXPECT_EQ(major_category(U'!'), 'P');
}

}  // namespace
}  // namespace strata::evaluator
