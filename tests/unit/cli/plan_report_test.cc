#include "cli/plan_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cli/definition.h"
#include "cli/view.h"

namespace strata::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TaskSpec task(const std::string& stage, int number, std::vector<TaskInput> inputs = {},
              double flops = 0) {
  TaskSpec out{.stage = stage,
               .program = {.name = "program of " + stage},
               .inputs = std::move(inputs),
               .flops = flops};
  out.key = task_key_of(stage + std::to_string(number));
  return out;
}

// One shared producer, three consumers, three runs.
struct Small {
  SweepDefinition definition{};
  Expansion expansion{};
  Small() {
    definition.name = "small";
    definition.seeds = {1};
    definition.stages = {StageDefinition{.name = "extract"}, StageDefinition{.name = "train"}};
    expansion = {
        .sweep = "small", .cells = 3, .dropped = {{.constraint = "not (a = 1)", .cells = 2}}};
    expansion.tasks.push_back(task("extract", 0));
    for (int i = 0; i < 3; ++i) {
      expansion.tasks.push_back(
          task("train", i,
               {{.name = "features", .producer = expansion.tasks[0].key, .output = "f"}}, 3.6e15));
      expansion.runs.push_back(
          {.key = run_key_of(std::to_string(i)),
           .cell = "a=" + std::to_string(i),
           .seed = 1,
           .tasks = {{"extract", expansion.tasks[0].key}, {"train", expansion.tasks.back().key}}});
    }
  }
};

TEST(Plan, WithoutACoordinatorEverythingIsNewAndTheAssumptionIsStated) {
  const Small small;
  const PlanReport plan =
      make_plan(small.definition, small.expansion, Value(), {.gflops = 1000, .slots = 3});
  EXPECT_EQ(plan.runs.fresh, 3);
  EXPECT_EQ(plan.tasks.fresh, 4);
  EXPECT_DOUBLE_EQ(plan.slot_seconds, 3 * 3600.0);  // 3.6e15 FLOPs at 1e12 FLOP/s are an hour
  EXPECT_EQ(plan.unknown, 1);
  EXPECT_FALSE(plan.seconds.has_value()) << "extract has no estimate";
  const std::string text = plan_as_text(plan, {}, 0);
  EXPECT_THAT(text, HasSubstr("no coordinator was asked"));
  EXPECT_THAT(text, HasSubstr("assumed 1,000 GFLOP/s"));
  EXPECT_THAT(text, HasSubstr("2 cells by not (a = 1)"));
  EXPECT_THAT(text, HasSubstr("estimate  3 slot-hours, FLOPs at an assumed"));
}

TEST(Plan, ASearchIsSaidAndMakesTheEstimateAnUpperBound) {
  Small small;
  small.definition.scheduling.search =
      SearchDefinition{.stage = "train", .metric = "loss_val", .rungs = {100, 300}, .reduction = 4};
  const std::string text = plan_as_text(
      make_plan(small.definition, small.expansion, Value(), {.gflops = 1000, .slots = 3}), {}, 0);
  EXPECT_THAT(text, HasSubstr("asha: train by loss_val (minimize) at steps 100, 300; the best 1/4 "
                              "of each go on"));
  EXPECT_THAT(text, HasSubstr("an upper bound: the search ends some of them early"));
}

