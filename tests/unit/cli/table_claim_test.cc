#include "cli/table_claim.h"

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
using ::testing::IsEmpty;
using ::testing::Not;

// All conditions hold.
Difference sound() {
  return {.value = -0.1,
          .low = -0.15,
          .high = -0.05,
          .seeds = 2,
          .seed_deltas = {-0.12, -0.08},
          .utterances = kClaimUtterancesMin,
          .p = 0.004,
          .p_holm = 0.012,
          .comparisons = 3};
}

TEST(TableClaim, NothingIsLackingWhenAllConditionsHold) {
  const Difference d = sound();
  EXPECT_THAT(lacks_of(&d, true), IsEmpty());
}

TEST(TableClaim, EachConditionThatIsMissingIsNamedAloneWhenTheOthersHold) {
  Difference d = sound();
  EXPECT_THAT(lacks_of(&d, false), ElementsAre(Lack::kSeedsMissing));
  d.seeds = 1;
  d.seed_deltas = {-0.1};
  EXPECT_THAT(lacks_of(&d, true), ElementsAre(Lack::kOneSeed));
  d = sound();
  d.utterances = kClaimUtterancesMin - 1;
  EXPECT_THAT(lacks_of(&d, true), ElementsAre(Lack::kFewUtterances));
  d = sound();
  d.seed_deltas = {-0.25, 0.05};
  EXPECT_THAT(lacks_of(&d, true), ElementsAre(Lack::kSeedsDisagree));
  d.seed_deltas = {-0.2, 0.0};
  EXPECT_THAT(lacks_of(&d, true), ElementsAre(Lack::kSeedsDisagree)) << "zero is no sign";
  d = sound();
  d.high = 0.0;
  EXPECT_THAT(lacks_of(&d, true), ElementsAre(Lack::kInsideNoise));
  d = sound();
  d.p_holm = kClaimLevel;
  EXPECT_THAT(lacks_of(&d, true), ElementsAre(Lack::kNotAfterHolm));
  d = sound();
  d.low = d.high = d.p = d.p_holm = std::nullopt;
  d.utterances = 0;
  EXPECT_THAT(lacks_of(&d, true), ElementsAre(Lack::kNoInterval));
  EXPECT_THAT(lacks_of(nullptr, true), ElementsAre(Lack::kNoCommonSeed));
}

TEST(TableClaim, WhatMoreSeedsOrUtterancesWouldMendIsToldFirst) {
  Difference d = sound();
  d.seeds = 1;
  d.seed_deltas = {0.1};
  d.utterances = 3;
  d.high = 0.2;
  EXPECT_THAT(lacks_of(&d, false), ElementsAre(Lack::kSeedsMissing, Lack::kOneSeed,
                                               Lack::kFewUtterances, Lack::kInsideNoise));
}

// The adjusted values are those of the statistics page: 0.03 0.06 0.06 0.02.
TEST(TableClaim, HolmIsOverTheComparisonsThatHaveAPValue) {
  std::vector<Difference> all(4);
  const double p[4] = {0.01, 0.04, 0.03, 0.005};
  for (std::size_t i = 0; i < 4; ++i) all[i].p = p[i];
  Difference without;
  adjust_for_comparisons({&all[0], nullptr, &all[1], &without, &all[2], &all[3]});
  EXPECT_NEAR(all[0].p_holm.value(), 0.03, 1e-12);
  EXPECT_NEAR(all[1].p_holm.value(), 0.06, 1e-12);
  EXPECT_NEAR(all[2].p_holm.value(), 0.06, 1e-12);
  EXPECT_NEAR(all[3].p_holm.value(), 0.02, 1e-12);
  EXPECT_EQ(all[0].comparisons, 4U);
  EXPECT_FALSE(without.p_holm.has_value());
}

// Baseline: 0.4 to 0.59 by utterance, a tenth more in seed 2. The cell: that, and `gains` by seed.
std::vector<double> items_of(int count, std::uint64_t seed, double gain) {
  std::vector<double> items;
  for (int i = 0; i < count; ++i) items.push_back(0.4 + 0.01 * i + (seed == 2 ? 0.1 : 0.0) - gain);
  return items;
}

Value run_of(int text, std::uint64_t seed, int count, double gain) {
  return run_answer(
      {.text = text,
       .seed = seed,
       .scores = {
           {.name = "wer", .items = items_of(count, seed, gain), .judge = "whisper-base@1"}}});
}

AblationTable two_cells(int count, std::vector<double> gains) {
  Array runs;
  Array seeds;
  for (std::size_t i = 0; i < gains.size(); ++i) {
    const std::uint64_t seed = i + 1;
    runs.push_back(run_of(0, seed, count, 0));
    runs.push_back(run_of(8, seed, count, gains[i]));
    seeds.push_back(seed);
  }
  Value definition = small_definition();
  EXPECT_TRUE(definition.set("seeds", std::move(seeds)).has_value());
  auto table = build_table({.sweep = "small", .definition = definition, .runs = std::move(runs)});
  EXPECT_TRUE(table.has_value()) << (table ? "" : table.error().message);
  return table ? *table : AblationTable{};
}

