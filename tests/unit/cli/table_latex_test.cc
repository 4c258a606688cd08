#include "cli/table_latex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cli/answers.h"

namespace strata::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Latex, WhatIsSpecialIsEscapedToExactlyThis) {
  EXPECT_EQ(latex_text("50% of {a_b} & c #1 ~ ^ \\ $x"),
            "50\\% of \\{a\\_b\\} \\& c \\#1 \\textasciitilde{} \\textasciicircum{} "
            "\\textbackslash{} \\$x");
  EXPECT_EQ(latex_text("wer [%] ↓"), "wer [\\%] $\\downarrow$");
  EXPECT_EQ(latex_text("95\u00a0% interval"), "95~\\% interval");
  EXPECT_EQ(latex_text("sim_o ↑"), "sim\\_o $\\uparrow$");
  EXPECT_EQ(latex_text("Δ −0.3 [−0.5, −0.1]"), "$\\Delta$ $-$0.3 [$-$0.5, $-$0.1]");
  EXPECT_EQ(latex_text("seeds 0.1 … 0.2"), "seeds 0.1 \\ldots{} 0.2");
  EXPECT_EQ(latex_text("“better” – a|b \"c\" <d>"), "``better'' -- a\\textbar{}b ''c'' $<$d$>$");
  EXPECT_EQ(latex_text("×±≤≥→·"), "$\\times$$\\pm$$\\leq$$\\geq$$\\rightarrow$$\\cdot$");
}

TEST(Latex, LigaturesOfPlainTextAreBrokenUp) {
  EXPECT_EQ(latex_text("strata --format"), "strata -{}-format");
  EXPECT_EQ(latex_text("-- -"), "-{}- -");
  EXPECT_EQ(latex_text("''x`` ?` !` ,,"), "'{}'x`{}` ?{}` !{}` ,{},");
}

TEST(Latex, ControlCharactersAndLineEndsDoNotReachTheOutput) {
  EXPECT_EQ(latex_text("a\x1b[31mb\nc\td"), "a?[31mb c d");
}

ScoreGiven score(const std::string& name, double value, int count) {
  std::vector<double> items;
  for (int i = 0; i < count; ++i) items.push_back(value + 0.001 * i);
  return {.name = name, .items = items, .judge = "judge@1", .unit = "points", .better = "higher"};
}

// `rows` cells, `columns` scores named s0, s1, ...
AblationTable big_table(int rows, int columns) {
  Array runs;
  Array layers;
  Array scores;
  for (int c = 0; c < columns; ++c) scores.push_back("s" + std::to_string(c));
  for (int r = 0; r < rows; ++r) {
    layers.push_back(r);
    for (const std::uint64_t seed : {1U, 2U}) {
      RunGiven given{.text = r, .seed = seed};
      for (int c = 0; c < columns; ++c)
        given.scores.push_back(score("s" + std::to_string(c), 3 + 0.1 * r, 4));
      runs.push_back(run_answer(given));
    }
  }
  Value definition = small_definition();
  EXPECT_TRUE(definition.set("table.scores", std::move(scores)).has_value());
  EXPECT_TRUE(definition
                  .set("axes", Array{Object{{"parameter", "align.text.layer"},
                                            {"values", std::move(layers)}}})
                  .has_value());
  auto table = build_table({.sweep = "small", .definition = definition, .runs = std::move(runs)});
  EXPECT_TRUE(table.has_value()) << (table ? "" : table.error().message);
  return table ? *table : AblationTable{};
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t out = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++out;
  return out;
}

// In every tabular each row has as many cells as the first line says.
void expect_rows_are_whole(const std::string& latex) {
  std::size_t columns = 0;
  std::size_t begin = 0;
  while (begin < latex.size()) {
    const std::size_t end = latex.find('\n', begin);
    std::string line = latex.substr(begin, end - begin);
    begin = end + 1;
    const std::string open = "\\begin{tabular}{";
    if (line.starts_with(open)) columns = line.size() - open.size() - 1;
    if (!line.ends_with(" \\\\") || line.starts_with("%")) continue;
    std::size_t cells = 1 + count_of(line, " & ");
    if (line.starts_with("\\multicolumn{")) cells += static_cast<std::size_t>(line[13] - '1');
    EXPECT_EQ(cells, columns) << line;
  }
  EXPECT_GT(columns, 0U);
}

