// The keys of a stage that say what is done when it fails, runs out of memory or has to stop.
#include <gtest/gtest.h>

#include "tests/unit/schema/sweep_text.h"

namespace strata {
namespace {

std::string with_stage(const std::string& fields) {
  return "sweep: s\nbase: {a: 1}\nstages:\n  m:\n    program: m\n    reads: [a]\n" + fields;
}
TaskSpec task_of(const std::string& fields) {
  const Expansion expansion = expand_text(with_stage(fields));
  EXPECT_EQ(expansion.tasks.size(), 1U);
  return expansion.tasks.empty() ? TaskSpec{} : expansion.tasks[0];
}
std::string wrong(const std::string& fields) { return error_of({{"s.yaml", with_stage(fields)}}); }

TEST(StageFailures, ThePolicyOfAStageBecomesItsRulesInOrder) {
  const TaskSpec task = task_of(
      "    policy:\n"
      "      - {name: licence, match: 'no licence server', class: infra, action: avoid-worker}\n"
      "      - name: bad-corpus\n"
      "        match: 'corpus .* is empty'\n"
      "        class: user\n"
      "        action: stop\n"
      "        samples: ['corpus /data/x is empty']\n");
  EXPECT_EQ(task.log_rules, (std::vector<LogRule>{{.name = "licence",
                                                   .pattern = "no licence server",
                                                   .cause = FailureClass::kInfra,
                                                   .action = LogAction::kAvoidWorker},
                                                  {.name = "bad-corpus",
                                                   .pattern = "corpus .* is empty",
                                                   .cause = FailureClass::kUser,
                                                   .action = LogAction::kStop}}));
}

TEST(StageFailures, AMistakeInAPolicyIsAnErrorWithItsPlace) {
  const auto rule = [](const std::string& fields) {
    return wrong("    policy:\n      - {" + fields + "}\n");
  };
  EXPECT_EQ(rule("name: x, match: '(a', class: user").substr(0, 39),
            "s.yaml:8:26: match: missing ): (a (patt");
  EXPECT_EQ(rule("name: x, match: a, class: usr"),
            "s.yaml:8:36: there is no class \"usr\", did you mean user?; expected one of user, "
            "invalid, infra, data, memory, node, storage, scheduled");
  EXPECT_EQ(rule("name: x, match: a, class: user, action: halt"),
            "s.yaml:8:50: there is no action \"halt\": expected one of none, stop, avoid-worker, "
            "quarantine-worker");
  EXPECT_EQ(rule("name: x, match: 'a*', class: user"),
            "s.yaml:8:26: match: it takes an empty line, so it would take every line");
  EXPECT_EQ(rule("name: X, match: a, class: user"),
            "s.yaml:8:16: \"X\" is no name of a rule: expected small letters, digits and -");
  EXPECT_EQ(rule("name: x, match: a"), "s.yaml:8:9: a rule of policy needs name, match and class");
  EXPECT_EQ(rule("name: x, match: a, class: user, samples: [b]"),
            "s.yaml:8:52: the rule x does not take this sample");
  EXPECT_EQ(rule("name: x, match: a, class: user, retry: 3").substr(0, 32),
            "s.yaml:8:42: unknown key retry: ");
  EXPECT_EQ(wrong("    policy:\n      - {name: x, match: a, class: user}\n"
                  "      - {name: x, match: b, class: user}\n"),
            "s.yaml:9:9: there are two rules x");
  EXPECT_EQ(wrong("    policy: {}\n"), "s.yaml:7:13: policy must be a list, not a map");
}

TEST(StageFailures, MemoryHasAUnitAndExpectedTimeIsInMinutes) {
  const auto memory = [](const std::string& text) {
    return task_of("    resources: {memory: " + text + ", expected_minutes: 90}\n").resources;
  };
  EXPECT_EQ(memory("12GiB").memory_mb, 12 * 1024);
  EXPECT_EQ(memory("512MiB").memory_mb, 512);
  EXPECT_EQ(memory("2TiB").memory_mb, 2 * 1024 * 1024);
  EXPECT_EQ(memory("1GiB").expected_ms, 90 * 60'000);
  EXPECT_EQ(task_of("").resources.memory_mb, 0);
  const std::string expected =
      "s.yaml:7:25: memory must be a whole number with its unit, MiB, GiB or TiB: 12GiB, not ";
  const auto wrong_memory = [](const std::string& text) {
    return wrong("    resources: {memory: " + text + "}\n");
  };
  EXPECT_EQ(wrong_memory("12GB"), expected + "\"12GB\"");
  EXPECT_EQ(wrong_memory("12 GiB"), expected + "\"12 GiB\"");
  EXPECT_EQ(wrong_memory("1.5GiB"), expected + "\"1.5GiB\"");
  EXPECT_EQ(wrong_memory("12"), expected + "a number");
  EXPECT_EQ(wrong_memory("0GiB"), "s.yaml:7:25: memory must be from 1MiB to 64TiB, not 0GiB");
  EXPECT_EQ(wrong_memory("999999TiB"),
            "s.yaml:7:25: memory must be from 1MiB to 64TiB, not 999999TiB");
  EXPECT_EQ(wrong("    resources: {expected_minutes: 0}\n").substr(0, 30),
            "s.yaml:7:35: expected_minutes ");
}

TEST(StageFailures, FallbacksAreLaidOverTheResourcesOfTheStageOrOfTheCell) {
  const std::string fields =
      "    resources: {slots: 1, memory: 8GiB, labels: [gpu]}\n"
      "    fallbacks: [{memory: 16GiB}, {slots: 2, memory: 32GiB}]\n";
  const TaskSpec task = task_of(fields);
  ASSERT_EQ(task.fallbacks.size(), 2U);
  EXPECT_EQ(task.fallbacks[0], (Resources{.labels = {"gpu"}, .memory_mb = 16 * 1024}));
  EXPECT_EQ(task.fallbacks[1], (Resources{.slots = 2, .labels = {"gpu"}, .memory_mb = 32 * 1024}));
  const Expansion expansion = expand_text(
      with_stage(fields) +
      "cases:\n  - {label: big, set: {a: 2}, resources: {m: {slots: 2, memory: 32GiB}}}\n");
  ASSERT_EQ(expansion.tasks.size(), 1U);
  ASSERT_EQ(expansion.tasks[0].fallbacks.size(), 2U);
  EXPECT_EQ(expansion.tasks[0].fallbacks[0],
            (Resources{.slots = 2, .labels = {"gpu"}, .memory_mb = 16 * 1024}));
}

TEST(StageFailures, AFallbackMustBeAnotherShape) {
  EXPECT_EQ(wrong("    resources: {slots: 2}\n    fallbacks: [{slots: 2}]\n"),
            "s.yaml:8:17: this fallback is the shape that would have failed before");
  EXPECT_EQ(wrong("    fallbacks: [{slots: 2}, {slots: 2}]\n"),
            "s.yaml:7:29: this fallback is the shape that would have failed before");
  EXPECT_EQ(wrong("    fallbacks: [{}]\n"),
            "s.yaml:7:17: this fallback is the shape that would have failed before");
}

TEST(StageFailures, GraceAndScoringAreSetAndNoneOfItChangesAKey) {
  const TaskSpec plain = task_of("");
  EXPECT_EQ(plain.grace_ms, 20'000);
  EXPECT_FALSE(plain.scoring);
  const TaskSpec task = task_of(
      "    grace_seconds: 120\n    scoring: true\n    resources: {memory: 1GiB, "
      "expected_minutes: 5}\n    fallbacks: [{slots: 2}]\n"
      "    policy: [{name: x, match: a, class: user}]\n");
  EXPECT_EQ(task.grace_ms, 120'000);
  EXPECT_TRUE(task.scoring);
  EXPECT_EQ(task.key, plain.key);
  EXPECT_EQ(wrong("    grace_seconds: 0\n"),
            "s.yaml:7:20: grace_seconds must be a whole number from 1 to 3600, not 0");
  EXPECT_EQ(wrong("    scoring: 1\n"), "s.yaml:7:14: scoring must be true or false, not a number");
}

}  // namespace
}  // namespace strata
