#include "schema/sweep.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/files.h"
#include "base/json.h"
#include "base/random.h"

namespace strata {
namespace {

// Files by name; a sweep is read from "s.yaml".
using Files = std::map<std::string, std::string>;

Result<SweepDefinition> read(const Files& files) {
  return read_sweep("s.yaml", [&](const std::string& path) -> Result<std::string> {
    const auto it = files.find(path);
    if (it == files.end()) return fail(ErrorCode::kNotFound, "there is no file {}", path);
    return it->second;
  });
}

std::string error_of(const Files& files) {
  const auto definition = read(files);
  if (!definition) return definition.error().message;
  const auto expansion = expand(*definition);
  return expansion ? "no error" : expansion.error().message;
}

Expansion expand_text(const std::string& text, Files files = {}) {
  files["s.yaml"] = text;
  const auto definition = read(files);
  EXPECT_TRUE(definition) << definition.error().message;
  if (!definition) return {};
  auto expansion = expand(*definition);
  EXPECT_TRUE(expansion) << expansion.error().message;
  return expansion ? *expansion : Expansion{};
}

std::vector<std::string> cells_of(const Expansion& expansion) {
  std::vector<std::string> cells;
  for (const RunSpec& run : expansion.runs) {
    if (cells.empty() || cells.back() != run.cell) cells.push_back(run.cell);
  }
  return cells;
}

std::map<std::string, int> tasks_by_stage(const Expansion& expansion) {
  std::map<std::string, int> count;
  for (const TaskSpec& task : expansion.tasks) ++count[task.stage];
  return count;
}

std::vector<std::string> keys_of(const Expansion& expansion) {
  std::vector<std::string> keys;
  for (const TaskSpec& task : expansion.tasks) keys.push_back(task.key.hex());
  std::ranges::sort(keys);
  return keys;
}

using Strings = std::vector<std::string>;
using Counts = std::map<std::string, int>;

// Two stages: `make` reads a and b.c, `use` reads d, is seeded, and takes what `make` makes.
const std::string kStages = R"(stages:
  make: {program: m, reads: [a, b.c], outputs: [x]}
  use: {program: u, reads: [d], inputs: {x: make.x}, outputs: [y], seeded: true}
)";
const std::string kBase = "sweep: s\nbase: {a: 1, b: {c: 2}, d: 3}\n" + kStages;

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
  EXPECT_EQ(cells_of(e), (Strings{"a=1 d=3 c=5", "a=1 d=3 c=6", "a=1 d=4 c=5", "a=1 d=4 c=6", "a=2 d=3 c=5", "a=2 d=3 c=6", "a=2 d=4 c=5",
                                  "a=2 d=4 c=6", "a=9 d=3 c=2"}));
  EXPECT_EQ(e.cells, 9U);
}

TEST(Expand, AZipGroupVariesTogether) {
  EXPECT_EQ(cells_of(expand_text(kBase + "zip:\n  - {a: [1, 2], d: [3, 4]}\n  - {b.c: [7, 8]}\n")),
            (Strings{"a=1 d=3 c=7", "a=1 d=3 c=8", "a=2 d=4 c=7", "a=2 d=4 c=8"}));
}

TEST(Expand, ACaseEqualToAGridPointIsThatPoint) {
  const Expansion e = expand_text(kBase + "axes: {a: [1, 2]}\ncases:\n  - set: {a: 2}\n  - set: {d: 3}\n");
  EXPECT_EQ(cells_of(e), (Strings{"a=1 d=3", "a=2 d=3"}));
  EXPECT_EQ(e.merged, 2U);
}

TEST(Expand, AConstraintDropsCellsAndSaysHowMany) {
  const Expansion e = expand_text(kBase + "axes: {a: [1, 2, 3], d: [1, 2, 3]}\nconstraints:\n  - a <= d\n  - a != 2\n");
  EXPECT_EQ(cells_of(e), (Strings{"a=1 d=1", "a=1 d=2", "a=1 d=3", "a=3 d=3"}));
  ASSERT_EQ(e.dropped.size(), 2U);
  EXPECT_EQ(e.dropped[0].constraint, "a <= d");
  EXPECT_EQ(e.dropped[0].cells, 3U);
  EXPECT_EQ(e.dropped[1].cells, 2U);
}

