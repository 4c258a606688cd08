// A store, its mirror, and the store that is made from it again.
#include "coordinator/mirror.h"

#include <atomic>

#include "coordinator/fsck.h"
#include "coordinator/log_copy.h"
#include "coordinator/metric_store.h"
#include "coordinator/restore.h"
#include "coordinator/sqlite.h"
#include "tests/unit/coordinator/small_world.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

struct OneStore {
  explicit OneStore(const fs::path& path)
      : folder(StoreFolder::open(path, false).value()),
        events(EventStore::open(folder.events_file()).value()),
        metrics(MetricStore::open(folder.metrics_file()).value()) {
    EXPECT_TRUE(folder.keys());
  }
  StoreFolder folder;
  EventStore events;
  MetricStore metrics;

  [[nodiscard]] MirroredStore mirrored() const {
    return {.events_file = folder.events_file(),
            .metrics_file = folder.metrics_file(),
            .keys_file = folder.keys_file(),
            .coordinator = events.coordinator_id()};
  }
  void put_points(const AttemptId& attempt, std::uint64_t first, std::uint64_t last) {
    MetricBatch batch{.attempt = attempt};
    for (std::uint64_t i = first; i <= last; ++i)
      batch.points.push_back({.sequence = i,
                              .step = static_cast<std::int64_t>(i),
                              .values = {{"loss", std::nan("")}}});
    ASSERT_TRUE(metrics.store({&batch, 1}, {.unix_ms = 5}));
  }
};

struct MirrorTest : testing::Test {
  fs::path root = make_temporary_folder(testing::TempDir(), "mirrored").value();
  MirrorFolder folder{root / "mirror"};
  std::optional<OneStore> store{std::in_place, root / "store"};
  SmallWorld world;
  std::atomic<bool> taken_over = false;

  Result<std::unique_ptr<Mirror>> open() {
    return Mirror::open({.folder = folder.path(), .every = 5ms}, store->mirrored());
  }
  std::unique_ptr<Mirror> begin() {
    auto mirror = open().value();
    mirror->begin([this] { taken_over = true; });
    return mirror;
  }
  template <class F>
  static void until(F&& condition) {
    for (int i = 0; i < 4'000 && !condition(); ++i) std::this_thread::sleep_for(5ms);
    ASSERT_TRUE(condition());
  }
  void some_life() {
    world.join();
    world.submit();
    world.start(world.extract);
    ASSERT_TRUE(world.commit(store->events));
    store->put_points(world.current(world.extract), 1, 5);
  }
  void more_life() {
    world.succeed(world.extract, "features");
    world.start(world.train_one);
    ASSERT_TRUE(world.commit(store->events));
    store->put_points(world.current(world.train_one), 1, 3);
  }
  // Mirrors all that there is, without a clean end; as after kill -9.
  void mirror_and_die() {
    {
      const auto mirror = begin();
      until([&] { return mirror->status().last_seq == store->events.last_seq(); });
    }
    keeper_dies();
  }
  void keeper_dies() const {
    MirrorState state = folder.state().value().value();
    state.keeper.since = "1";  // this process lives
    ASSERT_TRUE(folder.set_state(state));
  }
  void lose_the_disk() { store.reset(); }
  static std::string points(const fs::path& file) {
    const SQLite::Database database(file.string(), SQLite::OPEN_READONLY);
    SQLite::Statement select(
        database,
        "SELECT group_concat(task || attempt || sequence || step || at_ms || metrics) FROM (SELECT "
        "* FROM point JOIN series ON series = id ORDER BY task, attempt, sequence)");
    select.executeStep();
    return select.getColumn(0).getString();
  }
};

TEST_F(MirrorTest, AStoreComesBackFromItsMirrorByteForByte) {
  some_life();
  const auto mirror = begin();
  until([&] { return mirror->status().last_seq > 0; });
  more_life();
  ASSERT_TRUE(mirror->finish());
  const std::string name = store->events.coordinator_id();
  const std::uint64_t events = store->events.last_seq();
  const std::string keys = store->folder.keys().value().secret_key;
  const std::string stored_points = points(store->folder.metrics_file());
  lose_the_disk();

  const StoreFolder fresh = StoreFolder::open(root / "fresh", false).value();
  const Restored restored = restore_store(fresh, folder.path()).value();
  EXPECT_TRUE(restored.copied);
  EXPECT_TRUE(restored.whole);
  EXPECT_EQ(restored.events, events);
  EXPECT_EQ(restored.replaced, "");
  const EventStore again = EventStore::open(fresh.events_file()).value();
  EXPECT_EQ(again.coordinator_id(), name);
  const Replayed replayed = again.replay().value();
  EXPECT_FALSE(replayed.damage);
  EXPECT_EQ(summary(replayed.cluster), summary(world.core.cluster()));
  EXPECT_TRUE(fsck(fresh.events_file()).value().sound());
  EXPECT_EQ(fresh.keys().value().secret_key, keys);
  EXPECT_EQ(points(fresh.metrics_file()), stored_points);
  EXPECT_FALSE(restore_store(fresh, folder.path()).value().copied) << "it is all there already";
}

TEST_F(MirrorTest, AnEndAtAnyByteOfAPassLeavesTheMirrorOfThePassBefore) {
  some_life();
  mirror_and_die();
  const MirrorState before = folder.state().value().value();
  more_life();
  {
    const auto mirror = begin();  // another life: files of its own
    until([&] { return mirror->status().last_seq == store->events.last_seq(); });
  }
  const MirrorState after = folder.state().value().value();
  const fs::path file = folder.events_file(after.life);
  const std::string bytes = read_file(file).value();
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, bytes.size() / 2, bytes.size()}) {
    ASSERT_TRUE(write_file_atomic(file, bytes.substr(0, size)));
    ASSERT_TRUE(folder.set_state(before));
    const StoreFolder fresh =
        StoreFolder::open(root / fmt::format("fresh-{}", size), false).value();
    const Restored restored = restore_store(fresh, folder.path()).value();
    EXPECT_EQ(restored.events, before.last_seq + 1) << "StoreRestored is the last";
    EXPECT_TRUE(fsck(fresh.events_file()).value().sound());
  }
}

