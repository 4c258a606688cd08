// What makes cells beyond one product: conditional axes, the shapes of an ablation, blocks.
#include <gtest/gtest.h>

#include "schema/ablation.h"
#include "tests/unit/schema/sweep_text.h"

namespace strata {
namespace {

// Two stages that read a, b.c and d, like kBase, and a seed.
const std::string kSeeded = R"(
sweep: s
base: {a: 1, b: {c: 2}, d: 3}
stages:
  make: {program: p, reads: [a, b, d], outputs: [x], seeded: true}
)";

std::vector<std::pair<std::string, std::uint64_t>> runs_of(const Expansion& e) {
  std::vector<std::pair<std::string, std::uint64_t>> out;
  for (const RunSpec& run : e.runs) out.emplace_back(run.cell, run.seed);
  return out;
}

TEST(ConditionalAxis, VariesOnlyWhereItsConditionHolds) {
  const Expansion e = expand_text(kBase + R"(
axes:
  a: [0, 4]
  d: {values: [7, 8], when: a > 0}
)");
  EXPECT_EQ(cells_of(e), (Strings{"a=0 d=3", "a=4 d=7", "a=4 d=8"}));
  EXPECT_EQ(e.merged, 0U) << "what does not vary is not made twice and then merged";
}

TEST(ConditionalAxis, MayStandBeforeOthersAndInsideTheirProduct) {
  const Expansion e = expand_text(kBase + R"(
axes:
  a: [0, 4]
  d: {values: [7, 8], when: a > 0 and b.c = 2}
zip: {b.c: [5, 6]}
)");
  EXPECT_EQ(cells_of(e), (Strings{"a=0 d=3 c=5", "a=0 d=3 c=6", "a=4 d=7 c=5", "a=4 d=7 c=6",
                                  "a=4 d=8 c=5", "a=4 d=8 c=6"}))
      << "b.c is 2 when the condition is tested: zip groups come after the axes";
}

TEST(ConditionalAxis, MayNotAskForWhatIsSetLater) {
  EXPECT_EQ(error_of({{"s.yaml", kBase + "axes:\n  d: {values: [7], when: a > 0}\n  a: [1]\n"}}),
            "s.yaml:7:26: d.when: a is not set yet: write its axis before this one");
}

TEST(ConditionalAxis, MistakesAreNamedInTheirPlace) {
  EXPECT_EQ(error_of({{"s.yaml", kBase + "axes:\n  d: {when: a > 0}\n"}}),
            "s.yaml:7:3: d needs the key values");
  EXPECT_NE(error_of({{"s.yaml", kBase + "axes:\n  d: {values: [7], if: a > 0}\n"}}).find("7:20"),
            std::string::npos);
  EXPECT_NE(error_of({{"s.yaml", kBase + "axes:\n  d: {values: [7], when: e > 0}\n"}})
                .find("there is no parameter e"),
            std::string::npos);
}

TEST(Ablation, WordsStandForCells) {
  const std::string components =
      "baseline: {a: 0}\nablation:\n  components: {one: {a: 5}, two: {b.c: 6}, three: {d: 7}}\n";
  const auto cells = [&](const std::string& words) {
    return cells_of(expand_text(kBase + components + "  cells: [" + words + "]\n"));
  };
  EXPECT_EQ(cells("baseline, add_one"),
            (Strings{"a=0 c=2 d=3", "a=5 c=2 d=3", "a=0 c=6 d=3", "a=0 c=2 d=7"}));
  EXPECT_EQ(cells("baseline, pairs"),
            (Strings{"a=0 c=2 d=3", "a=5 c=6 d=3", "a=5 c=2 d=7", "a=0 c=6 d=7"}));
  EXPECT_EQ(cells("all, leave_one_out, baseline"),
            (Strings{"a=5 c=6 d=7", "a=0 c=6 d=7", "a=5 c=2 d=7", "a=5 c=6 d=3", "a=0 c=2 d=3"}));
}

TEST(Ablation, WithoutABaselineItStartsFromBaseAndThatCellIsTheBaseline) {
  const Expansion e = expand_text(
      kBase + "ablation:\n  components: {one: {a: 5}, two: {d: 7}}\n  cells: [baseline, all]\n");
  ASSERT_EQ(cells_of(e), (Strings{"a=1 d=3", "a=5 d=7"}));
  EXPECT_TRUE(e.runs[0].baseline);
  EXPECT_FALSE(e.runs[1].baseline);
}

TEST(Ablation, ABaselineNeedNotNameWhatComponentsSet) {
  const Expansion e =
      expand_text(kBase +
                  "baseline: {b.c: 8}\nablation:\n  components: {one: {a: 5}, two: {d: 7}}\n"
                  "  cells: [baseline, add_one]\n");
  ASSERT_EQ(cells_of(e), (Strings{"c=8 a=1 d=3", "c=8 a=5 d=3", "c=8 a=1 d=7"}));
  EXPECT_TRUE(e.runs[0].baseline);
  EXPECT_FALSE(e.runs[1].baseline);
}

TEST(Ablation, WhatItsBlockSetsStandsInAllOfItsCells) {
  const std::string text =
      "sweep: s\nbase: {depth: 2, text: 0}\nstages: {t: {program: p, reads: [depth, text]}}\n"
      "baseline: {depth: 4, text: 0}\ncases: [{set: {depth: 4}}]\n"
      "blocks:\n  - name: deep\n    set: {depth: 6}\n"
      "    ablation: {components: {tap: {text: 8}}, cells: [baseline, add_one]}\n";
  const Expansion e = expand_text(text);
  EXPECT_EQ(cells_of(e), (Strings{"depth=4 text=0", "depth=6 text=0", "depth=6 text=8"}));
  EXPECT_TRUE(e.runs[0].baseline);
  EXPECT_FALSE(e.runs[1].baseline) << "its depth is another";
}

TEST(Ablation, AMapThatItsBlockSetsIsMergedWithTheBaselineKeyByKey) {
  const std::string text =
      "sweep: s\nbase: {m: {depth: 2, width: 1}, text: 0}\n"
      "stages: {t: {program: p, reads: [m, text]}}\n"
      "baseline: {m.width: 8, text: 0}\ncases: [{set: {m.width: 8}}]\n"
      "blocks:\n  - name: deep\n    set: {m: {depth: 6}}\n"
      "    ablation: {components: {tap: {text: 8}}, cells: [add_one]}\n";
  const Expansion e = expand_text(text);
  ASSERT_EQ(e.runs.size(), 2U);
  EXPECT_EQ(*e.runs[1].assignment.find("m.depth"), Value(6));
  EXPECT_EQ(*e.runs[1].assignment.find("m.width"), Value(8));
}

TEST(Ablation, ShapesThatMeetAreOneCell) {
  const Expansion e = expand_text(kBase +
                                  "ablation:\n  components: {one: {a: 5}, two: {d: 7}}\n"
                                  "  cells: [add_one, leave_one_out, pairs, all]\n");
  EXPECT_EQ(cells_of(e), (Strings{"a=5 d=3", "a=1 d=7", "a=5 d=7"}));
  EXPECT_EQ(e.merged, 3U);
}

TEST(Ablation, MistakesAreNamedInTheirPlace) {
  const auto error = [](const std::string& ablation) {
    return error_of({{"s.yaml", kBase + "ablation:\n" + ablation}});
  };
  EXPECT_EQ(error("  components: {one: {a: 5}}\n  cells: [add_two]\n"),
            "s.yaml:8:11: \"add_two\" is no shape of an ablation: expected baseline, add_one, "
            "pairs, leave_one_out, all");
  EXPECT_EQ(error("  components: {one: {a: 5}, two: {a: 6}}\n  cells: [all]\n"),
            "s.yaml:7:35: a is set by another component, at 7:22: components are switched on "
            "together");
  EXPECT_EQ(error("  components: {one: {}}\n  cells: [all]\n"),
            "s.yaml:7:16: component one sets nothing");
  EXPECT_EQ(error("  cells: [all]\n"), "s.yaml:7:3: ablation needs the keys components and cells");
}

TEST(Ablation, OfNComponentsHasTheCountsOfItsNames) {
  std::vector<Component> components;
  for (int i = 0; i < 10; ++i) {
    const std::string name = "p" + std::to_string(i);
    components.push_back({.name = name, .set = {{name, Value(1)}}});
  }
  const auto count = [&](AblationShape shape) { return cases_of({}, components, {shape}).size(); };
  EXPECT_EQ(count(AblationShape::kBaseline), 1U);
  EXPECT_EQ(count(AblationShape::kAddOne), 10U);
  EXPECT_EQ(count(AblationShape::kPairs), 45U);
  EXPECT_EQ(count(AblationShape::kLeaveOneOut), 10U);
  EXPECT_EQ(count(AblationShape::kAll), 1U);
}

TEST(Blocks, AreSweptOneAfterTheOtherEachOverItsOwnSettings) {
  const Expansion e = expand_text(kBase + R"(
axes: {a: [1, 2]}
blocks:
  - name: deep
    set: {b.c: 9}
    axes: {d: [4, 5]}
  - name: written out
    cases:
      - set: {a: 7}
)");
  EXPECT_EQ(cells_of(e),
            (Strings{"a=1 c=2 d=3", "a=2 c=2 d=3", "a=1 c=9 d=4", "a=1 c=9 d=5", "a=7 c=2 d=3"}));
}

TEST(Blocks, WithoutCellsAtTheTopOfTheFileThereAreOnlyTheirs) {
  EXPECT_EQ(cells_of(expand_text(kBase + "blocks:\n  - name: one\n    axes: {a: [1, 2]}\n")),
            (Strings{"a=1", "a=2"}));
}

TEST(Blocks, HaveConstraintsAndSeedsOfTheirOwn) {
  const Expansion e = expand_text(kSeeded + R"(
seeds: [1, 2]
constraints: [a != 3]
axes: {a: [1, 3]}
blocks:
  - name: more
    seeds: [7]
    axes: {d: [4, 5, 6]}
    constraints: [d < 6]
)");
  EXPECT_EQ(runs_of(e), (std::vector<std::pair<std::string, std::uint64_t>>{
                            {"a=1 d=3", 1}, {"a=1 d=3", 2}, {"a=1 d=4", 7}, {"a=1 d=5", 7}}));
  ASSERT_EQ(e.dropped.size(), 2U);
  EXPECT_EQ(e.dropped[0].constraint, "a != 3");
  EXPECT_EQ(e.dropped[0].cells, 1U);
  EXPECT_EQ(e.dropped[1].constraint, "d < 6");
  EXPECT_EQ(e.dropped[1].cells, 1U);
}

TEST(Blocks, ACellThatSeveralMakeHasTheSeedsOfAll) {
  const Expansion e = expand_text(kSeeded + R"(
seeds: [1]
axes: {a: [1, 2]}
blocks:
  - name: again, with more seeds
    seeds: [1, 2, 3]
    cases:
      - set: {a: 2}
)");
  EXPECT_EQ(runs_of(e), (std::vector<std::pair<std::string, std::uint64_t>>{
                            {"a=1", 1}, {"a=2", 1}, {"a=2", 2}, {"a=2", 3}}));
  EXPECT_EQ(e.merged, 1U);
}

TEST(Blocks, AnUnlabelledCaseWithSeedsOfItsOwnAddsThemToTheGridPoint) {
  const Expansion e =
      expand_text(kSeeded + "axes: {a: [1, 2]}\ncases:\n  - {set: {a: 2}, seeds: [4, 5]}\n");
  EXPECT_EQ(runs_of(e), (std::vector<std::pair<std::string, std::uint64_t>>{
                            {"a=1", 1}, {"a=2", 1}, {"a=2", 4}, {"a=2", 5}}));
}

TEST(Baseline, MayBeSeveralCellsThatAreTheSameRuns) {
  const std::string text = R"(
sweep: s
base: {kind: none, layer: 1}
stages:
  extract: {program: e, reads: [layer], outputs: [f], when: kind != none}
  train: {program: t, reads: [kind], inputs: {f: {from: extract.f, when: kind != none}}}
axes: {kind: [none, l2], layer: [3, 4]}
)";
  for (const char* baseline : {"{kind: none}", "{kind: none, layer: 4}"}) {
    const Expansion e = expand_text(text + "baseline: " + baseline + "\n");
    ASSERT_EQ(cells_of(e), (Strings{"kind=none layer=3", "kind=l2 layer=3", "kind=l2 layer=4"}));
    EXPECT_TRUE(e.runs[0].baseline) << baseline;
    EXPECT_FALSE(e.runs[1].baseline || e.runs[2].baseline) << baseline;
  }
  EXPECT_NE(error_of({{"s.yaml", text + "baseline: {kind: l2}\n"}}).find("must be one cell"),
            std::string::npos);
}

