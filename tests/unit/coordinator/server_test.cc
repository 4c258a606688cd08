// The whole coordinator in this process, talked to over loopback sockets as workers and clients do.
#include "coordinator/server.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "coordinator/fsck.h"
#include "coordinator/service.h"
#include "coordinator/sqlite.h"
#include "link/coordinator_link.h"
#include "schema/codec.h"
#include "tests/unit/coordinator/small_world.h"

namespace strata::coordinator {
namespace {

using namespace std::chrono_literals;
using link::CoordinatorLink;

constexpr auto kPatience = 20'000ms;

struct ServerTest : testing::Test {
  std::filesystem::path store = make_temporary_folder(testing::TempDir(), "server").value();
  std::size_t peers_max = kPeersMax;
  std::unique_ptr<Service> service;
  std::jthread thread;
  SmallWorld world;  // for its specs only
  AttemptId extract_one{.task = world.extract.key, .number = 1};

  void SetUp() override { up(); }
  void TearDown() override { down(); }
  void up() {
    auto started =
        Service::start({.store = store, .metrics = "", .build = "test", .peers_max = peers_max});
    ASSERT_TRUE(started) << started.error().message;
    service = std::move(*started);
    thread = std::jthread([this] { EXPECT_TRUE(service->run()); });
  }
  void down() {
    if (!service) return;
    service->stop();
    thread.join();
    service.reset();
  }
  CoordinatorLink dial() const { return CoordinatorLink::open(service->address_file()).value(); }

