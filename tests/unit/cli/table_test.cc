#include "cli/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/table_latex.h"
#include "cli/table_render.h"
#include "tests/unit/cli/answers.h"

namespace strata::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kJudge = "whisper-base@1";

ScoreGiven wer(std::vector<double> items) {
  return {.name = "wer", .items = std::move(items), .judge = kJudge};
}

// Baseline: 30 % and 40 %; layer 8: 10 points better for every utterance and seed; layer 2: better
// here, worse there.
Array good_runs() {
  return {run_answer({.text = 8, .seed = 1, .scores = {wer({0.1, 0.3})}}),
          run_answer({.text = 0, .seed = 1, .scores = {wer({0.2, 0.4})}}),
          run_answer({.text = 0, .seed = 2, .scores = {wer({0.3, 0.5})}}),
          run_answer({.text = 8, .seed = 2, .scores = {wer({0.2, 0.4})}}),
          run_answer({.text = 2, .seed = 1, .scores = {wer({0.1, 0.5})}}),
          run_answer({.text = 2, .seed = 2, .scores = {wer({0.2, 0.6})}})};
}

TableRequest request(Array runs) {
  return {.sweep = "small", .definition = small_definition(), .runs = std::move(runs)};
}

AblationTable table_of(const TableRequest& about) {
  auto table = build_table(about);
  EXPECT_TRUE(table.has_value()) << (table ? "" : table.error().message);
  return table ? *table : AblationTable{};
}

TEST(Table, RowsStandInTheOrderOfTheAxisWhateverTheAnswersOrder) {
  const AblationTable table = table_of(request(good_runs()));
  ASSERT_EQ(table.rows.size(), 3U);
  EXPECT_EQ(table.rows[0].cell, "text=0");
  EXPECT_EQ(table.rows[1].cell, "text=2");
  EXPECT_EQ(table.rows[2].cell, "text=8");
  EXPECT_TRUE(table.rows[0].baseline);
  EXPECT_EQ(row_key_text("align.text.layer", table.rows[0].keys[0]), "–");
}

TEST(Table, MeansAndDeltasAreThoseComputedByHand) {
  const AblationTable table = table_of(request(good_runs()));
  const TableCell& base = table.rows[0].cells[0];
  const TableCell& mixed = table.rows[1].cells[0];
  const TableCell& best = table.rows[2].cells[0];
  EXPECT_NEAR(base.estimate->value, 0.35, 1e-12);
  EXPECT_NEAR(base.estimate->low.value(), 0.25, 1e-12);
  EXPECT_NEAR(base.estimate->high.value(), 0.45, 1e-12);
  EXPECT_NEAR(base.estimate->seed_low, 0.30, 1e-12);
  EXPECT_NEAR(base.estimate->seed_high, 0.40, 1e-12);
  EXPECT_FALSE(base.delta.has_value());
  EXPECT_NEAR(mixed.delta->value, 0.0, 1e-12);
  EXPECT_NEAR(mixed.delta->low.value(), -0.1, 1e-12);
  EXPECT_NEAR(mixed.delta->high.value(), 0.1, 1e-12);
  EXPECT_THAT(mixed.lacks,
              ElementsAre(Lack::kFewUtterances, Lack::kSeedsDisagree, Lack::kInsideNoise));
  EXPECT_NEAR(best.delta->value, -0.1, 1e-12);
  EXPECT_NEAR(best.delta->high.value(), -0.1, 1e-12);
  EXPECT_THAT(best.lacks, ElementsAre(Lack::kFewUtterances, Lack::kNotAfterHolm));
  EXPECT_FALSE(base.best);
  EXPECT_FALSE(mixed.best);
}

// The same numbers again and again, until there are enough utterances for a claim.
std::vector<double> repeated(const std::vector<double>& items) {
  std::vector<double> out;
  while (out.size() < static_cast<std::size_t>(kClaimUtterancesMin))
    out.insert(out.end(), items.begin(), items.end());
  return out;
}

