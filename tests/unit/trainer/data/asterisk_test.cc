#include "trainer/data/asterisk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/subprocess.h"
#include "tests/unit/trainer/data/corpus_fixture.h"
#include "trainer/data/manifest.h"

namespace strata::trainer {
namespace {

using ::testing::HasSubstr;

TEST(Transcripts, CommentsAndCarriageReturnsAreNoText) {
  const auto transcripts =
      parse_transcripts("; a comment: yes\n\na: One.\r\nb/c: Two: three\nno text\n");
  EXPECT_EQ(transcripts.size(), 2U);
  EXPECT_EQ(transcripts.at("a"), "One.");
  EXPECT_EQ(transcripts.at("b/c"), "Two: three");
}

// Packages are played by a program called dpkg-query in front of the real one.
class PrepareAsterisk : public CorpusFixture {
 protected:
  void SetUp() override {
    CorpusFixture::SetUp();
    path_before_ = std::getenv("PATH");
    const auto sounds = folder_ / "usr" / "sounds";
    std::filesystem::create_directories(folder_ / "bin");
    std::filesystem::create_directories(sounds / "en_ann" / "digits");
    std::filesystem::create_directories(sounds / "fr_june");
    std::string english;
    std::string texts;
    for (int i = 0; i < 5; ++i) {
      const std::string name = i == 4 ? "digits/4" : "clip" + std::to_string(i);
      const auto file = sounds / "en_ann" / (name + ".g722");
      // Any bytes are G.722 of something: 8 kB a second.
      ASSERT_TRUE(write_file_atomic(file, std::string(static_cast<std::size_t>(9'000 + 100 * i),
                                                      static_cast<char>(0x5a + i)))
                      .has_value());
      english += file.string() + "\\n";
      texts += name + ": Number " + std::to_string(i) + ".\n";
    }
    ASSERT_TRUE(
        write_file_atomic(sounds / "fr_june" / "un.g722", std::string(9'000, 'x')).has_value());
    ASSERT_TRUE(write_file_atomic(folder_ / "core-sounds-en.txt", texts).has_value());
    ASSERT_TRUE(run_captured({.argv = {"gzip", "-n", (folder_ / "core-sounds-en.txt").string()}})
                    ->exit.ok());
    const std::string script =
        "#!/bin/sh\ncase \"$1 $2 $3 $4\" in\n"
        "*-ru-g722*) exit 1;;\n-W*) printf 'installed 1.6.1-1';;\n"
        "*en-g722*) printf '" +
        english + "';;\n*fr-g722*) printf '" + (sounds / "fr_june" / "un.g722").string() +
        "\\n';;\n"
        "*) printf '" +
        (folder_ / "core-sounds-en.txt.gz").string() + "\\n';;\nesac\n";
    ASSERT_TRUE(write_file_atomic(folder_ / "bin" / "dpkg-query", script, 0755).has_value());
    setenv("PATH", ((folder_ / "bin").string() + ":" + path_before_).c_str(), 1);
  }
  void TearDown() override {
    setenv("PATH", path_before_.c_str(), 1);
    CorpusFixture::TearDown();
  }
  StageSpec spec(const std::string& corpus, const std::string& version = "1.6.1-1",
                 const std::string& other = "fr") {
    StageSpec made;
    made.parameters = Object{{"corpus", Object{{"kind", "asterisk"},
                                               {"language", "en"},
                                               {"others", Array{other}},
                                               {"version", version},
                                               {"seconds", Array{1.0, 4.0}},
                                               {"heldout", 2},
                                               {"limit", Value()}}}};
    made.outputs.emplace("corpus", folder_ / corpus);
    return made;
  }
  std::string path_before_;
};

TEST_F(PrepareAsterisk, DecodesThePackagesFilesAndPairsThemWithTheirTexts) {
  const auto code = run_prepare(spec("one"));
  ASSERT_TRUE(code.has_value()) << code.error().message;
  const auto corpus = read_corpus(folder_ / "one");
  ASSERT_TRUE(corpus.has_value()) << corpus.error().message;
  EXPECT_EQ(corpus->items.size(), 6U);
  EXPECT_EQ(corpus->find("en-digits.4")->text, "Number 4.");
  EXPECT_EQ(corpus->find("en-digits.4")->samples, 2 * 9'400);
  EXPECT_EQ(corpus->find("en-digits.4")->speaker, "en_ann");
  EXPECT_EQ(corpus->find("fr-un")->split, Split::kReference);
  EXPECT_EQ(corpus->find("fr-un")->speaker, "fr_june");
  ASSERT_TRUE(run_prepare(spec("two")).has_value());
  EXPECT_EQ(all_files(folder_ / "one"), all_files(folder_ / "two"));
}

TEST_F(PrepareAsterisk, AMissingPackageOrAnotherVersionSaysWhatToDo) {
  const auto other = run_prepare(spec("one", "1.6.1-2"));
  ASSERT_FALSE(other.has_value());
  EXPECT_EQ(exit_code_of(other.error()), exit_code::kInvalid);
  EXPECT_THAT(other.error().message,
              HasSubstr("has version 1.6.1-1, the corpus is pinned to 1.6.1-2"));
  const auto missing = run_prepare(spec("one", "1.6.1-1", "ru"));
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(exit_code_of(missing.error()), exit_code::kInvalid);
  EXPECT_THAT(missing.error().message, HasSubstr("apt-get install asterisk-core-sounds-ru-g722"));
}

}  // namespace
}  // namespace strata::trainer
