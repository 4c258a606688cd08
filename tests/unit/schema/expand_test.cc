#include <gtest/gtest.h>

#include <algorithm>

#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "schema/sweep.h"
#include "tests/unit/schema/sweep_text.h"

namespace strata {
namespace {

TEST(Expand, WithoutAxesThereIsOneCell) {
  const Expansion e = expand_text(kBase);
  EXPECT_EQ(cells_of(e), Strings{"base"});
  ASSERT_EQ(e.tasks.size(), 2U);
  EXPECT_EQ(e.tasks[0].stage, "make");
  EXPECT_EQ(to_canonical_json(e.tasks[0].parameters), R"({"a":1,"b":{"c":2}})");
  EXPECT_EQ(to_canonical_json(e.tasks[1].parameters), R"({"d":3})");
  EXPECT_EQ(e.tasks[1].inputs, (std::vector<TaskInput>{{"x", e.tasks[0].key, "x"}}));
  EXPECT_EQ(e.runs[0].seed, 1U);
}

TEST(Expand, TheProductOfAxesVariesTheLastFastestThenComeTheCases) {
  const Expansion e = expand_text(kBase + R"(
axes: {a: [1, 2], d: [3, 4]}
zip: {b.c: [5, 6]}
cases:
  - set: {a: 9}
)");
  EXPECT_EQ(cells_of(e),
            (Strings{"a=1 d=3 c=5", "a=1 d=3 c=6", "a=1 d=4 c=5", "a=1 d=4 c=6", "a=2 d=3 c=5",
                     "a=2 d=3 c=6", "a=2 d=4 c=5", "a=2 d=4 c=6", "a=9 d=3 c=2"}));
  EXPECT_EQ(e.cells, 9U);
}

TEST(Expand, AZipGroupVariesTogether) {
  EXPECT_EQ(cells_of(expand_text(kBase + "zip:\n  - {a: [1, 2], d: [3, 4]}\n  - {b.c: [7, 8]}\n")),
            (Strings{"a=1 d=3 c=7", "a=1 d=3 c=8", "a=2 d=4 c=7", "a=2 d=4 c=8"}));
}

TEST(Expand, ACaseEqualToAGridPointIsThatPoint) {
  const Expansion e =
      expand_text(kBase + "axes: {a: [1, 2]}\ncases:\n  - set: {a: 2}\n  - set: {d: 3}\n");
  EXPECT_EQ(cells_of(e), (Strings{"a=1 d=3", "a=2 d=3"}));
  EXPECT_EQ(e.merged, 2U);
}

TEST(Expand, AConstraintDropsCellsAndSaysHowMany) {
  const Expansion e = expand_text(
      kBase + "axes: {a: [1, 2, 3], d: [1, 2, 3]}\nconstraints:\n  - a <= d\n  - a != 2\n");
  EXPECT_EQ(cells_of(e), (Strings{"a=1 d=1", "a=1 d=2", "a=1 d=3", "a=3 d=3"}));
  ASSERT_EQ(e.dropped.size(), 2U);
  EXPECT_EQ(e.dropped[0].constraint, "a <= d");
  EXPECT_EQ(e.dropped[0].cells, 3U);
  EXPECT_EQ(e.dropped[1].cells, 2U);
}

TEST(Expand, SeedsMultiplyOnlySeededStagesAndTheirConsumers) {
  const Expansion e = expand_text(
      "sweep: s\nbase: {a: 1}\nstages:\n  one: {program: p, reads: [a], outputs: [x]}\n"
      "  two: {program: q, inputs: {x: one.x}, outputs: [y], seeded: true}\n"
      "  three: {program: r, inputs: {y: two.y}}\n  four: {program: t, inputs: {x: one.x}}\nseeds: "
      "[3, 1, 2]\n");
  EXPECT_EQ(tasks_by_stage(e), (Counts{{"one", 1}, {"two", 3}, {"three", 3}, {"four", 1}}));
  ASSERT_EQ(e.runs.size(), 3U);
  EXPECT_EQ(e.runs[0].seed, 3U);
  EXPECT_EQ(e.runs[0].tasks.size(), 4U);
}

TEST(Expand, AStageThatReadsNothingThatVariesIsOneTask) {
  EXPECT_EQ(tasks_by_stage(expand_text(kBase + "axes: {d: [1, 2, 3]}\n")),
            (Counts{{"make", 1}, {"use", 3}}));
  EXPECT_EQ(tasks_by_stage(expand_text(kBase + "axes: {a: [1, 2, 3]}\n")),
            (Counts{{"make", 3}, {"use", 3}}));
}

TEST(Expand, WhenDropsStagesAndInputs) {
  const std::string text = R"(
sweep: s
base: {layer: 0, t: 1}
stages:
  extract: {program: e, reads: [t], outputs: [f], when: layer > 0}
  train: {program: t, reads: [layer], inputs: {f: {from: extract.f, when: layer > 0}}, outputs: [w]}
axes: {layer: [0, 4]}
)";
  const Expansion e = expand_text(text);
  EXPECT_EQ(tasks_by_stage(e), (Counts{{"extract", 1}, {"train", 2}}));
  EXPECT_EQ(e.runs[0].tasks.size(), 1U);
  EXPECT_EQ(e.runs[1].tasks.size(), 2U);
  std::string forgotten = text;
  forgotten.replace(forgotten.find("{from: extract.f, when: layer > 0}"), 34, "extract.f");
  EXPECT_EQ(error_of({{"s.yaml", forgotten}}),
            "sweep s: in cell \"layer=0\" stage train takes f from extract, which does not exist "
            "there: give the input a when");
}

TEST(Expand, CellsThatBecomeTheSameRunsAreMerged) {
  // With no tap, the teacher's layer decides nothing.
  const Expansion e = expand_text(R"(
sweep: s
base: {layer: 0, t: 1}
stages:
  extract: {program: e, reads: [t], outputs: [f], when: layer > 0}
  train: {program: t, reads: [layer], inputs: {f: {from: extract.f, when: layer > 0}}, outputs: [w]}
axes: {layer: [0, 4], t: [1, 2]}
)");
  EXPECT_EQ(cells_of(e), (Strings{"layer=0 t=1", "layer=4 t=1", "layer=4 t=2"}));
  EXPECT_EQ(e.cells, 3U);
  EXPECT_EQ(e.merged, 1U);
}

TEST(Expand, ALabelledCaseMayHaveItsOwnSeedsAndResources) {
  const std::string text = kBase +
                           "axes: {d: [1, 2]}\nseeds: [1, 2]\nbaseline: {d: 2}\ncases:\n  - label: "
                           "wide\n    set: {d: 2}\n    seeds: [7]\n"
                           "    resources: {use: {slots: 2, ranks: 2}}\n";
  const Expansion e = expand_text(text);
  ASSERT_EQ(e.runs.size(), 5U);
  EXPECT_EQ(e.runs[4].cell, "wide");
  EXPECT_EQ(e.runs[4].seed, 7U);
  EXPECT_FALSE(e.runs[4].baseline);
  EXPECT_TRUE(e.runs[3].baseline);
  EXPECT_EQ(e.tasks.back().resources.ranks, 2);
  EXPECT_EQ(e.tasks[1].resources.ranks, 0);
  std::string same = text;
  same.replace(same.find("[7]"), 3, "[1]");
  EXPECT_EQ(error_of({{"s.yaml", same}}),
            "sweep s: \"wide\" with seed 1 is the same run as one of \"d=2\": labels and resources "
            "decide no "
            "result; give it seeds of its own");
}

TEST(Expand, ResourcesRetriesAndLeasesChangeNoKey) {
  const Expansion a = expand_text(kBase);
  const Expansion b = expand_text(
      "sweep: other\nbase: {a: 1, b: {c: 2}, d: 3}\nstages:\n"
      "  make: {program: m, command: [python3, m.py], reads: [a, b.c], outputs: [x], resources: "
      "{slots: 3, labels: [gpu]}}\n"
      "  use: {program: u, reads: [d], inputs: {x: make.x}, outputs: [y], seeded: true, "
      "lease_seconds: 60, retry: {lost: 2}}\n");
  EXPECT_EQ(keys_of(a), keys_of(b));
  EXPECT_EQ(a.runs[0].key, b.runs[0].key);
}

TEST(Expand, EverythingThatDecidesAResultChangesTheKey) {
  const auto plain = expand_text(kBase);
  for (const auto& [from, to] :
       std::map<std::string, std::string>{{"d: 3", "d: 3.5"},
                                          {"program: u", "program: v"},
                                          {"program: u", "program: u, result_version: 2"},
                                          {"{x: make.x}", "{z: make.x}"},
                                          {"a: 1", "a: \"1\""},
                                          {"outputs: [x]}", "outputs: [x], result_version: 2}"}}) {
    std::string text = kBase;
    text.replace(text.find(from), from.size(), to);
    EXPECT_NE(expand_text(text).tasks[1].key, plain.tasks[1].key) << from << " -> " << to;
  }
  EXPECT_NE(expand_text(kBase + "seeds: [2]\n").tasks[1].key, plain.tasks[1].key);
}

TEST(Expand, SpellingChangesNoKey) {
  const std::string a =
      "sweep: s\nbase: {m: {lr: 1e-4, b: true, w: [1.0, 2], n: no}, z: 012}\nstages:\n  t: "
      "{program: p, reads: [m, z], seeded: true}\n";
  const std::string b =
      "# a comment\nstages:\n  t:\n    seeded: true\n    reads: [z, m]\n    program: \"p\"\n"
      "base:\n  z: 12\n  m.n: 'no'\n  m:\n    w: [1, 2.0]\n    b: true\n    lr: 0.0001\nsweep: "
      "another\ndescription: x\n";
  EXPECT_EQ(keys_of(expand_text(a)), keys_of(expand_text(b)));
}

TEST(Expand, AParameterWithItsNeutralValueIsSeenByTheProgramAndNotByTheKey) {
  const std::string old_text =
      "sweep: s\nbase: {a: {x: 1}}\nstages:\n  t: {program: p, reads: [a]}\n";
  const std::string new_text =
      "sweep: s\nbase: {a: {x: 1, more: {flag: false}}}\nneutral: {a.more.flag: false}\nstages:\n  "
      "t: {program: p, reads: [a]}\n";
  const Expansion before = expand_text(old_text);
  const Expansion after = expand_text(new_text);
  EXPECT_EQ(before.tasks[0].key, after.tasks[0].key);
  EXPECT_EQ(to_canonical_json(after.tasks[0].parameters), R"({"a":{"more":{"flag":false},"x":1}})");
  EXPECT_EQ(after.tasks[0].neutral, Strings{"a.more.flag"});
  std::string other = new_text;
  other.replace(other.find("flag: false"), 11, "flag: true ");
  EXPECT_NE(expand_text(other).tasks[0].key, after.tasks[0].key);
}

TEST(Expand, TheBaselineIsOneCell) {
  const std::string text = kBase + "axes: {a: [1, 2], d: [3, 4]}\n";
  const Expansion e = expand_text(text + "baseline: {a: 2, d: 3}\n");
  EXPECT_EQ(std::ranges::count_if(e.runs, [](const RunSpec& run) { return run.baseline; }), 1);
  EXPECT_EQ(error_of({{"s.yaml", text + "baseline: {a: 2}\n"}}),
            "sweep s: the baseline must be one cell, but \"a=2 d=3\" and \"a=2 d=4\" are both a=2: "
            "name more parameters in the key baseline");
  EXPECT_EQ(error_of({{"s.yaml", text + "baseline: {a: 7}\n"}}),
            "sweep s: no cell is the baseline, a=7: a is 1, 2 in the cells that there are");
  EXPECT_EQ(error_of({{"s.yaml", text + "constraints: [a < d - 1]\nbaseline: {a: 2, d: 3}\n"}}),
            "sweep s: no cell is the baseline, a=2 d=3: each of these values is there, but not all "
            "in one cell");
}

TEST(Expand, ABaselineThatAnAblationImpliesIsSaidToBeIts) {
  const std::string block =
      "blocks:\n  - name: b\n"
      "    ablation: {components: {tap: {d: 8}}, cells: [baseline, add_one]}\n";
  EXPECT_EQ(error_of({{"s.yaml", kBase + "axes: {a: [1, 2]}\n" + block}}),
            "sweep s: the baseline must be one cell, but \"a=1 d=3\" and \"a=2 d=3\" are both d=3: "
            "name more parameters in the key baseline (the file has none: an ablation's word "
            "baseline implies this one)");
}

TEST(Expand, ACellWithoutAnyStageIsRefused) {
  const std::string text = "sweep: s\nstages: {t: {program: p, reads: [a], when: a = 5}}\n";
  EXPECT_EQ(error_of({{"s.yaml", text + "base: {a: 0}\naxes: {a: [5, 1]}\n"}}),
            "sweep s: in cell \"a=1\" there is nothing to do: stage t only exists when a = 5. Drop "
            "the cell with a constraint, or change the condition");
  EXPECT_EQ(cells_of(expand_text(text + "base: {a: 0}\naxes: {a: [5]}\n")),
            (std::vector<std::string>{"a=5"}));
}

TEST(Expand, RefusesWhatIsTooLargeOrEmpty) {
  std::string many;
  for (int i = 0; i < 500; ++i) many += fmt::format("{}{}", i == 0 ? "" : ", ", i);
  EXPECT_EQ(error_of({{"s.yaml", kBase + fmt::format("axes: {{a: [{0}], d: [{0}]}}\n", many)}}),
            "sweep s: more than 200000 runs before constraints");
  EXPECT_EQ(error_of({{"s.yaml", kBase + "constraints: [a > 1]\n"}}),
            "sweep s: the constraints drop every cell: 1 by a > 1");
  EXPECT_EQ(error_of({{"s.yaml", kBase + "axes: {a: [1, 2, 3]}\nconstraints: [a > 1, d > 3]\n"}}),
            "sweep s: the constraints drop every cell: 1 by a > 1, 2 by d > 3");
}

TEST(Expand, ExpectedNumbersMustNameACell) {
  EXPECT_EQ(
      error_of({{"s.yaml", kBase + "axes: {a: [1, 2]}\nexpected:\n  cells: {a=3: {wer: 0.1}}\n"}}),
      "sweep s: expected names \"a=3\", but no cell is called so; the first is \"a=1\"");
}

TEST(Expand, FlopsAreEvaluatedInEachCell) {
  const Expansion e = expand_text(
      "sweep: s\nbase: {n: 2, k: 10}\nstages:\n  t: {program: p, reads: [n], flops: \"6 * n * "
      "k\"}\naxes: {n: [2, 3]}\n");
  EXPECT_EQ(e.tasks[0].flops, 120);
  EXPECT_EQ(e.tasks[1].flops, 180);
}

// The same content with its keys in another order.
std::string shuffled_yaml(const Value& value, Random& random) {
  if (const Object* object = value.if_object()) {
    std::vector<std::string> parts;
    for (const auto& [key, inner] : *object)
      parts.push_back(fmt::format("{}: {}", key, shuffled_yaml(inner, random)));
    for (std::size_t i = parts.size(); i > 1; --i)
      std::swap(parts[i - 1], parts[random.bounded(i)]);
    return fmt::format("{{{}}}", fmt::join(parts, ", "));
  }
  if (const Number* number = value.if_number()) {
    const auto integer = number->to_integer();
    switch (integer ? random.bounded(4) : 3) {
      case 0: return fmt::format("{}.0", number->text());
      case 1: return fmt::format("{}0e-1", number->text());
      case 2: return fmt::format("{}e0", number->text());
      default: return number->text();
    }
  }
  return to_canonical_json(value);
}

TEST(KeyProperty, TheOrderAndSpellingOfABaseChangesNoKey) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    Value base = Object{};
    for (std::uint64_t n = 1 + random.bounded(12); n > 0; --n) {
      const std::string name = fmt::format("k{}.p{}", random.bounded(3), random.bounded(5));
      Value value = random.bounded(2) == 0
                        ? Value(static_cast<std::int64_t>(random.bounded(1000)) - 500)
                        : Value(fmt::format("t{}", random.bounded(9)));
      ASSERT_TRUE(base.set(name, std::move(value)));
    }
    std::string reads;
    for (const auto& [key, value] : *base.if_object()) reads += (reads.empty() ? "" : ", ") + key;
    const auto text = [&] {
      return fmt::format("sweep: s\nbase: {}\nstages: {{t: {{program: p, reads: [{}]}}}}\n",
                         shuffled_yaml(base, random), reads);
    };
    EXPECT_EQ(keys_of(expand_text(text())), keys_of(expand_text(text()))) << seed;
  }
}

}  // namespace
}  // namespace strata
