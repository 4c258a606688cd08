#include <gtest/gtest.h>

#include <algorithm>

#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "schema/sweep.h"
#include "tests/unit/schema/sweep_text.h"

namespace strata {
namespace {

// ---- models ----

const std::string kCatalogue = R"({"catalogue": 1, "models": [
 {"name": "small", "role": "asr", "family": "w", "exporter_version": 1, "settings": {"width": 4}, "sources": [{"sha256": "%A"}]},
 {"name": "big", "role": "asr", "family": "w", "exporter_version": 1, "settings": {"width": 8}, "sources": [{"sha256": "%B"}]},
 {"name": "other", "role": "asr", "family": "o", "exporter_version": 2, "settings": {}, "sources": [{"sha256": "%B"}, {"sha256": "%A"}]}]})";

std::string catalogue() {
  std::string text = kCatalogue;
  for (const auto& [mark, digit] : std::map<std::string, char>{{"%A", 'a'}, {"%B", 'b'}}) {
    for (std::size_t at = 0; (at = text.find(mark)) != std::string::npos;)
      text.replace(at, 2, std::string(64, digit));
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
  // sha256 of {"exporter_version":1,"settings":{"width":4},"sources":["aaa..."]}, computed with
  // Python's hashlib.
  EXPECT_EQ(*e.tasks[0].parameters.find("teacher.identity")->if_string(),
            "55676162804bbf327ff473f869c2b5176a2bb92039355e729862e36264b41c6b");
  EXPECT_EQ(*e.tasks[0].parameters.find("teacher.name")->if_string(), "small");
  EXPECT_EQ(*e.tasks[0].parameters.find("teacher.layer")->if_number()->to_integer(), 4);
}

TEST(Models, AnAxisOfModelsKeepsWhatLiesBesideNameAndIdentity) {
  const Expansion e = expand_text(
      kModels + "axes:\n  teacher: [!model small, !model big]\n  teacher.layer: [1, 2]\n",
      {{"lists/c.json", catalogue()}});
  ASSERT_EQ(e.tasks.size(), 4U);
  EXPECT_EQ(*e.tasks[3].parameters.find("teacher.layer")->if_number()->to_integer(), 2);
  EXPECT_EQ(*e.tasks[3].parameters.find("teacher.name")->if_string(), "big");
}

TEST(Models, AnUnknownOneIsAnErrorThatListsTheKnown) {
  std::string text = kModels;
  text.replace(text.find("small"), 5, "smoll");
  EXPECT_EQ(error_of({{"s.yaml", text}, {"lists/c.json", catalogue()}}),
            "s.yaml:7:12: lists/c.json has no model \"smoll\": expected one of big, other, small");
  EXPECT_EQ(error_of({{"s.yaml", kModels}}),
            "s.yaml:3:9: reading the catalogue of models: there is no file lists/c.json");
  EXPECT_EQ(error_of({{"s.yaml",
                       "sweep: s\nbase: {a: !model x}\nstages: {t: {program: p, reads: [a]}}\n"}}),
            "s.yaml:2:11: !model x needs a catalogue: name it with models: PATH");
}

TEST(Models, AJudgeOfTheTeachersFamilyIsRefusedUnlessAllowedByName) {
  std::string text = kModels;
  text.replace(text.find("!model other"), 12, "!model big");
  const Files files{{"lists/c.json", catalogue()}};
  EXPECT_EQ(error_of({{"s.yaml", text}, {"lists/c.json", catalogue()}}),
            "s.yaml:9:17: the judge big and the teacher small (s.yaml:7:12) are both w: a model "
            "must not judge what it taught; choose another, or "
            "write allow_judge_as_teacher: [w]");
  EXPECT_EQ(expand_text(text + "allow_judge_as_teacher: [w]\n", files).judge_as_teacher,
            Strings{"w"});
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
  const auto definition =
      read(over_pipeline("base: {corpus: {kind: k}, model.depth: 3, judges: {b: 2}}\nstages: "
                         "{train: {resources: {threads: 4}, result_version: 2}}\n"));
  ASSERT_TRUE(definition) << definition.error().message;
  EXPECT_EQ(
      to_canonical_json(definition->base),
      R"({"corpus":{"kind":"k"},"folder":"x","judges":{"a":1,"b":2},"model":{"depth":3,"dim":8}})");
  EXPECT_EQ(definition->stages[0].program.argv, (Strings{"sh", "p/t.sh"}));
  EXPECT_EQ(definition->stages[0].program.result_version, 2);
  EXPECT_EQ(definition->stages[0].resources.slots, 1);  // a field is replaced whole
  EXPECT_EQ(definition->table.scores, Strings{"wer"});
}

TEST(Pipeline, ASweepSetsOnlyWhatThePipelineHas) {
  EXPECT_EQ(error_of(over_pipeline("base:\n  model: {dpeth: 3}\n")),
            "s.yaml:4:11: the pipeline has no parameter model.dpeth, did you mean model.depth?");
  EXPECT_EQ(error_of(over_pipeline("axes:\n  model.width: [3]\n")),
            "s.yaml:4:3: the pipeline has no parameter model.width");
  EXPECT_EQ(error_of(over_pipeline("base: {model: 3}\n")),
            "s.yaml:3:8: model is a map in the pipeline: set what is in it");
  EXPECT_EQ(
      error_of(over_pipeline("base: {extra: 3}\nstages: {more: {program: m, reads: [extra]}}\n")),
      "no error");
}

TEST(Pipeline, AMissingFileIsAnErrorWhereItIsNamed) {
  EXPECT_EQ(error_of({{"s.yaml", "sweep: s\npipeline: nowhere.yaml\n"}}),
            "s.yaml:2:11: there is no file nowhere.yaml");
}

// ---- errors ----

TEST(SweepErrors, NameFileLineColumnAndWhatWasExpected) {
  const auto error = [](const std::string& text) { return error_of({{"s.yaml", text}}); };
  EXPECT_EQ(error(""), "s.yaml:1:1: the file is empty");
  EXPECT_EQ(error("- a\n"), "s.yaml:1:1: the file must be a map, not a list");
  EXPECT_EQ(error("base: {}\n"), "s.yaml:1:1: the key sweep is missing: it names the sweep");
  EXPECT_EQ(error("sweep: A b\n"),
            "s.yaml:1:8: \"A b\" is no name of a sweep: expected small letters, digits and -, at "
            "most 64");
  EXPECT_EQ(error("sweep: s\naxis: {}\n"),
            "s.yaml:2:1: unknown key axis, did you mean axes? expected one of sweep, description, "
            "pipeline, models, base, "
            "neutral, open, teachers, judges, axes, zip, ablation, cases, blocks, constraints, "
            "seeds, baseline, "
            "stages, table, expected, "
            "priority, scheduling, allow_judge_as_teacher, identity, code, search");
  EXPECT_EQ(error("sweep: s\n"),
            "s.yaml:1:1: the sweep has no stages: name a pipeline, or write stages");
  EXPECT_EQ(error("sweep: s\nsweep: t\n"),
            "s.yaml:2:1: the key sweep stands here for the second time; the first is at 1:1");
  EXPECT_EQ(error(kBase + "seeds: [1, 1]\n"), "s.yaml:6:12: the seed 1 stands here twice");
  EXPECT_EQ(error(kBase + "seeds: [1.5]\n"),
            "s.yaml:6:9: a seed must be a whole number from 0 to 9223372036854775807, not 1.5");
  EXPECT_EQ(error(kBase + "seeds: 3\n"), "s.yaml:6:8: seeds must be a list, not a number");
  EXPECT_EQ(error(kBase + "axes: {a: 3}\n"),
            "s.yaml:6:11: the values of a must be a list, not a number");
  EXPECT_EQ(error(kBase + "axes: {a: []}\n"), "s.yaml:6:11: a has no values");
  EXPECT_EQ(error(kBase + "axes: {e: [1]}\n"),
            "s.yaml:6:8: no stage reads e: it would change nothing");
  EXPECT_EQ(error(kBase + "cases: [{set: {b.e: 1}}]\n"),
            "s.yaml:6:16: no stage reads b.e: it would change nothing");
  EXPECT_EQ(error(kBase + "axes: {a.x: [1]}\n"), "s.yaml:6:8: a.x cannot be set: a is a number");
  EXPECT_EQ(error(kBase + "axes: {b: [1], b.c: [2]}\n"),
            "s.yaml:6:16: b.c varies already: b at 6:8");
  EXPECT_EQ(error(kBase + "axes: {a: [1]}\nzip: {a: [2]}\n"),
            "s.yaml:7:7: a varies already: a at 6:8");
  EXPECT_EQ(error(kBase + "zip: {a: [1, 2], d: [1]}\n"),
            "s.yaml:6:21: a has 2 values and d has 1: in a zip group all have the same number");
  EXPECT_EQ(error(kBase + "cases: [{sets: {}}]\n"),
            "s.yaml:6:10: unknown key sets, did you mean set? expected one of set, label, seeds, "
            "resources");
  EXPECT_EQ(error(kBase + "constraints:\n  - a < \n"),
            "s.yaml:7:5: a constraint: column 4: expected a name, a number, a text or \"(\", the "
            "text ends here "
            "(in \"a <\")");
  EXPECT_EQ(error(kBase + "constraints: [aa < 3]\n"),
            "s.yaml:6:15: a constraint: column 1: there is no parameter aa (in \"aa < 3\")");
  EXPECT_EQ(error(kBase + "baseline: {q: 1}\n"), "s.yaml:6:12: there is no parameter q");
  EXPECT_EQ(error(kBase + "neutral: {q: 1}\n"), "s.yaml:6:11: there is no parameter q");
  EXPECT_EQ(error(kBase + "scheduling: {weight: 0}\n"),
            "s.yaml:6:22: weight must be a whole number from 1 to 1000, not 0");
  EXPECT_EQ(error(kBase + "priority: high\n"),
            "s.yaml:6:11: priority must be a whole number, not a text");
  EXPECT_EQ(error(kBase + "table: {rows: [q]}\n"), "s.yaml:6:16: there is no parameter q");
  EXPECT_EQ(error(kBase + "expected: {cells: {base: {wer: low}}}\n"),
            "s.yaml:6:32: wer must be a number, not a text");
  EXPECT_EQ(error("sweep: s\nbase: {a: 1, a.b: 2}\n"),
            "s.yaml:2:14: a.b is set for the second time; the first is at 2:8");
  EXPECT_EQ(error("sweep: s\nbase: {a..b: 2}\n"),
            "s.yaml:2:8: \"a..b\" is no name of a parameter: expected letters, digits, _ and - "
            "between dots");
  EXPECT_EQ(error("sweep: s\nbase: {a: 1}\nstages: {t: {program: p}}\n"),
            "s.yaml:2:8: no stage reads a: it would change nothing");
}

TEST(SweepErrors, OfStagesNameTheirPlace) {
  const auto error = [](const std::string& stages) {
    return error_of({{"s.yaml", "sweep: s\nbase: {a: 1}\nstages:\n" + stages}});
  };
  EXPECT_EQ(error("  T: {program: p, reads: [a]}\n"),
            "s.yaml:4:3: \"T\" is no name of a stage: expected small letters, digits and _");
  EXPECT_EQ(error("  t: {reads: [a]}\n"), "s.yaml:4:3: stage t has no program");
  EXPECT_EQ(error("  t: {program: p, reads: [a, b]}\n"),
            "s.yaml:4:30: stage t reads b, but there is no such parameter");
  EXPECT_EQ(error("  t: {program: p, reads: a}\n"),
            "s.yaml:4:26: reads must be a list, not a text");
  EXPECT_EQ(error("  t: {program: p, reads: [a], inputs: {x: u}}\n"),
            "s.yaml:4:43: expected STAGE.OUTPUT, not \"u\"");
  EXPECT_EQ(error("  t: {program: p, reads: [a], inputs: {x: u.y}}\n  v: {program: q}\n"),
            "s.yaml:4:43: there is no stage u");
  EXPECT_EQ(
      error("  t: {program: p, reads: [a], inputs: {x: v.y}}\n  v: {program: q, outputs: [z]}\n"),
      "s.yaml:4:43: stage v has no output y: expected one of z");
  EXPECT_EQ(error("  t: {program: p, reads: [a], inputs: {x: v.y}, outputs: [z]}\n  v: {program: "
                  "q, inputs: {z: t.z}, outputs: [y]}\n"),
            "s.yaml:4:3: these stages wait for each other: t, v");
  EXPECT_EQ(error("  t: {program: p, reads: [a], seeded: yes}\n"),
            "s.yaml:4:39: seeded must be true or false, not a text");
  EXPECT_EQ(error("  t: {program: p, reads: [a], resources: {slots: 0}}\n"),
            "s.yaml:4:50: slots must be a whole number from 1 to 4096, not 0");
  EXPECT_EQ(error("  t: {program: p, reads: [a], resources: {gpus: 1}}\n"),
            "s.yaml:4:43: unknown key gpus: expected one of slots, ranks, threads, labels, memory, "
            "expected_minutes");
  EXPECT_EQ(error("  t: {program: p, reads: [a], when: b > 1}\n"),
            "s.yaml:4:37: when: column 1: there is no parameter b (in \"b > 1\")");
  EXPECT_EQ(error("  t: {program: p, reads: [a]}\nseeds: [1]\n"),
            "s.yaml:5:8: no stage is seeded: seeds would change nothing");
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

}  // namespace
}  // namespace strata
