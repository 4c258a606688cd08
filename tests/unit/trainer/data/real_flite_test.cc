// With Debian's flite itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/sha256.h"
#include "tests/unit/trainer/data/corpus_fixture.h"
#include "trainer/data/flite_digits.h"
#include "trainer/data/manifest.h"

namespace strata::trainer {
namespace {

using ::testing::SizeIs;

class RealFlite : public CorpusFixture {
 protected:
  StageSpec spec(const std::string& output) {
    StageSpec made;
    made.parameters = Object{{"corpus", Object{{"kind", "flite-digits"},
                                               {"voices", Array{"slt", "kal16"}},
                                               {"others", Array{"rms"}},
                                               {"digits", Array{2, 3}},
                                               {"utterances", 6},
                                               {"version", "2.2-5"},
                                               {"seconds", Array{0.3, 6.0}},
                                               {"heldout", 4},
                                               {"references_each", 2}}}};
    made.outputs.emplace("corpus", folder_ / output);
    return made;
  }
};

TEST_F(RealFlite, SpeaksDigitsFluentlyAndTheSameBytesEachTime) {
  const auto code = run_prepare(spec("one"));
  ASSERT_TRUE(code.has_value()) << code.error().message;
  const auto corpus = read_corpus(folder_ / "one");
  ASSERT_TRUE(corpus.has_value()) << corpus.error().message;
  EXPECT_THAT(corpus->items, SizeIs(14));
  std::set<std::string> hashes;
  for (const Item& item : corpus->items) {
    const std::string digits = item.id.substr(item.speaker.size() + 1);
    EXPECT_EQ(item.text, spell_digits(digits));
    // A digit takes 0.2 to 0.8 s, silence at the ends included.
    EXPECT_GT(item.seconds(), 0.2 * static_cast<double>(digits.size())) << item.id;
    EXPECT_LT(item.seconds(), 0.8 * static_cast<double>(digits.size())) << item.id;
    EXPECT_EQ(*sha256_file(corpus->audio_path(item)), item.sha256);
    hashes.insert(item.sha256);
  }
  EXPECT_THAT(hashes, SizeIs(14)) << "different texts or voices sound alike";
  ASSERT_TRUE(run_prepare(spec("two")).has_value());
  EXPECT_EQ(all_files(folder_ / "one"), all_files(folder_ / "two"));
}

}  // namespace
}  // namespace strata::trainer
