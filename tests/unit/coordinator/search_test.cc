// The verb `search`.
#include <gtest/gtest.h>

#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "coordinator/metric_store.h"
#include "coordinator/query.h"
#include "coordinator/sqlite.h"
#include "schema/expression.h"
#include "tests/unit/coordinator/small_world.h"

namespace strata::coordinator {
namespace {

// What a run has of a name, from the answer to `runs`: the rule in its slow form.
const Value* slow_look(const Value& run, std::string_view name) {
  const auto known = [](const Value* value) {
    return value == nullptr || value->is_null() ? nullptr : value;
  };
  static const std::set<std::string, std::less<>> kOwn{"state", "seed",     "cell",  "run",
                                                       "sweep", "baseline", "orphan"};
  if (kOwn.contains(name)) return known(run.find(name));
  const Object& assignment = *run.find("assignment")->if_object();
  if (const auto it = assignment.find(name); it != assignment.end() && known(&it->second))
    return &it->second;
  if (const Value* parameter = run.find("parameters")->find(name)) return known(parameter);
  const Object& scores = *run.find("scores")->if_object();
  const auto score = scores.find(name);
  return score == scores.end() ? nullptr : known(score->second.find("value"));
}

struct SearchTest : testing::Test {
  std::filesystem::path folder = make_temporary_folder(testing::TempDir(), "search").value();
  EventStore events = EventStore::open(folder / "events.sqlite").value();
  MetricStore metrics = MetricStore::open(folder / "metrics.sqlite").value();
  Query query = Query::open(folder / "events.sqlite", folder / "metrics.sqlite").value();
  SmallWorld world;

  Result<Value> try_ask(const std::string& verb, const Value& body) {
    EXPECT_TRUE(world.commit(events));
    return query.answer(verb, to_canonical_json(body), {});
  }
  Value ask(const std::string& verb, const Value& body = Object{}) {
    auto answer = try_ask(verb, body);
    EXPECT_TRUE(answer) << answer.error().message;
    return answer ? *answer : Value();
  }
  std::vector<std::string> cells(const std::string& text) {
    std::vector<std::string> out;
    const Value answer = ask("search", Object{{"query", text}});
    for (const Value& run : *answer.find("runs")->if_array())
      out.push_back(*run.find("cell")->if_string() + "/" + run.find("seed")->if_number()->text());
    return out;
  }
  using Cells = std::vector<std::string>;