TEST(Expand, SeedsMultiplyOnlySeededStagesAndTheirConsumers) {
  const Expansion e = expand_text("sweep: s\nbase: {a: 1}\nstages:\n  one: {program: p, reads: [a], outputs: [x]}\n"
                                  "  two: {program: q, inputs: {x: one.x}, outputs: [y], seeded: true}\n"
                                  "  three: {program: r, inputs: {y: two.y}}\n  four: {program: t, inputs: {x: one.x}}\nseeds: [3, 1, 2]\n");
  EXPECT_EQ(tasks_by_stage(e), (Counts{{"one", 1}, {"two", 3}, {"three", 3}, {"four", 1}}));
  ASSERT_EQ(e.runs.size(), 3U);
  EXPECT_EQ(e.runs[0].seed, 3U);
  EXPECT_EQ(e.runs[0].tasks.size(), 4U);
}

TEST(Expand, AStageThatReadsNothingThatVariesIsOneTask) {
  EXPECT_EQ(tasks_by_stage(expand_text(kBase + "axes: {d: [1, 2, 3]}\n")), (Counts{{"make", 1}, {"use", 3}}));
  EXPECT_EQ(tasks_by_stage(expand_text(kBase + "axes: {a: [1, 2, 3]}\n")), (Counts{{"make", 3}, {"use", 3}}));
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
            "sweep s: in cell \"layer=0\" stage train takes f from extract, which does not exist there: give the input a when");
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
  const std::string text = kBase + "axes: {d: [1, 2]}\nseeds: [1, 2]\nbaseline: {d: 2}\ncases:\n  - label: wide\n    set: {d: 2}\n    seeds: [7]\n"
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
  EXPECT_EQ(error_of({{"s.yaml", same}}), "sweep s: \"wide\" with seed 1 is the same run as one of \"d=2\": labels and resources decide no "
                                          "result; give it seeds of its own");
}

TEST(Expand, ResourcesRetriesAndLeasesChangeNoKey) {
  const Expansion a = expand_text(kBase);
  const Expansion b = expand_text("sweep: other\nbase: {a: 1, b: {c: 2}, d: 3}\nstages:\n"
                                  "  make: {program: m, command: [python3, m.py], reads: [a, b.c], outputs: [x], resources: {slots: 3, labels: [gpu]}}\n"
                                  "  use: {program: u, reads: [d], inputs: {x: make.x}, outputs: [y], seeded: true, lease_seconds: 60, retry: {lost: 2}}\n");
  EXPECT_EQ(keys_of(a), keys_of(b));
  EXPECT_EQ(a.runs[0].key, b.runs[0].key);
}

TEST(Expand, EverythingThatDecidesAResultChangesTheKey) {
  const auto plain = expand_text(kBase);
  for (const auto& [from, to] : std::map<std::string, std::string>{
           {"d: 3", "d: 3.5"}, {"program: u", "program: v"}, {"program: u", "program: u, result_version: 2"}, {"{x: make.x}", "{z: make.x}"},
           {"a: 1", "a: \"1\""}, {"outputs: [x]}", "outputs: [x], result_version: 2}"}}) {
    std::string text = kBase;
    text.replace(text.find(from), from.size(), to);
    EXPECT_NE(expand_text(text).tasks[1].key, plain.tasks[1].key) << from << " -> " << to;
  }
  EXPECT_NE(expand_text(kBase + "seeds: [2]\n").tasks[1].key, plain.tasks[1].key);
}

