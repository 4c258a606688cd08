// Cells that are drawn instead of multiplied out.
#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/unit/schema/sweep_text.h"

namespace strata {
namespace {

const std::string kGrid = kBase + "axes: {a: [0, 1, 2, 3, 4], d: [0, 1, 2, 3, 4]}\n";

std::string random_search(int cells, int seed) {
  return fmt::format("search: {{method: random, cells: {}, seed: {}}}\n", cells, seed);
}

TEST(RandomSearch, TakesSoManyDifferentCellsAndTheSameOnesEachTime) {
  const Expansion e = expand_text(kGrid + random_search(12, 1));
  EXPECT_EQ(e.cells, 12U);
  EXPECT_EQ(e.merged, 0U);
  EXPECT_EQ(cells_of(e), cells_of(expand_text(kGrid + random_search(12, 1))));
  EXPECT_NE(cells_of(e), cells_of(expand_text(kGrid + random_search(12, 2))));
}

TEST(RandomSearch, AskingForMoreLeavesTheFirstOnesAsTheyAre) {
  const Strings few = cells_of(expand_text(kGrid + random_search(6, 3)));
  const Strings more = cells_of(expand_text(kGrid + random_search(14, 3)));
  EXPECT_TRUE(std::equal(few.begin(), few.end(), more.begin()));
}

TEST(RandomSearch, FindsEveryCellOfASmallProduct) {
  EXPECT_EQ(expand_text(kGrid + random_search(25, 1)).cells, 25U);
}

TEST(RandomSearch, ConstraintsDropBeforeCellsAreCounted) {
  const Expansion e = expand_text(kGrid + random_search(10, 1) + "constraints: [a <= d]\n");
  EXPECT_EQ(e.cells, 10U);
  for (const RunSpec& run : e.runs)
    EXPECT_LE(run.assignment.find("a")->to_double(), run.assignment.find("d")->to_double());
  EXPECT_GT(e.dropped[0].cells, 0U);
  EXPECT_EQ(error_of({{"s.yaml", kGrid + random_search(16, 1) + "constraints: [a <= d]\n"}}),
            "sweep s: search: after 1000 draws in vain there are 15 different cells that meet the "
            "constraints, not 16: ask for fewer, or draw from more");
}

// Drawn once more by an independent program (Python: splitmix64, and the seed derived byte by
// byte).
TEST(RandomSearch, RangesGiveTheseValues) {
  const Expansion e = expand_text(kBase + R"(
axes:
  a: {uniform: [0, 1]}
  b.c: {log_uniform: [1e-5, 1e-2]}
  d: {int: [-3, 3]}
search: {method: random, cells: 3, seed: 7}
)");
  Strings drawn;
  for (const RunSpec& run : e.runs) drawn.push_back(to_canonical_json(run.assignment));
  EXPECT_EQ(drawn, (Strings{R"({"a":0.531103,"b.c":0.0049981,"d":-3})",
                            R"({"a":0.0889676,"b.c":0.0000197448,"d":1})",
                            R"({"a":0.324001,"b.c":0.00062034,"d":3})"}));
  EXPECT_EQ(e.axis_sizes[0], (std::pair<std::string, std::size_t>{"a", 0}));
}

TEST(RandomSearch, AnAxisMayHaveAConditionAndAZipGroupIsDrawnAsOne) {
  const Expansion e = expand_text(kBase + R"(
axes:
  a: [0, 1]
  d: {int: [10, 1000], when: a = 1}
zip: {b.c: [5, 6]}
search: {method: random, cells: 20, seed: 1}
)");
  EXPECT_EQ(e.cells, 20U);
  for (const RunSpec& run : e.runs) {
    if (*run.assignment.find("a") == Value(1)) continue;
    EXPECT_EQ(*run.assignment.find("d"), Value(3));
  }
}

TEST(RandomSearch, ABlockMayHaveItsOwn) {
  const Expansion e = expand_text(kBase + R"(
axes: {a: [0, 1]}
blocks:
  - {name: wide, axes: {d: {int: [1, 100000]}}, search: {method: random, cells: 5}}
)");
  EXPECT_EQ(e.cells, 7U);
}

TEST(RandomSearch, MistakesHaveTheirPlace) {
  EXPECT_EQ(error_of({{"s.yaml", kGrid + "search: {method: rnadom, cells: 3}\n"}}),
            "s.yaml:7:18: there is no method \"rnadom\": expected one of grid, random, asha, "
            "median");
  EXPECT_EQ(error_of({{"s.yaml", kGrid + "search: {method: random}\n"}}),
            "s.yaml:7:9: a random search needs the key cells");
  EXPECT_EQ(error_of({{"s.yaml", kBase + "search: {method: random, cells: 3}\n"}}),
            "s.yaml:6:9: a random search needs axes or zip to draw from");
  EXPECT_EQ(error_of({{"s.yaml", kBase + "axes:\n  a: {uniform: [0, 1]}\n"}}),
            "s.yaml:7:3: a is a range: it needs search: {method: random, cells: N}");
  const auto range = [](const std::string& axis) {
    return error_of({{"s.yaml", kBase + random_search(3, 1) + "axes:\n  a: " + axis + "\n"}});
  };
  EXPECT_EQ(range("{uniform: [1, 1]}"),
            "s.yaml:8:16: the first end of a.uniform must be below the second");
  EXPECT_EQ(range("{log_uniform: [0, 1]}"),
            "s.yaml:8:20: the ends of a.log_uniform must be above 0");
  EXPECT_EQ(range("{int: [0, 1.5]}"), "s.yaml:8:12: the ends of a.int must be whole");
  EXPECT_EQ(range("{int: [0]}"), "s.yaml:8:12: a.int must be [low, high]");
  EXPECT_EQ(range("{int: [0, 1], uniform: [0, 1]}"), "s.yaml:8:20: a has two ranges");
  EXPECT_EQ(range("{int: [0, 1], values: [3]}"), "s.yaml:8:3: a has values and a range");
}

}  // namespace
}  // namespace strata