  // Two layers and three seeds, each with a training and a score of its own; the third seed of
  // layer 8 fails.
  std::vector<TaskSpec> trainings;
  std::vector<TaskSpec> scorings;
  void submit(const std::string& sweep = "layers") {
    SubmitTasks batch{.id = 9,
                      .sweep = sweep,
                      .definition = "{}",
                      .first = true,
                      .last = true,
                      .tasks = {world.extract}};
    for (const int layer : {0, 8}) {
      for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        TaskSpec train = SmallWorld::task(
            "train", Object{{"align", Object{{"layer", layer}, {"loss", "cosine"}}}, {"lr", 0.1}},
            {{.name = "features", .producer = world.extract.key, .output = "out"}});
        train.seed = seed;
        train.key = compute_key(train);
        const TaskSpec score =
            SmallWorld::task("score", Object{{"judge", "j@1"}, {"note", Value()}},
                             {{.name = "in", .producer = train.key, .output = "out"}});
        RunSpec run =
            SmallWorld::run(fmt::format("layer={}", layer), seed, {world.extract, train, score});
        run.assignment = Object{{"align.layer", layer}};
        run.baseline = layer == 0;
        run.key = compute_key(run);
        trainings.push_back(train);
        scorings.push_back(score);
        batch.tasks.push_back(train);
        batch.tasks.push_back(score);
        batch.runs.push_back(run);
      }
    }
    world.step(world.client_peer, batch);
    world.step({}, Tick{});
  }
  void train(std::size_t i) {
    world.start(trainings[i]);
    world.succeed(trainings[i], "weights " + std::to_string(i),
                  {{.name = "loss", .value = 1, .better = "lower"}});
  }
  void score(std::size_t i, double wer) {
    world.start(scorings[i]);
    world.succeed(scorings[i], "scores " + std::to_string(i),
                  {{.name = "wer", .value = wer, .better = "lower"},
                   {.name = "loss", .value = 2, .better = "lower"},
                   {.name = "wer/recordings", .value = 0.125, .better = "lower"}});
  }
  void finish() {
    world.join(8);
    submit();
    world.start(world.extract);
    world.succeed(world.extract, "features");
    for (std::size_t i = 0; i < 5; ++i) train(i);
    world.start(trainings[5]);
    world.end(trainings[5], Failed{.cause = FailureClass::kInvalid, .reason = "bad spec"});
    const double wers[] = {0.5, 0.25, 0.75, 0.02, 0.01};
    for (std::size_t i = 0; i < 5; ++i) score(i, wers[i]);
  }
};

TEST_F(SearchTest, FiltersOverParametersScoresAndStateTogether) {
  finish();
  EXPECT_EQ(cells("align.loss = cosine and wer < 0.3 order by wer limit 10"),
            (Cells{"layer=8/2", "layer=8/1", "layer=0/2"}));
  EXPECT_EQ(cells("align.layer = 8 and state = failed"), (Cells{"layer=8/3"}));
  EXPECT_EQ(cells("align.layer = 7"), Cells{});
  EXPECT_EQ(cells("baseline = true and seed = 2"), (Cells{"layer=0/2"}));
  EXPECT_EQ(cells("corpus = a").size(), 6U) << "a parameter of a task that all of them share";
  EXPECT_EQ(cells("lr is null"), Cells{});
}

TEST_F(SearchTest, RunsWithoutTheValueComeLastInBothDirections) {
  finish();
  EXPECT_EQ(cells("order by wer"),
            (Cells{"layer=8/2", "layer=8/1", "layer=0/2", "layer=0/1", "layer=0/3", "layer=8/3"}));
  EXPECT_EQ(cells("order by wer desc limit 2"), (Cells{"layer=0/3", "layer=0/1"}));
  EXPECT_EQ(cells("order by wer desc").back(), "layer=8/3");
}

TEST_F(SearchTest, GroupsHaveTheirMeansOverTheRunsThatHaveTheScore) {
  finish();
  const Value answer = ask("search", Object{{"query", "state = succeeded or state = failed"},
                                            {"by", Array{"align.layer"}},
                                            {"mean", Array{"wer", "wer/recordings"}}});
  EXPECT_EQ(*answer.find("matched"), Value(6));
  const Array& groups = *answer.find("groups")->if_array();
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].find("by")->if_object()->at("align.layer"), Value(0));
  EXPECT_EQ(*groups[0].find("values.wer.mean"), Value(0.5));
  EXPECT_EQ(*groups[0].find("values.wer.sd"), Value(0.25));
  EXPECT_EQ(*groups[0].find("values.wer.min"), Value(0.25));
  EXPECT_EQ(*groups[0].find("values.wer.max"), Value(0.75));
  EXPECT_EQ(*groups[1].find("runs"), Value(3));
  EXPECT_EQ(*groups[1].find("values.wer.n"), Value(2)) << "one has failed";
  EXPECT_EQ(*groups[1].find("values.wer.mean"), Value(0.015));
  EXPECT_EQ(groups[1].find("values")->if_object()->at("wer/recordings").find("mean")->to_double(),
            0.125);
  const Value all = ask("search", Object{{"mean", Array{"wer"}}});
  ASSERT_EQ(all.find("groups")->if_array()->size(), 1U) << "no name to group by: all are one";
  EXPECT_EQ(*(*all.find("groups")->if_array())[0].find("values.wer.n"), Value(5));
  EXPECT_EQ(
      try_ask("search", Object{{"query", "order by wer"}, {"by", Array{"seed"}}}).error().code,
      ErrorCode::kInvalid);
}