TEST(Expand, SpellingChangesNoKey) {
  const std::string a = "sweep: s\nbase: {m: {lr: 1e-4, b: true, w: [1.0, 2], n: no}, z: 012}\nstages:\n  t: {program: p, reads: [m, z], seeded: true}\n";
  const std::string b = "# a comment\nstages:\n  t:\n    seeded: true\n    reads: [z, m]\n    program: \"p\"\n"
                        "base:\n  z: 12\n  m.n: 'no'\n  m:\n    w: [1, 2.0]\n    b: true\n    lr: 0.0001\nsweep: another\ndescription: x\n";
  EXPECT_EQ(keys_of(expand_text(a)), keys_of(expand_text(b)));
}

TEST(Expand, AParameterWithItsNeutralValueIsSeenByTheProgramAndNotByTheKey) {
  const std::string old_text = "sweep: s\nbase: {a: {x: 1}}\nstages:\n  t: {program: p, reads: [a]}\n";
  const std::string new_text = "sweep: s\nbase: {a: {x: 1, more: {flag: false}}}\nneutral: {a.more.flag: false}\nstages:\n  t: {program: p, reads: [a]}\n";
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
            "sweep s: the baseline must be one cell, but \"a=2 d=3\" and \"a=2 d=4\" both match: name more parameters");
  EXPECT_EQ(error_of({{"s.yaml", text + "baseline: {a: 7}\n"}}), "sweep s: no cell is the baseline");
}

TEST(Expand, RefusesWhatIsTooLargeOrEmpty) {
  std::string many;
  for (int i = 0; i < 500; ++i) many += fmt::format("{}{}", i == 0 ? "" : ", ", i);
  EXPECT_EQ(error_of({{"s.yaml", kBase + fmt::format("axes: {{a: [{0}], d: [{0}]}}\n", many)}}), "sweep s: more than 200000 runs before constraints");
  EXPECT_EQ(error_of({{"s.yaml", kBase + "constraints: [a > 1]\n"}}), "sweep s: the constraints drop every cell");
}

TEST(Expand, ExpectedNumbersMustNameACell) {
  EXPECT_EQ(error_of({{"s.yaml", kBase + "axes: {a: [1, 2]}\nexpected:\n  cells: {a=3: {wer: 0.1}}\n"}}),
            "sweep s: expected names \"a=3\", but no cell is called so; the first is \"a=1\"");
}

TEST(Expand, FlopsAreEvaluatedInEachCell) {
  const Expansion e = expand_text("sweep: s\nbase: {n: 2, k: 10}\nstages:\n  t: {program: p, reads: [n], flops: \"6 * n * k\"}\naxes: {n: [2, 3]}\n");
  EXPECT_EQ(e.tasks[0].flops, 120);
  EXPECT_EQ(e.tasks[1].flops, 180);
}

// ---- models ----

const std::string kCatalogue = R"({"catalogue": 1, "models": [
 {"name": "small", "role": "asr", "family": "w", "exporter_version": 1, "settings": {"width": 4}, "sources": [{"sha256": "%A"}]},
 {"name": "big", "role": "asr", "family": "w", "exporter_version": 1, "settings": {"width": 8}, "sources": [{"sha256": "%B"}]},
 {"name": "other", "role": "asr", "family": "o", "exporter_version": 2, "settings": {}, "sources": [{"sha256": "%B"}, {"sha256": "%A"}]}]})";

std::string catalogue() {
  std::string text = kCatalogue;
  for (const auto& [mark, digit] : std::map<std::string, char>{{"%A", 'a'}, {"%B", 'b'}}) {
    for (std::size_t at = 0; (at = text.find(mark)) != std::string::npos;) text.replace(at, 2, std::string(64, digit));
  }
  return text;
}

const std::string kModels = R"(
sweep: s
models: lists/c.json
teachers: [teacher]
judges: [judges]
base:
  teacher: !model small
  teacher.layer: 4
  judges: {asr: !model other}
stages:
  t: {program: p, reads: [teacher, judges]}
)";

