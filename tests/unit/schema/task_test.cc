#include "schema/task.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "base/json.h"

namespace strata {
namespace {

Value golden() {
  const auto text = read_file(STRATA_SOURCE_DIR "/tests/golden/schema/task_keys.json");
  EXPECT_TRUE(text);
  auto value = parse_json(*text);
  EXPECT_TRUE(value) << value.error().message;
  return *value;
}

std::string text_at(const Value& value, std::string_view path) {
  return *value.find(path)->if_string();
}

TaskSpec prepare() {
  TaskSpec spec{.stage = "prepare", .program = {.name = "strata-trainer prepare"}};
  spec.parameters = *parse_json(
      R"({"corpus": {"seconds": [1.0, 4.0], "heldout": 60, "kind": "asterisk", "limit": null}})");
  spec.neutral = {"corpus.limit"};
  spec.key = compute_key(spec);
  return spec;
}

TaskSpec train() {
  TaskSpec spec{.stage = "train",
                .program = {.name = "strata-trainer train", .result_version = 3},
                .seed = 2};
  spec.parameters = *parse_json(
      R"({"train": {"updates": 400, "lr": 1e-4, "new": {"flag": false}}, "ema": true, "nothing": null,
                                    "note": "a \"b\" \\ ü\n"})");
  spec.neutral = {"train.new.flag"};
  spec.inputs = {{"corpus", prepare().key, "corpus"}};
  spec.resources.slots = 4;
  spec.secrets = {"TOKEN"};
  spec.key = compute_key(spec);
  return spec;
}

TEST(TaskKey, OldSpecsKeepTheirKeysForEver) {
  const Value file = golden();
  const std::vector<TaskSpec> specs{prepare(), train(),
                                    TaskSpec{.program = {.name = "p"}, .parameters = Object{}}};
  const Array& keys = *file.find("keys")->if_array();
  ASSERT_EQ(keys.size(), specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    EXPECT_EQ(key_material(specs[i]), text_at(keys[i], "material"));
    EXPECT_EQ(compute_key(specs[i]).hex(), text_at(keys[i], "key"));
    EXPECT_EQ(compute_key(specs[i], canonical_key_parameters(specs[i])), compute_key(specs[i]));
  }
}

TEST(TaskKey, OldRunsKeepTheirKeysForEver) {
  RunSpec run{
      .cell = "text=3", .seed = 7, .tasks = {{"prepare", prepare().key}, {"train", train().key}}};
  EXPECT_EQ(compute_key(run).hex(), text_at(golden(), "run.key"));
  run.cell = "another label";
  run.seed = 8;  // a seed counts through the tasks that it is in
  EXPECT_EQ(compute_key(run).hex(), text_at(golden(), "run.key"));
}

TEST(TaskKey, DroppingANeutralParameterDropsTheMapsThatItLeavesEmpty) {
  TaskSpec spec{.parameters = *parse_json(R"({"a": {"b": {"c": 1}}, "d": {}})"),
                .neutral = {"a.b.c"}};
  EXPECT_EQ(canonical_key_parameters(spec), R"({"d":{}})");
  spec.neutral = {"a.b.x", "q", "a.b.c.d"};  // what is not there is not dropped
  EXPECT_EQ(canonical_key_parameters(spec), R"({"a":{"b":{"c":1}},"d":{}})");
}

}  // namespace
}  // namespace strata
