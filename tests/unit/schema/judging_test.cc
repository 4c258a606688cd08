// Searches that judge while trainings run: what the file may say, and where it is wrong.
#include <gtest/gtest.h>

#include "tests/unit/schema/sweep_text.h"

namespace strata {
namespace {

const std::string kFile = R"(sweep: s
base: {a: 1, d: 3}
stages:
  make: {program: m, reads: [a], outputs: [x], resumable: true}
  use: {program: u, reads: [d], inputs: {x: make.x}, outputs: [y]}
axes: {a: [1, 2, 3]}
)";

std::string searching(const std::string& rest) { return kFile + "search: {" + rest + "}\n"; }

SearchDefinition search_of(const std::string& rest) {
  const auto definition = read({{"s.yaml", searching(rest)}});
  EXPECT_TRUE(definition) << definition.error().message;
  if (!definition || !definition->scheduling.search) return {};
  return *definition->scheduling.search;
}

std::string wrong(const std::string& rest) { return error_of({{"s.yaml", searching(rest)}}); }

TEST(JudgingSearch, AshaIsReadWithItsDefaults) {
  EXPECT_EQ(search_of("method: asha, stage: make, metric: loss_val, rungs: [100, 300, 900]"),
            (SearchDefinition{.stage = "make", .metric = "loss_val", .rungs = {100, 300, 900}}));
  EXPECT_EQ(
      search_of("method: asha, stage: make, metric: a b/c, goal: maximize, rungs: [1], "
                "reduction: 4"),
      (SearchDefinition{
          .stage = "make", .metric = "a b/c", .minimize = false, .rungs = {1}, .reduction = 4}));
}

TEST(JudgingSearch, MedianIsRead) {
  EXPECT_EQ(search_of("method: median, stage: make, metric: m, rungs: [5], others_min: 7"),
            (SearchDefinition{.method = SearchMethod::kMedian,
                              .stage = "make",
                              .metric = "m",
                              .rungs = {5},
                              .others_min = 7}));
}

TEST(JudgingSearch, ChangesNoKeyAndNoCell) {
  const Expansion with = expand_text(searching("method: asha, stage: make, metric: m, rungs: [5]"));
  EXPECT_EQ(keys_of(with), keys_of(expand_text(kFile)));
  EXPECT_EQ(with.cells, 3U);
}

TEST(JudgingSearch, MayDrawItsCellsToo) {
  const std::string rest = "method: asha, stage: make, metric: m, rungs: [5], cells: 2, seed: 4";
  EXPECT_EQ(expand_text(searching(rest)).cells, 2U);
  EXPECT_EQ(search_of(rest).metric, "m");
}

TEST(JudgingSearch, MistakesAreToldWithTheirPlace) {
  EXPECT_EQ(wrong("method: asha, stage: make, metric: m"),
            "s.yaml:7:9: a search by asha or median needs the key rungs");
  EXPECT_EQ(wrong("method: asha, stage: mke, metric: m, rungs: [5]"),
            "s.yaml:7:31: there is no stage mke, did you mean make?");
  EXPECT_EQ(wrong("method: asha, stage: use, metric: m, rungs: [5]"),
            "s.yaml:7:31: the stage use is not resumable: a search pauses tasks and continues them "
            "from their checkpoints");
  EXPECT_EQ(wrong("method: asha, stage: make, metric: m, rungs: [5, 5]"),
            "s.yaml:7:59: rungs must ascend: 5 comes after 5");
  EXPECT_EQ(wrong("method: asha, stage: make, metric: m, rungs: []"),
            "s.yaml:7:55: rungs must be 1 to 64 steps");
  EXPECT_EQ(wrong("method: asha, stage: make, metric: m, rungs: [5], goal: best"),
            "s.yaml:7:66: \"best\" is no goal: expected minimize or maximize");
  EXPECT_EQ(wrong("method: asha, stage: make, metric: m, rungs: [5], others_min: 2"),
            "s.yaml:7:72: others_min is of the method median");
  EXPECT_EQ(wrong("method: median, stage: make, metric: m, rungs: [5], reduction: 2"),
            "s.yaml:7:73: reduction is of the method asha");
}

}  // namespace
}  // namespace strata