TEST(Models, AModelStandsForItsNameAndIdentity) {
  const Expansion e = expand_text(kModels, {{"lists/c.json", catalogue()}});
  // sha256 of {"exporter_version":1,"settings":{"width":4},"sources":["aaa..."]}, computed with Python's hashlib.
  EXPECT_EQ(*e.tasks[0].parameters.find("teacher.identity")->if_string(), "55676162804bbf327ff473f869c2b5176a2bb92039355e729862e36264b41c6b");
  EXPECT_EQ(*e.tasks[0].parameters.find("teacher.name")->if_string(), "small");
  EXPECT_EQ(*e.tasks[0].parameters.find("teacher.layer")->if_number()->to_integer(), 4);
}

TEST(Models, AnAxisOfModelsKeepsWhatLiesBesideNameAndIdentity) {
  const Expansion e = expand_text(kModels + "axes:\n  teacher: [!model small, !model big]\n  teacher.layer: [1, 2]\n", {{"lists/c.json", catalogue()}});
  ASSERT_EQ(e.tasks.size(), 4U);
  EXPECT_EQ(*e.tasks[3].parameters.find("teacher.layer")->if_number()->to_integer(), 2);
  EXPECT_EQ(*e.tasks[3].parameters.find("teacher.name")->if_string(), "big");
}

TEST(Models, AnUnknownOneIsAnErrorThatListsTheKnown) {
  std::string text = kModels;
  text.replace(text.find("small"), 5, "smoll");
  EXPECT_EQ(error_of({{"s.yaml", text}, {"lists/c.json", catalogue()}}), "s.yaml:7:12: lists/c.json has no model \"smoll\": expected one of big, other, small");
  EXPECT_EQ(error_of({{"s.yaml", kModels}}), "s.yaml:3:9: reading the catalogue of models: there is no file lists/c.json");
  EXPECT_EQ(error_of({{"s.yaml", "sweep: s\nbase: {a: !model x}\nstages: {t: {program: p, reads: [a]}}\n"}}),
            "s.yaml:2:11: !model x needs a catalogue: name it with models: PATH");
}

TEST(Models, AJudgeOfTheTeachersFamilyIsRefusedUnlessAllowedByName) {
  std::string text = kModels;
  text.replace(text.find("!model other"), 12, "!model big");
  const Files files{{"lists/c.json", catalogue()}};
  EXPECT_EQ(error_of({{"s.yaml", text}, {"lists/c.json", catalogue()}}),
            "s.yaml:9:17: the judge big and the teacher small (s.yaml:7:12) are both w: a model must not judge what it taught; choose another, or "
            "write allow_judge_as_teacher: [w]");
  EXPECT_EQ(expand_text(text + "allow_judge_as_teacher: [w]\n", files).judge_as_teacher, Strings{"w"});
  EXPECT_TRUE(expand_text(kModels, files).judge_as_teacher.empty());
}

// ---- a pipeline and a sweep over it ----

