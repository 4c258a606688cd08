#include "cli/policy_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/view.h"

namespace strata::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kLog =
    "step 1\nstep 2\nncclRemoteError: A call failed possibly due to a network error\nstep 3\n"
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n";

LogPolicy policy(const std::vector<LogRule>& own = {}) {
  return *LogPolicy::make(with_shipped(own));
}

TEST(PolicyReport, SaysForEachLineItsRuleAndWhichOneCounts) {
  const PolicyTrial trial = try_policy(policy(), kLog);
  const Value value = trial_value(policy(), trial);
  ASSERT_EQ(array_at(value, "lines").size(), 2U);
  EXPECT_EQ(text_at(array_at(value, "lines")[0], "rule"), "nccl-remote-error");
  EXPECT_EQ(integer_at(array_at(value, "lines")[0], "line"), 3);
  const Value& verdict = at(value, "verdict");
  EXPECT_EQ(text_at(verdict, "rule"), "cuda-out-of-memory") << "the first in order, not in the log";
  EXPECT_EQ(integer_at(verdict, "line"), 5);
  EXPECT_EQ(text_at(verdict, "class"), "memory");
  EXPECT_EQ(text_at(verdict, "charged"), "the task (retry.failures)");
  const std::string text = trial_text(policy(), trial, "train.log", Palette(), 120);
  EXPECT_THAT(text, HasSubstr("cuda-out-of-memory: the first rule, in order, that takes a line (5 "
                              "lines of train.log looked at)"));
  EXPECT_THAT(text, HasSubstr("tried again in the next of its fallbacks, else it fails"));
}

TEST(PolicyReport, SaysThatNoRuleTakesALine) {
  const PolicyTrial trial = try_policy(policy(), "step 1\nKeyError: 'a'\n");
  EXPECT_TRUE(at(trial_value(policy(), trial), "verdict").is_null());
  EXPECT_THAT(trial_text(policy(), trial, "x.log", Palette(), 100),
              HasSubstr("no rule takes any of them (2 lines of x.log looked at)"));
  EXPECT_THAT(trial_text(policy(), try_policy(policy(), ""), "x.log", Palette(), 100),
              HasSubstr("0 lines of x.log"));
}

TEST(PolicyReport, ShowsSoManyLinesAndCountsTheRestAndObeysNoTerminalCodes) {
  std::string log;
  for (int i = 0; i < 50; ++i) log += "No space left on device \x1b[31m\n";
  const std::string text = trial_text(policy(), try_policy(policy(), log), "x", Palette(), 100);
  EXPECT_THAT(text, HasSubstr("and 30 more"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(PolicyReport, OfALongLogTheEndIsLookedAtAsOnTheWorker) {
  std::string log = "CUDA out of memory\n";
  while (log.size() < 2 * kLogTailBytesMax) log += "step\n";
  const PolicyTrial trial = try_policy(policy(), log);
  EXPECT_FALSE(trial.verdict);
  EXPECT_THAT(trial_text(policy(), trial, "x", Palette(), 100), HasSubstr(", from line "));
}

TEST(PolicyReport, ListsTheRulesInOrderThoseOfTheStageFirst) {
  const LogRule own{.name = "mine", .pattern = "x", .cause = FailureClass::kInfra};
  const Value value = rules_value(policy({own}), 1);
  const Array& rules = array_at(value, "rules");
  ASSERT_GT(rules.size(), 30U);
  EXPECT_EQ(text_at(rules[0], "rule"), "mine");
  EXPECT_EQ(text_at(rules[0], "from"), "stage");
  EXPECT_EQ(text_at(rules[1], "from"), "shipped");
  EXPECT_THAT(rules_text(policy({own}), 1, Palette(), 120), HasSubstr("gpu-xid"));
}

}  // namespace
}  // namespace strata::cli
