#include <gtest/gtest.h>

#include <map>

#include <algorithm>
#include <sstream>

#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "schema/sweep.h"
#include "tests/unit/schema/sweep_text.h"

namespace strata {
namespace {

Result<Expansion> expand_shipped(const std::string& name) {
  STRATA_TRY(const SweepDefinition definition,
             read_sweep(fmt::format("{}/sweeps/{}.yaml", STRATA_SOURCE_DIR, name),
                        [](const std::string& path) { return read_file(path); }));
  return expand(definition);
}

TEST(ShippedSweeps, AllExpand) {
  const std::map<std::string, std::pair<std::size_t, std::size_t>> cells_and_runs{
      {"demo", {5, 9}},          {"digits_long", {4, 8}},  {"smoke", {5, 10}},
      {"adma_table2", {15, 45}}, {"adma_table3", {6, 18}}, {"adma_figure2", {6, 18}}};
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
    const auto definition =
        read_sweep("sweeps/my.yaml", [&](const std::string& path) -> Result<std::string> {
          return path == "sweeps/my.yaml" ? text : read_file(STRATA_SOURCE_DIR "/" + path);
        });
    if (!definition) return definition.error().message;
    const auto expansion = expand(*definition);
    return expansion ? fmt::format("{} cells, {} runs", expansion->cells, expansion->runs.size())
                     : expansion.error().message;
  };
  EXPECT_EQ(outcome("", ""), "11 cells, 33 runs");
  for (const std::string& error : {outcome("updates: 20000", "updtes: 20000"),
                                   outcome("- align.text.layer <=", "- algin.text.layer <=")}) {
    EXPECT_NE(manual->find("\n" + error + "\n"), std::string::npos) << error;
  }
}

TEST(ShippedSweeps, AListsHashMakesItsKeyAndItsAbsenceNone) {
  const auto key_of_prepare = [](const std::string& more) -> std::string {
    const std::string text = "sweep: s\npipeline: p.yaml\nbase: {corpus: {kind: list, file: l.tsv" +
                             more + "}, train: {updates: 10, batch: 2}}\n";
    const auto definition =
        read_sweep("s.yaml", [&](const std::string& path) -> Result<std::string> {
          if (path == "s.yaml") return text;
          const std::string folder = STRATA_SOURCE_DIR "/sweeps/pipelines/";
          return read_file(folder + (path == "p.yaml" ? "tts_alignment.yaml" : path));
        });
    if (!definition) return definition.error().message;
    const auto expansion = expand(*definition);
    if (!expansion) return expansion.error().message;
    return std::ranges::find(expansion->tasks, "prepare", &TaskSpec::stage)->key.hex();
  };
  const std::string key = key_of_prepare("");
  EXPECT_EQ(key.size(), 64U) << key;
  EXPECT_EQ(key_of_prepare(", sha256: null"), key);
  // What came after results existed, at the values that mean "as before".
  EXPECT_EQ(key_of_prepare(", rate: 16000, texts: checked, tokenizer: char"), key);
  EXPECT_NE(key_of_prepare(", rate: 24000"), key);
  EXPECT_NE(key_of_prepare(", sha256: \"00\""), key);
  EXPECT_EQ(key_of_prepare(", sha256: \"00\"").size(), 64U);
}

TEST(ShippedSweeps, AVocoderOrATargetIsInTheKeysOfWhatItDecidesAndInNoOther) {
  const auto keys = [](const std::string& vocoder) {
    const std::string text =
        "sweep: s\npipeline: p.yaml\nbase:\n  corpus: {kind: flite-digits}\n"
        "  train: {updates: 10, batch: 2}\n" +
        vocoder;
    const auto definition =
        read_sweep("s.yaml", [&](const std::string& path) -> Result<std::string> {
          if (path == "s.yaml") return text;
          const std::string folder = STRATA_SOURCE_DIR "/sweeps/pipelines/";
          return read_file(folder + (path == "p.yaml" ? "tts_alignment.yaml" : path));
        });
    std::map<std::string, std::string> by_stage;
    EXPECT_TRUE(definition) << definition.error().message;
    const auto expansion = expand(*definition);
    EXPECT_TRUE(expansion) << expansion.error().message;
    for (const TaskSpec& task : expansion->tasks) by_stage[task.stage] = task.key.hex();
    return by_stage;
  };
  const auto trained = keys("");
  const auto griffin_lim = keys("  vocoder: !model griffin-lim-hifigan\n");
  EXPECT_EQ(griffin_lim.at("train"), trained.at("train"));
  for (const char* stage : {"synthesize", "copy", "score", "score_references"})
    EXPECT_NE(griffin_lim.at(stage), trained.at(stage)) << stage;
  EXPECT_NE(keys("  vocoder: !model griffin-lim-vocos\n").at("copy"), griffin_lim.at("copy"));
  EXPECT_EQ(keys("  score.target_loss: null\n  train.seed_data: null\n"), trained) << "as before";
  const auto with_target = keys("  score.target_loss: 0.7\n");
  EXPECT_NE(with_target.at("score"), trained.at("score"));
  EXPECT_EQ(with_target.at("train"), trained.at("train")) << "a target makes no training again";
  EXPECT_NE(keys("  train.seed_data: 666\n").at("train"), trained.at("train"));
  const std::string more = "  vocoder: !model griffin-lim-hifigan\n  vocoder.iterations: ";
  EXPECT_EQ(keys(more + "60\n"), griffin_lim) << "the catalogue's own number";
  EXPECT_NE(keys(more + "32\n").at("copy"), griffin_lim.at("copy"));
  EXPECT_EQ(keys(more + "32\n").at("train"), griffin_lim.at("train"));
}

TEST(ShippedSweeps, WeightsToStartFromAreATaskOfTheirOwnAndElseInNoKey) {
  // `before`: the pipeline without them.
  const auto keys = [](const std::string& init, bool before) {
    const std::string text =
        "sweep: s\npipeline: p.yaml\nbase:\n  corpus: {kind: flite-digits}\n"
        "  train: {updates: 10, batch: 2}\n" +
        init;
    const auto definition =
        read_sweep("s.yaml", [&](const std::string& path) -> Result<std::string> {
          if (path == "s.yaml") return text;
          const std::string folder = STRATA_SOURCE_DIR "/sweeps/pipelines/";
          auto file = read_file(folder + (path == "p.yaml" ? "tts_alignment.yaml" : path));
          if (!before || path != "p.yaml") return file;
          std::string kept;
          std::istringstream lines(*file);
          bool inside = false;
          for (std::string line; std::getline(lines, line);) {
            inside = line == "  import:" || (inside && line.starts_with("    "));
            const bool added = line.starts_with("  init:") || line.starts_with("      init:");
            if (line.starts_with("open:")) line.erase(line.find("init, "), 6);
            if (!inside && !added) kept += line + "\n";
          }
          EXPECT_EQ(kept.find("init"), std::string::npos);
          return kept;
        });
    std::map<std::string, std::string> by_stage;
    EXPECT_TRUE(definition) << definition.error().message;
    const auto expansion = expand(*definition);
    EXPECT_TRUE(expansion) << expansion.error().message;
    for (const TaskSpec& task : expansion->tasks) by_stage[task.stage] = task.key.hex();
    return by_stage;
  };
  const auto from_seed = keys("", false);
  EXPECT_FALSE(from_seed.contains("import"));
  EXPECT_EQ(from_seed, keys("", true));
  const auto given = keys("  init: {weights: /w/a.safetensors, generation: v1}\n", false);
  EXPECT_EQ(given.at("prepare"), from_seed.at("prepare"));
  EXPECT_NE(given.at("train"), from_seed.at("train"));
  EXPECT_NE(given.at("synthesize"), from_seed.at("synthesize"));
  const auto other = keys("  init: {weights: /w/b.safetensors, generation: v1}\n", false);
  EXPECT_NE(other.at("import"), given.at("import"));
  EXPECT_NE(other.at("train"), given.at("train"));
}

TEST(ShippedSweeps, TheDemoSharesCorpusFeaturesAndReferences) {
  const auto e = expand_shipped("demo");
  ASSERT_TRUE(e) << e.error().message;
  EXPECT_EQ(tasks_by_stage(*e), (Counts{{"prepare", 1},
                                        {"extract", 1},
                                        {"train", 9},
                                        {"synthesize", 9},
                                        {"score", 9},
                                        {"copy", 1},
                                        {"score_references", 1}}));
}

TEST(ShippedSweeps, TheLongDemoSpeaksDigitsAndSharesItsCorpusAndFeatures) {
  const auto e = expand_shipped("digits_long");
  ASSERT_TRUE(e) << e.error().message;
  EXPECT_EQ(tasks_by_stage(*e), (Counts{{"prepare", 1},
                                        {"extract", 1},
                                        {"train", 8},
                                        {"synthesize", 8},
                                        {"score", 8},
                                        {"copy", 1},
                                        {"score_references", 1}}));
  for (const TaskSpec& task : e->tasks) {
    if (task.stage == "prepare") {
      EXPECT_EQ(*task.parameters.find("corpus.kind")->if_string(), "flite-digits");
    }
    if (task.stage == "score") {
      EXPECT_EQ(*task.parameters.find("score.protocol")->if_string(), "digits");
    }
  }
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

TEST(ShippedSweeps, ATeachersNewSettingsAreInNoKeyUntilTheyAreUsed) {
  // The pipeline as it is, or with the teacher's settings as they were before there were more.
  const auto key_of_extract = [](const std::string& more, bool before) -> std::string {
    const std::string text =
        "sweep: s\npipeline: p.yaml\nbase: {corpus: {kind: list, file: l.tsv}, "
        "train: {updates: 10, batch: 2}, align.speech.layer: 4" +
        more + "}\n";
    const auto definition =
        read_sweep("s.yaml", [&](const std::string& path) -> Result<std::string> {
          if (path == "s.yaml") return text;
          const std::string folder = STRATA_SOURCE_DIR "/sweeps/pipelines/";
          auto file = read_file(folder + (path == "p.yaml" ? "tts_alignment.yaml" : path));
          if (!before || path != "p.yaml") return file;
          std::string kept;
          std::istringstream lines(*file);
          for (std::string line; std::getline(lines, line);) {
            const bool added =
                line.starts_with("    average:") || line.starts_with("    rejects_max:") ||
                line.starts_with("    compat: {first_channel:") || line.starts_with("  teacher.");
            if (!added) kept += line + "\n";
          }
          return kept;
        });
    if (!definition) return definition.error().message;
    const auto expansion = expand(*definition);
    if (!expansion) return expansion.error().message;
    return std::ranges::find(expansion->tasks, "extract", &TaskSpec::stage)->key.hex();
  };
  const std::string key = key_of_extract("", true);
  EXPECT_EQ(key.size(), 64U) << key;
  EXPECT_EQ(key_of_extract("", false), key);
  for (const char* more :
       {", teacher.layer: average", ", teacher.rejects_max: 0.01",
        ", teacher.compat.first_channel: true", ", teacher: {layer: average, average.from: 0}"}) {
    EXPECT_EQ(key_of_extract(more, false).size(), 64U) << key_of_extract(more, false);
    EXPECT_NE(key_of_extract(more, false), key) << more;
  }
}

TEST(ShippedSweeps, FlopsAgreeWithTheMeasuredCostOfTheModel) {
  // Forward multiply-adds per frame at 528 frames: 106.7 M without heads, 125.7 M with both; a step
  // is three forwards.
  const auto e = expand_shipped("adma_table2");
  ASSERT_TRUE(e);
  const auto flops_per_frame = [&](const std::string& cell) {
    const auto run = std::ranges::find(e->runs, cell, &RunSpec::cell);
    const auto task = std::ranges::find(e->tasks, run->tasks.at("train"), &TaskSpec::key);
    return task->flops / 6 / 200'000 / (256 * 0.69 * 528.0);
  };
  EXPECT_NEAR(flops_per_frame("text=0 speech=0"), 106.7e6, 0.1e6);
  EXPECT_NEAR(flops_per_frame("text=8 speech=12"), 125.7e6, 0.2e6);
}

}  // namespace
}  // namespace strata