const Files kPipeline{{"p/pipe.yaml", R"(
pipeline: pipe
base: {corpus: null, model: {dim: 8, depth: 2}, judges: {a: 1}, folder: x}
open: [judges]
stages:
  train: {program: t, command: [sh, "{folder}/t.sh"], reads: [corpus, model, judges, folder], outputs: [w], resources: {slots: 2}}
table: {scores: [wer]}
)"}};

Files over_pipeline(const std::string& text) {
  Files files = kPipeline;
  files["s.yaml"] = "sweep: s\npipeline: p/pipe.yaml\n" + text;
  return files;
}

TEST(Pipeline, TheSweepIsLaidOverIt) {
  const auto definition = read(over_pipeline("base: {corpus: {kind: k}, model.depth: 3, judges: {b: 2}}\nstages: {train: {resources: {threads: 4}, result_version: 2}}\n"));
  ASSERT_TRUE(definition) << definition.error().message;
  EXPECT_EQ(to_canonical_json(definition->base), R"({"corpus":{"kind":"k"},"folder":"x","judges":{"a":1,"b":2},"model":{"depth":3,"dim":8}})");
  EXPECT_EQ(definition->stages[0].program.argv, (Strings{"sh", "p/t.sh"}));
  EXPECT_EQ(definition->stages[0].program.result_version, 2);
  EXPECT_EQ(definition->stages[0].resources.slots, 1);  // a field is replaced whole
  EXPECT_EQ(definition->table.scores, Strings{"wer"});
}

TEST(Pipeline, ASweepSetsOnlyWhatThePipelineHas) {
  EXPECT_EQ(error_of(over_pipeline("base:\n  model: {dpeth: 3}\n")), "s.yaml:4:11: the pipeline has no parameter model.dpeth, did you mean model.depth?");
  EXPECT_EQ(error_of(over_pipeline("axes:\n  model.width: [3]\n")), "s.yaml:4:3: the pipeline has no parameter model.width");
  EXPECT_EQ(error_of(over_pipeline("base: {model: 3}\n")), "s.yaml:3:8: model is a map in the pipeline: set what is in it");
  EXPECT_EQ(error_of(over_pipeline("base: {extra: 3}\nstages: {more: {program: m, reads: [extra]}}\n")), "no error");
}

TEST(Pipeline, AMissingFileIsAnErrorWhereItIsNamed) {
  EXPECT_EQ(error_of({{"s.yaml", "sweep: s\npipeline: nowhere.yaml\n"}}), "s.yaml:2:11: there is no file nowhere.yaml");
}

// ---- errors ----

TEST(SweepErrors, NameFileLineColumnAndWhatWasExpected) {
  const auto error = [](const std::string& text) { return error_of({{"s.yaml", text}}); };
  EXPECT_EQ(error(""), "s.yaml:1:1: the file is empty");
  EXPECT_EQ(error("- a\n"), "s.yaml:1:1: the file must be a map, not a list");
  EXPECT_EQ(error("base: {}\n"), "s.yaml:1:1: the key sweep is missing: it names the sweep");
  EXPECT_EQ(error("sweep: A b\n"), "s.yaml:1:8: \"A b\" is no name of a sweep: expected small letters, digits and -, at most 64");
  EXPECT_EQ(error("sweep: s\naxis: {}\n"), "s.yaml:2:1: unknown key axis, did you mean axes? expected one of sweep, description, pipeline, models, base, "
                                           "neutral, open, teachers, judges, axes, zip, cases, constraints, seeds, baseline, stages, table, expected, "
                                           "priority, allow_judge_as_teacher");
  EXPECT_EQ(error("sweep: s\n"), "s.yaml:1:1: the sweep has no stages: name a pipeline, or write stages");
  EXPECT_EQ(error("sweep: s\nsweep: t\n"), "s.yaml:2:1: the key sweep stands here for the second time; the first is at 1:1");
  EXPECT_EQ(error(kBase + "seeds: [1, 1]\n"), "s.yaml:6:12: the seed 1 stands here twice");
  EXPECT_EQ(error(kBase + "seeds: [1.5]\n"), "s.yaml:6:9: a seed must be a whole number from 0 to 9223372036854775807, not 1.5");
  EXPECT_EQ(error(kBase + "seeds: 3\n"), "s.yaml:6:8: seeds must be a list, not a number");
  EXPECT_EQ(error(kBase + "axes: {a: 3}\n"), "s.yaml:6:11: the values of a must be a list, not a number");
  EXPECT_EQ(error(kBase + "axes: {a: []}\n"), "s.yaml:6:11: a has no values");
  EXPECT_EQ(error(kBase + "axes: {e: [1]}\n"), "s.yaml:6:8: no stage reads e: it would change nothing");
  EXPECT_EQ(error(kBase + "cases: [{set: {b.e: 1}}]\n"), "s.yaml:6:16: no stage reads b.e: it would change nothing");
  EXPECT_EQ(error(kBase + "axes: {a.x: [1]}\n"), "s.yaml:6:8: a.x cannot be set: a is a number");
  EXPECT_EQ(error(kBase + "axes: {b: [1], b.c: [2]}\n"), "s.yaml:6:16: b.c varies already: b at 6:8");
  EXPECT_EQ(error(kBase + "axes: {a: [1]}\nzip: {a: [2]}\n"), "s.yaml:7:7: a varies already: a at 6:8");
  EXPECT_EQ(error(kBase + "zip: {a: [1, 2], d: [1]}\n"), "s.yaml:6:21: a has 2 values and d has 1: in a zip group all have the same number");
  EXPECT_EQ(error(kBase + "cases: [{sets: {}}]\n"), "s.yaml:6:10: unknown key sets, did you mean set? expected one of set, label, seeds, resources");
  EXPECT_EQ(error(kBase + "constraints:\n  - a < \n"), "s.yaml:7:5: a constraint: column 4: expected a name, a number, a text or \"(\", the text ends here "
                                                      "(in \"a <\")");
  EXPECT_EQ(error(kBase + "constraints: [aa < 3]\n"), "s.yaml:6:15: a constraint: column 1: there is no parameter aa (in \"aa < 3\")");
  EXPECT_EQ(error(kBase + "baseline: {q: 1}\n"), "s.yaml:6:12: there is no parameter q");
  EXPECT_EQ(error(kBase + "neutral: {q: 1}\n"), "s.yaml:6:11: there is no parameter q");
  EXPECT_EQ(error(kBase + "priority: high\n"), "s.yaml:6:11: priority must be a whole number, not a text");
  EXPECT_EQ(error(kBase + "table: {rows: [q]}\n"), "s.yaml:6:16: there is no parameter q");
  EXPECT_EQ(error(kBase + "expected: {cells: {base: {wer: low}}}\n"), "s.yaml:6:32: wer must be a number, not a text");
  EXPECT_EQ(error("sweep: s\nbase: {a: 1, a.b: 2}\n"), "s.yaml:2:14: a.b is set for the second time; the first is at 2:8");
  EXPECT_EQ(error("sweep: s\nbase: {a..b: 2}\n"), "s.yaml:2:8: \"a..b\" is no name of a parameter: expected letters, digits, _ and - between dots");
  EXPECT_EQ(error("sweep: s\nbase: {a: 1}\nstages: {t: {program: p}}\n"), "s.yaml:2:8: no stage reads a: it would change nothing");
}

TEST(SweepErrors, OfStagesNameTheirPlace) {
  const auto error = [](const std::string& stages) { return error_of({{"s.yaml", "sweep: s\nbase: {a: 1}\nstages:\n" + stages}}); };
  EXPECT_EQ(error("  T: {program: p, reads: [a]}\n"), "s.yaml:4:3: \"T\" is no name of a stage: expected small letters, digits and _");
  EXPECT_EQ(error("  t: {reads: [a]}\n"), "s.yaml:4:3: stage t has no program");
  EXPECT_EQ(error("  t: {program: p, reads: [a, b]}\n"), "s.yaml:4:30: stage t reads b, but there is no such parameter");
  EXPECT_EQ(error("  t: {program: p, reads: a}\n"), "s.yaml:4:26: reads must be a list, not a text");
  EXPECT_EQ(error("  t: {program: p, reads: [a], inputs: {x: u}}\n"), "s.yaml:4:43: expected STAGE.OUTPUT, not \"u\"");
  EXPECT_EQ(error("  t: {program: p, reads: [a], inputs: {x: u.y}}\n  v: {program: q}\n"), "s.yaml:4:43: there is no stage u");
  EXPECT_EQ(error("  t: {program: p, reads: [a], inputs: {x: v.y}}\n  v: {program: q, outputs: [z]}\n"),
            "s.yaml:4:43: stage v has no output y: expected one of z");
  EXPECT_EQ(error("  t: {program: p, reads: [a], inputs: {x: v.y}, outputs: [z]}\n  v: {program: q, inputs: {z: t.z}, outputs: [y]}\n"),
            "s.yaml:4:3: these stages wait for each other: t, v");
  EXPECT_EQ(error("  t: {program: p, reads: [a], seeded: yes}\n"), "s.yaml:4:39: seeded must be true or false, not a text");
  EXPECT_EQ(error("  t: {program: p, reads: [a], resources: {slots: 0}}\n"), "s.yaml:4:50: slots must be a whole number from 1 to 4096, not 0");
  EXPECT_EQ(error("  t: {program: p, reads: [a], resources: {gpus: 1}}\n"), "s.yaml:4:43: unknown key gpus: expected one of slots, ranks, threads, labels");
  EXPECT_EQ(error("  t: {program: p, reads: [a], when: b > 1}\n"), "s.yaml:4:37: when: column 1: there is no parameter b (in \"b > 1\")");
  EXPECT_EQ(error("  t: {program: p, reads: [a]}\nseeds: [1]\n"), "s.yaml:5:8: no stage is seeded: seeds would change nothing");
}

// ---- properties ----

// The same content with its keys in another order.
std::string shuffled_yaml(const Value& value, Random& random) {
  if (const Object* object = value.if_object()) {
    std::vector<std::string> parts;
    for (const auto& [key, inner] : *object) parts.push_back(fmt::format("{}: {}", key, shuffled_yaml(inner, random)));
    for (std::size_t i = parts.size(); i > 1; --i) std::swap(parts[i - 1], parts[random.bounded(i)]);
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
      Value value = random.bounded(2) == 0 ? Value(static_cast<std::int64_t>(random.bounded(1000)) - 500) : Value(fmt::format("t{}", random.bounded(9)));
      ASSERT_TRUE(base.set(name, std::move(value)));
    }
    std::string reads;
    for (const auto& [key, value] : *base.if_object()) reads += (reads.empty() ? "" : ", ") + key;
    const auto text = [&] {
      return fmt::format("sweep: s\nbase: {}\nstages: {{t: {{program: p, reads: [{}]}}}}\n", shuffled_yaml(base, random), reads);
    };
    EXPECT_EQ(keys_of(expand_text(text())), keys_of(expand_text(text()))) << seed;
  }
}

