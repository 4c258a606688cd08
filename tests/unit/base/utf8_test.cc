#include "base/utf8.h"

#include <gtest/gtest.h>

namespace strata {
namespace {

TEST(Utf8, EveryScalarValueSurvivesTheRoundTrip) {
  for (char32_t p = 0; p < 0x110000; p += (p < 0x3000 ? 1 : 97)) {
    if (p >= 0xD800 && p <= 0xDFFF) continue;
    const std::string bytes = encode_utf8(std::u32string(1, p));
    ASSERT_EQ(*decode_utf8(bytes), std::u32string(1, p)) << static_cast<unsigned>(p);
  }
}

TEST(Utf8, IllFormedSequencesAreNamedByOffset) {
  for (const char* bad :
       {"a\x80", "a\xC0\xAF", "a\xED\xA0\x80", "a\xF5\x80\x80\x80", "a\xE2\x82"}) {
    const auto decoded = decode_utf8(bad);
    ASSERT_FALSE(decoded.has_value());
    EXPECT_EQ(decoded.error().message, "invalid UTF-8 at byte 1");
    EXPECT_FALSE(is_valid_utf8(bad));
  }
}

// The expected strings are Python 3.11's bytes.decode("utf-8", "replace").
TEST(Utf8, LossyDecodingReplacesMaximalIllFormedParts) {
  EXPECT_EQ(decode_utf8_lossy("\xE2\x82"), U"\uFFFD");
  EXPECT_EQ(decode_utf8_lossy("\xED\xA0\x80"), U"\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(decode_utf8_lossy("a\x98\xC3\xA9"), U"a\uFFFD\u00E9");
}

}  // namespace
}  // namespace strata