TEST(Table, TheBestIsNotBoldWhenItsPairedIntervalHoldsZero) {
  Array runs;
  for (const std::uint64_t seed : {1U, 2U}) {
    runs.push_back(
        run_answer({.text = 0, .seed = seed, .scores = {wer(repeated({0.2, 0.4, 0.4, 0.4}))}}));
    runs.push_back(
        run_answer({.text = 2, .seed = seed, .scores = {wer(repeated({0.0, 0.5, 0.4, 0.4}))}}));
  }
  const AblationTable table = table_of(request(std::move(runs)));
  const TableCell& cell = table.rows[1].cells[0];
  EXPECT_LT(cell.estimate->value, table.rows[0].cells[0].estimate->value);
  EXPECT_FALSE(cell.best);
  EXPECT_EQ(cell_text(table.columns[0], cell).verdict, "inside the noise");
}

TEST(Table, AFailedSeedIsSaidInItsCellWithRunAndReasonAndTakesTheBoldAway) {
  Array runs = good_runs();
  runs[3] = run_answer({.text = 8, .seed = 2, .state = "failed"});
  TableRequest about = request(std::move(runs));
  about.reasons["beef82"] = "exit code 1: out of memory";
  const AblationTable table = table_of(about);
  const TableCell& cell = table.rows[2].cells[0];
  EXPECT_EQ(cell.estimate->seeds, 1U);
  EXPECT_FALSE(cell.best);
  EXPECT_EQ(cell_text(table.columns[0], cell).seeds, "1 of 2 seeds (a)");
  ASSERT_EQ(table.notes.size(), 1U);
  EXPECT_EQ(table.notes[0], "seed 2: failed (run f00d8200, train): exit code 1: out of memory");
  for (const std::string& form :
       {table_as_text(table, {}, 100), table_as_markdown(table), table_as_latex(table),
        table_as_csv(table), to_canonical_json(table_as_json(table))}) {
    EXPECT_THAT(form, HasSubstr("exit code 1: out of memory"));
  }
}

ScoreGiven updates(const std::string& name, std::vector<double> items) {
  return {.name = name, .items = std::move(items), .unit = "updates"};
}

TEST(Table, ACellOfWhichASeedSawOnlyABoundHasNoMeanOfTheOthers) {
  const std::string name = "updates_to_target";
  TableRequest about =
      request({run_answer({.text = 0, .seed = 1, .scores = {updates(name + "/not_within", {400})}}),
               run_answer({.text = 0, .seed = 2, .scores = {updates(name + "/not_within", {400})}}),
               run_answer({.text = 2, .seed = 1, .scores = {updates(name, {310, 330})}}),
               run_answer({.text = 2, .seed = 2, .scores = {updates(name + "/not_within", {400})}}),
               run_answer({.text = 8, .seed = 1, .scores = {updates(name, {110, 130})}}),
               run_answer({.text = 8, .seed = 2, .scores = {updates(name, {120, 140})}})});
  about.scores = {name};
  const AblationTable table = table_of(about);
  EXPECT_FALSE(table.rows[0].cells[0].estimate.has_value());
  EXPECT_FALSE(table.rows[1].cells[0].estimate.has_value())
      << "the seed that got there is the fast one";
  EXPECT_NEAR(table.rows[2].cells[0].estimate->value, 125, 1e-12);
  EXPECT_FALSE(table.rows[2].cells[0].delta.has_value()) << "there is nothing to subtract";
  EXPECT_THAT(
      table.notes,
      ElementsAre("seeds 1, 2: not within 400 updates, so the cell has no mean (runs f00d0100, "
                  "f00d0200, f00d2200)"));
  EXPECT_THAT(table_as_text(table, {}, 100), HasSubstr("not within 400 updates"));
  EXPECT_TRUE(table.references.empty()) << "a bound is no reference";
}

