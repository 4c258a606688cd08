#include "trainer/data/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"

namespace strata::trainer {
namespace {

using ::testing::HasSubstr;

class Manifest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = *make_temporary_folder(std::filesystem::temp_directory_path(), "strata-manifest-");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& manifest, const std::string& pairs = "") {
    ASSERT_TRUE(write_file_atomic(folder_ / "manifest.jsonl", manifest).has_value());
    ASSERT_TRUE(write_file_atomic(folder_ / "pairs.jsonl", pairs).has_value());
  }
  std::string error() { return read_corpus(folder_).error().message; }
  std::filesystem::path folder_;
};

std::vector<Item> two_items() {
  return {{.id = "a",
           .audio = "wavs/a.wav",
           .samples = 24'000,
           .text = "One \"two\".",
           .speaker = "ann",
           .split = Split::kTrain,
           .sha256 = "aa"},
          {.id = "b",
           .audio = "wavs/b.wav",
           .samples = 17,
           .speaker = "bob",
           .split = Split::kHeldout,
           .sha256 = "bb"}};
}

TEST_F(Manifest, ReadsBackWhatWasWritten) {
  write(format_manifest(two_items()), format_pairs({{"b", "a"}}));
  const auto corpus = read_corpus(folder_);
  ASSERT_TRUE(corpus.has_value()) << corpus.error().message;
  ASSERT_EQ(corpus->items.size(), 2U);
  EXPECT_EQ(corpus->find("a")->text, "One \"two\".");
  EXPECT_DOUBLE_EQ(corpus->find("a")->seconds(), 1.5);
  EXPECT_EQ(corpus->find("b")->text, "");
  EXPECT_EQ(corpus->find("c"), nullptr);
  EXPECT_EQ(corpus->of(Split::kHeldout).front()->id, "b");
  EXPECT_EQ(corpus->prompts.at("b"), "a");
  EXPECT_EQ(format_manifest(corpus->items), format_manifest(two_items()));
}

TEST_F(Manifest, TokensAndItemsThatAreOnlyPromptsComeBack) {
  auto items = two_items();
  items[0].tokens = {"One", " ", "two"};
  items[0].split = Split::kPrompt;
  items[0].rate = 24'000;
  write(format_manifest(items), format_pairs({{"b", "a"}}));
  const auto corpus = read_corpus(folder_);
  ASSERT_TRUE(corpus.has_value()) << corpus.error().message;
  EXPECT_EQ(corpus->find("a")->tokens, items[0].tokens);
  EXPECT_EQ(corpus->find("a")->split, Split::kPrompt);
  EXPECT_DOUBLE_EQ(corpus->find("a")->seconds(), 1.0);
  EXPECT_TRUE(corpus->find("b")->tokens.empty());
  EXPECT_EQ(format_manifest(corpus->items), format_manifest(items));
  // Without tokens a line is what it always was.
  EXPECT_EQ(
      format_manifest({two_items()[0]}),
      "{\"audio\":\"wavs/a.wav\",\"id\":\"a\",\"rate\":16000,\"samples\":24000,\"seconds\":1.5,"
      "\"sha256\":\"aa\",\"speaker\":\"ann\",\"split\":\"train\",\"text\":\"One "
      "\\\"two\\\".\"}\n");
}

TEST_F(Manifest, BadLinesAreNamed) {
  const std::string good = format_manifest(two_items());
  write(good + "{\"id\": 3}\n");
  EXPECT_THAT(error(), HasSubstr("manifest.jsonl: entry 3"));
  write(good + "not json\n");
  EXPECT_THAT(error(), HasSubstr("line 3"));
  write(good + "[1]\n");
  EXPECT_THAT(error(), HasSubstr("expected a map"));
  write(good + good);
  EXPECT_THAT(error(), HasSubstr("is there twice"));
  write("");
  EXPECT_THAT(error(), HasSubstr("holds no items"));
  write(good, "{\"id\": \"b\", \"prompt\": \"c\"}\n");
  EXPECT_THAT(error(), HasSubstr("pairs.jsonl: entry 1"));
  write(good, "{\"id\": \"b\", \"prompt\": \"b\"}\n");
  EXPECT_THAT(error(), HasSubstr("its own prompt"));
  write(good, "{\"id\": \"b\", \"prompt\": \"nobody\"}\n");
  EXPECT_THAT(error(), HasSubstr("no item \"nobody\""));
  write(good, "{\"id\": \"a\", \"prompt\": \"b\"}\n");
  EXPECT_THAT(error(), HasSubstr("\"a\" is no held-out item"));
  write(good, format_pairs({{"b", "a"}}) + format_pairs({{"b", "a"}}));
  EXPECT_THAT(error(), HasSubstr("pairs.jsonl: entry 2"));
  EXPECT_THAT(error(), HasSubstr("\"b\" is there twice"));
  auto items = two_items();
  items[0].audio = "../../etc/passwd";
  write(format_manifest(items));
  EXPECT_THAT(error(), HasSubstr("inside the corpus folder"));
  std::filesystem::remove(folder_ / "manifest.jsonl");
  EXPECT_EQ(read_corpus(folder_).error().code, ErrorCode::kNotFound);
}

TEST(ItemId, IsAFileName) {
  for (const char* good : {"a", "en-digits.0", "A_b-9"}) EXPECT_TRUE(is_item_id(good)) << good;
  for (const char* bad : {"", ".a", "a/b", "a b", "é", "a\n"}) EXPECT_FALSE(is_item_id(bad)) << bad;
  EXPECT_FALSE(is_item_id(std::string(kItemIdMax + 1, 'a')));
}

}  // namespace
}  // namespace strata::trainer
