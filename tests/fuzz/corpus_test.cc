// Every input that is kept, and some changes of each: what was found once stays found.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/files.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/targets.h"

namespace strata::fuzz {

namespace fs = std::filesystem;

// The name of a test, which has to be the same every time; found where FuzzTarget is.
static void PrintTo(const FuzzTarget& target, std::ostream* out) { *out << target.name; }

namespace {

struct Corpus : ::testing::TestWithParam<FuzzTarget> {};

TEST_P(Corpus, EveryKeptInputAndItsNeighboursEndInGoodOrder) {
  const FuzzTarget& target = GetParam();
  std::vector<fs::path> paths;
  for (const auto& entry :
       fs::directory_iterator(fs::path(STRATA_SOURCE_DIR) / "tests/fuzz/corpus" / target.name))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  ASSERT_FALSE(paths.empty());
  std::vector<std::string> inputs;
  for (const fs::path& path : paths) inputs.push_back(read_file(path).value());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    SCOPED_TRACE(paths[i].string());
    EXPECT_FALSE(target.run(inputs[i]).empty());
  }
  constexpr int kChanges = 300;
  Random random(7);
  for (int i = 0; i < kChanges; ++i) {
    const std::string& base = inputs[random.bounded(inputs.size())];
    EXPECT_FALSE(target.run(mutate(base, target.dictionary, inputs, random)).empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Fuzz, Corpus, ::testing::ValuesIn(fuzz_targets()),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(Mutate, TheSameSeedGivesTheSameInput) {
  const auto some = [] {
    Random random(3);
    std::string text;
    for (int i = 0; i < 50; ++i) text += mutate("a: [1, 2]", {"x"}, {"other"}, random);
    return text;
  };
  EXPECT_EQ(some(), some());
}

}  // namespace
}  // namespace strata::fuzz