TEST(Table, DivergedOutdatedAndAbsentSeedsAreNamedAndNeverInTheMean) {
  Array runs = {run_answer({.text = 0, .seed = 1, .scores = {wer({0.2, 0.4})}}),
                run_answer({.text = 0, .seed = 2, .scores = {wer({0.9, 0.9})}, .outdated = true}),
                run_answer({.text = 2, .seed = 1, .state = "diverged"}),
                run_answer({.text = 2, .seed = 2, .scores = {wer({0.1, 0.1})}}),
                run_answer({.text = 8, .seed = 1, .scores = {wer({0.1, 0.1})}}),
                run_answer({.text = 8, .seed = 2, .scores = {wer({0.0, 0.0})}, .orphan = true})};
  const AblationTable table = table_of(request(std::move(runs)));
  EXPECT_NEAR(table.rows[0].cells[0].estimate->value, 0.3, 1e-12);
  EXPECT_NEAR(table.rows[2].cells[0].estimate->value, 0.1, 1e-12);
  EXPECT_THAT(table.notes,
              ElementsAre(HasSubstr("outdated"), HasSubstr("seed 1: diverged (run f00d2100"),
                          HasSubstr("the sweep has no such run")));
  EXPECT_FALSE(table.rows[1].cells[0].delta.has_value()) << "no common seed with the baseline";
  EXPECT_EQ(table.orphans, 1U);
}

TEST(Table, WhatASearchPrunedIsNamedWithItsRungAndNeverInTheMean) {
  Array runs = {run_answer({.text = 0, .seed = 1, .scores = {wer({0.2, 0.4})}}),
                run_answer({.text = 0, .seed = 2, .scores = {wer({0.2, 0.2})}}),
                run_answer({.text = 2, .seed = 1, .state = "pruned"}),
                run_answer({.text = 2, .seed = 2, .scores = {wer({0.1, 0.1})}})};
  TableRequest about = request(std::move(runs));
  about.reasons["beef21"] = "0.9 at step 300 is not among the best 1/3 of 9";
  const AblationTable table = table_of(about);
  EXPECT_EQ(table.rows[1].cells[0].estimate->seeds, 1U);
  EXPECT_NEAR(table.rows[1].cells[0].estimate->value, 0.1, 1e-12);
  EXPECT_THAT(table.notes, ElementsAre(HasSubstr(
                               "seed 1: pruned (run f00d2100, train): 0.9 at step 300 is not among "
                               "the best 1/3 of 9")));
}

TEST(Table, ADoubledSeedIsRefused) {
  Array runs = good_runs();
  runs.push_back(run_answer({.text = 8, .seed = 1, .scores = {wer({0.0, 0.0})}}));
  const auto table = build_table(request(std::move(runs)));
  ASSERT_FALSE(table.has_value());
  EXPECT_THAT(table.error().message, HasSubstr("has seed 1 twice"));
}

TEST(Table, TwoVersionsOfAJudgeAreRefusedWithBothRunsNamed) {
  Array runs = good_runs();
  runs[0] =
      run_answer({.text = 8,
                  .seed = 1,
                  .scores = {{.name = "wer", .items = {0.1, 0.3}, .judge = "whisper-base@2"}}});
  const auto table = build_table(request(std::move(runs)));
  ASSERT_FALSE(table.has_value());
  EXPECT_EQ(table.error().code, ErrorCode::kConflict);
  EXPECT_THAT(table.error().message, HasSubstr("whisper-base@1 in cell 'text=0' (run f00d0100)"));
  EXPECT_THAT(table.error().message, HasSubstr("whisper-base@2 in cell 'text=8' (run f00d8100)"));
}

TEST(Table, DifferentUtterancesAreRefused) {
  Array runs = good_runs();
  runs[4] = run_answer({.text = 2, .seed = 1, .scores = {wer({0.1, 0.5, 0.3})}});
  const auto table = build_table(request(std::move(runs)));
  ASSERT_FALSE(table.has_value());
  EXPECT_THAT(table.error().message, HasSubstr("two sets of utterances"));
  EXPECT_THAT(table.error().message, HasSubstr("utt-3"));
}