TEST(SweepProperty, AMutilatedFileGivesASweepOrAnErrorWithAPlace) {
  const auto demo = read_file(STRATA_SOURCE_DIR "/sweeps/smoke.yaml");
  ASSERT_TRUE(demo);
  int refused = 0;
  for (std::uint64_t seed = 0; seed < 2'000; ++seed) {
    Random random(seed);
    std::string text = *demo;
    for (std::uint64_t n = 1 + random.bounded(4); n > 0; --n) {
      const std::size_t at = random.bounded(text.size());
      switch (random.bounded(3)) {
        case 0: text.erase(at, 1 + random.bounded(8)); break;
        case 1: text.insert(at, 1, static_cast<char>(32 + random.bounded(95))); break;
        default: text[at] = text[random.bounded(text.size())]; break;
      }
    }
    const std::string error = error_of({{"s.yaml", text}});
    if (error == "no error") continue;
    ++refused;
    EXPECT_TRUE(error.starts_with("s.yaml:") || error.starts_with("sweep ")) << error;
  }
  EXPECT_GT(refused, 200);
}

// ---- the sweeps that ship ----

Result<Expansion> expand_shipped(const std::string& name) {
  STRATA_TRY(const SweepDefinition definition,
             read_sweep(fmt::format("{}/sweeps/{}.yaml", STRATA_SOURCE_DIR, name), [](const std::string& path) { return read_file(path); }));
  return expand(definition);
}

