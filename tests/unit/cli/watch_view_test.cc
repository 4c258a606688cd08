#include "cli/watch_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/render/text_table.h"
#include "cli/show_view.h"

namespace strata::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Value watch_answer() {
  return Object{
      {"sweep", "demo"},
      {"tasks", Object{{"succeeded", 2}, {"running", 1}, {"queued", 2}, {"failed", 1}}},
      {"by_stage",
       Object{{"prepare", Object{{"succeeded", 1}}},
              {"train", Object{{"succeeded", 1}, {"running", 1}, {"queued", 2}, {"failed", 1}}}}},
      {"running",
       Array{Object{
           {"task", std::string(64, 'c')},
           {"stage", "train"},
           {"attempt", 2},
           {"worker", "w"},
           {"slots", 1},
           {"granted_ms", 100'000},
           {"progress", Object{{"step", 100}, {"total", 400}, {"metrics", Object{{"loss", 0.51}}}}},
           {"runs", Array{"text=8", "text=2"}}}}},
      {"waiting", Array{Object{{"reason", "needs 1 slot, 0 free"}, {"tasks", 2}}}},
      {"failed", Array{Object{{"task", std::string(64, 'd')},
                              {"stage", "train"},
                              {"state", "failed"},
                              {"reason", "exit \x1b[31mcode 1"}}}},
      {"seconds_by_stage", Object{{"prepare", 5.0}, {"train", 40.0}}},
      {"slots", 1},
      {"slots_free", 0},
      {"now_ms", 110'000}};
}

TEST(Watch, TheRestIsWhatRunsByItsProgressAndWhatWaitsByItsStagesMedian) {
  const Remaining left = remaining_of(watch_answer());
  ASSERT_TRUE(left.seconds.has_value());
  EXPECT_DOUBLE_EQ(*left.seconds,
                   30 + 2 * 40);  // a quarter in 10 s leaves 30 s; then two of 40 s on the one slot
}

TEST(Watch, AGangThatWaitsTakesAllItsSlots) {
  Value watch = watch_answer();
  ASSERT_TRUE(watch.set("slots", 4));
  ASSERT_TRUE(watch.set("running", Array{}));
  ASSERT_TRUE(watch.set("tasks", Object{{"queued", 3}}));
  ASSERT_TRUE(watch.set("by_stage", Object{{"train", Object{{"queued", 3}}}}));
  ASSERT_TRUE(watch.set("slots_free", 4));
  EXPECT_DOUBLE_EQ(remaining_of(watch).seconds.value(), 40) << "three of 40 s on four slots";
  EXPECT_DOUBLE_EQ(remaining_of(watch, {.slots = {{"train", 4}}}).seconds.value(), 120)
      << "one after the other";
}

TEST(Watch, SlotsOfOtherSweepsAreNotOurs) {
  Value watch = watch_answer();
  ASSERT_TRUE(watch.set("slots", 8));
  EXPECT_DOUBLE_EQ(remaining_of(watch).seconds.value(), 110) << "seven of the eight are others'";
  ASSERT_TRUE(watch.set("running", Array{}));
  ASSERT_TRUE(watch.set("tasks.running", 0));
  EXPECT_EQ(remaining_of(watch).unknown_because, "all slots are with other sweeps");
  ASSERT_TRUE(watch.set("tasks.running", 3));  // more run than the answer names
  EXPECT_DOUBLE_EQ(remaining_of(watch).seconds.value(), 40);
}

TEST(Watch, ManyShortTasksAreCountedByTheRateAtWhichTheyEnd) {
  const auto look = [](std::int64_t at_ms, std::int64_t done) {
    const Object tasks{{"succeeded", done}, {"queued", 10'000 - done}};
    return Value(Object{{"sweep", "s"},
                        {"sealed", true},
                        {"tasks", tasks},
                        {"by_stage", Object{{"t", tasks}}},
                        {"seconds_by_stage", Object{{"t", 0.002}}},
                        {"slots", 64},
                        {"slots_free", 64},
                        {"now_ms", at_ms}});
  };
  EndRates rates;
  rates.look(look(1'000, 10));
  EXPECT_EQ(time_left(look(1'000, 10), {.ended_per_second = rates.per_second()}),
            "at least 0.3 s left: how many t end in a second shows at the second look");
  rates.look(look(2'000, 411));
  EXPECT_DOUBLE_EQ(rates.per_second().at("t"), 401);
  EXPECT_EQ(time_left(look(2'000, 411), {.ended_per_second = rates.per_second()}),
            "about 24 s left");
  rates.look(look(70'000, 9'000));  // the first look is more than a minute ago
  EXPECT_NEAR(rates.per_second().at("t"), (9'000 - 411) / 68.0, 1e-9);
}

TEST(Watch, WhatNeedsSomebodyComesFirstAndWhatNeverBeginsStandsByItself) {
  Value watch = watch_answer();
  ASSERT_TRUE(watch.set(
      "waiting",
      Array{Object{{"reason", "waits for a, which is queued"}, {"tasks", 6}},
            Object{{"reason", "needs 1 slot, 0 free on w"}, {"tasks", 5}},
            Object{{"reason", "needs 1 slot; w is in quarantine: 3 tasks failed"}, {"tasks", 3}},
            Object{{"reason", "infeasible: needs 16 slots together"}, {"tasks", 1}}}));
  ASSERT_TRUE(watch.set("behind_failed", 1));
  ASSERT_TRUE(watch.set("behind_pruned", 2));
  EXPECT_THAT(watch_as_text(watch, {}, {}, 100),
              HasSubstr("waiting\n"
                        "  3 tasks: needs 1 slot; w is in quarantine: 3 tasks failed\n"
                        "  1 task: infeasible: needs 16 slots together\n"
                        "  5 tasks: needs 1 slot, 0 free on w\n"
                        "  6 tasks: waits for a, which is queued\n"
                        "\nbehind what has no result\n"
                        "  1 task: what they need failed or was cancelled\n"
                        "  2 tasks: what they need was pruned\n"));
}

TEST(Watch, WhatDivergedIsNotCalledFailed) {
  Value watch = watch_answer();
  ASSERT_TRUE(watch.set("failed", Array{Object{{"task", std::string(64, 'd')},
                                               {"stage", "train"},
                                               {"state", "diverged"},
                                               {"reason", "the loss became NaN"}}}));
  const std::string text = watch_as_text(watch, {}, {}, 100);
  EXPECT_THAT(text, HasSubstr("\ndiverged\n  train       dddddddd"));
  EXPECT_THAT(text, Not(HasSubstr("\nfailed\n")));
}

TEST(Watch, AReasonIsWrappedOnATerminalAndWholeElsewhere) {
  Value watch = watch_answer();
  const std::string reason =
      "needs 1 slot; w is in quarantine: three tasks failed there that failed nowhere else; strata "
      "release w ends it";
  ASSERT_TRUE(watch.set("waiting", Array{Object{{"reason", reason}, {"tasks", 2}}}));
  EXPECT_THAT(watch_as_text(watch, {}, {}, kUncut), HasSubstr("  2 tasks: " + reason + "\n"));
  Array many;
  for (int i = 0; i < 20; ++i)
    many.push_back(Object{{"reason", "reason " + std::to_string(i)}, {"tasks", 1}});
  Value with_many = watch;
  ASSERT_TRUE(with_many.set("waiting", many));
  EXPECT_THAT(watch_as_text(with_many, {}, {}, kUncut), HasSubstr("1 task: reason 19\n"));
  EXPECT_THAT(watch_as_text(with_many, {}, {}, 60), HasSubstr("and 14 more\n"));
  EXPECT_THAT(watch_as_text(watch, {}, {}, 60), HasSubstr("; strata release w\n    ends it\n"));
}

TEST(Watch, AStageThatNeverFinishedGivesNoNumber) {
  Value watch = watch_answer();
  ASSERT_TRUE(watch.set("by_stage.score", Object{{"blocked", 3}}).has_value());
  const Remaining left = remaining_of(watch);
  EXPECT_FALSE(left.seconds.has_value());
  EXPECT_EQ(left.unknown_because, "no score has finished yet");
  EXPECT_DOUBLE_EQ(left.at_least, 110) << "what is known is not thrown away";
  EXPECT_EQ(time_left(watch), "at least 1 min 50 s left: no score has finished yet");
  EXPECT_THAT(watch_as_line(watch), HasSubstr("at least 1 min 50 s left"));
}

TEST(Watch, ASearchSaysHowFarItIsAndWhatItHoldsHasNotEnded) {
  Value watch = watch_answer();
  const Array rungs{Object{{"step", 100},
                           {"reached", 4},
                           {"went_on", 1},
                           {"held", 2},
                           {"pruned", 1},
                           {"best", 0.53}},
                    Object{{"step", 300},
                           {"reached", 0},
                           {"went_on", 0},
                           {"held", 0},
                           {"pruned", 0},
                           {"best", Value()}}};
  ASSERT_TRUE(watch.set("search", Object{{"method", "asha"},
                                         {"stage", "train"},
                                         {"metric", "loss_val"},
                                         {"goal", "minimize"},
                                         {"rungs", rungs}}));
  ASSERT_TRUE(watch.set("tasks", Object{{"held", 2}, {"pruned", 1}, {"succeeded", 2}}));
  ASSERT_TRUE(watch.set("sealed", true));
  const std::string text = watch_as_text(watch, {}, {}, 100);
  EXPECT_THAT(text, HasSubstr("search  asha, minimize loss_val of train"));
  EXPECT_THAT(text, HasSubstr("4 reached it, 1 went on, 2 held, 1 pruned, the best 0.53"));
  EXPECT_THAT(text, Not(HasSubstr("none with a number"))) << "nobody has come to the second one";
  EXPECT_THAT(text, HasSubstr("3/5 tasks"));
  Value misspelt = watch;
  ASSERT_TRUE(misspelt.set("search.rungs", Array{Object{{"step", 100},
                                                        {"reached", 9},
                                                        {"went_on", 3},
                                                        {"held", 0},
                                                        {"pruned", 6},
                                                        {"best", Value()}}}));
  EXPECT_THAT(watch_as_text(misspelt, {}, {}, 160),
              HasSubstr("6 pruned, none with a number for loss_val: does train write it?"));
  EXPECT_FALSE(has_ended(watch)) << "a held one goes on or is pruned, sooner or later";
  ASSERT_TRUE(watch.set("tasks", Object{{"blocked", 2}, {"pruned", 2}, {"succeeded", 2}}));
  EXPECT_TRUE(has_ended(watch)) << "what waits for a pruned task waits for ever";
}

TEST(Watch, WithoutAnyHistoryTheLineSaysWhyThereIsNoTime) {
  const Value watch = Object{{"sweep", "demo"},
                             {"tasks", Object{{"queued", 2}}},
                             {"by_stage", Object{{"train", Object{{"queued", 2}}}}},
                             {"slots", 1}};
  EXPECT_EQ(watch_as_line(watch),
            "demo 0/2 tasks, 0 running, 0 failed, time left unknown: no train has finished yet");
}

TEST(Watch, ALineSaysWhyNothingRuns) {
  Value watch = watch_answer();
  ASSERT_TRUE(watch.set(
      "waiting",
      Array{Object{{"reason", "needs 1 slot; w is in quarantine: 3 tasks failed"}, {"tasks", 2}}}));
  EXPECT_THAT(watch_as_line(watch), Not(HasSubstr("quarantine"))) << "something runs";
  ASSERT_TRUE(watch.set("tasks.running", 0));
  EXPECT_THAT(watch_as_line(watch),
              HasSubstr("; 2 tasks: needs 1 slot; w is in quarantine: 3 tasks failed"));
}

TEST(Watch, NoLineIsWiderThanTheTerminal) {
  Value watch = watch_answer();
  ASSERT_TRUE(watch.set("by_stage.score", Object{{"blocked", 3}}).has_value());
  for (const std::size_t width : {30U, 40U, 60U, 80U, 200U}) {
    const std::string text = watch_as_text(watch, {"prepare", "train"}, {}, width);
    for (const std::string& line : split_lines(text)) EXPECT_LE(display_width(line), width) << line;
  }
}

TEST(Watch, FortyColumnsKeepStepsAndTimes) {
  EXPECT_EQ(watch_as_text(watch_answer(), {"prepare", "train"}, {}, 40),
            "demo  3/6 tasks  50 %\n"
            "  about 1 min 50 s left\n"
            "  1 of 1 slots busy\n"
            "  prepare  1/1\n"
            "  train    2/5\n"
            "           1 running, 2 queued,\n"
            "           1 failed\n"
            "\nrunning\n"
            "  train  text=8  100/400  10 s\n"
            "\nwaiting\n"
            "  2 tasks: needs 1 slot, 0 free\n"
            "\nfailed\n"
            "  train       dddddddd  exit ?[31mcode 1\n");
}

TEST(Watch, APictureHigherThanTheTerminalIsCutAndSaysSo) {
  const std::string text = "a\nb\nc\nd\ne\n";
  EXPECT_EQ(fit_height(text, 0), text);
  EXPECT_EQ(fit_height(text, 6), text) << "five lines and the cursor's";
  EXPECT_EQ(fit_height(text, 5), "a\nb\nc\n… and 2 more lines\n");
}

TEST(Watch, TheTextIsThisOne) {
  EXPECT_EQ(watch_as_text(watch_answer(), {"prepare", "train"}, {}, 100),
            "demo  3/6 tasks  50 %  about 1 min 50 s left  1 of 1 slots busy\n"
            "  prepare  ████████████████████████  1/1\n"
            "  train    ██████████▊·············  2/5  1 running, 2 queued, 1 failed\n"
            "\nrunning\n"
            "  train       cccccccc #2  text=8 and 1 more  ██▌······· 100/400  loss 0.51  10 s\n"
            "\nwaiting\n"
            "  2 tasks: needs 1 slot, 0 free\n"
            "\nfailed\n"
            "  train       dddddddd  exit ?[31mcode 1\n");
  EXPECT_EQ(watch_as_line(watch_answer()),
            "demo 3/6 tasks, 1 running, 1 failed, about 1 min 50 s left");
}

TEST(Watch, ItHasEndedWhenNothingCanRunAnyMore) {
  const auto ended = [](Object tasks) {
    return has_ended(Object{{"sealed", true}, {"tasks", std::move(tasks)}});
  };
  EXPECT_FALSE(ended({{"queued", 1}}));
  EXPECT_FALSE(ended({{"running", 1}, {"blocked", 1}}));
  EXPECT_FALSE(ended({{"blocked", 1}}));
  EXPECT_TRUE(ended({{"succeeded", 4}}));
  EXPECT_TRUE(ended({{"failed", 1}, {"blocked", 2}})) << "their producer failed";
}

TEST(StatusView, SaysWhenTheAnswersAreOlderThanTheLog) {
  const Value whole = Object{{"dispatch", "running"}, {"events", 7}, {"behind", ""}};
  EXPECT_EQ(status_as_text(whole, Palette(), 0).find("behind"), std::string::npos);
  const Value behind = Object{{"dispatch", "running"}, {"behind", "the disk is full"}};
  EXPECT_THAT(status_as_text(behind, Palette(), 0), HasSubstr("the disk is full"));
}

}  // namespace
}  // namespace strata::cli