// 20 differences of one sign: the two patterns of 2^20 that keep or turn all of them reach the sum.
TEST(TableClaim, TwoSeedsOfOneSignOverTwentyUtterancesAreBetterAndBold) {
  const AblationTable table = two_cells(20, {0.1, 0.05});
  const TableCell& cell = table.rows[1].cells[0];
  EXPECT_EQ(verdict_of(table.columns[0], cell), Verdict::kBetter);
  EXPECT_TRUE(cell.best);
  EXPECT_DOUBLE_EQ(cell.delta->p.value(), 2.0 / (1 << 20));
  EXPECT_EQ(cell_text(table.columns[0], cell).verdict, "better, p < 0.001");
  EXPECT_EQ(verdict_of(table.columns[0], table.rows[0].cells[0]), Verdict::kNotCompared);
}

TEST(TableClaim, ALowerErrorOfTheBaselineIsWorseAndNothingIsBold) {
  const AblationTable table = two_cells(20, {-0.1, -0.05});
  EXPECT_EQ(cell_text(table.columns[0], table.rows[1].cells[0]).verdict, "worse, p < 0.001");
  EXPECT_FALSE(table.rows[0].cells[0].best);
  EXPECT_FALSE(table.rows[1].cells[0].best);
}

TEST(TableClaim, WithoutAConditionNothingIsBoldAndEveryFormSaysWhichOne) {
  const std::pair<AblationTable, std::string> cases[] = {
      {two_cells(19, {0.1, 0.05}), "too few utterances"},
      {two_cells(20, {0.1}), "one seed"},
      {two_cells(20, {0.3, -0.1}), "seeds disagree"},
  };
  for (const auto& [table, words] : cases) {
    const TableCell& cell = table.rows[1].cells[0];
    EXPECT_TRUE(cell.delta->excludes_zero()) << words;
    EXPECT_FALSE(cell.best) << words;
    EXPECT_EQ(cell_text(table.columns[0], cell).verdict, words);
    const std::string csv = table_as_csv(table);
    EXPECT_THAT(csv, HasSubstr(",," + words + ",false,")) << "no verdict, but what is missing";
    EXPECT_THAT(table_as_text(table, {}, 100), HasSubstr("            " + words + "\n"));
    EXPECT_THAT(table_as_markdown(table), HasSubstr("<br>*" + words + "*"));
    EXPECT_THAT(table_as_latex(table), HasSubstr("\\scriptsize " + words));
    const std::string json = to_canonical_json(table_as_json(table));
    EXPECT_THAT(json, HasSubstr("\"lacks\":[\"" + words + "\"]"));
    EXPECT_THAT(json, HasSubstr("\"verdict\":null"));
    EXPECT_THAT(json, Not(HasSubstr("\"better\"}")));
  }
}

TEST(TableClaim, ASeedThatIsMissingOnEitherSideTakesTheClaimAway) {
  for (const int incomplete : {0, 8}) {
    Array runs;
    for (const int text : {0, 8}) {
      for (const std::uint64_t seed : {1U, 2U, 3U}) {
        if (text == incomplete && seed == 3) {
          runs.push_back(run_answer({.text = text, .seed = seed, .state = "failed"}));
        } else {
          runs.push_back(run_of(text, seed, 20, text == 8 ? 0.1 : 0.0));
        }
      }
    }
    Value definition = small_definition();
    ASSERT_TRUE(definition.set("seeds", Array{1, 2, 3}).has_value());
    const auto table = build_table({.sweep = "small", .definition = definition, .runs = runs});
    ASSERT_TRUE(table.has_value()) << table.error().message;
    const TableCell& cell = table->rows[1].cells[0];
    EXPECT_EQ(cell.delta->seeds, 2U);
    EXPECT_THAT(cell.lacks, ElementsAre(Lack::kSeedsMissing)) << incomplete;
    EXPECT_FALSE(cell.best);
  }
}

TEST(TableClaim, ACellWithOtherSeedsThanTheBaselineSaysThatNoneIsCommon) {
  Array runs = {run_of(0, 1, 20, 0), run_of(8, 2, 20, 0.1)};
  Value definition = small_definition();
  ASSERT_TRUE(definition.set("seeds", Array{1}).has_value());
  ASSERT_TRUE(definition.set("cell_seeds", Object{{"text=8", Array{2}}}).has_value());
  const auto table = build_table({.sweep = "small", .definition = definition, .runs = runs});
  ASSERT_TRUE(table.has_value()) << table.error().message;
  EXPECT_EQ(cell_text(table->columns[0], table->rows[1].cells[0]).verdict, "no common seed");
}

TEST(TableClaim, TheCaptionNamesEveryConditionWithItsNumber) {
  const std::string text = table_as_text(two_cells(20, {0.1, 0.05}), {}, 1000);
  EXPECT_THAT(text, HasSubstr("“better”, “worse”: the cell and the baseline have all their seeds; "
                              "these are 2 or more, and their paired differences all have the same "
                              "sign; there are 20 utterances or more; the interval of Δ excludes "
                              "zero; and p is below 0.05, the sign-flip test over utterances after "
                              "Holm's correction for all comparisons of the column."));
  EXPECT_THAT(text, HasSubstr("Bold: the best of a column, where it is “better”."));
  EXPECT_THAT(text, HasSubstr("they say nothing about other seeds"));
}

}  // namespace
}  // namespace strata::cli
