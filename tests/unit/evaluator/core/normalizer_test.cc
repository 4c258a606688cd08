#include "evaluator/core/normalizer.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "base/utf8.h"
#include "evaluator/core/edit_distance.h"
#include "tests/unit/evaluator/golden_rows.h"

namespace strata::evaluator {
namespace {

using testing::HasSubstr;

TEST(Normalizer, EveryGoldenTextComesOutAsFromThePublishedScripts) {
  const auto rows = golden_rows("normalized_texts.jsonl");
  ASSERT_EQ(rows.size(), 40U);
  for (const Value& row : rows) {
    for (const auto& info : protocols()) {
      if (info.protocol == Protocol::kPlain || info.protocol == Protocol::kDigits) continue;
      EXPECT_EQ(normalize(info.protocol, text_at(row, "text")).value(),
                *row.if_object()->at(info.name).if_string())
          << info.name << " " << to_canonical_json(row);
    }
  }
}

TEST(Normalizer, EveryGoldenPairHasTheErrorsOfItsProtocol) {
  const auto rows = golden_rows("protocol_errors.jsonl");
  ASSERT_EQ(rows.size(), 20U);
  for (const Value& row : rows) {
    for (const char* name : {"f5", "seed-tts", "whisper-en"}) {
      const Protocol protocol = find_protocol(name).value().protocol;
      const auto counts = count_words(normalize(protocol, text_at(row, "reference")).value(),
                                      normalize(protocol, text_at(row, "hypothesis")).value())
                              .value();
      const std::vector<std::int64_t> words{counts.substitutions, counts.deletions,
                                            counts.insertions, counts.hits};
      EXPECT_EQ(words, integers_at(row, std::string(name) + ".words")) << to_canonical_json(row);
      EXPECT_EQ(fmt::format("{:.9g}", error_rate(counts)),
                text_at(row, std::string(name) + ".wer"));
    }
  }
}

TEST(Normalizer, LowerCaseIsThatOfPythonForSigmaAndDottedI) {
  const auto rows = golden_rows("python_lower.jsonl");
  ASSERT_EQ(rows.size(), 13U);
  // The text without its full stops: F5 deletes them before it lowers, so these rows go through the
  // basic protocol's parts.
  for (const Value& row : rows) {
    const std::string text = text_at(row, "text");
    if (text.find('.') != std::string::npos) continue;
    EXPECT_EQ(normalize(Protocol::kF5, text).value(), text_at(row, "lower"));
  }
}

TEST(Normalizer, F5RemovesExactlyTheHundredAndFourteenCharacters) {
  int removed = 0;
  for (char32_t point = 1; point < 0x30000; ++point) {
    if (point >= 0xD800 && point <= 0xDFFF) continue;
    removed +=
        normalize(Protocol::kF5, encode_utf8(std::u32string(1, point))).value().empty() ? 1 : 0;
  }
  EXPECT_EQ(removed, 114);
  EXPECT_EQ(normalize(Protocol::kF5, "a\u3000b \u2010\u2212\u201A\u2032\u00AB\u2022").value(),
            "ab \u2010\u2212\u201A\u2032\u00AB\u2022");
}

TEST(Normalizer, DoubledSpacesAreHalvedOncePerPass) {
  EXPECT_EQ(normalize(Protocol::kF5, "a    b   c  d").value(), "a  b  c d");
}

TEST(Normalizer, SpokenDigitsAreTheSameHoweverARecognizerWritesThem) {
  for (const char* text : {"four seven one", "Four, seven, one.", "471", "4-7-1.", " 4 7 one",
                           "4.71", "four-seven-one", "FOUR\u20147\u20131"}) {
    EXPECT_EQ(normalize(Protocol::kDigits, text).value(), "four seven one") << text;
  }
  EXPECT_EQ(normalize(Protocol::kDigits, "0123456789").value(),
            "zero one two three four five six seven eight nine");
  EXPECT_EQ(normalize(Protocol::kDigits, "It's 12th\u3000street!").value(),
            "it s one two th street");
  EXPECT_EQ(normalize(Protocol::kDigits, " ... ").value(), "");
  EXPECT_EQ(normalize(Protocol::kDigits, "").value(), "");
}

TEST(Normalizer, AnUnknownProtocolIsRefusedWithTheNamesThereAre) {
  const auto unknown = find_protocol("f6");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().message,
            "there is no protocol \"f6\"; there are f5, seed-tts, whisper-en, whisper-basic, "
            "digits, plain");
}

TEST(Normalizer, InvalidUtf8IsRefusedWithTheByte) {
  for (const auto& info : protocols()) {
    const auto result = normalize(info.protocol, "ok \xC3");
    ASSERT_FALSE(result.has_value()) << info.name;
    EXPECT_THAT(result.error().message, HasSubstr("normalizing text: invalid UTF-8 at byte 3"));
  }
}

RC_GTEST_PROP(NormalizerProperty, TheWordsOfF5AreTheSameAfterASecondPass, ()) {
  const auto points = *rc::gen::container<std::vector<std::uint32_t>>(rc::gen::oneOf(
      rc::gen::inRange<std::uint32_t>(0x20, 0x7F), rc::gen::inRange<std::uint32_t>(0xA0, 0x600),
      rc::gen::inRange<std::uint32_t>(0x2000, 0x2100), rc::gen::just<std::uint32_t>(0x20)));
  std::u32string text;
  for (const std::uint32_t p : points) text += static_cast<char32_t>(p);
  const std::string once = normalize(Protocol::kF5, encode_utf8(text)).value();
  const std::string twice = normalize(Protocol::kF5, once).value();
  RC_ASSERT(split_words(once).value() == split_words(twice).value());
}

}  // namespace
}  // namespace strata::evaluator
