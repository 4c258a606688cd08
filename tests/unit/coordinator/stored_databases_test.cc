// Stores that earlier builds wrote, one of each version of the tables: today's build opens them,
// brings them up to its version, reads their log to the state that the earlier build had in its
// tables, and makes the same tables from it.
//
// tests/golden/stores: NAME.sql is the dump of the database, NAME.txt what its tables said then.
// A file there is never changed; a new version of the tables or of events adds one.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/files.h"
#include "coordinator/event_log.h"
#include "coordinator/fsck.h"
#include "coordinator/metric_store.h"
#include "coordinator/migrations.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_tip.h"
#include "schema/codec.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/small_world.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> stored(const std::string& kind) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(STRATA_SOURCE_DIR "/tests/golden/stores")) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() == ".sql" && name.starts_with(kind)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}
fs::path golden(const std::string& name) {
  return fs::path(STRATA_SOURCE_DIR "/tests/golden/stores") / name;
}
void load(const std::string& name, const fs::path& file) {
  SQLite::Database database(file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  database.exec(read_file(golden(name + ".sql")).value());
}
// After the line "schema N".
std::string expected(const std::string& name) {
  const std::string text = read_file(golden(name + ".txt")).value();
  return text.substr(text.find('\n') + 1);
}
std::int64_t version_of(const std::string& name) {
  return std::stoll(read_file(golden(name + ".txt")).value().substr(7));
}

std::string text_of(const Cluster& cluster, std::uint64_t events) {
  std::string text;
  for (const auto& [key, task] : cluster.tasks()) {
    text += fmt::format("task {} {} {} {} {} {} {} {}\n", key.hex(), task.spec.stage(),
                        name_of(task.state), task.attempts, task.user_failures, task.infra_failures,
                        task.outdated ? 1 : 0,
                        task.trouble().last_failure.empty() ? "-" : task.trouble().last_failure);
  }
  for (const auto& [id, worker] : cluster.workers())
    text += fmt::format("worker {} {} {}\n", id.value(), worker.name, worker.slots);
  for (const auto& [name, sweep] : cluster.sweeps())
    text += fmt::format("sweep {} {} {} {}\n", name, sweep.generation, sweep.priority,
                        sweep.sealed ? 1 : 0);
  return text + fmt::format("events {}\n", events);
}

TEST(StoredDatabases, EveryVersionOfTheTablesIsThere) {
  std::set<std::int64_t> events;
  std::set<std::int64_t> metrics;
  for (const std::string& name : stored("events_")) events.insert(version_of(name));
  for (const std::string& name : stored("metrics_")) metrics.insert(version_of(name));
  for (std::size_t i = 1; i <= event_migrations().size(); ++i)
    EXPECT_TRUE(events.contains(static_cast<std::int64_t>(i))) << "no store of version " << i;
  for (std::size_t i = 1; i <= metric_migrations().size(); ++i)
    EXPECT_TRUE(metrics.contains(static_cast<std::int64_t>(i))) << "no store of version " << i;
}

TEST(StoredDatabases, AnEarlierLogIsReadToTheStateThatItsBuildHad) {
  const strata::testing::TemporaryFolder folder;
  for (const std::string& name : stored("events_")) {
    SCOPED_TRACE(name);
    const fs::path file = folder / (name + ".sqlite");
    load(name, file);
    auto store = EventStore::open(file);
    ASSERT_TRUE(store) << store.error().message;
    auto replayed = store->replay();
    ASSERT_TRUE(replayed) << replayed.error().message;
    EXPECT_FALSE(replayed->damage) << replayed->damage->what;
    EXPECT_EQ(text_of(replayed->cluster, replayed->events), expected(name));
    const FsckReport report = fsck(file).value();
    EXPECT_TRUE(report.sound()) << report.text();
    // And its life goes on.
    SmallWorld next;
    next.core =
        Core({.coordinator_id = "test", .artifact_folder = "/a"}, replayed->cluster, next.now);
    next.step(next.worker_peer, Hello{.build = "b", .name = "late", .session = 99, .slots = 1});
    ASSERT_TRUE(next.commit(*store));
    EXPECT_TRUE(fsck(file).value().sound());
  }
}

TEST(StoredDatabases, AnEarlierLogThatCannotBeWrittenAnewIsSaidAndNeverAddedTo) {
  const strata::testing::TemporaryFolder folder;
  const fs::path file = folder / "events.sqlite";
  load("events_3_life", file);
  {
    const auto database = open_store(file, "FULL", event_migrations()).value();
    Tip end = log_end(*database);
    const std::int64_t golden_events = static_cast<std::int64_t>(end.seq);
    const Event event{.at = {.unix_ms = 5}, .body = StoreRestored{}};
    const std::string frame = encode(event).value();
    for (int i = 0; i < 300; ++i) {  // so that it is not written in one go
      end.chain = chained(end.chain, ++end.seq, frame);
      SQLite::Statement insert(*database,
                               "INSERT INTO event (seq, at_ms, kind, body, chain) VALUES (?, 5, ?, "
                               "?, ?)");
      Statements::bind(insert, end.seq, std::string(name_of(event.body)));
      insert.bind(3, frame.data(), static_cast<int>(frame.size()));
      insert.bind(4, static_cast<std::int64_t>(end.chain));
      insert.exec();
    }
    database->exec("INSERT INTO batch VALUES (256, 1, 0, 0, x'00')");  // in the way
    ASSERT_LT(golden_events, 256);
  }
  const auto refused = EventStore::open(file);
  ASSERT_FALSE(refused) << "the rows are read as they are, and the next commit goes beside them";
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict) << refused.error().message;
  {
    SQLite::Database database(file.string(), SQLite::OPEN_READWRITE);
    database.exec("DELETE FROM batch");
    database.exec("UPDATE event SET chain = chain + 1 WHERE seq = 3");
  }
  EventStore damaged = EventStore::open(file).value();
  EXPECT_EQ(damaged.replay().value().damage.value().seq, 3U);
  SmallWorld next;
  next.join();
  const Status added = next.commit(damaged);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, ErrorCode::kDamaged);
}

TEST(StoredDatabases, EarlierMetricPointsAreKeptAndMoreAreTaken) {
  const strata::testing::TemporaryFolder folder;
  for (const std::string& name : stored("metrics_")) {
    SCOPED_TRACE(name);
    const fs::path file = folder / (name + ".sqlite");
    load(name, file);
    MetricStore store = MetricStore::open(file).value();
    const MetricBatch batch{.attempt = {.task = task_key_of("new"), .number = 1},
                            .points = {{.sequence = 1, .step = 1, .values = {{"loss", 0.5}}}}};
    EXPECT_EQ(store.store({&batch, 1}, {.unix_ms = 5}).value().at(0).up_to, 1U);
    SQLite::Database database(file.string(), SQLite::OPEN_READONLY);
    const std::int64_t points = database.execAndGet("SELECT count(*) FROM point").getInt64();
    EXPECT_EQ(fmt::format("points {}\n", points - 1), expected(name));
  }
}

}  // namespace
}  // namespace strata::coordinator
