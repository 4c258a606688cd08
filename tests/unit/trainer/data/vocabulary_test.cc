#include "trainer/data/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace strata::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

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

}  // namespace
}  // namespace strata::trainer
