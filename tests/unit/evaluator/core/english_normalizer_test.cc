#include "evaluator/core/english_normalizer.h"

#include <gmock/gmock.h>

#include "evaluator/core/english_words.h"
#include "evaluator/core/number_normalizer.h"
#include "tests/unit/evaluator/golden_rows.h"

namespace strata::evaluator {
namespace {

using testing::HasSubstr;

std::string english(std::string_view text) { return normalize_english(text).value(); }

TEST(EnglishNormalizer, EveryGoldenTextComesOutAsFromTheOriginal) {
  const auto rows = golden_rows("english_texts.jsonl");
  ASSERT_EQ(rows.size(), 1437U);
  for (const Value& row : rows) {
    EXPECT_EQ(english(text_at(row, "text")), text_at(row, "whisper-en")) << to_canonical_json(row);
  }
}

TEST(EnglishNormalizer, TheWayOfSingleBytesAndThatOfCodePointsAgree) {
  // A letter outside the alphabet of single bytes that stays one sends a text the long way.
  for (const Value& row : golden_rows("english_texts.jsonl")) {
    std::string expected = english(text_at(row, "text") + " z");
    ASSERT_TRUE(expected.ends_with('z'));
    expected.replace(expected.size() - 1, 1, "\u4E2D");
    EXPECT_EQ(english(text_at(row, "text") + " \u4E2D"), expected) << to_canonical_json(row);
  }
}

TEST(EnglishNormalizer, AMatchTakesItsCharactersWithIt) {
  EXPECT_EQ(english("1,2,3"), "12 3");
  EXPECT_EQ(english("1,000,000"), "1000000");
  EXPECT_EQ(english(".."), ".");
  EXPECT_EQ(english("a.\n"), "a");
  EXPECT_EQ(english("a%% b"), "a % b");
  EXPECT_EQ(english("[a> (b) () (c"), "c");
  EXPECT_EQ(english("x'd been y'd been"), "x had been y had been");
}

TEST(EnglishNormalizer, AnApostropheTakesTheSpaceBeforeIt) {
  EXPECT_EQ(english("won 't"), "will not");
  EXPECT_EQ(english("won\u00A0't caf\u00E9"), "will not cafe");
  EXPECT_EQ(english("won mm't"), "will not");
  EXPECT_EQ(english("mr 's"), "mister is");
}

TEST(EnglishNormalizer, MistakesOfTheOriginalAreKept) {
  EXPECT_EQ(english("five o'clock"), "50 clock");
  EXPECT_EQ(english("archaeology"), "archeology</span>");
  EXPECT_EQ(english("the ninth and the nineth"), "the ninth and the 9th");
  EXPECT_EQ(english("and a half"), "");
  EXPECT_EQ(english("2.1"), "2 one");
}

// " zero zero …"
std::string zeros(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += " zero";
  return text;
}

TEST(EnglishNormalizer, NumbersMayBeLongButNotLongerThanThoseOfCPython) {
  const std::string longest(kNumberDigitsMax, '9');
  EXPECT_EQ(english(longest), longest);
  EXPECT_EQ(english(longest + " five"), longest + "5");
  for (const std::string& text :
       {longest + "9", "0." + longest + "9", "point 2" + longest, longest + " thousand",
        "one one" + zeros(kNumberDigitsMax - 3) + " thousand"}) {
    const auto result = normalize_english(text);
    ASSERT_FALSE(result.has_value()) << text.size();
    EXPECT_EQ(result.error().code, ErrorCode::kTooLarge);
    EXPECT_THAT(result.error().message, HasSubstr("more than 4300 digits"));
  }
}

TEST(EnglishNormalizer, ATextOfDigitsIsMultipliedNoMoreWhenItIsTooLong) {
  EXPECT_EQ(english("double one" + zeros(kNumberDigitsMax) + " million"),
            "11" + std::string(kNumberDigitsMax, '0') + " 1000000");
}

TEST(EnglishNormalizer, InvalidUtf8IsRefusedWithTheByte) {
  for (const char* text : {"ok \xC3", "\u00A3 \xE2\x82", "\xFF"}) {
    const auto result = normalize_english(text);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::kInvalid);
  }
  EXPECT_THAT(normalize_english("ok \xC3").error().message, HasSubstr("byte 3"));
}

const EnglishWord* find(std::string_view word) {
  return find_english_word(word, packed_word(word));
}

TEST(EnglishWords, AWordIsFoundWholeOrNotAtAll) {
  EXPECT_EQ(find("twenty")->value, 20);
  EXPECT_EQ(find("decillionth")->value, 33);
  EXPECT_EQ(find("colour")->american, "color");
  EXPECT_EQ(find("internationalisation")->american, "internationalization");
  for (const char* text : {"", "twent", "twentyy", "internationalisations", "flyer / flier"}) {
    EXPECT_EQ(find(text), nullptr) << text;
  }
}

TEST(EnglishWords, PackedWordsHaveTheirFirstByteLowest) {
  EXPECT_EQ(packed_word(""), 0U);
  EXPECT_EQ(packed_word("a"), 0x61U);
  EXPECT_EQ(packed_word("ab"), 0x6261U);
  EXPECT_EQ(packed_word("abc"), 0x636261U);
  EXPECT_EQ(packed_word("abcdefg"), 0x67666564636261U);
  EXPECT_EQ(packed_word("abcdefgh"), 0x6867666564636261U);
  constexpr std::string_view kText = "of abcdefghi";
  for (std::size_t at = 0; at < kText.size(); ++at) {
    for (std::size_t size = 0; at + size <= kText.size(); ++size) {
      EXPECT_EQ(packed_word_at(kText, at, size), packed_word(kText.substr(at, size)));
    }
  }
}

}  // namespace
}  // namespace strata::evaluator