TEST_F(MirrorTest, TheNextLifeGoesOnWithAMirrorWhosePassWasCutShort) {
  some_life();
  mirror_and_die();
  MirrorState state = folder.state().value().value();
  const fs::path file = folder.events_file(state.life);
  ASSERT_TRUE(write_file_atomic(file, read_file(file).value() + "half a record"));
  more_life();
  {
    const auto mirror = begin();
    ASSERT_TRUE(mirror->finish());
  }
  lose_the_disk();
  const StoreFolder fresh = StoreFolder::open(root / "fresh", false).value();
  ASSERT_TRUE(restore_store(fresh, folder.path()));
  EXPECT_EQ(summary(EventStore::open(fresh.events_file()).value().replay().value().cluster),
            summary(world.core.cluster()));
}

TEST_F(MirrorTest, AfterAnUncleanEndNoAttemptNumberIsGivenTwice) {
  some_life();
  mirror_and_die();
  const AttemptId before = world.current(world.extract);
  // Not in the mirror: the extraction fails, and its second attempt is granted.
  world.end(world.extract, Failed{.reason = "exit code 1"});
  world.wait(std::chrono::minutes(2));
  const AttemptId forgotten = world.current(world.extract);
  ASSERT_EQ(forgotten.number, before.number + 1);
  lose_the_disk();
  const StoreFolder fresh = StoreFolder::open(root / "fresh", false).value();
  EXPECT_FALSE(restore_store(fresh, folder.path()).value().whole);
  const Replayed replayed = EventStore::open(fresh.events_file()).value().replay().value();
  ASSERT_FALSE(replayed.damage) << replayed.damage->what;
  EXPECT_TRUE(replayed.cluster.is_live(before)) << "its worker may bring the result";
  EXPECT_FALSE(replayed.cluster.is_live(forgotten));
  EXPECT_EQ(replayed.cluster.next_attempt(*replayed.cluster.find_task(world.extract.key)),
            before.number + kAttemptsSkipped + 1);
}

