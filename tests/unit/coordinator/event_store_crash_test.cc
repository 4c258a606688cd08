// A power cut at every write of a store's life. More seeds with STRATA_CRASH_SEEDS (scripts/soak
// crash).
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/files.h"
#include "base/random.h"
#include "coordinator/event_store.h"
#include "coordinator/fsck.h"
#include "coordinator/metric_store.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_tip.h"
#include "tests/support/crashing_vfs.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/small_world.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;
using strata::testing::CrashingVfs;
using strata::testing::DiskImage;
using strata::testing::TemporaryFolder;
using strata::testing::write_image;

std::size_t from_environment(const char* name, std::size_t fallback) {
  const char* text = std::getenv(name);
  return text != nullptr ? static_cast<std::size_t>(std::atoll(text)) : fallback;
}

void checkpoint(const fs::path& file) {
  SQLite::Database database(file.string(), SQLite::OPEN_READWRITE);
  database.exec("PRAGMA wal_checkpoint(PASSIVE)");
}

// A life with restarts and with the log written over, and what it promised when.
struct EventsOnDisk : ::testing::Test {
  TemporaryFolder folder;
  TemporaryFolder after;
  CrashingVfs disk{folder.path()};
  fs::path file = folder / "events.sqlite";
  std::vector<std::pair<std::size_t, std::uint64_t>> acknowledged{};  // from this point on, so many
  std::vector<std::string> states{summary(Cluster())};                // after each event
  std::map<std::uint64_t, std::string> tips{{0, ""}};  // the file beside the log, by its event
  Cluster cluster{};

  void commit(EventStore& store, SmallWorld& world) {
    for (const Event& event : world.uncommitted) {
      cluster.apply(event);
      states.push_back(summary(cluster));
    }
    ASSERT_TRUE(world.commit(store));
    acknowledged.emplace_back(disk.point(), store.last_seq());
    tips.emplace(store.last_seq(), read_file(tip_file(file)).value());
  }
  void live() {
    SmallWorld world;
    {
      EventStore store = EventStore::open(file).value();
      world.join();
      commit(store, world);
      world.submit();
      world.start(world.extract);
      commit(store, world);
      world.succeed(world.extract, "features");
      commit(store, world);
    }
    EventStore store = EventStore::open(file).value();
    world.start(world.train_one);
    world.checkpoint(world.train_one, 10);
    commit(store, world);
    checkpoint(file);  // the next commit writes over the log
    world.end(world.train_one, Failed{.reason = "exit code 1"});
    commit(store, world);
    world.start(world.train_two);
    world.succeed(world.train_two, "weights", {{.name = "wer", .value = 0.5}});
    commit(store, world);
    checkpoint(file);
    world.wait(std::chrono::minutes(2));
    commit(store, world);
    world.start(world.train_one);
    world.succeed(world.train_one, "weights 1");
    commit(store, world);
  }
  [[nodiscard]] std::uint64_t promised(std::size_t point) const {
    std::uint64_t events = 0;
    for (const auto& [at, count] : acknowledged) {
      if (at <= point) events = count;
    }
    return events;
  }
  [[nodiscard]] bool is_boundary(std::uint64_t events) const {
    if (events == 0) return true;
    return std::any_of(acknowledged.begin(), acknowledged.end(),
                       [&](const auto& one) { return one.second == events; });
  }
  // What is on the disk then, and the newest tip that may be there.
  void cut(const fs::path& where, std::size_t point, std::uint64_t seed,
           std::size_t honest = SIZE_MAX) const {
    DiskImage image = disk.after_power_cut(point, seed, honest);
    image["events.sqlite-tip"] = tips.at(promised(point));
    write_image(image, where.parent_path());
  }
  // A life goes on: another worker joins what was replayed.
  static void go_on(EventStore& store, Cluster replayed, const fs::path& where) {
    SmallWorld next;
    next.core =
        Core({.coordinator_id = "test", .artifact_folder = "/a"}, std::move(replayed), next.now);
    next.step(next.worker_peer, Hello{.build = "b", .name = "late", .session = 99, .slots = 1});
    const std::uint64_t before = store.last_seq();
    ASSERT_TRUE(next.commit(store));
    EXPECT_GT(store.last_seq(), before);
    const auto checked = fsck(where);
    ASSERT_TRUE(checked) << checked.error().message;
    EXPECT_TRUE(checked->sound()) << checked->text();
  }
  // Whether all that `events` of the log promise is there.
  void expect_prefix(const Replayed& replayed, std::uint64_t at_least) {
    EXPECT_GE(replayed.events, at_least) << "what was acknowledged is not there";
    ASSERT_LT(replayed.events, states.size());
    EXPECT_TRUE(is_boundary(replayed.events)) << "half a commit: " << replayed.events;
    EXPECT_EQ(summary(replayed.cluster), states[replayed.events]);
  }
};