TEST_F(SearchTest, ItFollowsWhatHappens) {
  world.join(8);
  submit();
  query.warm();  // the tables hold nothing yet
  EXPECT_EQ(cells("state = succeeded"), Cells{});
  query.warm();
  EXPECT_EQ(cells("state = running").size(), 6U) << "what they share is leased";
  world.start(world.extract);
  world.succeed(world.extract, "features");
  train(0);
  EXPECT_EQ(cells("loss = 1"), (Cells{"layer=0/1"}));
  score(0, 0.5);
  EXPECT_EQ(cells("wer = 0.5"), (Cells{"layer=0/1"}));
  EXPECT_EQ(cells("state = succeeded"), (Cells{"layer=0/1"}));
  EXPECT_EQ(cells("orphan = true"), Cells{});
  // The same sweep with one run less: that run is an orphan from then on.
  world.step(
      world.client_peer,
      SubmitTasks{
          .id = 10,
          .sweep = "layers",
          .definition = "{}",
          .first = true,
          .last = true,
          .tasks = {world.extract, trainings[1], scorings[1]},
          .runs = {[&] {
            RunSpec run = SmallWorld::run("layer=0", 2, {world.extract, trainings[1], scorings[1]});
            run.assignment = Object{{"align.layer", 0}};
            run.baseline = true;
            run.key = compute_key(run);
            return run;
          }()}});
  EXPECT_EQ(cells("orphan = true").size(), 5U);
  EXPECT_EQ(cells("orphan = false"), (Cells{"layer=0/2"}));
  world.step({}, Tick{});
  submit("again");
  EXPECT_EQ(cells("sweep = again").size(), 6U);
}

TEST_F(SearchTest, TablesThatWereMadeAgainAreReadAgain) {
  finish();
  ASSERT_EQ(cells("wer = 0.5"), (Cells{"layer=0/1"}));
  {
    SQLite::Database tables((folder / "tables.sqlite").string(), SQLite::OPEN_READWRITE);
    tables.exec("UPDATE follows SET seq = seq - 1");
    tables.exec("UPDATE run SET cell = 'other'");
  }
  EXPECT_EQ(query.answer("search", R"({"query": "cell = other"})", {})
                .value()
                .find("matched")
                ->to_double(),
            6.0);
}

TEST_F(SearchTest, NamesThatNoRunHasAreToldApartFromThoseThatSomeHave) {
  finish();
  const Value answer = ask(
      "search", Object{{"query", "wer < 1 and nope = 3 and align.layer = 0 and state = failed"}});
  EXPECT_EQ(*answer.find("unknown_names"), Value(Array{"nope"}));
}

// The index against the slow rule, over whole answers.
TEST_F(SearchTest, EveryAnswerIsThatOfTheSlowRule) {
  finish();
  const Value whole = ask("runs");
  const std::vector<std::string> names{"align.layer", "align.loss", "align",  "lr",   "judge",
                                       "note",        "corpus",     "wer",    "loss", "seed",
                                       "cell",        "state",      "orphan", "nope"};
  const std::vector<std::string> values{"0",    "8", "cosine", "0.1",
                                        "null", "2", "0.25",   "succeeded"};
  const std::vector<std::string> relations{" = ", " != "};
  Random random(3);
  std::size_t matched = 0;
  const auto any = [&](const std::vector<std::string>& of) {
    return of[random.bounded(of.size())];
  };
  for (int round = 0; round < 400; ++round) {
    std::string text = any(names) + any(relations) + any(values);
    if (random.bounded(2) == 0) text += " and " + any(names) + " is not null";
    if (random.bounded(3) == 0) text += " or not " + any(names) + any(relations) + any(values);
    SCOPED_TRACE(text);
    const auto filter = Expression::parse(text);
    ASSERT_TRUE(filter);
    Array expected;
    for (const Value& run : *whole.find("runs")->if_array()) {
      if (filter->holds([&](std::string_view name) { return slow_look(run, name); }).value())
        expected.push_back(run);
    }
    matched += expected.size();
    const Value answer = ask("search", Object{{"query", text}, {"whole", true}});
    ASSERT_EQ(*answer.find("runs"), Value(expected));
    ASSERT_EQ(*answer.find("matched"), Value(static_cast<std::int64_t>(expected.size())));
  }
  EXPECT_GT(matched, 400U);
}

TEST_F(SearchTest, WrongQuestionsSayWhatIsWrong) {
  finish();
  EXPECT_EQ(try_ask("search", Object{{"sweep", "nope"}}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(try_ask("search", Object{{"query", "wer <"}}).error().code, ErrorCode::kInvalid);
  const auto mixed = try_ask("search", Object{{"query", "align.loss < 3"}});
  ASSERT_FALSE(mixed);
  EXPECT_TRUE(mixed.error().message.starts_with("run ")) << mixed.error().message;
}

}  // namespace
}  // namespace strata::coordinator