TEST(ShippedSweeps, AllExpand) {
  const std::map<std::string, std::pair<std::size_t, std::size_t>> cells_and_runs{
      {"demo", {5, 9}}, {"smoke", {5, 10}}, {"adma_table2", {15, 45}}, {"adma_table3", {6, 18}}, {"adma_figure2", {12, 36}}};
  for (const auto& [name, numbers] : cells_and_runs) {
    const auto e = expand_shipped(name);
    ASSERT_TRUE(e) << name << ": " << e.error().message;
    EXPECT_EQ(e->cells, numbers.first) << name;
    EXPECT_EQ(e->runs.size(), numbers.second) << name;
    EXPECT_TRUE(std::ranges::any_of(e->runs, &RunSpec::baseline)) << name;
    EXPECT_TRUE(e->judge_as_teacher.empty()) << name;
  }
}

TEST(ShippedSweeps, TheFirstExampleOfTheManualExpandsAndItsErrorsAreReal) {
  const auto manual = read_file(STRATA_SOURCE_DIR "/docs/sweeps.md");
  ASSERT_TRUE(manual);
  const std::size_t start = manual->find("```yaml\n") + 8;
  const std::string example = manual->substr(start, manual->find("```", start) - start);
  const auto outcome = [&](const std::string& from, const std::string& to) -> std::string {
    std::string text = example;
    if (!from.empty()) text.replace(text.find(from), from.size(), to);
    const auto definition = read_sweep("sweeps/my.yaml", [&](const std::string& path) -> Result<std::string> {
      return path == "sweeps/my.yaml" ? text : read_file(STRATA_SOURCE_DIR "/" + path);
    });
    if (!definition) return definition.error().message;
    const auto expansion = expand(*definition);
    return expansion ? fmt::format("{} cells, {} runs", expansion->cells, expansion->runs.size()) : expansion.error().message;
  };
  EXPECT_EQ(outcome("", ""), "11 cells, 33 runs");
  for (const std::string& error : {outcome("updates: 20000", "updtes: 20000"), outcome("- align.text.layer <=", "- algin.text.layer <=")}) {
    EXPECT_NE(manual->find("\n" + error + "\n"), std::string::npos) << error;
  }
}

