#include "cli/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/view.h"
#include "tests/unit/cli/answers.h"

namespace strata::cli {
namespace {

using ::testing::HasSubstr;

Array runs() {
  return {run_answer({.text = 8, .seed = 1, .scores = {{.name = "wer", .items = {0.01}}}})};
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

TEST(Query, TheTextShowsWhatWasAskedFor) {
  const auto query = parse_query("model.depth = 6 order by wer limit 1");
  const std::string text = runs_as_text(runs(), names_in(*query), {});
  EXPECT_EQ(text,
            "run       sweep  cell    seed  state      model.depth   wer\n"
            "───────────────────────────────────────────────────────────\n"
            "f00d8100  small  text=8     1  succeeded            6  0.01\n"
            "1 run\n");
}

}  // namespace
}  // namespace strata::cli