TEST_F(MirrorTest, AStoreWithNewerEventsIsNotReplacedAndBothNumbersAreSaid) {
  some_life();
  mirror_and_die();
  const std::uint64_t mirrored = store->events.last_seq();
  more_life();
  const Status refused = restore_store(store->folder, folder.path()).map([](const Restored&) {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  for (const std::uint64_t number : {mirrored, store->events.last_seq()}) {
    EXPECT_NE(refused.error().message.find(std::to_string(number)), std::string::npos)
        << refused.error().message;
  }
  EXPECT_TRUE(fsck(store->folder.events_file()).value().sound());
}

TEST_F(MirrorTest, AnOlderStoreIsPutAsideAndNeverFollowedByTheMirror) {
  some_life();
  const fs::path old = root / "old";
  {
    ASSERT_TRUE(make_folder(old));
    SQLite::Database database(store->folder.events_file().string(), SQLite::OPEN_READWRITE);
    database.exec("VACUUM INTO '" + (old / "events.sqlite").string() + "'");
  }
  more_life();
  mirror_and_die();
  const std::string name = store->events.coordinator_id();
  lose_the_disk();
  store.emplace(old);
  ASSERT_EQ(store->events.coordinator_id(), name);
  const auto followed = open();
  ASSERT_FALSE(followed);
  EXPECT_EQ(followed.error().code, ErrorCode::kConflict);
  EXPECT_NE(followed.error().message.find("--restore"), std::string::npos);
  lose_the_disk();

  const StoreFolder again = StoreFolder::open(old, false).value();
  const Restored restored = restore_store(again, folder.path()).value();
  EXPECT_TRUE(fs::exists(fs::path(restored.replaced) / "events.sqlite"));
  const Replayed replayed = EventStore::open(again.events_file()).value().replay().value();
  EXPECT_EQ(replayed.events, restored.events);
}

TEST_F(MirrorTest, ADamagedStoreGivesWayToItsMirrorWhateverItsLastRowSays) {
  some_life();
  more_life();
  {
    const auto mirror = begin();
    ASSERT_TRUE(mirror->finish());
  }
  lose_the_disk();
  const StoreFolder place = StoreFolder::open(root / "store", false).value();
  const auto damage = [&](const fs::path& file, const std::string& sql) {
    SQLite::Database database(file.string(), SQLite::OPEN_READWRITE);
    ASSERT_GT(database.exec(sql), 0);
  };
  const auto restored = [&] {
    const auto one = restore_store(place, folder.path());
    EXPECT_TRUE(one) << one.error().message;
    EXPECT_TRUE(fsck(place.events_file(), place.metrics_file()).value().sound());
    return one.value_or(Restored{});
  };
  EXPECT_FALSE(restored().copied) << "it is all there";
  damage(place.events_file(), "UPDATE batch SET chain = chain + 1 WHERE first_seq = 1");
  EXPECT_TRUE(restored().copied);
  damage(place.events_file(), "UPDATE store SET value = 'another'");
  EXPECT_TRUE(restored().copied);
  fs::remove(place.metrics_file());
  const Restored last = restored();
  EXPECT_TRUE(last.copied);
  EXPECT_TRUE(last.whole);
  EXPECT_TRUE(fs::exists(fs::path(last.replaced) / "events.sqlite"));
}

TEST_F(MirrorTest, OfADamagedStoreCountsWhatCanBeBelieved) {
  some_life();
  mirror_and_die();
  more_life();
  lose_the_disk();
  const StoreFolder place = StoreFolder::open(root / "store", false).value();
  const auto damage = [&](const std::string& which) {
    SQLite::Database database(place.events_file().string(), SQLite::OPEN_READWRITE);
    ASSERT_GT(database.exec("UPDATE batch SET chain = chain + 1 WHERE " + which), 0);
  };
  fs::remove(place.metrics_file());
  const auto refused = restore_store(place, folder.path());
  ASSERT_FALSE(refused) << "its log is whole, and newer";
  EXPECT_NE(refused.error().message.find("--repair"), std::string::npos) << refused.error().message;
  damage("first_seq > 1");
  const auto restored = restore_store(place, folder.path());
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_TRUE(restored->copied);
}

TEST_F(MirrorTest, TheMirrorOfAnotherStoreIsRefused) {
  some_life();
  mirror_and_die();
  OneStore other(root / "other");
  EXPECT_EQ(restore_store(other.folder, folder.path()).value().events, store->events.last_seq() + 1)
      << "a store without events gives way";
  lose_the_disk();
  store.emplace(root / "third");
  SmallWorld theirs;
  theirs.join();
  ASSERT_TRUE(theirs.commit(store->events));
  EXPECT_EQ(open().error().code, ErrorCode::kConflict);
  EXPECT_EQ(restore_store(store->folder, folder.path()).error().code, ErrorCode::kConflict);
}

TEST_F(MirrorTest, WhoeverIsReplacedEndsAndLeavesTheMirrorAlone) {
  some_life();
  const auto mirror = begin();
  until([&] { return mirror->status().last_seq == store->events.last_seq(); });
  MirrorState taken = folder.state().value().value();
  ++taken.life;
  taken.keeper.host = "node-9";
  more_life();
  until([&] {  // a pass under way may write over it once
    EXPECT_TRUE(folder.set_state(taken));
    return taken_over.load();
  });
  EXPECT_FALSE(mirror->finish());
  EXPECT_EQ(folder.state().value(), taken);
}

TEST_F(MirrorTest, AFolderThatIsAwayCostsNothingAndIsFollowedAgainWhenItIsBack) {
  some_life();
  const auto mirror = begin();
  until([&] { return mirror->status().last_seq == store->events.last_seq(); });
  fs::rename(folder.path(), root / "away");
  more_life();
  until([&] { return mirror->status().failures > 1; });
  const MirrorStatus away = mirror->status();
  EXPECT_LT(away.last_seq, store->events.last_seq());
  EXPECT_GT(mirror->status().lag_seconds, 0.0);
  EXPECT_FALSE(fs::exists(folder.path())) << "nothing is written where the mount was";
  fs::rename(root / "away", folder.path());
  until([&] { return mirror->status().last_seq == store->events.last_seq(); });
  ASSERT_TRUE(mirror->finish());
  EXPECT_TRUE(folder.state().value()->clean);
}

TEST_F(MirrorTest, APassThatFailsHalfwayIsMadeAgainAndNothingIsThereTwice) {
  some_life();
  const auto mirror = open().value();
  // The events can be written, the points cannot.
  const fs::path file = folder.metrics_file(folder.state().value()->life);
  ASSERT_TRUE(make_folder(file));
  EXPECT_FALSE(mirror->finish());
  EXPECT_EQ(folder.state().value()->last_seq, 0U);
  EXPECT_FALSE(folder.state().value()->clean);
  fs::remove(file);
  ASSERT_TRUE(mirror->finish());
  const std::string stored_points = points(store->folder.metrics_file());
  lose_the_disk();
  const StoreFolder fresh = StoreFolder::open(root / "fresh", false).value();
  ASSERT_TRUE(restore_store(fresh, folder.path()));
  EXPECT_EQ(points(fresh.metrics_file()), stored_points);
  EXPECT_EQ(summary(EventStore::open(fresh.events_file()).value().replay().value().cluster),
            summary(world.core.cluster()));
}

TEST_F(MirrorTest, ADamagedMirrorIsRefusedAndTheStoreStaysAsItWas) {
  some_life();
  mirror_and_die();
  const fs::path file = folder.events_file(folder.state().value()->life);
  std::string bytes = read_file(file).value();
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  ASSERT_TRUE(write_file_atomic(file, bytes));
  const StoreFolder fresh = StoreFolder::open(root / "fresh", false).value();
  const auto restored = restore_store(fresh, folder.path());
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().code, ErrorCode::kDamaged);
  EXPECT_FALSE(fs::exists(fresh.events_file()));
  EXPECT_EQ(restore_store(fresh, root / "nowhere").error().code, ErrorCode::kNotFound);
}

TEST_F(MirrorTest, ADamagedEventOfTheStoreDoesNotGetIntoTheMirror) {
  some_life();
  mirror_and_die();
  const MirrorState before = folder.state().value().value();
  more_life();
  {
    SQLite::Database database(store->folder.events_file().string(), SQLite::OPEN_READWRITE);
    database.exec(
        "UPDATE batch SET chain = chain + 1 WHERE last_seq = (SELECT max(last_seq) FROM batch)");
  }
  const auto mirror = open().value();
  EXPECT_EQ(mirror->finish().error().code, ErrorCode::kDamaged);
  EXPECT_EQ(folder.state().value()->last_seq, before.last_seq);
}

}  // namespace
}  // namespace strata::coordinator