TEST(Table, ItemsThatDoNotGiveTheirValueAreRefused) {
  Array runs = good_runs();
  ASSERT_TRUE((*(*runs[0].if_object())["scores"].if_object())["wer"].set("value", 0.7).has_value());
  const auto table = build_table(request(std::move(runs)));
  ASSERT_FALSE(table.has_value());
  EXPECT_THAT(table.error().message, HasSubstr("have the mean 0.2"));
}

TEST(Table, WhatIsNotIntelligibleIsNotRankedInAnyColumnOfAJudge) {
  Array runs;
  for (const int text : {0, 8}) {
    for (const std::uint64_t seed : {1U, 2U}) {
      const double gain = text == 8 ? 0.1 : 0.0;
      runs.push_back(run_answer({.text = text,
                                 .seed = seed,
                                 .scores = {wer(repeated({0.95 - gain, 1.0 - gain})),
                                            {.name = "sim",
                                             .items = repeated({0.5 + gain, 0.6 + gain}),
                                             .judge = "ge2e@1",
                                             .unit = "cosine",
                                             .better = "higher"},
                                            {.name = "loss",
                                             .items = repeated({2.0 - gain, 3.0 - gain}),
                                             .unit = "",
                                             .better = "lower"}}}));
    }
  }
  TableRequest about = request(std::move(runs));
  about.scores = {"wer", "sim", "loss"};
  const AblationTable table = table_of(about);
  EXPECT_FALSE(table.rows[0].intelligible);
  EXPECT_TRUE(table.rows[1].intelligible);
  EXPECT_FALSE(table.rows[1].cells[0].best);
  EXPECT_FALSE(table.rows[1].cells[1].best);
  EXPECT_TRUE(table.rows[1].cells[2].best) << "a loss has no judge and is ranked";
  EXPECT_THAT(table_as_text(table, {}, 100), HasSubstr("not intelligible"));
  for (const std::string& form :
       {table_as_markdown(table), table_as_latex(table), table_as_csv(table)}) {
    EXPECT_THAT(form, HasSubstr("not intelligible: do not rank"));
  }
}

TEST(Table, ReferencesStandBelowAndMustHaveTheSameJudge) {
  Array runs = good_runs();
  for (Value& run : runs) {
    (*(*run.if_object())["scores"].if_object())["wer/recordings"] =
        score_answer({.name = "wer/recordings", .items = {0.0, 0.05}, .judge = kJudge});
  }
  const AblationTable table = table_of(request(runs));
  ASSERT_EQ(table.references.size(), 1U);
  EXPECT_NEAR(table.references[0].cells[0]->value, 0.025, 1e-12);
  EXPECT_EQ(table.references[0].cells[0]->seeds, 1U) << "one evaluation, shared by all runs";
  EXPECT_THAT(table_as_text(table, {}, 100), HasSubstr("reference: recordings"));
  for (Value& run : runs) {
    (*(*run.if_object())["scores"].if_object())["wer/recordings"] =
        score_answer({.name = "wer/recordings", .items = {0.0, 0.05}, .judge = "other@1"});
  }
  const auto refused = build_table(request(runs));
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("must have the same judge"));
}

TEST(Table, SwappingTheAudioOfTwoRunsChangesEveryForm) {
  const AblationTable before = table_of(request(good_runs()));
  Array swapped = good_runs();
  std::swap((*swapped[0].if_object())["scores"], (*swapped[1].if_object())["scores"]);
  const AblationTable after = table_of(request(std::move(swapped)));
  EXPECT_NE(table_as_text(before, {}, 100), table_as_text(after, {}, 100));
  EXPECT_NE(table_as_csv(before), table_as_csv(after));
  EXPECT_NE(table_as_latex(before), table_as_latex(after));
  EXPECT_NE(table_as_markdown(before), table_as_markdown(after));
  EXPECT_FALSE(table_as_json(before) == table_as_json(after));
}

