// Which metric points count, which are stored and when; and what waits for a peer.
#include "coordinator/core/metric_series.h"

#include <gtest/gtest.h>

#include "coordinator/core/outbox.h"
#include "tests/support/core_env.h"

namespace strata::coordinator {
namespace {

using strata::testing::CoreEnv;
using strata::testing::make_artifact;
using strata::testing::make_submission;
using strata::testing::make_task;
using Sequences = std::vector<std::uint64_t>;

// Points with these sequences.
MetricBatch batch(const Sequences& sequences) {
  MetricBatch made;
  for (const std::uint64_t sequence : sequences)
    made.points.push_back({.sequence = sequence, .values = {{"loss", 1.0}}});
  return made;
}

Sequences take(SeriesIntake& intake, const Sequences& sequences, std::int64_t at_ms = 0,
               std::size_t room = kPointsAheadMax) {
  const MetricBatch of = batch(sequences);
  Sequences taken;
  for (const MetricPoint* point : intake.take(of, WallTime{at_ms}, room))
    taken.push_back(point->sequence);
  return taken;
}

TEST(PointsCount, OfALivingAttemptAndOfOneThatEndedWithAResult) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  const TaskSpec task = make_task("train", 1);
  const AttemptId first{.task = task.key, .number = 1};
  EXPECT_FALSE(points_count(env.cluster(), first)) << "there is no such task";
  env.submit(make_submission("s", {task}));
  EXPECT_TRUE(points_count(env.cluster(), first));
  EXPECT_FALSE(points_count(env.cluster(), {.task = task.key, .number = 2}));
  env.fail(worker, first, {.cause = FailureClass::kScheduled, .reason = "time limit"});
  EXPECT_FALSE(points_count(env.cluster(), first)) << "another one goes on";
  const AttemptId second{.task = task.key, .number = 2};
  EXPECT_TRUE(points_count(env.cluster(), second));
  env.from(worker,
           ReportEnded{.worker = worker,
                       .attempt = second,
                       .outcome = Succeeded{.artifacts = {{"result", make_artifact("r")}}}});
  EXPECT_TRUE(points_count(env.cluster(), second)) << "its last points come after its end";
  EXPECT_FALSE(points_count(env.cluster(), first));
}

TEST(PointsCount, OfADivergedOneButNotOfAFailedOne) {
  const auto after = [](Outcome outcome) {
    CoreEnv env;
    const WorkerId worker = env.add_worker(1);
    const TaskSpec task = make_task("train", 1);
    env.submit(make_submission("s", {task}));
    const AttemptId first{.task = task.key, .number = 1};
    env.fail(worker, first, {.cause = FailureClass::kScheduled, .reason = "time limit"});
    const AttemptId second{.task = task.key, .number = 2};
    env.from(worker, ReportEnded{.worker = worker, .attempt = second, .outcome = outcome});
    EXPECT_FALSE(points_count(env.cluster(), first));
    return points_count(env.cluster(), second);
  };
  EXPECT_TRUE(after(Diverged{"NaN"}));
  EXPECT_FALSE(after(Failed{.cause = FailureClass::kInvalid, .reason = "no"}));
}

TEST(Points, ThatNoProgramCouldHaveWrittenAreRefused) {
  const auto with = [](auto change) {
    MetricBatch made = batch({1, 2});
    change(made.points[1]);
    return is_well_formed(made);
  };
  const auto named = [&](std::size_t bytes) {
    return with([&](MetricPoint& p) { p.values = {{std::string(bytes, 'm'), 1.0}}; });
  };
  EXPECT_TRUE(with([](MetricPoint&) {}));
  EXPECT_FALSE(with([](MetricPoint& p) { p.sequence = 0; }));
  EXPECT_TRUE(with([](MetricPoint& p) { p.sequence = kSequenceMax; }));
  EXPECT_FALSE(with([](MetricPoint& p) { p.sequence = kSequenceMax + 1; }));
  EXPECT_FALSE(with([](MetricPoint& p) { p.values["caf\xe9"] = 1; }));
  EXPECT_TRUE(named(kMetricNameBytesMax));
  EXPECT_FALSE(named(kMetricNameBytesMax + 1));
  EXPECT_FALSE(with([](MetricPoint& p) {
    p.values[std::string(kMetricNameBytesMax, 'm')] = 1;  // with "loss" they are too long together
  }));
  const auto many = [&](std::size_t count) {
    return with([&](MetricPoint& p) {
      p.values.clear();
      for (std::size_t i = 0; i < count; ++i) p.values["m" + std::to_string(i)] = 1;
    });
  };
  EXPECT_TRUE(many(kMetricsPerPointMax));
  EXPECT_FALSE(many(kMetricsPerPointMax + 1));
  MetricBatch large;
  large.points.assign(kPointsPerBatchMax, {.sequence = 1});
  EXPECT_TRUE(is_well_formed(large));
  large.points.push_back({.sequence = 1});
  EXPECT_FALSE(is_well_formed(large));
}

TEST(SeriesIntake, GivesEachPointOutOnceAndInOrder) {
  SeriesIntake intake(2);
  EXPECT_EQ(take(intake, {1, 2, 3, 4}), (Sequences{3, 4}));
  EXPECT_EQ(take(intake, {3, 4, 5}), (Sequences{5}));
  EXPECT_EQ(take(intake, {8, 7, 9}), Sequences{}) << "6 is missing";
  EXPECT_EQ(intake.waiting(), 3U);
  EXPECT_EQ(take(intake, {9, 7}), Sequences{});
  EXPECT_EQ(take(intake, {6, 7, 10}), (Sequences{6, 7, 8, 9, 10}));
  EXPECT_EQ(intake.waiting(), 0U);
  EXPECT_EQ(intake.stored(), 10U);
  EXPECT_EQ(take(intake, {10}), Sequences{});
  EXPECT_EQ(intake.waiting(), 0U) << "a repeat waits for nothing";
}

TEST(SeriesIntake, KeepsNoMoreWaitingThanThereIsRoom) {
  SeriesIntake intake(0);
  EXPECT_EQ(take(intake, {3, 4, 5}, 0, 2), Sequences{});
  EXPECT_EQ(intake.waiting(), 2U);
  EXPECT_EQ(take(intake, {3, 4}, 0, 2), Sequences{}) << "a repeat takes no room";
  EXPECT_EQ(take(intake, {1, 2}, 0, 0), (Sequences{1, 2, 3, 4})) << "nor does what need not wait";
  EXPECT_EQ(take(intake, {5}), Sequences{5}) << "it was dropped, and comes again";
}

TEST(SeriesIntake, GivesAGapUpWhenNobodyHasFilledItForSoLong) {
  const std::int64_t patience = kGapPatience.count();
  SeriesIntake intake(0);
  EXPECT_EQ(take(intake, {3, 5}, 1'000), Sequences{});
  EXPECT_EQ(take(intake, {3}, 1'000 + patience - 1), Sequences{});
  EXPECT_EQ(take(intake, {3}, 1'000 + patience), (Sequences{3}));
  EXPECT_EQ(intake.stored(), 3U);
  // The next gap has its own time.
  EXPECT_EQ(take(intake, {5}, 1'000 + 2 * patience - 1), Sequences{});
  EXPECT_EQ(take(intake, {5}, 1'000 + 2 * patience), (Sequences{5}));
}

TEST(SeriesIntake, AGapThatIsFilledInPartIsWaitedForFromThenOn) {
  const std::int64_t patience = kGapPatience.count();
  SeriesIntake intake(5);
  EXPECT_EQ(take(intake, {9}, 0), Sequences{});
  EXPECT_EQ(take(intake, {6}, patience - 1), (Sequences{6}));
  EXPECT_EQ(take(intake, {9}, patience), Sequences{});
  // A clock that was put back holds nothing up for longer.
  EXPECT_EQ(take(intake, {9}, -patience), (Sequences{9}));
}

TEST(SeriesIntake, AfterAGapThatWasGivenUpTheNextOneIsWaitedForAsLong) {
  const std::int64_t patience = kGapPatience.count();
  SeriesIntake intake(0);
  take(intake, {3}, 0);
  ASSERT_EQ(take(intake, {3}, patience), Sequences{3}) << "1 and 2 were lost with a disk";
  EXPECT_FALSE(intake.is_abandoned(WallTime{9 * patience})) << "nothing waits";
  EXPECT_EQ(take(intake, {5}, 9 * patience), Sequences{}) << "4 has been overtaken";
  EXPECT_EQ(take(intake, {4}, 9 * patience + 1), (Sequences{4, 5}));
}

TEST(SeriesIntake, IsAbandonedWhenNobodySendsAnyOfIt) {
  const std::int64_t patience = kGapPatience.count();
  SeriesIntake intake(0);
  EXPECT_FALSE(intake.is_abandoned(WallTime{100 * patience})) << "nothing waits";
  take(intake, {2}, 0);
  EXPECT_FALSE(intake.is_abandoned(WallTime{2 * patience - 1}));
  EXPECT_TRUE(intake.is_abandoned(WallTime{2 * patience}));
  EXPECT_TRUE(intake.is_abandoned(WallTime{-2 * patience}));
  take(intake, {1}, 1);
  EXPECT_FALSE(intake.is_abandoned(WallTime{2 * patience})) << "nothing waits any more";
}

TEST(LivingBranch, EndsEachAttemptWhereALaterOneWentBackTo) {
  using Parts = std::vector<BranchPart>;
  const std::vector<BranchAttempt> back{
      {.attempt = 1}, {.attempt = 2, .resume_step = 100}, {.attempt = 5, .resume_step = 50}};
  EXPECT_EQ(living_branch(back), (Parts{{1, 50}, {2, 50}, {5, {}}}));
  const std::vector<BranchAttempt> on{
      {.attempt = 1}, {.attempt = 2, .resume_step = 50}, {.attempt = 3, .resume_step = 100}};
  EXPECT_EQ(living_branch(on), (Parts{{1, 50}, {2, 100}, {3, {}}}));
  const std::vector<BranchAttempt> anew{
      {.attempt = 1}, {.attempt = 2}, {.attempt = 3, .resume_step = 7}};
  EXPECT_EQ(living_branch(anew), (Parts{{2, 7}, {3, {}}}));
  EXPECT_EQ(living_branch({}), Parts{});
}

TEST(Outbox, IsClearedByTheFrameThatIsTooMuch) {
  Outbox frames({.frames_max = 2, .bytes_max = 100});
  EXPECT_TRUE(frames.push("one"));
  EXPECT_TRUE(frames.push("two"));
  EXPECT_EQ(frames.bytes(), 6U);
  EXPECT_FALSE(frames.push("three"));
  EXPECT_TRUE(frames.empty());
  EXPECT_EQ(frames.bytes(), 0U);
  Outbox bytes({.frames_max = 10, .bytes_max = 6});
  EXPECT_TRUE(bytes.push("one"));
  EXPECT_TRUE(bytes.push("two")) << "just as much as it may be";
  bytes.pop();
  EXPECT_EQ(bytes.front(), "two");
  EXPECT_EQ(bytes.bytes(), 3U);
  EXPECT_TRUE(bytes.push("six"));
  EXPECT_FALSE(bytes.push("1"));
  EXPECT_EQ(bytes.frames(), 0U);
  EXPECT_TRUE(bytes.push("again"));
  EXPECT_EQ(bytes.clear(), 1U);
}

}  // namespace
}  // namespace strata::coordinator