TEST(ShippedSweeps, TheDemoSharesCorpusFeaturesAndReferences) {
  const auto e = expand_shipped("demo");
  ASSERT_TRUE(e) << e.error().message;
  EXPECT_EQ(tasks_by_stage(*e), (Counts{{"prepare", 1}, {"extract", 1}, {"train", 9}, {"synthesize", 9}, {"score", 9}, {"copy", 1}, {"score_references", 1}}));
}

TEST(ShippedSweeps, ThePaperSizedSweepsShareTheirTrainings) {
  const auto table = expand_shipped("adma_table2");
  const auto figure = expand_shipped("adma_figure2");
  ASSERT_TRUE(table && figure);
  const auto of_table = keys_of(*table);
  const auto shared = std::ranges::count_if(figure->tasks, [&](const TaskSpec& task) {
    return task.stage == "train" && std::ranges::binary_search(of_table, task.key.hex());
  });
  EXPECT_EQ(shared, 6);  // no tap and (8, 12) at full length, three seeds each
}

TEST(ShippedSweeps, FlopsAgreeWithTheMeasuredCostOfTheModel) {
  // Forward multiply-adds per frame at 528 frames: 106.7 M without heads, 125.7 M with both; a step is three forwards.
  const auto e = expand_shipped("adma_table2");
  ASSERT_TRUE(e);
  const auto flops_per_frame = [&](const std::string& cell) {
    const auto run = std::ranges::find(e->runs, cell, &RunSpec::cell);
    const auto task = std::ranges::find(e->tasks, run->tasks.at("train"), &TaskSpec::key);
    return task->flops / 6 / 200'000 / (176 * 528.0);
  };
  EXPECT_NEAR(flops_per_frame("text=0 speech=0"), 106.7e6, 0.1e6);
  EXPECT_NEAR(flops_per_frame("text=8 speech=12"), 125.7e6, 0.2e6);
}

}  // namespace
}  // namespace strata
