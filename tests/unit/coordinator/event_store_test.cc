#include "coordinator/event_store.h"

#include "base/files.h"
#include "coordinator/fsck.h"
#include "coordinator/open_stores.h"
#include "coordinator/repair.h"
#include "coordinator/sqlite.h"
#include "tests/unit/coordinator/small_world.h"

namespace strata::coordinator {
namespace {

struct EventStoreTest : testing::Test {
  std::filesystem::path file =
      make_temporary_folder(testing::TempDir(), "store").value() / "events.sqlite";
  EventStore store = EventStore::open(file).value();
  SmallWorld world;

  void whole_life() {
    world.join();
    world.submit();
    world.start(world.extract);
    ASSERT_TRUE(world.commit(store));
    world.succeed(world.extract, "features");
    world.start(world.train_one);
    world.checkpoint(world.train_one, 10);
    ASSERT_TRUE(world.commit(store));
    world.end(world.train_one, Failed{.reason = "exit code 1"});
    world.start(world.train_two);
    world.succeed(world.train_two, "weights",
                  {{.name = "wer", .value = 0.5, .items = {{"u1", 0.25}, {"u2", 0.75}}}});
    world.wait(std::chrono::minutes(2));
    world.start(world.train_one);
    world.succeed(world.train_one, "weights 1", {{.name = "wer", .value = 1.0 / 0.0}});
    ASSERT_TRUE(world.commit(store));
  }
  void change(const std::string& sql) {
    SQLite::Database database(file.string(), SQLite::OPEN_READWRITE);
    ASSERT_GT(database.exec(sql), 0);
  }
  void change_tables(const std::string& sql) {
    SQLite::Database database(tables_file(file).string(), SQLite::OPEN_READWRITE);
    ASSERT_GT(database.exec(sql), 0);
  }
  // The first event of each commit, and one after the last.
  std::vector<std::uint64_t> starts() {
    std::vector<std::uint64_t> starts;
    SQLite::Database database(file.string(), SQLite::OPEN_READONLY);
    SQLite::Statement select(database, "SELECT first_seq FROM batch ORDER BY 1");
    while (select.executeStep())
      starts.push_back(static_cast<std::uint64_t>(select.getColumn(0).getInt64()));
    return starts;
  }
  std::string ask(const std::string& sql) {
    SQLite::Database database(tables_file(file).string(), SQLite::OPEN_READONLY);
    return database.execAndGet(sql).getString();
  }
};

TEST_F(EventStoreTest, AReopenedStoreReplaysToTheSameState) {
  whole_life();
  const std::uint64_t events = store.last_seq();
  const std::string name = store.coordinator_id();
  store = EventStore::open(file).value();
  EXPECT_EQ(store.last_seq(), events);
  EXPECT_EQ(store.coordinator_id(), name);
  const Replayed replayed = store.replay().value();
  EXPECT_FALSE(replayed.damage) << replayed.damage->what;
  EXPECT_EQ(replayed.events, events);
  EXPECT_EQ(summary(replayed.cluster), summary(world.core.cluster()));
}

TEST_F(EventStoreTest, TheDerivedTablesSayWhatTheClusterSays) {
  whole_life();
  EXPECT_EQ(ask("SELECT group_concat(state) FROM (SELECT state FROM task ORDER BY stage)"),
            "succeeded,succeeded,succeeded");
  EXPECT_EQ(ask("SELECT resume_step FROM attempt WHERE attempt = 2"), "10");
  EXPECT_EQ(ask("SELECT value FROM score_item WHERE item = 'u2'"), "0.75");
  EXPECT_EQ(ask("SELECT value FROM score WHERE typeof(value) = 'text'"), "Infinity");
  EXPECT_EQ(ask("SELECT count(*) FROM consumed"), "2");
  EXPECT_TRUE(fsck(file).value().sound());
}

TEST_F(EventStoreTest, AChangedByteIsFoundWithItsNumberAndTheTasksItTouches) {
  whole_life();
  const std::uint64_t first = starts().at(1);
  change(
      fmt::format("UPDATE batch SET body = CAST(substr(body, 1, length(body) - 1) || x'7F' AS "
                  "BLOB) WHERE first_seq = {}",
                  first));
  const Replayed replayed = store.replay().value();
  ASSERT_TRUE(replayed.damage);
  EXPECT_EQ(replayed.damage->seq, first);  // nothing of its commit is believed
  EXPECT_EQ(replayed.events, first - 1);
  EXPECT_EQ(replayed.damage->tasks.size(), 3U);
}

TEST_F(EventStoreTest, AnErrorOfWhoeverReadsTheLogIsNoDamageOfIt) {
  whole_life();
  const auto read_with = [&](ErrorCode code) {
    return read_events(file, [&](const StoredEvent& stored) -> Status {
      return stored.seq < 3 ? Status() : fail(code, "no more of it");
    });
  };
  EXPECT_EQ(read_with(ErrorCode::kDamaged).value().value().seq, 3U) << "it cannot follow";
  for (const ErrorCode code :
       {ErrorCode::kUnavailable, ErrorCode::kConflict, ErrorCode::kTooLarge}) {
    const auto read = read_with(code);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, code);
  }
}

TEST_F(EventStoreTest, AMissingRowAndAnExchangedPairAreFound) {
  whole_life();
  const std::vector<std::uint64_t> first = starts();
  change(fmt::format("UPDATE batch SET last_seq = -1 WHERE first_seq = {}", first.at(1)));
  change(fmt::format("UPDATE batch SET last_seq = {} WHERE first_seq = {}", first.at(2) - 1,
                     first.at(2)));
  EXPECT_EQ(store.replay().value().damage.value().seq, first.at(1));
  change(fmt::format("DELETE FROM batch WHERE first_seq = {}", first.at(0)));
  EXPECT_EQ(store.replay().value().damage.value().seq, first.at(0));
}

TEST_F(EventStoreTest, AColumnThatContradictsItsBodyIsFound) {
  whole_life();
  const std::uint64_t first = starts().at(1);
  change(fmt::format("UPDATE batch SET first_seq = first_seq + 1 WHERE first_seq = {}", first));
  EXPECT_EQ(store.replay().value().damage.value().seq, first);
}

TEST_F(EventStoreTest, TablesThatAreBehindOrGoneAreWrittenFromTheLog) {
  whole_life();
  const std::uint64_t events = store.last_seq();
  const auto reopened = [&](const std::function<void()>& between) {
    { const EventStore closed = std::move(store); }
    between();
    store = EventStore::open(file).value();
    EXPECT_TRUE(store.tables().wait(events, kTablesWaitMax));
    EXPECT_TRUE(fsck(file).value().sound()) << fsck(file).value().text();
    return ask("SELECT count(*) FROM task");
  };
  const auto behind = [&] {
    EventStore other = EventStore::open(file.parent_path() / "events_other.sqlite").value();
    Cluster cluster;
    std::vector<Event> some;
    ASSERT_TRUE(read_events(file, [&](const StoredEvent& stored) -> Status {
      if (stored.seq < starts().at(1)) some.push_back(stored.event);
      return {};
    }));
    for (const Event& event : some) cluster.apply(event);
    ASSERT_TRUE(other.commit(some, cluster.take_touched(), cluster));
    { const EventStore closed = std::move(other); }
    std::filesystem::rename(file.parent_path() / "tables_other.sqlite", tables_file(file));
  };
  EXPECT_EQ(reopened([] {}), "3");
  EXPECT_EQ(reopened([&] { std::filesystem::remove(tables_file(file)); }), "3");
  EXPECT_EQ(reopened(behind), "3");
  EXPECT_EQ(reopened([&] { change_tables("UPDATE follows SET chain = chain + 1"); }), "3");
  EXPECT_EQ(reopened([&] { change_tables("UPDATE follows SET made_by = 0"); }), "3");
}

TEST_F(EventStoreTest, RowsThatTheLogDoesNotGiveAreReplacedWhenTheyStandInTheWay) {
  world.join();
  world.submit();
  world.start(world.extract);
  ASSERT_TRUE(world.commit(store));
  const std::string attempt =
      "INSERT INTO attempt (task, attempt, worker, slots, granted_ms) SELECT task, 1, 9, 9, 9 FROM "
      "task WHERE stage = 'train'";
  change_tables(attempt);
  world.succeed(world.extract, "features");  // a training gets its first attempt
  world.start(world.train_one);
  ASSERT_TRUE(world.commit(store));
  EXPECT_EQ(ask("SELECT count(*) FROM attempt WHERE slots = 9"), "0");
  EXPECT_TRUE(fsck(file).value().sound()) << fsck(file).value().text();
  // The same again in the next life.
  { const EventStore closed = std::move(store); }
  change_tables(attempt + " AND task NOT IN (SELECT task FROM attempt)");
  store = EventStore::open(file).value();
  world.end(world.train_one, Failed{.cause = FailureClass::kInfra, .reason = "gone"});
  ASSERT_TRUE(world.commit(store));
  EXPECT_EQ(ask("SELECT count(*) FROM attempt WHERE slots = 9"), "0");
  EXPECT_TRUE(fsck(file).value().sound()) << fsck(file).value().text();
}

TEST_F(EventStoreTest, ANameThatIsGoneOrChangedIsDamageAndIsTakenFromTheFileBeside) {
  whole_life();
  const std::string name = store.coordinator_id();
  { const EventStore closed = std::move(store); }
  { static_cast<void>(MetricStore::open(file.parent_path() / "metrics.sqlite").value()); }
  const StoreFolder folder = StoreFolder::open(file.parent_path(), true).value();
  for (const char* change_of_name :
       {"DELETE FROM store", "UPDATE store SET value = 'f' || substr(value, 2)"}) {
    change(change_of_name);
    const auto opened = EventStore::open(file);
    if (opened && opened->coordinator_id() == name) continue;  // it began with that digit
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kDamaged);
    EXPECT_NE(opened.error().message.find("name"), std::string::npos) << opened.error().message;
    const OpenStores stores = open_stores(folder, [](const Event&) {}).value();
    EXPECT_EQ(stores.events.coordinator_id(), name);
    EXPECT_NE(stores.safe_mode.find("nothing is lost"), std::string::npos) << stores.safe_mode;
    EXPECT_FALSE(fsck(file).value().sound());
    const auto repaired = repair_store(folder, false);
    ASSERT_TRUE(repaired) << repaired.error().message;
    EXPECT_EQ(EventStore::open(file).value().coordinator_id(), name);
  }
  change("DELETE FROM store");
  std::filesystem::remove(file.string() + "-name");
  const auto refused = repair_store(folder, false);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("name of the store"), std::string::npos)
      << refused.error().message;
  ASSERT_TRUE(repair_store(folder, true));
  EXPECT_NE(EventStore::open(file).value().coordinator_id(), name);
}

