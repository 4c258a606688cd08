#include "trainer/data/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "trainer/data/tokenizer.h"

namespace strata::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Tokens = std::vector<std::string>;

TEST(Vocabulary, CharactersAreSortedByCodePointAfterTheSpace) {
  const auto vocabulary = Vocabulary::of_texts({"bé a!", "Ab\xE2\x82\xAC"});
  ASSERT_TRUE(vocabulary.has_value());
  EXPECT_EQ(vocabulary->format(), " \n!\nA\na\nb\né\n€\n");
  EXPECT_EQ(Vocabulary::of_texts({"x"})->format(), " \nx\n");
}

TEST(Vocabulary, UnknownCharactersAndBadBytesAreTheSpace) {
  const auto vocabulary = Vocabulary::of_texts({"abé"});
  EXPECT_THAT(vocabulary->encode("a b"), ElementsAre(1, 0, 2));
  EXPECT_THAT(vocabulary->encode("zéA\xff"), ElementsAre(0, 3, 0, 0));
  EXPECT_THAT(vocabulary->encode(""), ElementsAre());
}

TEST(Vocabulary, LineEndsOfBothKindsAndAMissingLastOneReadAlike) {
  for (const char* text : {" \na\né\n", " \r\na\r\né\r\n", " \na\né", " \r\na\r\né"}) {
    const auto vocabulary = Vocabulary::parse(text);
    ASSERT_TRUE(vocabulary.has_value()) << text;
    EXPECT_EQ(vocabulary->size(), 3U);
    EXPECT_THAT(vocabulary->encode("éa "), ElementsAre(2, 1, 0));
  }
  EXPECT_EQ(Vocabulary::parse(Vocabulary::of_texts({"Hello, world!"})->format())->size(),
            Vocabulary::of_texts({"Hello, world!"})->size());
}

TEST(Vocabulary, WhatCannotBeAVocabularyIsRefused) {
  EXPECT_THAT(Vocabulary::parse("").error().message, HasSubstr("empty"));
  EXPECT_THAT(Vocabulary::parse("a\nb\n").error().message,
              HasSubstr("does not begin with the space"));
  EXPECT_THAT(Vocabulary::parse(" \na\na\n").error().message, HasSubstr("twice"));
  EXPECT_THAT(Vocabulary::parse(" \nab\n").error().message,
              HasSubstr("line 2: expected one character, found 2"));
  EXPECT_THAT(Vocabulary::parse(" \n\na\n").error().message,
              HasSubstr("line 2: expected one character, found 0"));
  EXPECT_FALSE(Vocabulary::parse(" \n\xff\n").has_value());
  EXPECT_FALSE(Vocabulary::of_texts({"tab\there"}).has_value());
  EXPECT_EQ(Vocabulary::load("/nonexistent/vocab.txt").error().code, ErrorCode::kNotFound);
}

TEST(Vocabulary, BytesAreTheirOwnIdsAndNeedNoFile) {
  const Vocabulary bytes = Vocabulary::bytes();
  EXPECT_EQ(bytes.size(), 256U);
  EXPECT_THAT(bytes.encode("a é\xff"), ElementsAre(97, 32, 0xC3, 0xA9, 0xFF));
  EXPECT_THAT(bytes.encode(Tokens{"ab", "", "c"}), ElementsAre(97, 98, 99));
  EXPECT_TRUE(bytes.knows("anything"));
}

TEST(Vocabulary, TokensOfAnyLengthAreLinesAndTextsAreListsOfThem) {
  for (const std::string text : {" \r\nni3\r\nhao3\r\n,\r\n", " \nni3\nhao3\n,"}) {
    const auto vocabulary = Vocabulary::parse_lines(text, Tokenizer::kPinyin);
    ASSERT_TRUE(vocabulary.has_value()) << vocabulary.error().message;
    EXPECT_EQ(vocabulary->size(), 4U);
    EXPECT_THAT(vocabulary->encode(Tokens{"hao3", ",", " ", "ni", "ni3"}),
                ElementsAre(2, 3, 0, 0, 1));
    // A text that is no list is cut at its code points, as Python's loop over a string does it.
    EXPECT_THAT(vocabulary->encode("ni3,"), ElementsAre(0, 0, 0, 3));
    EXPECT_TRUE(vocabulary->knows("ni3"));
    EXPECT_FALSE(vocabulary->knows("n"));
  }
}

