#include "cli/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/view.h"
#include "tests/unit/cli/answers.h"

namespace strata::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Array runs() {
  const auto wer = [](double value) {
    return std::vector<ScoreGiven>{{.name = "wer", .items = {value}}};
  };
  return {run_answer({.text = 0, .seed = 1, .scores = wer(0.5)}),
          run_answer({.text = 2, .seed = 1, .scores = wer(0.02)}),
          run_answer({.text = 8, .seed = 1, .scores = wer(0.01)}),
          run_answer({.text = 8, .seed = 2, .state = "failed"})};
}

std::vector<std::string> cells(const std::string& text) {
  const auto query = parse_query(text);
  EXPECT_TRUE(query.has_value()) << query.error().message;
  const auto found = run_query(*query, runs());
  EXPECT_TRUE(found.has_value()) << (found ? "" : found.error().message);
  std::vector<std::string> out;
  for (const Value& run : *found)
    out.push_back(text_at(run, "cell") + "/" + std::to_string(integer_at(run, "seed")));
  return out;
}

TEST(Query, FiltersOverParametersScoresAndStateTogether) {
  EXPECT_THAT(cells("model.depth = 6 and wer < 0.03 order by wer limit 10"),
              ElementsAre("text=8/1", "text=2/1"));
  EXPECT_THAT(cells("align.text.layer = 8 and state = failed"), ElementsAre("text=8/2"));
  EXPECT_THAT(cells("model.depth = 7"), IsEmpty());
  EXPECT_THAT(cells("baseline = true or seed = 2"), ElementsAre("text=0/1", "text=8/2"));
}

TEST(Query, RunsWithoutTheValueComeLastInBothDirections) {
  EXPECT_THAT(cells("order by wer"), ElementsAre("text=8/1", "text=2/1", "text=0/1", "text=8/2"));
  EXPECT_THAT(cells("order by wer desc limit 4"),
              ElementsAre("text=0/1", "text=2/1", "text=8/1", "text=8/2"));
}

TEST(Query, AMistakeIsPointedAt) {
  EXPECT_EQ(read_query("model.depth = = 3").error().message,
            "column 15: expected a name, a number, a text or \"(\", found \"=\"\n"
            "  model.depth = = 3\n"
            "                ^");
  EXPECT_THAT(read_query("wer <").error().message, HasSubstr("\n  wer <\n       ^"));
  EXPECT_THAT(read_query("cell = 'Δ' and =").error().message,
              HasSubstr("\n  cell = 'Δ' and =\n                 ^"))
      << "columns of the terminal, not bytes";
}

TEST(Query, NamesThatNoRunHasAreToldApartFromThoseThatSomeHave) {
  const auto query = parse_query("wer < 1 and nope = 3 and model.depth = 6 and state = failed");
  EXPECT_THAT(unknown_names(*query, runs()), ElementsAre("nope"));
}

TEST(Query, TheTextShowsWhatWasAskedFor) {
  const auto query = parse_query("model.depth = 6 order by wer limit 1");
  const auto found = run_query(*query, runs());
  const std::string text = runs_as_text(*found, names_in(*query), {});
  EXPECT_EQ(text,
            "run       sweep  cell    seed  state      model.depth   wer\n"
            "───────────────────────────────────────────────────────────\n"
            "f00d8100  small  text=8     1  succeeded            6  0.01\n"
            "1 run\n");
}

}  // namespace
}  // namespace strata::cli
