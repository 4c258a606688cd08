#include "evaluator/core/vocabulary.h"

#include <gmock/gmock.h>

namespace strata::evaluator {
namespace {

using testing::HasSubstr;

TEST(Vocabulary, Base64IsThatOfRfc4648) {
  EXPECT_EQ(decode_base64("").value(), "");
  EXPECT_EQ(decode_base64("Zg==").value(), "f");
  EXPECT_EQ(decode_base64("Zm8=").value(), "fo");
  EXPECT_EQ(decode_base64("Zm9vYmFy").value(), "foobar");
  EXPECT_EQ(decode_base64("/+8A").value(), std::string("\xFF\xEF\x00", 3));
  for (const char* wrong : {"Zg=", "Z===", "Zg=a", "Z g=", "Zm9v=A==", "===="})
    EXPECT_FALSE(decode_base64(wrong).has_value()) << wrong;
}

// Ids 0..3: " caf", the two halves of "é", a token without bytes. End of text is 4.
constexpr const char* kTokens = R"(["IGNhZg==", "ww==", "qQ==", ""])";

TEST(Vocabulary, BytesAreJoinedBeforeTheyAreDecoded) {
  const auto vocabulary = Vocabulary::parse(kTokens).value();
  EXPECT_EQ(vocabulary.decode(std::vector<std::int64_t>{0, 1, 2}, 4).value(), " caf\u00E9");
  EXPECT_EQ(vocabulary.decode(std::vector<std::int64_t>{0, 1, 0}, 4).value(), " caf\uFFFD caf");
  EXPECT_EQ(vocabulary.decode(std::vector<std::int64_t>{3}, 4).value(), "");
}

TEST(Vocabulary, TextEndsAtTheFirstEndAndSpecialTokensAddNothing) {
  const auto vocabulary = Vocabulary::parse(kTokens).value();
  EXPECT_EQ(vocabulary.decode(std::vector<std::int64_t>{7, 0, 9, 4, 0, 4}, 4).value(), " caf");
  EXPECT_THAT(vocabulary.decode(std::vector<std::int64_t>{-1}, 4).error().message,
              HasSubstr("token -1 is not in the vocabulary"));
  EXPECT_FALSE(vocabulary.decode(std::vector<std::int64_t>{5}, 8).has_value());
}

TEST(Vocabulary, AListThatIsNoneIsRefused) {
  EXPECT_FALSE(Vocabulary::parse("{}").has_value());
  EXPECT_FALSE(Vocabulary::parse("[]").has_value());
  EXPECT_THAT(Vocabulary::parse(R"(["IGNhZg==", 3])").error().message,
              HasSubstr("token 1 is no string"));
  EXPECT_THAT(Vocabulary::parse(R"(["?"])").error().message, HasSubstr("token 0"));
}

}  // namespace
}  // namespace strata::evaluator