TEST(Plan, AnEstimateIsANumberWithOneUnit) {
  const auto said = [](double slot_seconds, bool on_gpus) {
    PlanReport plan{.sweep = "s", .slot_seconds = slot_seconds, .on_gpus = on_gpus};
    plan.stages.push_back({.stage = "train", .counts = {.fresh = 1}, .slot_seconds = slot_seconds});
    return plan_as_text(plan, {}, 0);
  };
  EXPECT_THAT(said(0.65, true), HasSubstr("estimate  0.65 slot-seconds\n"));
  EXPECT_THAT(said(0.65, true), HasSubstr("kept  slot-seconds  from\n"));
  EXPECT_THAT(said(0.65, true), Not(HasSubstr("hours")));
  EXPECT_THAT(said(359, false), HasSubstr("estimate  359 slot-seconds\n"));
  EXPECT_THAT(said(1800, false), HasSubstr("estimate  0.5 slot-hours\n"));
  EXPECT_THAT(said(11'520, false), HasSubstr("estimate  3.2 slot-hours\n"));
  EXPECT_THAT(said(1240.4 * 3600, true), HasSubstr("estimate  1,240 GPU-hours\n"));
  EXPECT_THAT(said(3600, false), Not(HasSubstr("seconds")));
}

TEST(Plan, WhereNothingIsKnownNoNumberStandsInItsPlace) {
  PlanReport plan{.sweep = "s", .unknown = 1, .slots = 2};
  plan.tasks.fresh = 1;
  plan.stages.push_back({.stage = "train", .counts = {.fresh = 1}, .unknown = 1});
  const std::string text = plan_as_text(plan, {}, 0);
  EXPECT_THAT(text, HasSubstr("estimate  unknown for 1 task: none like them has finished"));
  EXPECT_THAT(text, HasSubstr("end       unknown: some tasks are of unknown length\n"));
  EXPECT_THAT(text, Not(HasSubstr(" 0 slot")));
}

TEST(Plan, HoursAreGpuHoursOnlyWhereEveryTaskOfTheEstimateAsksForGpus) {
  Small small;
  const auto said = [&] {
    return plan_as_text(
        make_plan(small.definition, small.expansion, Value(), {.gflops = 1000, .slots = 3}), {}, 0);
  };
  for (TaskSpec& spec : small.expansion.tasks) {
    if (spec.stage == "train") spec.resources.labels = {"gpu"};
  }
  EXPECT_THAT(said(), HasSubstr("estimate  3 GPU-hours")) << "extract has no estimate";
  small.expansion.tasks.back().resources.labels = {};
  EXPECT_THAT(said(), HasSubstr("estimate  3 slot-hours"));
}

TEST(Plan, KnownTasksAreKeptRetriedUnderWayOrOutdatedAndHistoryBeatsTheAssumption) {
  const Small small;
  const auto& tasks = small.expansion.tasks;
  const Value answer = Object{
      {"plan_id", "p1"},
      {"tasks", Object{{tasks[0].key.hex(),
                        Object{{"state", "succeeded"}, {"outdated", false}, {"seconds", 100}}},
                       {tasks[1].key.hex(), Object{{"state", "failed"}, {"outdated", false}}},
                       {tasks[2].key.hex(), Object{{"state", "running"}, {"outdated", false}}}}},
      {"orphaned", 1},
      {"orphans",
       Array{Object{
           {"run", std::string(64, 'a')}, {"cell", "a=9"}, {"seed", "1"}, {"fate", "withdrawn"}}}},
      {"slots", 2},
      {"slots_free", 1},
      {"history",
       Array{Object{
           {"program", "program of train"}, {"flops", 1.8e15}, {"slots", 1}, {"seconds", 100}}}}};
  const PlanReport plan = make_plan(small.definition, small.expansion, answer, {});
  EXPECT_EQ(plan.tasks.kept, 1);
  EXPECT_EQ(plan.tasks.retried, 1);
  EXPECT_EQ(plan.tasks.under_way, 1);
  EXPECT_EQ(plan.tasks.fresh, 1);
  EXPECT_EQ(plan.runs.retried, 1);
  EXPECT_EQ(plan.runs.under_way, 1);
  EXPECT_EQ(plan.runs.fresh, 1);
  EXPECT_EQ(plan.orphaned, 1);
  EXPECT_DOUBLE_EQ(plan.slot_seconds, 600);  // three trainings of 200 s by history, extract is kept
  ASSERT_TRUE(plan.seconds.has_value());
  EXPECT_DOUBLE_EQ(*plan.seconds, 300);  // on two slots
  EXPECT_THAT(plan_as_text(plan, {}, 0), HasSubstr("5 min 00 s on 2 slots (1 free now)"));
  EXPECT_TRUE(parse_json(to_pretty_json(plan_as_json(plan))).has_value());
}

Value finished(const std::string& program, std::int64_t slots, double flops, double seconds) {
  return Object{{"program", program}, {"flops", flops}, {"slots", slots}, {"seconds", seconds}};
}

TEST(Plan, AnEstimateIsTheMedianOfTasksOfTheSameShapeThenOfTheProgramThenFromFlops) {
  Small small;
  const auto estimate = [&](Array history) {
    return make_plan(small.definition, small.expansion,
                     Object{{"slots", 1}, {"history", std::move(history)}}, {.gflops = 1000});
  };
  // One that was slow for once is no reason to expect it again: the mean would be 440 s each.
  const PlanReport same = estimate({finished("program of train", 1, 3.6e15, 100),
                                    finished("program of train", 1, 3.6e15, 120),
                                    finished("program of train", 1, 3.6e15, 1100)});
  EXPECT_DOUBLE_EQ(same.stages[1].slot_seconds, 3 * 120);
  EXPECT_EQ(same.stages[1].source, EstimateSource::kShape);
  // Half as large, so half as long.
  EXPECT_DOUBLE_EQ(estimate({finished("program of train", 1, 7.2e15, 100)}).slot_seconds, 3 * 50);
  const PlanReport mixed = estimate(
      {finished("program of train", 1, 3.6e15, 100), finished("program of train", 4, 3.6e15, 10)});
  EXPECT_DOUBLE_EQ(mixed.slot_seconds, 3 * 100) << "on four slots it is another shape";
  const PlanReport other = estimate({finished("program of train", 4, 3.6e15, 10)});
  EXPECT_DOUBLE_EQ(other.slot_seconds, 3 * 40);
  EXPECT_EQ(other.stages[1].source, EstimateSource::kProgram);
  EXPECT_THAT(plan_as_text(other, {}, 0), HasSubstr("history of other shapes"));
  EXPECT_EQ(estimate({}).stages[1].source, EstimateSource::kAssumption);
}

TEST(Plan, WhatIsOutdatedSaysWhyAndCostsNothingBecauseItIsKept) {
  Small small;
  for (TaskSpec& one : small.expansion.tasks) one.versions = {{"code", "sha256:new"}};
  const auto& tasks = small.expansion.tasks;
  const auto made = [](const std::string& code) {
    return Object{{"state", "succeeded"}, {"seconds", 9}, {"versions", Object{{"code", code}}}};
  };
  const Value answer = Object{
      {"tasks", Object{{tasks[0].key.hex(), made("sha256:new")},
                       {tasks[1].key.hex(), made("sha256:old")},
                       {tasks[2].key.hex(), Object{{"state", "succeeded"}}},
                       {tasks[3].key.hex(), Object{{"state", "succeeded"},
                                                   {"outdated", true},
                                                   {"changed_inputs", Array{"features"}}}}}}};
  const PlanReport plan = make_plan(small.definition, small.expansion, answer, {});
  EXPECT_EQ(plan.tasks.outdated, 2);
  EXPECT_EQ(plan.tasks.kept, 2) << "of one nobody recorded the code: nothing is claimed";
  EXPECT_EQ(plan.slot_seconds, 0);
  const std::string text = plan_as_text(plan, {}, 0);
  EXPECT_THAT(text, HasSubstr("1 result of train: its code has changed; kept"));
  EXPECT_THAT(text, HasSubstr("its features was made again with other content"));
  EXPECT_THAT(text, HasSubstr("nothing is new"));
}

TEST(Plan, CountsTheCellsOfEachValueAndNamesOrphansAndWhatWasMerged) {
  Small small;
  small.expansion.swept = {"a", "b"};
  small.expansion.merged = 4;
  for (std::size_t i = 0; i < small.expansion.runs.size(); ++i)
    small.expansion.runs[i].assignment =
        Object{{"a", static_cast<std::int64_t>(i)}, {"b", i == 0 ? "x" : "y"}};
  const Value answer = Object{
      {"orphaned", 2},
      {"orphans",
       Array{Object{
           {"run", std::string(64, 'a')}, {"cell", "a=9"}, {"seed", "7"}, {"fate", "goes on"}}}}};
  const PlanReport plan =
      make_plan(small.definition, small.expansion, answer, {},
                {{.stage = "train", .files = 1, .bytes = 10, .version = "sha256:abcdef0123"}});
  const std::string text = plan_as_text(plan, {}, 0);
  EXPECT_THAT(text, HasSubstr("0 (1 cell), 1 (1), 2 (1)"));
  EXPECT_THAT(text, HasSubstr("x (1 cell), y (2)"));
  EXPECT_THAT(text, HasSubstr("a=9 seed 7 (aaaaaaaa): what runs goes on"));
  EXPECT_THAT(text, HasSubstr("and 1 more"));
  EXPECT_THAT(text, HasSubstr("4 cells: the same results as an earlier cell"));
  EXPECT_THAT(text, HasSubstr("NOT FROZEN"));
  EXPECT_TRUE(parse_json(to_pretty_json(plan_as_json(plan))).has_value());
}

Value worker(std::int64_t slots, std::int64_t free, Array labels = {}, Value memory_mb = {}) {
  return Object{{"slots", slots},
                {"free", free},
                {"draining", false},
                {"quarantine", Value()},
                {"labels", std::move(labels)},
                {"memory_mb", std::move(memory_mb)}};
}

TEST(Plan, WhatNoWorkerCouldHoldHasNoEnd) {
  Small small;
  for (TaskSpec& spec : small.expansion.tasks) spec.flops = 1e12;
  const Value answer = Object{{"slots", 10}, {"slots_free", 8}};
  const auto said = [&](Array workers, std::int64_t slots = 0) {
    const PlanRoom room(Object{{"workers", std::move(workers)}}, Value());
    return plan_as_text(make_plan(small.definition, small.expansion, answer,
                                  {.gflops = 1000, .slots = slots}, {}, room),
                        {}, 0);
  };
  EXPECT_THAT(said({worker(2, 2), worker(8, 6)}),
              HasSubstr("end       in about 2.0 s on 10 slots (8 free now): "));
  small.expansion.tasks[2].resources.slots = 16;
  EXPECT_THAT(said({worker(2, 2), worker(8, 6)}),
              HasSubstr("cannot run  1 task of train: needs 16 slots together; the largest worker "
                        "has 8\nend         none: no worker that is there could hold what train "
                        "needs\n"));
  EXPECT_THAT(said({worker(2, 2)}, 32), HasSubstr("on 32 slots")) << "--slots supposes others";
  small.expansion.tasks[2].resources = {.slots = 2, .labels = {"gpu"}};
  EXPECT_THAT(said({worker(8, 8)}), HasSubstr("needs 2 slots together with label gpu; no worker "
                                              "that takes new tasks carries it"));
  small.expansion.tasks[2].resources = {.slots = 1, .memory_mb = 2048};
  EXPECT_THAT(said({worker(8, 8, {}, 1024)}),
              HasSubstr("needs 1 slot and 2048 MiB; the largest worker has 1024 MiB"));
  EXPECT_THAT(said({worker(8, 8, {}, 1024), worker(1, 1)}), HasSubstr("on 9 slots"))
      << "one that does not say how much it has is taken to have enough";
  Value drains = worker(8, 8);
  ASSERT_TRUE(drains.set("draining", true));
  EXPECT_THAT(said({drains}), HasSubstr("unknown: every worker is draining or in quarantine"));
}

TEST(Plan, WhatOthersHaveInTheQueueIsSaidBesideTheEnd) {
  Small small;
  for (TaskSpec& spec : small.expansion.tasks) spec.flops = 1e12;
  const Value answer =
      Object{{"slots", 2},
             {"tasks", Object{{small.expansion.tasks[1].key.hex(), Object{{"state", "queued"}}},
                              {small.expansion.tasks[2].key.hex(), Object{{"state", "blocked"}}}}}};
  const PlanRoom room(
      Object{{"workers", Array{worker(2, 0)}}},
      Object{{"tasks", Object{{"queued", 100}, {"running", 21}, {"blocked", 9}, {"failed", 7}}}});
  const PlanReport plan =
      make_plan(small.definition, small.expansion, answer, {.gflops = 1000}, {}, room);
  EXPECT_EQ(plan.others, 120) << "one of those that are queued is its own";
  EXPECT_THAT(plan_as_text(plan, {}, 0),
              HasSubstr("on 2 slots (0 free now), without what 120 tasks "
                        "of other sweeps take that run or are queued: "));
}

TEST(Plan, TheSpeedOfASlotIsOnlyAssumedWhereItIsAGpu) {
  Small small;
  const auto plan = [&] {
    return make_plan(small.definition, small.expansion, Value(), {.slots = 3});
  };
  EXPECT_EQ(plan().unknown, 4);
  EXPECT_THAT(
      plan_as_text(plan(), {}, 0),
      HasSubstr("estimate  unknown for 4 tasks: none like them has finished, and how fast a "
                "slot without the label gpu is, only --gflops says\n"));
  EXPECT_TRUE(at(plan_as_json(plan()), "slot_seconds").is_null()) << "not 0";
  for (TaskSpec& spec : small.expansion.tasks) spec.resources.labels = {"gpu"};
  EXPECT_EQ(plan().unknown, 1);
  EXPECT_DOUBLE_EQ(plan().slot_seconds, 3 * 3.6e15 / 50'000e9);
}

TEST(Plan, WhatTookNoTimeIsNotUnknown) {
  Small small;
  small.expansion.tasks.resize(1);
  const PlanReport plan = make_plan(
      small.definition, small.expansion,
      Object{{"slots", 1}, {"history", Array{finished("program of extract", 1, 0, 0)}}}, {});
  const std::string text = plan_as_text(plan, {}, 0);
  EXPECT_THAT(text, HasSubstr("estimate  <0.01 slot-seconds\n"));
  EXPECT_THAT(text, Not(HasSubstr("?")));
}

TEST(Plan, BlocksAndCasesStandBesideAProductAndSeedsAreThoseOfAllRuns) {
  Small small;
  small.expansion.axis_sizes = {{"depth", 2},       {"text", 3},    {"cases", 2},
                                {"abl: cases", 10}, {"rnd: lr", 0}, {"rnd: depth", 4}};
  small.expansion.runs.back().seed = 7;
  const std::string text =
      plan_as_text(make_plan(small.definition, small.expansion, Value(), {}), {}, 0);
  EXPECT_THAT(text,
              HasSubstr("depth (2) × text (3) + cases (2) + abl: cases (10) + rnd: lr (range) "
                        "× depth (4)\n"));
  EXPECT_THAT(text, HasSubstr("3 cells, 2 seeds, 3 runs"));
}

TEST(Plan, AStageThatIsInNoCellIsNamed) {
  Small small;
  small.definition.stages.push_back({.name = "tune"});
  auto when = Expression::parse("a = 5");
  ASSERT_TRUE(when);
  small.definition.stages.back().when = *when;
  EXPECT_THAT(plan_as_text(make_plan(small.definition, small.expansion, Value(), {}), {}, 0),
              HasSubstr("in no cell  tune (when a = 5)\n"));
}

TEST(Scope, OfASubmissionChangesWithAnythingThatAPlanIsAbout) {
  Small small;
  const std::string before = scope_of(small.definition, small.expansion);
  small.definition.priority = 1;
  EXPECT_NE(scope_of(small.definition, small.expansion), before);
  small.definition.priority = 0;
  small.expansion.tasks[1].versions["git"] = "another commit";
  EXPECT_EQ(scope_of(small.definition, small.expansion), before);
  small.expansion.tasks[1].resources.slots = 2;
  EXPECT_NE(scope_of(small.definition, small.expansion), before);
}

TEST(Plan, AChainIsNeverShorterThanItsLongestPath) {
  Small small;
  const Value answer = Object{
      {"plan_id", "p"},
      {"slots", 100},
      {"history", Array{Object{{"program", "program of extract"}, {"slots", 1}, {"seconds", 50}},
                        Object{{"program", "program of train"},
                               {"flops", 3.6e15},
                               {"slots", 1},
                               {"seconds", 70}}}}};
  const PlanReport plan = make_plan(small.definition, small.expansion, answer, {});
  ASSERT_TRUE(plan.seconds.has_value());
  EXPECT_DOUBLE_EQ(*plan.seconds, 120);
}

TEST(Submission, ProducersGoFirstRunsAfterThemAndOnlyTheFirstBatchHasTheDefinition) {
  Small small;
  for (int i = 10; i < 600; ++i) small.expansion.tasks.push_back(task("train", i));
  small.definition.priority = 7;
  small.definition.scheduling.slots_max = 4;
  const auto batches =
      submission(small.definition, small.expansion, Object{{"name", "small"}}, "p1", "ada");
  ASSERT_EQ(batches.size(), 3U);
  EXPECT_TRUE(batches[0].first);
  EXPECT_EQ(batches[0].options, (SweepOptions{.user = "ada", .slots_max = 4}));
  EXPECT_EQ(batches[0].definition, R"({"name":"small"})");
  EXPECT_EQ(batches[0].if_plan, "p1/" + scope_of(small.definition, small.expansion));
  EXPECT_EQ(batches[0].tasks.front().stage, "extract");
  EXPECT_FALSE(batches[0].last);
  EXPECT_TRUE(batches[0].runs.empty());
  EXPECT_TRUE(batches[1].definition.empty());
  EXPECT_TRUE(batches[2].last);
  EXPECT_EQ(batches[2].runs.size(), 3U);
  std::size_t tasks = 0;
  for (const SubmitTasks& batch : batches) {
    EXPECT_LE(batch.tasks.size(), kTasksPerBatchMax);
    EXPECT_EQ(batch.priority, 7);
    tasks += batch.tasks.size();
  }
  EXPECT_EQ(tasks, small.expansion.tasks.size());
}

TEST(Definition, TheRecordHasWhatATableNeeds) {
  Small small;
  small.definition.seeds = {1, 2};
  small.definition.blocks = {
      {.cases = {Case{.set = {{"a", Value(1)}}},
                 Case{.set = {{"a", Value(0)}, {"b", Value("x")}}, .label = "by hand"}}}};
  small.definition.table.scores = {"wer"};
  small.definition.stages[1].resources.slots = 4;
  const Value record =
      definition_record(small.definition, small.expansion, {.path = "small.yaml", .sha256 = "ab"});
  EXPECT_EQ(to_canonical_json(*record.find("axes")),
            R"([{"parameter":"a","values":[1,0]},{"parameter":"b","values":["x"]}])");
  EXPECT_EQ(to_canonical_json(*record.find("cell_seeds")), R"({"a=0":[1],"a=1":[1],"a=2":[1]})");
  EXPECT_EQ(to_canonical_json(*record.find("labelled")), R"(["by hand"])");
  EXPECT_EQ(to_canonical_json(*record.find("table.scores")), R"(["wer"])");
  EXPECT_EQ(integer_at(array_at(record, "stages").at(1), "slots"), 4) << "for the time left";
  EXPECT_EQ(record.find("table.do_not_rank_when"), nullptr);
}

}  // namespace
}  // namespace strata::cli