TEST_F(EventsOnDisk, APowerCutAtAnyWriteLosesNothingThatWasAcknowledged) {
  live();
  const std::size_t seeds = from_environment("STRATA_CRASH_SEEDS", 2);
  const fs::path survivor = after / "store/events.sqlite";
  std::size_t cuts = 0;
  for (std::size_t point = 0; point <= disk.point(); ++point) {
    for (std::uint64_t seed = 0; seed < seeds && !HasFailure(); ++seed, ++cuts) {
      SCOPED_TRACE(fmt::format("cut after operation {} of {}, seed {}", point, disk.point(), seed));
      cut(survivor, point, seed);
      auto store = EventStore::open(survivor);
      ASSERT_TRUE(store) << store.error().message;
      auto replayed = store->replay();
      ASSERT_TRUE(replayed) << replayed.error().message;
      EXPECT_FALSE(replayed->damage) << replayed->damage->what;
      expect_prefix(*replayed, promised(point));
      go_on(*store, std::move(replayed->cluster), survivor);
    }
  }
  std::printf("%zu power cuts over %zu operations\n", cuts, disk.point());
}

// Nothing can be promised then; but what is there is a prefix, and what is not there is said.
TEST_F(EventsOnDisk, ADiskThatLiesAboutSyncsLosesNothingInSilence) {
  live();
  const std::size_t seeds = from_environment("STRATA_CRASH_SEEDS", 1);
  const fs::path survivor = after / "store/events.sqlite";
  std::size_t refused = 0;
  std::size_t short_logs = 0;
  for (std::size_t point = 0; point <= disk.point(); ++point) {
    for (std::uint64_t seed = 0; seed < seeds && !HasFailure(); ++seed) {
      SCOPED_TRACE(fmt::format("cut after operation {} of {}, seed {}", point, disk.point(), seed));
      const std::size_t honest = Random(point * 1'000 + seed).bounded(point + 1);
      cut(survivor, point, seed, honest);
      auto store = EventStore::open(survivor);
      if (!store) {
        EXPECT_EQ(store.error().code, ErrorCode::kDamaged) << store.error().message;
        ++refused;
        continue;
      }
      auto replayed = store->replay();
      ASSERT_TRUE(replayed) << replayed.error().message;
      if (replayed->events < promised(point)) {
        ++short_logs;
        EXPECT_TRUE(replayed->damage) << "events are lost, and nobody says so";
      }
      ASSERT_LT(replayed->events, states.size());
      EXPECT_EQ(summary(replayed->cluster), states[replayed->events]);
    }
  }
  EXPECT_GT(refused + short_logs, 0U) << "the disk did not lie";
  std::printf("%zu refused, %zu with fewer events than were promised\n", refused, short_logs);
}

TEST(MetricsOnDisk, APowerCutAtAnyWriteLosesNoPointThatWasAcknowledged) {
  TemporaryFolder folder;
  TemporaryFolder after;
  const CrashingVfs disk(folder.path());
  const AttemptId attempt{.task = task_key_of("t"), .number = 1};
  const auto batch = [&](std::uint64_t last) {
    MetricBatch points{.attempt = attempt};
    for (std::uint64_t i = last < 20 ? 1 : last - 19; i <= last; ++i) {
      points.points.push_back(
          {.sequence = i, .step = static_cast<std::int64_t>(i), .values = {{"loss", 0.5}}});
    }
    return points;
  };
  std::vector<std::pair<std::size_t, std::uint64_t>> acknowledged;
  std::vector<std::string> tips;
  for (std::uint64_t life = 0; life < 2; ++life) {
    MetricStore store = MetricStore::open(folder / "metrics.sqlite").value();
    for (std::uint64_t i = 1; i <= 8; ++i) {
      const MetricBatch points = batch((life * 8 + i) * 10);
      const std::uint64_t up_to = store.store({&points, 1}, {.unix_ms = 5}).value().at(0).up_to;
      acknowledged.emplace_back(disk.point(), up_to);
      tips.push_back(read_file(tip_file(folder / "metrics.sqlite")).value());
      if (i == 4) checkpoint(folder / "metrics.sqlite");
    }
  }
  const std::size_t seeds = from_environment("STRATA_CRASH_SEEDS", 2);
  const fs::path survivor = after / "store/metrics.sqlite";
  for (std::size_t point = 0; point <= disk.point(); ++point) {
    for (std::uint64_t seed = 0; seed < seeds && !HasFailure(); ++seed) {
      SCOPED_TRACE(fmt::format("cut after operation {} of {}, seed {}", point, disk.point(), seed));
      std::uint64_t promised = 0;
      DiskImage image = disk.after_power_cut(point, seed);
      for (std::size_t i = 0; i < acknowledged.size(); ++i) {
        if (acknowledged[i].first > point) break;
        promised = acknowledged[i].second;
        image["metrics.sqlite-tip"] = tips[i];
      }
      write_image(image, survivor.parent_path());
      auto store = MetricStore::open(survivor);
      ASSERT_TRUE(store) << store.error().message;
      {
        SQLite::Database database(survivor.string(), SQLite::OPEN_READONLY);
        const auto stored = static_cast<std::uint64_t>(
            database.execAndGet("SELECT count(*) FROM point").getInt64());
        EXPECT_GE(stored, promised);
        EXPECT_EQ(stored % 10, 0U) << "half a transaction";
      }
      const MetricBatch points = batch(200);
      // What was not acknowledged is gone with its sender: the gap holds nothing up for long.
      ASSERT_TRUE(store->store({&points, 1}, {.unix_ms = 6}));
      const WallTime later{6 + kGapPatience.count()};
      EXPECT_EQ(store->store({&points, 1}, later).value().at(0).up_to, 200U);
    }
  }
}

}  // namespace
}  // namespace strata::coordinator