TEST(Latex, ASmallTableIsOneFloatWithWholeRows) {
  const std::string latex = table_as_latex(big_table(3, 2));
  EXPECT_EQ(count_of(latex, "\\begin{table}"), 1U);
  EXPECT_EQ(count_of(latex, "\\end{table}"), 1U);
  EXPECT_EQ(count_of(latex, "\\begin{tabular}{lll}"), 1U);
  EXPECT_TRUE(latex.starts_with("% needs \\usepackage{booktabs}\n"));
  expect_rows_are_whole(latex);
}

TEST(Latex, ColumnsAndRowsThatDoNotFitAPageGoIntoFloatsOfOneNumber) {
  const std::string latex = table_as_latex(big_table(25, 6));
  const std::size_t floats = count_of(latex, "\\begin{table}");
  EXPECT_GT(floats, 2U);
  EXPECT_EQ(count_of(latex, "\\end{table}"), floats);
  EXPECT_EQ(count_of(latex, "\\addtocounter{table}{-1}\\caption"), floats - 1);
  EXPECT_EQ(count_of(latex, " (continued)}"), floats - 1);
  for (int c = 0; c < 6; ++c) {
    EXPECT_GE(count_of(latex, "s" + std::to_string(c) + " [points]"), 1U) << c;
  }
  expect_rows_are_whole(latex);
}

TEST(Latex, AFieldThatBeginsWithABracketIsNoArgumentOfTheRuleAboveIt) {
  AblationTable table = big_table(2, 1);
  table.rows[0].keys[0] = "[1, 2]";
  table.rows[1].keys[0] = "*";
  const std::string latex = table_as_latex(table);
  EXPECT_THAT(latex, HasSubstr("\\midrule\n{}[1, 2] & "));
  EXPECT_THAT(latex, HasSubstr("\\addlinespace\n{}* & "));
}

TEST(Latex, AnEmptyNameIsAFieldOfItsOwn) {
  AblationTable table = big_table(2, 2);
  table.rows[0].keys[0] = "a b";
  table.rows[1].keys[0] = "";
  const std::string latex = table_as_latex(table);
  EXPECT_THAT(latex, HasSubstr("\\addlinespace\n & \\begin{tabular}[t]"));
  expect_rows_are_whole(latex);
  table.row_headers[0] = "";  // nor does a header without a name lose its column
  expect_rows_are_whole(table_as_latex(table));
}

TEST(Latex, LongNamesOfRowsStandInLines) {
  AblationTable table = big_table(2, 1);
  table.rows[0].keys[0] = "hubert-large-ll60k-mean";
  table.rows[1].keys[0] = "HuBERT mean of layers";
  const std::string latex = table_as_latex(table);
  EXPECT_THAT(latex, HasSubstr("\\begin{tabular}[t]{@{}l@{}}hubert-large- \\\\ ll60k-mean"
                               "\\end{tabular} & "));
  EXPECT_THAT(latex, HasSubstr("{@{}l@{}}HuBERT mean of \\\\ layers\\end{tabular} & "));
}

TEST(Latex, ManyNotesAreSpreadOverFloats) {
  AblationTable table = big_table(2, 1);
  for (int i = 0; i < 100; ++i) table.notes.push_back("note " + std::to_string(i));
  const std::string latex = table_as_latex(table);
  EXPECT_GT(count_of(latex, "\\begin{table}"), 2U);
  EXPECT_EQ(count_of(latex, "\\begin{minipage}"), count_of(latex, "\\end{minipage}"));
  EXPECT_THAT(latex, HasSubstr("note 99"));
}

TEST(Latex, TheHintForTheAuthorIsACommentOfOneLine) {
  AblationTable table = big_table(2, 1);
  table.rows[0].cell = "two\nlines";
  const std::string latex = table_as_latex(table);
  EXPECT_THAT(latex, HasSubstr("% Trace a figure: strata trace small --cell 'two lines'"));
  EXPECT_THAT(latex, Not(HasSubstr("\nlines")));
}

}  // namespace
}  // namespace strata::cli