TEST(Vocabulary, ATokenThatIsThereTwiceHasTheIdOfItsLastLine) {
  // {token: i for i, token in enumerate(" ", "a", "b", "a", "")}
  const auto vocabulary = Vocabulary::parse_lines(" \na\nb\na\n\n", Tokenizer::kPinyin);
  ASSERT_TRUE(vocabulary.has_value()) << vocabulary.error().message;
  EXPECT_THAT(vocabulary->encode(Tokens{"a", "b", "", "c"}), ElementsAre(3, 2, 4, 0));
  EXPECT_EQ(vocabulary->size(), 5U);  // so that every id has its row
  EXPECT_THAT(Vocabulary::parse_lines(" \na\n \n", Tokenizer::kPinyin).error().message,
              HasSubstr("does not begin with the space"));
}

TEST(Vocabulary, OnlyACustomOneMayBeginWithAnythingElseThanTheSpace) {
  EXPECT_THAT(Vocabulary::parse_lines("a\n \n", Tokenizer::kPinyin).error().message,
              HasSubstr("does not begin with the space"));
  const auto vocabulary = Vocabulary::parse_lines("<unk>\na\n \n", Tokenizer::kCustom);
  ASSERT_TRUE(vocabulary.has_value()) << vocabulary.error().message;
  EXPECT_THAT(vocabulary->encode("a b"), ElementsAre(1, 2, 0));
  EXPECT_FALSE(Vocabulary::parse_lines("", Tokenizer::kCustom).has_value());
  EXPECT_THAT(Vocabulary::parse_lines("a\nb\rc\n", Tokenizer::kCustom).error().message,
              HasSubstr("line 2: a carriage return"));
  EXPECT_THAT(Vocabulary::parse_lines("a\n\xff\n", Tokenizer::kCustom).error().message,
              HasSubstr("line 2"));
}

TEST(Vocabulary, EveryTokenizerReadsBackWhatItWrote) {
  const std::vector<Vocabulary> all{
      Vocabulary::bytes(), *Vocabulary::of_texts({"Hello"}),
      *Vocabulary::parse_lines(" \nni3\na\na\n\n", Tokenizer::kPinyin),
      *Vocabulary::parse_lines("x\ny\n", Tokenizer::kCustom)};
  for (const Vocabulary& one : all) {
    const auto again = Vocabulary::parse(one.format());
    ASSERT_TRUE(again.has_value()) << again.error().message;
    EXPECT_EQ(again->tokenizer(), one.tokenizer());
    EXPECT_EQ(again->size(), one.size());
    EXPECT_EQ(again->format(), one.format());
    EXPECT_EQ(again->encode(Tokens{"a", "y", "ni3", "H"}),
              one.encode(Tokens{"a", "y", "ni3", "H"}));
  }
  EXPECT_EQ(all[0].format(), "#tokenizer byte\n");
  EXPECT_EQ(all[3].format(), "#tokenizer custom\nx\ny\n");
  EXPECT_EQ(Vocabulary::parse("#tokenizer words\na\n").error().code, ErrorCode::kUnsupported);
  EXPECT_FALSE(Vocabulary::parse("#tokenizer byte\na\n").has_value());
  EXPECT_FALSE(Vocabulary::parse("#tokenizer pinyin").has_value());
}

TEST(TokenIds, OfAnItemComeFromItsListWhereItHasOne) {
  const auto vocabulary = *Vocabulary::parse_lines(" \nni3\nhao3\nh\n", Tokenizer::kPinyin);
  const Item listed{.text = "ni hao", .tokens = {"ni3", " ", "hao3"}};
  const Item plain{.text = "h h"};
  EXPECT_THAT(token_ids(vocabulary, listed), ElementsAre(1, 0, 2));
  EXPECT_THAT(token_ids(vocabulary, plain), ElementsAre(3, 0, 3));
  EXPECT_THAT(joined_token_ids(vocabulary, plain, listed, "h h  ni hao"),
              ElementsAre(3, 0, 3, 0, 0, 1, 0, 2));
  EXPECT_THAT(joined_token_ids(vocabulary, listed, plain, "ni haoh h"),
              ElementsAre(1, 0, 2, 3, 0, 3));
  const auto letters = *Vocabulary::of_texts({"ab"});
  const Item first{.text = "ab"};
  const Item second{.text = "b"};
  EXPECT_EQ(joined_token_ids(letters, first, second, "ab  b"), letters.encode("ab  b"));
}

}  // namespace
}  // namespace strata::trainer
