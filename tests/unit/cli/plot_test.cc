#include "cli/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "tests/unit/cli/answers.h"

namespace strata::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Where a person wants to look at what the tests draw: STRATA_PLOT_FOLDER=... cli_test
void show(const std::string& name, const std::string& svg) {
  const char* folder = std::getenv("STRATA_PLOT_FOLDER");
  if (folder != nullptr) std::ofstream(std::string(folder) + "/" + name) << svg;
}

TEST(Svg, TicksAreRoundAndCoverTheRange) {
  EXPECT_THAT(nice_ticks(0, 10, 5), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(nice_ticks(3, 3, 2).front(), ::testing::Le(3));
  const auto small = nice_ticks(0.0231, 0.0478, 5);
  EXPECT_LE(small.front(), 0.0231);
  EXPECT_GE(small.back(), 0.0478);
  EXPECT_NEAR(small[1] - small[0], 0.005, 1e-12);
}

TEST(Svg, NamesOfOthersAreEscaped) {
  const Plot plot{.title = "a<b>&\"c\"",
                  .x_label = "x",
                  .y_label = "y",
                  .series = {{.name = "<s>", .points = {{.x = 0, .y = 1}}}}};
  const std::string svg = plot_as_svg(plot);
  EXPECT_THAT(svg, HasSubstr("a&lt;b&gt;&amp;&quot;c&quot;"));
  EXPECT_EQ(svg.find("<s>"), std::string::npos);
}

AblationTable grid_table() {
  Array runs;
  const double gains[3][3] = {{0.0, 0.005, 0.028}, {0.02, 0.035, 0.041}, {0.044, 0.05, 0.0515}};
  const int layers[3] = {0, 4, 8};
  for (int t = 0; t < 3; ++t) {
    for (int s = 0; s < 3; ++s) {
      for (const std::uint64_t seed : {1U, 2U}) {
        std::vector<double> items;
        for (int i = 0; i < 40; ++i)
          items.push_back(0.075 - gains[t][s] + 0.02 * std::sin(i * 1.7 + t + s) +
                          0.001 * static_cast<double>(seed));
        Value run =
            run_answer({.text = layers[t],
                        .seed = seed,
                        .scores = {{.name = "wer", .items = items, .judge = "whisper-base@1"}}});
        Object& fields = *run.if_object();
        fields["cell"] =
            "text=" + std::to_string(layers[t]) + " speech=" + std::to_string(layers[s]);
        fields["baseline"] = t == 0 && s == 0;
        fields["assignment"] =
            Object{{"align.text.layer", layers[t]}, {"align.speech.layer", layers[s]}};
        runs.push_back(std::move(run));
      }
    }
  }
  Value definition = small_definition();
  EXPECT_TRUE(
      definition.set("table.rows", Array{"align.text.layer", "align.speech.layer"}).has_value());
  auto table =
      build_table({.sweep = "adma-table2", .definition = definition, .runs = std::move(runs)});
  EXPECT_TRUE(table.has_value()) << table.error().message;
  return *table;
}

TEST(Plot, AScoreOverAParameterTakesItsNumbersFromTheTable) {
  const AblationTable table = grid_table();
  const auto plot = plot_of_table(table, "align.text.layer", "wer");
  ASSERT_TRUE(plot.has_value()) << plot.error().message;
  ASSERT_EQ(plot->series.size(), 3U);
  EXPECT_EQ(plot->series[0].name, "speech layer –");
  EXPECT_EQ(plot->x_ticks.front().label, "none");
  EXPECT_DOUBLE_EQ(plot->series[0].points[0].y, 100 * table.rows[0].cells[0].estimate->value);
  EXPECT_DOUBLE_EQ(*plot->series[0].points[0].low, 100 * *table.rows[0].cells[0].estimate->low);
  ASSERT_TRUE(plot->reference.has_value());
  EXPECT_DOUBLE_EQ(plot->reference->y, plot->series[0].points[0].y);
  show("parameter.svg", plot_as_svg(*plot));
  EXPECT_EQ(plot_as_svg(*plot), plot_as_svg(*plot));
}

TEST(Plot, AnUnknownParameterOrScoreIsSaid) {
  const AblationTable table = grid_table();
  EXPECT_THAT(plot_of_table(table, "align.text.layer", "mos").error().message,
              HasSubstr("has no score 'mos'"));
  EXPECT_THAT(plot_of_table(table, "nothing", "wer").error().message,
              HasSubstr("has no parameter 'nothing'"));
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t out = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++out;
  return out;
}

TEST(Plot, TheBaselineIsNamedInTheLegendAndNotOnThePoints) {
  const auto plot = plot_of_table(grid_table(), "align.text.layer", "wer");
  ASSERT_TRUE(plot.has_value());
  const std::string svg = plot_as_svg(*plot);
  EXPECT_EQ(count_of(svg, ">baseline</text>"), 1U);
  EXPECT_LT(svg.find(">baseline</text>"), svg.find(">text layer</text>")) << "above the axes";
}

TEST(Plot, ACellWithALabelOfItsOwnIsASeriesAndTheOthersAreNamedByTheirParameters) {
  AblationTable table = grid_table();
  TableRow extra = table.rows.back();  // text 8, speech 8, written by hand
  extra.cell = "both, two ranks";
  extra.labelled = true;
  table.rows.push_back(std::move(extra));
  table.row_names.emplace_back(kCellColumn);
  table.row_headers.emplace_back(kCellColumn);
  for (TableRow& row : table.rows) row.keys.emplace_back(row.cell);
  const auto plot = plot_of_table(table, "align.text.layer", "wer");
  ASSERT_TRUE(plot.has_value()) << plot.error().message;
  std::vector<std::string> names;
  for (const PlotSeries& series : plot->series) names.push_back(series.name);
  EXPECT_THAT(names, ElementsAre("speech layer –", "speech layer 4", "speech layer 8",
                                 "speech layer 8: both, two ranks"));
  EXPECT_EQ(plot->series[2].points.size(), 3U);
  EXPECT_EQ(plot->series[3].points.size(), 1U);
}

TEST(Plot, PointsOfOnePlaceStandCentredOnIt) {
  const Plot plot{.x_label = "x",
                  .y_label = "y",
                  .series = {{.name = "a", .points = {{.x = 0, .y = 1}}},
                             {.name = "b", .points = {{.x = 0, .y = 1}, {.x = 1, .y = 2}}}},
                  .x_ticks = {{0, "0"}, {1, "1"}}};
  const std::string svg = plot_as_svg(plot);
  // The line of "b" ends on the tick of 1: there is no other there.
  const std::size_t label = svg.rfind(">1</text>", svg.find(">x</text>"));
  const std::size_t tick = svg.rfind("<text x=\"", label) + 9;
  EXPECT_THAT(svg, HasSubstr("L" + svg.substr(tick, svg.find('"', tick) - tick) + " "));
}

TEST(Plot, CellsWithoutALabelAreNamedByTheirAxes) {
  const Value both = Object{{"align.speech.layer", 4}, {"align.text.layer", 0}};
  EXPECT_EQ(named_by_axes(both), "speech 4, text –");
  EXPECT_EQ(named_by_axes(Object{{"align.text.layer", 8}}), "text layer 8");
  EXPECT_EQ(named_by_axes(Object{{"train.lr", 0.1}, {"model.dim", 8}}),
            "model dim 8, train lr 0.1");
  const auto plot =
      plot_of_curves("small", "loss",
                     {{.seed = 1, .assignment = both, .values = {{1, 1.0}}},
                      {.seed = 1,
                       .assignment = Object{{"align.speech.layer", 0}, {"align.text.layer", 8}},
                       .values = {{1, 2.0}}}});
  ASSERT_TRUE(plot.has_value()) << plot.error().message;
  ASSERT_EQ(plot->series.size(), 2U) << "two cells, not one called nothing";
  EXPECT_EQ(plot->series[0].name, "speech 4, text –");
}

TEST(Plot, CurvesAreMeansOverSeedsAtCommonStepsWithTheirRange) {
  std::vector<MetricCurve> curves = {
      {.cell = "a", .seed = 1, .values = {{1, 1.0}, {2, 2.0}, {3, 3.0}}},
      {.cell = "a", .seed = 2, .values = {{1, 3.0}, {2, 2.0}}},
      {.cell = "b", .seed = 1, .values = {{1, 5.0}}},
      {.cell = "b", .seed = 2}};
  const auto plot = plot_of_curves("small", "loss", curves);
  ASSERT_TRUE(plot.has_value());
  ASSERT_EQ(plot->series.size(), 2U);
  ASSERT_EQ(plot->series[0].points.size(), 2U) << "step 3 is one seed's only";
  EXPECT_DOUBLE_EQ(plot->series[0].points[0].y, 2.0);
  EXPECT_DOUBLE_EQ(*plot->series[0].points[0].low, 1.0);
  EXPECT_DOUBLE_EQ(*plot->series[0].points[0].high, 3.0);
  EXPECT_EQ(plot->series[1].name, "b (1 of 2 seeds)");
}

TEST(Plot, ALevelIsDrawnAcrossCurvesAndNamed) {
  auto plot = plot_of_curves("small", "validation_loss",
                             {{.cell = "a", .seed = 1, .values = {{1, 1.0}, {2, 0.8}, {3, 0.75}}}});
  ASSERT_TRUE(plot.has_value());
  ASSERT_TRUE(add_line(*plot, 0.5).has_value());
  const std::string svg = plot_as_svg(*plot);
  EXPECT_THAT(svg, HasSubstr(">validation_loss 0.5<"));
  EXPECT_THAT(svg, HasSubstr(">0.5<")) << "the axis reaches down to it";
  EXPECT_EQ(*plot_as_json(*plot).find("line.y"), Value(0.5));
  plot->curves = false;
  EXPECT_FALSE(add_line(*plot, 0.5).has_value());
}

TEST(Plot, LongCurvesAreAveragedInGroupsAndSaySo) {
  std::vector<MetricCurve> curves;
  int cell = 0;
  for (const char* name : {"–", "text 8", "speech 12", "text 8, speech 12"}) {
    for (const std::uint64_t seed : {1U, 2U}) {
      MetricCurve curve{.cell = name, .seed = seed};
      for (int step = 1; step <= 4000; ++step) {
        const double noise = 0.05 * std::sin(step * 12.9898 + static_cast<double>(seed) * 78.233);
        curve.values[step] = 0.6 + (1.5 - 0.15 * cell) * std::exp(-step / (900.0 - 150 * cell)) +
                             noise + 0.02 * static_cast<double>(seed);
      }
      curves.push_back(std::move(curve));
    }
    ++cell;
  }
  const auto plot = plot_of_curves("adma-figure2", "heldout_loss", curves);
  ASSERT_TRUE(plot.has_value());
  EXPECT_EQ(plot->series[0].points.size(), kCurvePointsMax);
  EXPECT_THAT(plot->footnotes.back(), HasSubstr("10 neighbouring steps"));
  show("curves.svg", plot_as_svg(*plot));
}

}  // namespace
}  // namespace strata::cli