TEST_F(EventStoreTest, BesideADamagedLogTheTablesThatKnowMoreAreAsked) {
  whole_life();
  const std::uint64_t events = store.last_seq();
  { const EventStore closed = std::move(store); }
  { static_cast<void>(MetricStore::open(file.parent_path() / "metrics.sqlite").value()); }
  const StoreFolder folder = StoreFolder::open(file.parent_path(), true).value();
  change("UPDATE store SET value = 'another'");
  EXPECT_EQ(open_stores(folder, [](const Event&) {}).value().tables_file, tables_file(file));
  change_tables("UPDATE follows SET seq = 1");
  const OpenStores stores = open_stores(folder, [](const Event&) {}).value();
  EXPECT_EQ(stores.replayed.events, events);
  EXPECT_EQ(stores.tables_file, tables_file(stores.events_file))
      << "those beside the log are behind";
}

TEST_F(EventStoreTest, WhatWaitsForTheTablesIsBoundedInBytes) {
  const auto projector = Projector::open(file, {}).value();  // of an empty log
  EXPECT_TRUE(projector->wait(0, kTablesWaitMax));
  projector->limit(1, 0);
  Event large{.body = SweepOpened{.sweep = "wordy", .definition = std::string(200'000, 'x')}};
  projector->push({.end = {.seq = 1},
                   .events = std::make_shared<const std::vector<Event>>(1, large),
                   .bytes = kProjectedBytesMax});
  EXPECT_FALSE(projector->has_room());
  EXPECT_FALSE(projector->wait(1, kTablesWaitMax));
  EXPECT_NE(projector->failing(), "");
  projector->limit(0, 0);
  for (int i = 0; i < 100 && !projector->wait(1, kTablesWaitMax); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_TRUE(projector->wait(1, kTablesWaitMax));
  while (!projector->has_room()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST_F(EventStoreTest, TablesOfANewerBuildAreMadeAgain) {
  whole_life();
  { const EventStore closed = std::move(store); }
  change_tables("INSERT INTO schema_version (version) VALUES (1000)");
  auto opened = EventStore::open(file);
  ASSERT_TRUE(opened) << opened.error().message;
  store = std::move(*opened);
  ASSERT_TRUE(store.tables().wait(store.last_seq(), kTablesWaitMax));
  EXPECT_TRUE(fsck(file).value().sound()) << fsck(file).value().text();
  EXPECT_EQ(ask("SELECT count(*) FROM task"), "3");
}

TEST_F(EventStoreTest, WhatTheTablesKnowBeyondADamagedLogIsKept) {
  whole_life();
  const std::uint64_t damaged = starts().at(1);
  { const EventStore closed = std::move(store); }
  change(fmt::format("UPDATE batch SET chain = chain + 1 WHERE first_seq = {}", damaged));
  const std::filesystem::path tables = tables_file(file);
  const auto reopened = [&] {
    store = EventStore::open(file).value();
    static_cast<void>(store.tables().wait(store.last_seq(), kTablesWaitMax));
    { const EventStore closed = std::move(store); }
    return ask("SELECT count(*) FROM task WHERE state = 'succeeded'");
  };
  EXPECT_EQ(reopened(), "3");
  change_tables("UPDATE follows SET made_by = 0");
  EXPECT_EQ(reopened(), "3") << "of another build, and more than the log can give";
  change_tables("DELETE FROM follows");
  EXPECT_EQ(reopened(), "3");
  // With a structure that is damaged they cannot be asked any more; they are there all the same.
  std::string bytes = read_file(tables).value();
  const std::string before = bytes;
  bytes.replace(4'096, 4'096, 4'096, '\0');
  ASSERT_TRUE(write_file_atomic(tables, bytes));
  EXPECT_EQ(reopened(), "0");
  EXPECT_EQ(read_file(tables.string() + "-aside").value(), bytes);
  EXPECT_EQ(reopened(), "0");
  EXPECT_TRUE(std::filesystem::exists(tables.string() + "-aside"));
}

TEST_F(EventStoreTest, DamagedTablesOfAWholeLogAreNotKept) {
  whole_life();
  { const EventStore closed = std::move(store); }
  std::string bytes = read_file(tables_file(file)).value();
  bytes.replace(4'096, 4'096, 4'096, '\0');
  ASSERT_TRUE(write_file_atomic(tables_file(file), bytes));
  store = EventStore::open(file).value();
  const std::uint64_t events = store.last_seq();
  ASSERT_TRUE(store.tables().wait(events, kTablesWaitMax));
  { const EventStore closed = std::move(store); }
  EXPECT_FALSE(std::filesystem::exists(tables_file(file).string() + "-aside"));
  EXPECT_EQ(ask("SELECT count(*) FROM task"), "3");
}

TEST_F(EventStoreTest, FsckNamesADerivedRowThatDoesNotFollowFromTheLog) {
  whole_life();
  change_tables("UPDATE task SET state = 'failed' WHERE stage = 'extract'");
  const FsckReport report = fsck(file).value();
  EXPECT_FALSE(report.sound());
  ASSERT_EQ(report.differences.size(), 1U);
  EXPECT_EQ(report.differences[0].table, "task");
  EXPECT_EQ(report.differences[0].rows, 2);  // the one stored and the one that should be
}

TEST_F(EventStoreTest, AnAttemptIsStoredOnceAndATaskHasOneRow) {
  whole_life();
  SQLite::Database database(tables_file(file).string(), SQLite::OPEN_READWRITE);
  EXPECT_THROW(database.exec("INSERT INTO attempt SELECT * FROM attempt LIMIT 1"),
               SQLite::Exception);
  EXPECT_THROW(database.exec("INSERT INTO task SELECT * FROM task LIMIT 1"), SQLite::Exception);
  EXPECT_THROW(database.exec("INSERT INTO run SELECT * FROM run LIMIT 1"), SQLite::Exception);
}

TEST_F(EventStoreTest, AFullDiskIsAnErrorAndTheSameCommitSucceedsLater) {
  world.join();
  ASSERT_TRUE(world.commit(store));
  const std::uint64_t before = store.last_seq();
  ASSERT_TRUE(store.limit_pages(1));
  world.submit();
  world.step(
      world.client_peer,
      SubmitTasks{
          .id = 6, .sweep = "wordy", .definition = std::string(1'000'000, 'x'), .first = true});
  const std::size_t events = world.uncommitted.size();
  for (int i = 0; i < 3; ++i) {
    const Status status = world.commit(store);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kUnavailable);
    EXPECT_NE(status.error().message.find("full"), std::string::npos) << status.error().message;
  }
  EXPECT_EQ(store.last_seq(), before);
  EXPECT_EQ(ask("SELECT count(*) FROM task"), "0");
  ASSERT_TRUE(store.limit_pages(0));
  ASSERT_TRUE(world.commit(store));
  EXPECT_EQ(store.last_seq(), before + events);
  EXPECT_TRUE(fsck(file).value().sound());
}

TEST_F(EventStoreTest, AStoreOfANewerBuildIsRefused) {
  change("INSERT INTO schema_version (version) VALUES (1000)");
  const auto opened = EventStore::open(file);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupported);
}

TEST_F(EventStoreTest, AProducerThatIsMadeAgainWithOtherContentMakesItsConsumersOutdated) {
  whole_life();
  EXPECT_EQ(ask("SELECT sum(outdated) FROM task"), "0");
  // A new run needs the evicted features, so they are made again.
  const TaskSpec third = SmallWorld::task("train", Object{{"lr", 0.3}}, world.train_one.inputs);
  world.step(
      world.client_peer,
      SubmitTasks{
          .id = 6, .sweep = "other", .first = true, .last = true, .tasks = {world.extract, third}});
  world.step({}, Tick{});
  world.start(third);
  world.step(world.worker_peer,
             ReportEnded{.worker = world.worker,
                         .attempt = world.current(third),
                         .outcome = Failed{.cause = FailureClass::kData, .reason = "no features"},
                         .missing_inputs = {SmallWorld::artifact("features").hash}});
  world.wait(std::chrono::minutes(2));
  world.start(world.extract);
  world.succeed(world.extract, "other features");
  ASSERT_TRUE(world.commit(store));
  EXPECT_EQ(ask("SELECT group_concat(stage || outdated) FROM (SELECT stage, outdated FROM task "
                "WHERE state = 'succeeded' ORDER BY "
                "stage)"),
            "extract0,train1,train1");
  EXPECT_TRUE(fsck(file).value().sound());
}

}  // namespace
}  // namespace strata::coordinator
