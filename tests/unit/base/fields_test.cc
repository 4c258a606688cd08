#include "base/fields.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace strata {
namespace {

TEST(Fields, TypedReadsWithFallbacks) {
  const Value value =
      *parse_json(R"({"dim": 64, "lr": 1e-4, "name": "dit", "on": true, "list": [1, 2]})");
  Fields fields(value, "model");
  EXPECT_EQ(fields.integer("dim"), 64);
  EXPECT_DOUBLE_EQ(fields.number("lr"), 1e-4);
  EXPECT_EQ(fields.choice("name", {"dit", "unett"}), "dit");
  EXPECT_TRUE(fields.flag("on"));
  EXPECT_EQ(fields.integers("list"), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(fields.integer("absent", 7), 7);
  EXPECT_TRUE(fields.finish().has_value());
}

std::string first_error(std::string_view json, auto&& read) {
  const Value value = *parse_json(json);
  Fields fields(value, "model");
  read(fields);
  const Status status = fields.finish();
  return status ? "none" : status.error().message;
}

TEST(Fields, ErrorsSayWhereWhatWasExpectedAndWhatWasFound) {
  EXPECT_EQ(first_error(R"({"dim": "x"})", [](Fields& f) { f.integer("dim"); }),
            "model.dim: expected a whole number, found \"x\"");
  EXPECT_EQ(first_error("{}", [](Fields& f) { f.text("name"); }), "model: \"name\" is missing");
  EXPECT_EQ(first_error(R"({"a": 1, "typo": 2})", [](Fields& f) { f.integer("a"); }),
            "model: unknown key \"typo\"; known: a");
  EXPECT_EQ(first_error(R"({"kind": "lstm"})",
                        [](Fields& f) {
                          f.choice("kind", {"dit", "unett"});
                        }),
            "model.kind: expected one of dit, unett, found \"lstm\"");
  EXPECT_EQ(first_error("[]", [](Fields& f) { f.integer("a"); }),
            "model: expected a map, found a list");
}

}  // namespace
}  // namespace strata
