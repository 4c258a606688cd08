// Specs as the cluster keeps them: whole again as they were, and small.

#include "coordinator/core/kept_spec.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

using coordinator::KeptSpec;

TaskSpec rich_task() {
  TaskSpec spec = make_task("train", 7, {make_task("prepare", 1), make_task("extract", 2)});
  spec.parameters = *parse_json(
      R"({"a": [1, 2.50, 1e-7, null, true, "two\nlines"], "b": {"": {}, "é": []}, "c": "NaN"})");
  spec.neutral = {"a", "b.with\nbreak", std::string("c\0d", 3)};
  spec.seed = 18'446'744'073'709'551'615ULL;
  spec.flops = 0.1;
  spec.fallbacks = {{.slots = 2}};
  spec.versions = {{"git", "abc"}};
  spec.log_rules.resize(1);
  return spec;
}

TEST(KeptSpecs, AreWholeAgainAsTheyWere) {
  KeptSpec::Common latest;
  const TaskSpec rich = rich_task();
  const TaskSpec plain = make_task("score", 1);
  TaskSpec bare = plain;
  bare.parameters = Value();
  bare.seed.reset();
  for (const TaskSpec& spec : {rich, plain, bare, rich})
    EXPECT_EQ(KeptSpec(spec, latest).whole(), spec);
}

TEST(KeptSpecs, ShareWhatTheyHaveInCommonAndNothingElse) {
  KeptSpec::Common latest;
  const TaskSpec first = make_task("train", 1, {make_task("prepare", 1)});
  TaskSpec other_cell = make_task("train", 2, {make_task("prepare", 2)});
  const KeptSpec kept_first(first, latest);
  const auto common = latest;
  const KeptSpec kept_other(other_cell, latest);
  EXPECT_EQ(latest, common);
  other_cell.resources.memory_mb = 5;
  const KeptSpec larger(other_cell, latest);
  EXPECT_NE(latest, common);
  EXPECT_EQ(larger.resources().memory_mb, 5);
  EXPECT_EQ(kept_other.resources().memory_mb, 0);
  EXPECT_EQ(kept_first.whole(), first);
  EXPECT_EQ(kept_first.key(), first.key);
  EXPECT_EQ(kept_first.inputs(), first.inputs);
}

}  // namespace
}  // namespace strata::testing