TEST(Axes, MayVaryAParameterCalledLikeAWordOfTheLanguage) {
  EXPECT_EQ(cells_of(expand_text("sweep: s\nbase: {cases: 0, lr: 0}\nstages:\n"
                                 "  make: {program: p, reads: [cases, lr]}\n"
                                 "axes: {cases: [1, 2, 3], lr: [5, 6]}\n"))
                .size(),
            6U);
}

TEST(Blocks, ACellDroppedInOneIsMadeByAnother) {
  const Expansion e = expand_text(kBase + R"(
blocks:
  - name: one
    axes: {a: [1, 2]}
    constraints: [a < 2]
  - name: two
    axes: {a: [2, 3]}
)");
  EXPECT_EQ(cells_of(e), (Strings{"a=1", "a=2", "a=3"}));
}

TEST(Blocks, MistakesAreNamedInTheirPlace) {
  const auto error = [](const std::string& blocks) {
    return error_of({{"s.yaml", kBase + "blocks:\n" + blocks}});
  };
  EXPECT_EQ(error("  - axes: {a: [1]}\n"), "s.yaml:7:5: a block needs the key name");
  EXPECT_EQ(error("  - {name: x, axes: {a: [1]}}\n  - {name: x, axes: {a: [2]}}\n"),
            "s.yaml:8:12: there is a block x already");
  EXPECT_EQ(error("  - {name: x, set: {a: 2}, axes: {a: [1]}}\n"),
            "s.yaml:7:35: a varies already: a at 7:21");
  EXPECT_EQ(error("  - {name: x, axes: {e: [1]}}\n"),
            "s.yaml:7:22: no stage reads e: it would change nothing");
}

TEST(Blocks, TheLimitOfRunsCountsAllOfThem) {
  std::string values = "0";
  for (int i = 1; i < 400; ++i) values += ", " + std::to_string(i);
  const std::string block = "axes: {a: [" + values + "], d: [" + values + "]}";
  EXPECT_NE(error_of({{"s.yaml", kBase + "blocks:\n  - {name: x, " + block + "}\n  - {name: y, " +
                                     block + "}\n"}})
                .find("more than 200000 runs before constraints"),
            std::string::npos);
}

}  // namespace
}  // namespace strata