TEST(Table, ShuffledUtterancesChangeThePairedInterval) {
  const AblationTable before = table_of(request(good_runs()));
  Array shuffled = good_runs();
  shuffled[0] = run_answer({.text = 8, .seed = 1, .scores = {wer({0.3, 0.1})}});
  const AblationTable after = table_of(request(std::move(shuffled)));
  EXPECT_NEAR(before.rows[2].cells[0].estimate->value, after.rows[2].cells[0].estimate->value,
              1e-12);
  EXPECT_LT(*after.rows[2].cells[0].delta->low, *before.rows[2].cells[0].delta->low);
}

TEST(Table, TheTextIsThisOne) {
  Array runs = good_runs();
  runs[3] = run_answer({.text = 8, .seed = 2, .state = "failed"});
  const std::string text = table_as_text(table_of(request(std::move(runs))), {}, 100);
  EXPECT_THAT(text, HasSubstr("small\n\n"
                              "text layer  wer [%] ↓\n"
                              "──────────────────────────────\n"
                              "–           35 [25, 45]\n"
                              "            seeds 30 … 40\n"
                              "            baseline\n"
                              "──────────────────────────────\n"
                              "2           35 [15, 55]\n"
                              "            seeds 30 … 40\n"
                              "            Δ 0 [−10, +10]\n"
                              "            too few utterances\n"
                              "──────────────────────────────\n"
                              "8           20 [10, 30]\n"
                              "            1 of 2 seeds (a)\n"
                              "            Δ −10 [−10, −10]\n"
                              "            seeds missing\n"));
}

TEST(Table, NamesOfRowsThatWouldTakeHalfTheLineStandInLines) {
  AblationTable table = table_of(request(good_runs()));
  table.rows[0].keys[0] = "hubert-large-ll60k-mean";
  EXPECT_THAT(table_as_text(table, {}, 30), HasSubstr("\ntext           wer [%] ↓\n"
                                                      "layer\n"));
  EXPECT_THAT(table_as_text(table, {}, 30), HasSubstr("\nhubert-large-  35 [25, 45]\n"
                                                      "ll60k-mean     seeds 30 … 40\n"));
  EXPECT_THAT(table_as_text(table, {}, 100), HasSubstr("hubert-large-ll60k-mean  35 [25, 45]\n"));
}