  static Value ask(CoordinatorLink& client, const std::string& verb, const Value& body = Object{}) {
    const auto answer = client.ask(verb, to_canonical_json(body), kPatience);
    EXPECT_TRUE(answer) << answer.error().message;
    if (!answer) return {};
    EXPECT_TRUE(answer->ok) << answer->body;
    return parse_json(answer->body).value();
  }
  static Value refused(CoordinatorLink& client, const std::string& verb,
                       const Value& body = Object{}) {
    const auto answer = client.ask(verb, to_canonical_json(body), kPatience);
    EXPECT_TRUE(answer) << answer.error().message;
    if (!answer) return {};
    EXPECT_FALSE(answer->ok) << answer->body;
    return parse_json(answer->body).value();
  }
  // The next message of one kind; others are skipped.
  template <class T>
  static T next(CoordinatorLink& link) {
    for (int i = 0; i < 100; ++i) {
      const auto message = link.receive(kPatience);
      if (!message || !message->has_value()) break;
      if (const auto* found = std::get_if<T>(&**message)) return *found;
    }
    ADD_FAILURE() << "the message did not come";
    return {};
  }
  static Welcome join(CoordinatorLink& worker, std::uint64_t session = 7) {
    EXPECT_TRUE(worker.send(Hello{.build = "t", .name = "box", .session = session, .slots = 1}));
    return next<Welcome>(worker);
  }
  Result<Answer> submit(CoordinatorLink& client) const {
    return client.submit({.sweep = "small",
                          .definition = R"({"name":"small"})",
                          .first = true,
                          .last = true,
                          .tasks = {world.extract, world.train_one, world.train_two},
                          .runs = {world.run_one, world.run_two}},
                         kPatience);
  }
  MetricBatch points(WorkerId worker, std::uint64_t first, std::uint64_t last) const {
    MetricBatch batch{.worker = worker, .attempt = extract_one};
    for (std::uint64_t i = first; i <= last; ++i) {
      batch.points.push_back({.sequence = i,
                              .step = static_cast<std::int64_t>(i),
                              .values = {{"loss", 1.0 / static_cast<double>(i)}}});
    }
    return batch;
  }
  static ReportEnded success(WorkerId worker, const AttemptId& attempt,
                             const std::string& content) {
    return {.worker = worker,
            .attempt = attempt,
            .outcome = Succeeded{.artifacts = {{"out", SmallWorld::artifact(content)}},
                                 .recorded = {{"folder", "/run/1"}}}};
  }
};

TEST_F(ServerTest, ATaskGoesFromSubmissionToSuccessAndEveryStepCanBeAsked) {
  auto worker = dial();
  auto client = dial();
  const Welcome welcome = join(worker);
  EXPECT_EQ(welcome.artifact_folder, (store / "artifacts").string());
  const auto submitted = submit(client);
  ASSERT_TRUE(submitted && submitted->ok) << submitted->body;
  EXPECT_EQ(parse_json(submitted->body)->find("created")->if_number()->text(), "3");
  EXPECT_EQ(next<StartAttempt>(worker).attempt, extract_one);
  ASSERT_TRUE(worker.send(ReportStarted{.worker = welcome.worker, .attempt = extract_one}));
  ASSERT_TRUE(worker.send(points(welcome.worker, 1, 3)));
  EXPECT_EQ(next<MetricAck>(worker).up_to, 3U);

  const Value watched = ask(client, "watch", Object{{"sweep", "small"}});
  EXPECT_EQ(watched.find("running")->if_array()->size(), 1U);
  EXPECT_EQ(*(*watched.find("running")->if_array())[0].find("progress.step"), Value(3));
  const Value explained =
      ask(client, "explain", Object{{"prefix", world.train_one.key.hex().substr(0, 8)}});
  EXPECT_NE(
      (*explained.find("stages")->if_array())[0].find("reason")->if_string()->find("waits for out"),
      std::string::npos);
  EXPECT_EQ(*(*ask(client, "workers").find("workers")->if_array())[0].find("free"), Value(0));

  ASSERT_TRUE(worker.send(success(welcome.worker, extract_one, "features")));
  EXPECT_EQ(next<EndedAck>(worker).attempt, extract_one);
  EXPECT_EQ(next<StartAttempt>(worker).spec.stage, "train");
  const Value shown = ask(client, "show", Object{{"prefix", world.extract.key.hex()}});
  EXPECT_EQ(*shown.find("state"), Value("succeeded"));
  EXPECT_EQ(*(*shown.find("attempts")->if_array())[0].find("folder"), Value("/run/1"));
  EXPECT_EQ(*ask(client, "status").find("tasks.succeeded"), Value(1));
  EXPECT_EQ(ask(client, "metrics", Object{{"prefix", world.extract.key.hex()}})
                .find("points")
                ->if_array()
                ->size(),
            3U);
  EXPECT_TRUE(fsck(store / "events.sqlite").value().sound());
}

TEST_F(ServerTest, AnIdleWorkerGetsItsOrdersHoweverManyClientsHaveComeAndGone) {
  down();
  peers_max = 3;
  up();
  auto worker = dial();
  join(worker);
  for (int i = 0; i < 8; ++i) {  // each command is a connection of its own
    auto client = dial();
    ask(client, "workers");
  }
  auto client = dial();
  ASSERT_TRUE(submit(client));
  EXPECT_EQ(next<StartAttempt>(worker).attempt, extract_one);
}

TEST_F(ServerTest, AHeartbeatInTheNameOfAnotherIsNoSignOfItsLife) {
  auto worker = dial();
  auto client = dial();
  const Welcome welcome = join(worker);
  const auto silent_ms = [&] {
    const Value workers = ask(client, "workers");
    return (*workers.find("workers")->if_array())[0].find("heard_ms_ago")->to_double().value_or(-1);
  };
  double before = 0;
  while (before < 100) before = silent_ms();
  auto other = dial();
  ASSERT_TRUE(other.send(Heartbeat{.worker = welcome.worker, .session = 999}));
  next<WhoAreYou>(other);
  EXPECT_GE(silent_ms(), before);
}

TEST_F(ServerTest, PointsOfAStaleAttemptAreRefusedAndNothingOfThemIsKept) {
  auto worker = dial();
  auto client = dial();
  const Welcome welcome = join(worker);
  ASSERT_TRUE(submit(client));
  next<StartAttempt>(worker);
  // Another life of the same worker: what the first one held is lost.
  auto second = dial();
  join(second, 8);
  ASSERT_TRUE(worker.send(points(welcome.worker, 1, 3)));
  EXPECT_TRUE(next<MetricAck>(worker).stale);
  EXPECT_EQ(ask(client, "metrics", Object{{"prefix", world.extract.key.hex()}})
                .find("points")
                ->if_array()
                ->size(),
            0U);
}

// Batches of a sender that has several under way, over a real socket.
TEST_F(ServerTest, RepeatedAndOvertakenBatchesAreReadBackAsTheyWereSent) {
  auto worker = dial();
  auto client = dial();
  const Welcome welcome = join(worker);
  ASSERT_TRUE(submit(client));
  next<StartAttempt>(worker);
  for (const std::uint64_t first : {1U, 1U, 21U, 11U, 1U, 41U, 41U, 31U, 51U, 11U})
    ASSERT_TRUE(worker.send(points(welcome.worker, first, first + 9)));
  while (next<MetricAck>(worker).up_to < 60) {
  }
  const Value answer = ask(client, "metrics", Object{{"prefix", world.extract.key.hex()}});
  const Array& read = *answer.find("points")->if_array();
  ASSERT_EQ(read.size(), 60U);
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(*read[i].find("step"), Value(static_cast<std::int64_t>(i + 1)));
    EXPECT_EQ(*read[i].find("values.loss"), Value(1.0 / static_cast<double>(i + 1)));
  }
  const Value watched = ask(client, "watch", Object{{"sweep", "small"}});
  EXPECT_EQ(*(*watched.find("running")->if_array())[0].find("progress.step"), Value(60))
      << "a repeat moves nothing back";
}

TEST_F(ServerTest, PointsThatCannotBeWrittenAreNotAcknowledgedUntilTheyAre) {
  auto worker = dial();
  auto client = dial();
  const Welcome welcome = join(worker);
  ASSERT_TRUE(submit(client));
  next<StartAttempt>(worker);
  SQLite::Database other((store / "metrics.sqlite").string(), SQLite::OPEN_READWRITE);
  other.setBusyTimeout(5'000);
  other.exec("CREATE TRIGGER full BEFORE INSERT ON point BEGIN SELECT RAISE(ABORT, 'full'); END");
  ASSERT_TRUE(worker.send(points(welcome.worker, 1, 3)));
  ask(client, "status");  // a turn later
  EXPECT_FALSE(worker.receive(200ms).value_or(std::nullopt).has_value());
  other.exec("DROP TRIGGER full");
  ASSERT_TRUE(worker.send(points(welcome.worker, 1, 3)));
  EXPECT_EQ(next<MetricAck>(worker).up_to, 3U);
}

TEST_F(ServerTest, PointsThatNoProgramCouldHaveSaidAreNotStoredAndHarmNobody) {
  auto worker = dial();
  auto client = dial();
  const Welcome welcome = join(worker);
  ASSERT_TRUE(submit(client));
  next<StartAttempt>(worker);
  std::vector<MetricBatch> bad(5, points(welcome.worker, 1, 1));
  bad[0].points[0].values = {{"loss\xff", 1.0}};  // would be no JSON
  bad[1].points[0].sequence = 0;
  bad[2].points[0].sequence = std::numeric_limits<std::uint64_t>::max();
  for (int i = 0; i < 65; ++i) bad[3].points[0].values[std::to_string(i)] = 1;
  bad[4].points[0].values = {{std::string(70'000, 'x'), 1.0}};
  for (const MetricBatch& batch : bad) ASSERT_TRUE(worker.send(batch));
  ASSERT_TRUE(worker.send(points(welcome.worker, 1, 3)));
  EXPECT_EQ(next<MetricAck>(worker).up_to, 3U);
  const Value answer = ask(client, "metrics", Object{{"prefix", world.extract.key.hex()}});
  EXPECT_EQ(answer.find("points")->if_array()->size(), 3U);
}

TEST_F(ServerTest, NoByteStringEndsTheServer) {
  const auto address = link::read_address_file(service->address_file()).value();
  auto noise = DealerSocket::connect(address.address, address.public_key).value();
  const std::string good = encode(Message(Heartbeat{.worker = WorkerId(9)})).value();
  std::uint64_t seed = 1;
  for (int i = 0; i < 300; ++i) {
    std::string bytes = i % 2 == 0 ? good : std::string(static_cast<std::size_t>(i), 'x');
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    if (!bytes.empty()) bytes[seed % bytes.size()] = static_cast<char>(seed >> 40U);
    ASSERT_TRUE(noise.send(bytes));
  }
  ASSERT_TRUE(noise.send(""));
  ASSERT_TRUE(noise.send(encode(Message(Welcome{})).value()));
  auto client = dial();
  EXPECT_EQ(*ask(client, "status").find("dispatch"), Value("running"));
}

TEST_F(ServerTest, WrongQuestionsGetAnswersThatSayWhatIsWrong) {
  auto client = dial();
  EXPECT_EQ(*refused(client, "conjure").find("code"), Value("unsupported"));
  EXPECT_EQ(*refused(client, "watch", Object{{"sweep", "none"}}).find("code"), Value("not found"));
  EXPECT_EQ(*refused(client, "cancel", Object{{"sweep", "none"}}).find("code"), Value("not found"));
  EXPECT_EQ(*refused(client, "retry").find("code"), Value("invalid"));
  EXPECT_EQ(*refused(client, "show", Object{{"prefix", "zz"}}).find("code"), Value("invalid"));
  EXPECT_EQ(*refused(client, "show", Object{{"prefix", "abcd"}}).find("code"), Value("not found"));
  EXPECT_NE(refused(client, "tasks", Object{{"colour", "red"}})
                .find("error")
                ->if_string()
                ->find("colour"),
            std::string::npos);
  const auto nonsense = client.ask("status", "{", kPatience);
  ASSERT_TRUE(nonsense);
  EXPECT_FALSE(nonsense->ok);
}

TEST_F(ServerTest, ASecondCoordinatorOfTheSameStoreIsRefused) {
  const auto second = Service::start({.store = store, .metrics = ""});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kConflict);
}

TEST_F(ServerTest, TheAddressLiesInTheSharedFolderAsWellUntilAnotherCoordinatorTakesThePlace) {
  down();
  const auto shared = store / "shared" / "coordinator.json";
  const auto start = [&](const std::filesystem::path& folder) {
    auto started =
        Service::start({.store = folder, .metrics = "", .address_file = shared, .build = "test"});
    EXPECT_TRUE(started) << started.error().message;
    return std::move(*started);
  };
  const auto run_to_the_end = [](Service& one) {
    one.stop();
    EXPECT_TRUE(one.run());
  };
  auto first = start(store);
  EXPECT_EQ(link::read_address_file(shared).value(),
            link::read_address_file(first->address_file()).value());
  EXPECT_EQ(std::filesystem::status(shared).permissions(), std::filesystem::perms(0600));
  auto second = start(store / "second");
  run_to_the_end(*first);
  EXPECT_EQ(link::read_address_file(shared).value(),
            link::read_address_file(second->address_file()).value())
      << "not the first one's any more";
  run_to_the_end(*second);
  EXPECT_FALSE(std::filesystem::exists(shared));
}

TEST_F(ServerTest, AfterARestartItListensWhereItWasAndAdoptsWhatRuns) {
  auto worker = dial();
  auto client = dial();
  const Welcome welcome = join(worker);
  ASSERT_TRUE(submit(client));
  next<StartAttempt>(worker);
  ASSERT_TRUE(worker.send(ReportStarted{.worker = welcome.worker, .attempt = extract_one}));
  ask(client, "status");
  const auto before = link::read_address_file(service->address_file()).value();
  down();
  up();
  const auto after = link::read_address_file(service->address_file()).value();
  EXPECT_EQ(before.address, after.address);
  EXPECT_EQ(before.public_key, after.public_key);
  EXPECT_EQ(before.coordinator, after.coordinator);
  // The links come back by themselves; what was sent while nobody listened is repeated by its
  // sender.
  Hello hello{.build = "t",
              .name = "box",
              .session = 7,
              .slots = 1,
              .held = {{.attempt = extract_one, .phase = AttemptPhase::kRunning}}};
  std::optional<Welcome> again;
  for (int i = 0; i < 100 && !again; ++i) {
    ASSERT_TRUE(worker.send(hello));
    const auto message = worker.receive(200ms).value();
    if (message && std::holds_alternative<Welcome>(*message)) again = std::get<Welcome>(*message);
  }
  ASSERT_TRUE(again);
  EXPECT_EQ(again->worker, welcome.worker);
  ASSERT_TRUE(worker.send(success(welcome.worker, extract_one, "features")));
  EXPECT_EQ(next<EndedAck>(worker).attempt, extract_one);
  auto fresh = dial();
  EXPECT_EQ(*ask(fresh, "status").find("tasks.succeeded"), Value(1));
}

TEST_F(ServerTest, WhileCommitsFailNothingIsAcknowledgedAndQuestionsAreAnswered) {
  auto worker = dial();
  auto client = dial();
  ask(client, "status");
  service->limit_event_pages(1);
  join(worker);  // a worker's row fits in the pages that are there
  const std::string large(200'000, 'x');
  auto submitter = dial();
  ASSERT_TRUE(submitter.send(
      SubmitTasks{.id = 500, .sweep = "wordy", .definition = large, .first = true, .last = true}));
  std::string dispatch;
  for (int i = 0; i < 200 && !dispatch.starts_with("paused"); ++i) {
    dispatch = *ask(client, "status").find("dispatch")->if_string();
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_NE(dispatch.find("full"), std::string::npos) << dispatch;
  EXPECT_EQ(*refused(client, "workers").find("code"), Value("unavailable"));
  EXPECT_EQ(ask(client, "sweeps").find("sweeps")->if_array()->size(), 0U);
  EXPECT_FALSE(submitter.receive(100ms).value().has_value());
  service->limit_event_pages(0);
  EXPECT_EQ(next<Answer>(submitter).id, 500U);  // the very submission that waited
  EXPECT_EQ(ask(client, "sweeps").find("sweeps")->if_array()->size(), 1U);
  EXPECT_EQ(*ask(client, "status").find("dispatch"), Value("running"));
}

TEST_F(ServerTest, TablesThatCannotBeWrittenAreSaidAndPauseDispatchWhenTheirQueueIsFull) {
  auto worker = dial();
  auto client = dial();
  join(worker);
  ask(client, "status");
  service->limit_tables(1, 40);
  ASSERT_TRUE(client
                  .submit({.sweep = "wordy",
                           .definition = std::string(200'000, 'x'),
                           .first = true,
                           .last = true},
                          kPatience)
                  ->ok)
      << "the log is written as ever";
  std::string behind;
  for (int i = 0; i < 200 && behind.empty(); ++i)
    behind = *ask(client, "status").find("behind")->if_string();
  EXPECT_NE(behind.find("full"), std::string::npos) << behind;
  EXPECT_EQ(*ask(client, "status").find("dispatch"), Value("running"));
  const Value told = refused(client, "sweeps");
  EXPECT_EQ(*told.find("code"), Value("unavailable"));
  EXPECT_NE(told.find("error")->if_string()->find("full"), std::string::npos);
  for (std::uint64_t session = 10; session < 50; ++session)  // 40 events and more
    ASSERT_TRUE(worker.send(Hello{.build = "t", .name = "box", .session = session, .slots = 1}));
  std::string dispatch;
  for (int i = 0; i < 2'000 && !dispatch.starts_with("paused"); ++i)
    dispatch = *ask(client, "status").find("dispatch")->if_string();
  EXPECT_NE(dispatch.find("derived tables"), std::string::npos) << dispatch;
  EXPECT_EQ(*refused(client, "workers").find("code"), Value("unavailable"));
  service->limit_tables(0, 0);
  for (int i = 0; i < 500 && !behind.empty(); ++i) {
    behind = *ask(client, "status").find("behind")->if_string();
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(behind, "");
  EXPECT_EQ(*ask(client, "status").find("dispatch"), Value("running"));
  EXPECT_EQ(ask(client, "sweeps").find("sweeps")->if_array()->size(), 1U);
}

TEST_F(ServerTest, ADamagedLogIsSaidAndNothingIsDispatched) {
  auto client = dial();
  ASSERT_TRUE(submit(client));
  down();
  {
    SQLite::Database database((store / "events.sqlite").string(), SQLite::OPEN_READWRITE);
    database.exec("UPDATE batch SET chain = chain + 1 WHERE first_seq <= 3 AND last_seq >= 3");
  }
  up();
  auto again = dial();
  const Value status = ask(again, "status");
  EXPECT_NE(status.find("dispatch")->if_string()->find("damaged at event "), std::string::npos);
  const auto submitted = submit(again);
  ASSERT_TRUE(submitted);
  EXPECT_FALSE(submitted->ok);
}

TEST_F(ServerTest, AFileThatIsDamagedBesideItsLogIsServedFromTheLogAndStaysAsItIs) {
  auto client = dial();
  ASSERT_TRUE(submit(client));
  down();
  const auto file = store / "events.sqlite";
  std::int64_t page = 0;
  {
    SQLite::Database database(file.string(), SQLite::OPEN_READWRITE);
    page = database.execAndGet("SELECT rootpage FROM sqlite_schema WHERE name = 'batch_tasks'")
               .getInt64();
  }
  std::string bytes = read_file(file).value();
  bytes.replace(static_cast<std::size_t>(page - 1) * 4'096, 4'096, 4'096, '\0');
  ASSERT_TRUE(write_file_atomic(file, bytes));
  up();
  auto again = dial();
  const std::string dispatch = *ask(again, "status").find("dispatch")->if_string();
  EXPECT_NE(dispatch.find("nothing is lost"), std::string::npos) << dispatch;
  EXPECT_NE(dispatch.find("fsck --store " + store.string() + " --repair"), std::string::npos);
  EXPECT_EQ(ask(again, "tasks").find("tasks")->if_array()->size(), 3U);
  EXPECT_EQ(*refused(again, "cancel", Object{{"sweep", "small"}}).find("code"),
            Value("unavailable"));
  down();
  EXPECT_EQ(read_file(file).value(), bytes);
}

TEST_F(ServerTest, DamagedTablesAreMadeAgainAndDispatchRuns) {
  auto client = dial();
  ASSERT_TRUE(submit(client));
  down();
  const auto file = store / "tables.sqlite";
  std::string bytes = read_file(file).value();
  bytes.replace(4'096, bytes.size() - 4'096, bytes.size() - 4'096, '\0');
  ASSERT_TRUE(write_file_atomic(file, bytes));
  up();
  auto again = dial();
  EXPECT_EQ(*ask(again, "status").find("dispatch"), Value("running"));
  EXPECT_EQ(ask(again, "tasks").find("tasks")->if_array()->size(), 3U);
}

TEST_F(ServerTest, ARowOfTheTablesThatChangedOnTheDiskIsFoundAndPutRight) {
  auto client = dial();
  ASSERT_TRUE(submit(client));
  ask(client, "status");
  down();
  {
    SQLite::Database database((store / "tables.sqlite").string(), SQLite::OPEN_READWRITE);
    ASSERT_GT(database.exec("UPDATE task SET state = 'succeeded'"), 0);
  }
  up();
  auto again = dial();
  const auto succeeded = [&] {
    return ask(again, "tasks", Object{{"state", "succeeded"}}).find("tasks")->if_array()->size();
  };
  for (int i = 0; i < 2'000 && succeeded() > 0; ++i) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(succeeded(), 0U);
  down();
  EXPECT_FALSE(std::filesystem::exists(store / "comparing"));
  EXPECT_TRUE(fsck(store / "events.sqlite").value().sound());
}

TEST_F(ServerTest, ControlVerbsActAndAnswer) {
  auto worker = dial();
  auto client = dial();
  const Welcome welcome = join(worker);
  ASSERT_TRUE(submit(client));
  next<StartAttempt>(worker);
  const Value plan =
      ask(client, "plan",
          Object{{"sweep", "small"}, {"tasks", Array{world.extract.key.hex()}}, {"runs", Array{}}});
  EXPECT_EQ(plan.find("plan_id")->if_string()->size(), 12U);
  EXPECT_EQ(*plan.find("orphaned"), Value(2));
  EXPECT_EQ(plan.find("orphans")->if_array()->size(), 2U);
  EXPECT_EQ(*plan.find("tasks")->find(world.extract.key.hex() + ".state"), Value("leased"));
  EXPECT_EQ(*ask(client, "drain", Object{{"worker", welcome.worker.value()}}).find("worker"),
            Value(1));
  const Value cancelled = ask(client, "cancel", Object{{"sweep", "small"}});
  EXPECT_EQ(*cancelled.find("withdrawn"), Value(3));
  EXPECT_EQ(*cancelled.find("stopping"), Value(1));
  EXPECT_EQ(next<StopAttempt>(worker).attempt, extract_one);
  // What has not begun is wanted again at once, and what is still stopping runs again afterwards.
  EXPECT_EQ(
      *ask(client, "retry", Object{{"sweep", "small"}, {"tasks", Array{world.train_one.key.hex()}}})
           .find("revived"),
      Value(1))
      << "of the sweep only the tasks that are named";
  EXPECT_EQ(*ask(client, "retry", Object{{"sweep", "small"}}).find("revived"), Value(1));
}

TEST(AdvertisedAddress, ABindToEverywhereIsReachedByTheHostsName) {
  EXPECT_EQ(advertised_address("tcp://0.0.0.0:4000", "", "gpu-01"), "tcp://gpu-01:4000");
  EXPECT_EQ(advertised_address("tcp://10.0.0.1:4000", "", "gpu-01"), "tcp://10.0.0.1:4000");
  EXPECT_EQ(advertised_address("tcp://0.0.0.0:4000", "login", "gpu-01"), "tcp://login:4000");
}

}  // namespace
}  // namespace strata::coordinator
