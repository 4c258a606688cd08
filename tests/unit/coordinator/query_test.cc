#include "coordinator/query.h"

#include "base/files.h"
#include "base/json.h"
#include "coordinator/live_view.h"
#include "coordinator/metric_store.h"
#include "coordinator/sqlite.h"
#include "coordinator/watch_report.h"
#include "tests/unit/coordinator/small_world.h"

namespace strata::coordinator {
namespace {

struct QueryTest : testing::Test {
  std::filesystem::path folder = make_temporary_folder(testing::TempDir(), "query").value();
  EventStore events = EventStore::open(folder / "events.sqlite").value();
  MetricStore metrics = MetricStore::open(folder / "metrics.sqlite").value();
  SmallWorld world;
  ServerFacts facts{.coordinator = "c", .build = "b", .artifact_folder = "/store"};

  Result<Value> try_ask(const std::string& verb, const Value& body = Object{}) {
    EXPECT_TRUE(world.commit(events));
    return Query::open(folder / "events.sqlite", folder / "metrics.sqlite")
        .value()
        .answer(verb, to_canonical_json(body), facts);
  }
  Value ask(const std::string& verb, const Value& body = Object{}) {
    auto answer = try_ask(verb, body);
    EXPECT_TRUE(answer) << answer.error().message;
    return answer ? *answer : Value();
  }
  void point(const TaskSpec& spec, std::uint64_t sequence, std::int64_t step, double loss) {
    const MetricBatch batch{
        .attempt = world.current(spec),
        .points = {{.sequence = sequence, .step = step, .values = {{"loss", loss}, {"speed", 1}}}}};
    ASSERT_TRUE(metrics.store({&batch, 1}, {.unix_ms = 5}));
  }
  void finish_both() {
    world.join();
    world.submit();
    world.start(world.extract);
    world.succeed(world.extract, "features");
    for (const TaskSpec* spec : {&world.train_one, &world.train_two}) {
      world.start(*spec);
      world.succeed(*spec, spec->key.hex(),
                    {{.name = "wer",
                      .value = 0.5,
                      .unit = "fraction",
                      .count = 2,
                      .better = "lower",
                      .items = {{"u1", 0.25}, {"u2", 0.75}}}});
    }
  }
};

TEST_F(QueryTest, RunsCarryTheirParametersStagesAndScores) {
  finish_both();
  const Value answer = ask("runs", Object{{"sweep", "small"}, {"items", Array{"wer"}}});
  const Array& runs = *answer.find("runs")->if_array();
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(*runs[0].find("cell"), Value("base"));
  EXPECT_EQ(*runs[0].find("baseline"), Value(true));
  EXPECT_EQ(*runs[0].find("state"), Value("succeeded"));
  EXPECT_EQ(*runs[0].find("parameters"),
            Value(Object{{"corpus", "a"}, {"lr", 0.1}, {"model", Object{{"dim", 8}}}}));
  EXPECT_EQ(*runs[0].find("stages.train.task"), Value(world.train_one.key.hex()));
  EXPECT_EQ(*runs[0].find("scores.wer.value"), Value(0.5));
  EXPECT_EQ(*runs[0].find("scores.wer.items.u2"), Value(0.75));
  EXPECT_EQ(runs[1].find("scores.wer.items")->if_object()->size(), 2U);
  EXPECT_EQ(ask("runs").find("runs")->find("items"), nullptr);
}

TEST_F(QueryTest, ARunIsAsBadAsItsWorstStage) {
  world.join();
  world.submit();
  EXPECT_EQ(*(*ask("runs").find("runs")->if_array())[0].find("state"),
            Value("running"));  // extract is leased
  world.start(world.extract);
  world.end(world.extract, Failed{.cause = FailureClass::kInvalid, .reason = "bad spec"});
  const Value runs = ask("runs");
  EXPECT_EQ(*(*runs.find("runs")->if_array())[0].find("state"), Value("failed"));
  const Value failed = ask("tasks", Object{{"sweep", "small"}, {"state", "failed"}});
  ASSERT_EQ(failed.find("tasks")->if_array()->size(), 1U);
  EXPECT_EQ(*(*failed.find("tasks")->if_array())[0].find("last_failure"), Value("bad spec"));
}

TEST_F(QueryTest, ASeriesAfterARollbackHasNoPointTwiceAndNoneOfTheDeadEnd) {
  world.join();
  world.submit();
  world.start(world.extract);
  point(world.extract, 1, 10, 1.0);
  world.checkpoint(world.extract, 10);
  point(world.extract, 2, 20, 99.0);  // after the checkpoint: nothing of it is resumed
  world.end(world.extract, Failed{.cause = FailureClass::kInfra, .reason = "the rank vanished"});
  world.wait(std::chrono::minutes(2));
  ASSERT_EQ(world.current(world.extract).number, 2U);
  point(world.extract, 1, 20, 0.5);
  point(world.extract, 2, 30, 0.25);
  const Value answer = ask("metrics", Object{{"prefix", world.extract.key.hex().substr(0, 12)},
                                             {"names", Array{"loss"}}});
  std::string series;
  for (const Value& one : *answer.find("points")->if_array()) {
    EXPECT_EQ(one.find("values")->if_object()->size(), 1U);
    series += one.find("step")->if_number()->text() + "=" +
              one.find("values.loss")->if_number()->text() + " ";
  }
  EXPECT_EQ(series, "10=1 20=0.5 30=0.25 ");
}

TEST_F(QueryTest, ShowTracesANumberToAttemptArtifactAndPath) {
  finish_both();
  const Value shown = ask("show", Object{{"prefix", world.train_two.key.hex()}});
  const std::string hash = SmallWorld::artifact(world.train_two.key.hex()).hash.hex();
  EXPECT_EQ(*shown.find("artifacts.out.path"),
            Value("/store/" + hash.substr(0, 2) + "/" + hash + "/content"));
  EXPECT_EQ(*shown.find("consumed.features"), Value(SmallWorld::artifact("features").hash.hex()));
  EXPECT_EQ(*shown.find("key_material"), Value(key_material(world.train_two)));
  EXPECT_EQ(*shown.find("spec.parameters.model.dim"), Value(16));
  EXPECT_GT(shown.find("events")->if_array()->size(), 3U);
  EXPECT_EQ(*shown.find("events_cut"), Value(""));
  {
    SQLite::Database database((folder / "events.sqlite").string(), SQLite::OPEN_READWRITE);
    database.exec("ALTER TABLE batch_tasks RENAME TO hidden");
  }
  EXPECT_NE(*ask("show", Object{{"prefix", world.train_two.key.hex()}}).find("events_cut"),
            Value(""));
  EXPECT_EQ(*ask("show", Object{{"prefix", world.run_two.key.hex()}}).find("cell"), Value("wide"));
}

TEST_F(QueryTest, ARunThatIsNotSubmittedAgainIsAnOrphanAndStillThere) {
  finish_both();
  world.step(world.client_peer, SubmitTasks{.id = 9,
                                            .sweep = "small",
                                            .definition = R"({"name":"small","second":true})",
                                            .first = true,
                                            .last = true,
                                            .tasks = {world.extract, world.train_one},
                                            .runs = {world.run_one}});
  const Value runs = ask("runs", Object{{"sweep", "small"}});
  EXPECT_EQ(*(*runs.find("runs")->if_array())[0].find("orphan"), Value(false));
  EXPECT_EQ(*(*runs.find("runs")->if_array())[1].find("orphan"), Value(true));
  const Value sweep = (*ask("sweeps", Object{{"sweep", "small"}}).find("sweeps")->if_array())[0];
  EXPECT_EQ(*sweep.find("runs"), Value(1));
  EXPECT_EQ(*sweep.find("orphans"), Value(1));
  EXPECT_EQ(*sweep.find("definition.second"), Value(true));
  EXPECT_EQ(*sweep.find("tasks.succeeded"), Value(2));
}

TEST_F(QueryTest, ContentThatWasChangedOnTheDiskEndsTheQuestionAndNothingElse) {
  finish_both();
  point(world.extract, 1, 10, 1.0);
  ask("status");
  const auto change = [&](const std::filesystem::path& file, const std::string& sql) {
    SQLite::Database database(file.string(), SQLite::OPEN_READWRITE);
    EXPECT_GT(database.exec(sql), 0);
  };
  const auto code = [&](const std::string& verb, const Value& body = Object{}) {
    const auto answer = try_ask(verb, body);
    return answer ? std::string("none") : std::string(name_of(answer.error().code));
  };
  change(folder / "metrics.sqlite", "UPDATE point SET metrics = '{\"loss\": 1'");
  const std::string extract = world.extract.key.hex();
  EXPECT_EQ(code("metrics", Object{{"prefix", extract}}), "damaged");
  EXPECT_EQ(code("metrics", Object{{"prefix", extract}, {"names", Array{"loss"}}}), "damaged");
  for (const char* seed : {"", "x", "1x", "99999999999999999999", "-1"}) {
    change(folder / "tables.sqlite", fmt::format("UPDATE run SET seed = '{}'", seed));
    EXPECT_EQ(code("runs"), "damaged") << seed;
    EXPECT_EQ(code("show", Object{{"prefix", world.run_one.key.hex()}}), "damaged") << seed;
    EXPECT_EQ(code("show", Object{{"prefix", extract}}), "damaged") << seed;
  }
  EXPECT_EQ(code("status"), "none");
}

TEST_F(QueryTest, UnknownFieldsAndSweepsAreRefusedByName) {
  const auto unknown = try_ask("runs", Object{{"swep", "small"}});
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("swep"), std::string::npos);
  EXPECT_EQ(try_ask("runs", Object{{"sweep", "none"}}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(try_ask("metrics", Object{{"prefix", "ab"}}).error().code, ErrorCode::kInvalid);
}

TEST_F(QueryTest, WatchGroupsWaitingTasksByTheirReason) {
  LiveView live;
  world.join();
  world.submit();
  for (const Event& event : world.uncommitted) live.note(event);
  WatchReport report("small");
  int parts = 1;
  while (!report.go_on(world.core, live, world.now, 2)) ++parts;
  EXPECT_GT(parts, 2);
  const Value watched = report.value(world.core, world.wall);
  ASSERT_EQ(watched.find("waiting")->if_array()->size(), 1U);
  EXPECT_EQ(*(*watched.find("waiting")->if_array())[0].find("tasks"), Value(2));
  EXPECT_EQ(*watched.find("by_stage.train.blocked"), Value(2));
  const Value running = (*watched.find("running")->if_array())[0];
  EXPECT_EQ(*running.find("runs"), Value(Array{"base", "wide"}));
  EXPECT_FALSE(running.find("granted_ms")->is_null());
}

Value watched_by(const SmallWorld& world) {
  const LiveView live;
  WatchReport report("small");
  EXPECT_TRUE(report.go_on(world.core, live, world.now, 1'000));
  return report.value(world.core, world.wall);
}

TEST_F(QueryTest, WhatStandsBehindAFailureWaitsForNothingAndIsCounted) {
  world.join();
  world.submit();
  EXPECT_EQ(*(*watched_by(world).find("waiting")->if_array())[0].find("reason"),
            Value("waits for extract, which is leased"));
  world.end(world.extract, Failed{.cause = FailureClass::kInvalid, .reason = "no such file"});
  const Value watched = watched_by(world);
  EXPECT_TRUE(watched.find("waiting")->if_array()->empty());
  EXPECT_EQ(*watched.find("behind_failed"), Value(2));
  const Array& failed = *watched.find("failed")->if_array();
  ASSERT_EQ(failed.size(), 1U);
  EXPECT_EQ(*failed[0].find("state"), Value("failed"));
}

TEST_F(QueryTest, WhatNobodyCanEverHoldStandsFirstAmongWhatWaits) {
  world.join();
  world.extract.resources.slots = 9;
  world.submit();
  const Array waiting = *watched_by(world).find("waiting")->if_array();
  ASSERT_EQ(waiting.size(), 2U);
  EXPECT_EQ(waiting[0].find("reason")->if_string()->find("infeasible"), 0U);
  EXPECT_EQ(*waiting[0].find("tasks"), Value(1));
  EXPECT_EQ(*waiting[1].find("tasks"), Value(2));
}

}  // namespace
}  // namespace strata::coordinator
