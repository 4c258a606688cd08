#include "cli/table_published.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/table_latex.h"
#include "cli/table_render.h"
#include "tests/unit/cli/answers.h"

namespace strata::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kSource = "A-DMA, Table 2 (one training each)";

Value definition_with_published() {
  Value out = small_definition();
  EXPECT_TRUE(out.set("expected_source", kSource).has_value());
  EXPECT_TRUE(out.set("table.scores", Array{"wer", "mos"}).has_value());
  // Two cells, one of them without a MOS; 0.049 is "4.900" beside three other digits.
  EXPECT_TRUE(out.set("expected", Object{{"text=0", Object{{"wer", 0.07474}, {"mos", 4.04}}},
                                         {"text=8", Object{{"wer", 0.049}}}})
                  .has_value());
  return out;
}

TableRequest request_with_published() {
  Array runs;
  for (const int text : {0, 2, 8}) {
    for (const std::uint64_t seed : {1U, 2U}) {
      runs.push_back(run_answer({.text = text,
                                 .seed = seed,
                                 .scores = {{.name = "wer", .items = {0.2, 0.4}, .judge = "w@1"},
                                            {.name = "mos",
                                             .items = {3, 4},
                                             .judge = "m@1",
                                             .unit = "points",
                                             .better = "higher"}}}));
    }
  }
  return {.sweep = "small", .definition = definition_with_published(), .runs = std::move(runs)};
}

AblationTable table_of(const TableRequest& request) {
  auto table = build_table(request);
  EXPECT_TRUE(table.has_value()) << (table ? "" : table.error().message);
  return table ? *table : AblationTable{};
}

TEST(Published, TheBlockHasItsOwnNameAndOnlyTheCellsThatHaveNumbers) {
  const std::string text = table_as_text(table_of(request_with_published()), {}, 1000);
  EXPECT_THAT(text, HasSubstr("published (A-DMA, Table 2), not measured here\n"
                              "text layer  wer [%] ↓  mos [points] ↑\n"
                              "─────────────────────────────────────\n"
                              "–               7.474            4.04\n"
                              "8               4.900               –\n"));
  EXPECT_THAT(text, HasSubstr("published (A-DMA, Table 2): as written in the sweep's file, from "
                              "A-DMA, Table 2 (one training each); not measured here, and nothing "
                              "is computed from it."));
}

TEST(Published, TheOtherFormsSayTheSameAndKeepItApart) {
  const AblationTable table = table_of(request_with_published());
  EXPECT_THAT(table_as_markdown(table),
              HasSubstr("\n**published (A-DMA, Table 2)**, not measured here:\n\n"
                        "| text layer | wer \\[%\\] ↓ | mos \\[points\\] ↑ |\n"
                        "| --- | --- | --- |\n"
                        "| – | 7.474 | 4.04 |\n"
                        "| 8 | 4.900 | – |\n"));
  EXPECT_THAT(table_as_latex(table),
              HasSubstr("\\emph{published (A-DMA, Table 2), not measured here}\\par\n"
                        "\\begin{tabular}{lrr}\n\\toprule\n"
                        "\\begin{tabular}[b]{@{}l@{}}text \\\\ layer\\end{tabular} & "
                        "wer [\\%] $\\downarrow$ & mos [points] $\\uparrow$ \\\\\n"
                        "\\midrule\n-- & 7.474 & 4.04 \\\\\n8 & 4.900 & -- \\\\\n"));
  const std::string csv = table_as_csv(table);
  EXPECT_THAT(csv, HasSubstr(",notes,published,published_source\r\n"));
  EXPECT_THAT(csv, HasSubstr(",0.07474,\"A-DMA, Table 2 (one training each)\"\r\n"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 7) << "no line of its own";
  const Value json = table_as_json(table);
  EXPECT_EQ(to_canonical_json(*json.find("published")),
            "{\"cells\":{\"text=0\":{\"mos\":4.04,\"wer\":0.07474},\"text=8\":{\"wer\":0.049}},"
            "\"source\":\"A-DMA, Table 2 (one training each)\"}");
}

TEST(Published, WhatIsPublishedChangesNothingThatIsMeasured) {
  TableRequest request = request_with_published();
  const AblationTable with = table_of(request);
  request.published = false;
  const AblationTable without = table_of(request);
  EXPECT_FALSE(without.published.has_value());
  for (std::size_t r = 0; r < with.rows.size(); ++r) {
    for (std::size_t c = 0; c < with.columns.size(); ++c) {
      EXPECT_EQ(with.rows[r].cells[c].estimate->value, without.rows[r].cells[c].estimate->value);
      EXPECT_EQ(with.rows[r].cells[c].lacks, without.rows[r].cells[c].lacks);
    }
  }
  for (const std::string& form : {table_as_text(without, {}, 100), table_as_markdown(without),
                                  table_as_latex(without), table_as_csv(without)}) {
    EXPECT_THAT(form, Not(HasSubstr("ublished")));
  }
}

TEST(Published, ASweepThatExpectsNothingHasNoBlock) {
  TableRequest request = request_with_published();
  ASSERT_TRUE(request.definition.set("expected", Object{}).has_value());
  EXPECT_FALSE(table_of(request).published.has_value());
  ASSERT_TRUE(
      request.definition.set("expected", Object{{"text=0", Object{{"cer", 0.1}}}}).has_value());
  EXPECT_FALSE(table_of(request).published.has_value()) << "of no column that is shown";
}

TEST(Published, TheLabelIsTheSourceUpToItsFirstRemark) {
  EXPECT_EQ(published_label("A-DMA, Table 2 (one training each)"), "published (A-DMA, Table 2)");
  EXPECT_EQ(published_label("A-DMA, Table 3"), "published (A-DMA, Table 3)");
  EXPECT_EQ(published_label(""), "published");
}

}  // namespace
}  // namespace strata::cli