TEST(Table, CsvHasOneLinePerCellAndScoreWithExactNumbers) {
  const std::string csv = table_as_csv(table_of(request(good_runs())));
  EXPECT_THAT(
      csv, HasSubstr("cell,align.text.layer,baseline,score,unit,better,judge,value,low,high,seeds,"
                     "seeds_expected,seed_low,"
                     "seed_high,n,delta,delta_low,delta_high,delta_seeds,p,p_holm,verdict,lacks,"
                     "bold,notes\r\n"));
  EXPECT_THAT(csv, HasSubstr("text=8,8,false,wer,fraction,lower,whisper-base@1,0.25,"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 4);
}

TEST(Table, LatexHasBalancedBracesAndTheSameNumberOfColumnsInEveryRow) {
  Array runs = good_runs();
  runs[3] = run_answer({.text = 8, .seed = 2, .state = "failed"});
  TableRequest about = request(std::move(runs));
  about.reasons["beef82"] = "50% of {a_b} & c # ~ ^ \\ $";
  const std::string latex = table_as_latex(table_of(about));
  int depth = 0;
  for (std::size_t i = 0; i < latex.size(); ++i) {
    const bool escaped = i > 0 && latex[i - 1] == '\\';
    if (latex[i] == '{' && !escaped) ++depth;
    if (latex[i] == '}' && !escaped) --depth;
    ASSERT_GE(depth, 0);
  }
  EXPECT_EQ(depth, 0);
  EXPECT_THAT(latex, HasSubstr("50\\% of \\{a\\_b\\} \\& c \\# \\textasciitilde{} "
                               "\\textasciicircum{} \\textbackslash{} \\$"));
  EXPECT_THAT(latex, HasSubstr("\\toprule"));
  for (const unsigned char c : latex) ASSERT_LT(c, 0x80) << "every engine reads ASCII";
}

TEST(Table, ARunningSweepSaysWhatIsNotFinishedInOneNote) {
  Array runs = good_runs();
  runs[3] = run_answer({.text = 8, .seed = 2, .state = "running"});
  runs[5] = run_answer({.text = 2, .seed = 2, .state = "running"});
  const AblationTable table = table_of(request(std::move(runs)));
  EXPECT_THAT(table.notes, ElementsAre("not finished yet: running"));
}

TEST(Table, RunsThatEndedForOneReasonShareANoteThatNamesThem) {
  Array runs = good_runs();
  TableRequest about = request({});
  for (const std::size_t i : {3U, 4U, 5U}) {
    const int text = i == 3 ? 8 : 2;
    const std::uint64_t seed = i == 4 ? 1 : 2;
    runs[i] = run_answer({.text = text, .seed = seed, .state = "failed"});
    about.reasons["beef" + std::to_string(text) + std::to_string(seed)] = "no such program";
  }
  about.runs = runs;
  const AblationTable table = table_of(about);
  EXPECT_THAT(table.notes,
              ElementsAre("seeds 1, 2: failed (runs f00d2100, f00d2200, f00d8200, train): no such "
                          "program"));
  EXPECT_THAT(table.rows[1].cells[0].notes, ElementsAre(0U));
  EXPECT_THAT(table.rows[2].cells[0].notes, ElementsAre(0U));
}

TEST(Table, WithoutLabelsOfTheirOwnCellsHaveNoColumnForThem) {
  const AblationTable table = table_of(request(good_runs()));
  EXPECT_THAT(table.row_headers, ElementsAre("text layer"));
}

TEST(Table, WhereACellHasALabelOfItsOwnEveryRowHasOne) {
  TableRequest about = request(good_runs());
  ASSERT_TRUE(about.definition.set("labelled", Array{"text=8"}).has_value());
  const AblationTable table = table_of(about);
  EXPECT_THAT(table.row_headers, ElementsAre("text layer", "cell"));
  for (const TableRow& row : table.rows) {
    EXPECT_EQ(row.keys.back(), Value(row.cell)) << "no blank";
    EXPECT_EQ(row.labelled, row.cell == "text=8");
  }
}

TEST(Table, RowsWhoseParametersAreTheSameAreToldApartByTheirLabels) {
  Array runs = good_runs();
  Value twin = run_answer({.text = 8, .seed = 1, .scores = {wer({0.1, 0.3})}});
  (*twin.if_object())["cell"] = "both, two ranks";
  runs.push_back(std::move(twin));
  const AblationTable table = table_of(request(std::move(runs)));
  EXPECT_THAT(table.row_headers, ElementsAre("text layer", "cell"));
  EXPECT_FALSE(table.rows[0].labelled);
  EXPECT_FALSE(table.rows[2].labelled) << "its name is made from its parameters";
  EXPECT_TRUE(table.rows[3].labelled);
  EXPECT_EQ(table.rows[0].keys.back(), Value("text=0"));
}

TEST(Table, ShortNamesDropWhatAllShare) {
  EXPECT_THAT(short_names({"align.text.layer", "align.speech.layer"}),
              ElementsAre("text layer", "speech layer"));
  EXPECT_THAT(short_names({"align.text.layer"}), ElementsAre("text layer"));
  EXPECT_THAT(short_names({"lr", "align.text.layer"}), ElementsAre("lr", "align text layer"));
}

}  // namespace
}  // namespace strata::cli
