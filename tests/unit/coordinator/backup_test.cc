#include "coordinator/backup.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/files.h"
#include "coordinator/fsck.h"
#include "coordinator/log_copy.h"
#include "coordinator/metric_store.h"
#include "coordinator/restore.h"
#include "coordinator/service.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/small_world.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;
using strata::testing::TemporaryFolder;

struct BackupTest : ::testing::Test {
  TemporaryFolder folder;
  fs::path to = folder / "backup";
  StoreFolder live = StoreFolder::open(folder / "live", true).value();
  EventStore store = EventStore::open(live.events_file()).value();
  MetricStore metrics = MetricStore::open(live.metrics_file()).value();
  CurveKeys keys = live.keys().value();
  SmallWorld world;

  void begin() {
    world.join();
    world.submit();
    world.start(world.extract);
    ASSERT_TRUE(world.commit(store));
    MetricBatch batch{.attempt = world.current(world.extract),
                      .points = {{.sequence = 1, .step = 1, .values = {{"loss", 0.5}}}}};
    ASSERT_TRUE(metrics.store({&batch, 1}, {.unix_ms = 1}));
  }
};

TEST_F(BackupTest, AStoreThatIsMadeFromItGivesNoNumberOfAnAttemptAgain) {
  begin();
  const Backup taken = take_backup(live.path(), to).value();
  EXPECT_EQ(taken.events, store.last_seq());
  EXPECT_EQ(taken.points, 1U);
  EXPECT_EQ(taken.coordinator, store.coordinator_id());
  // What the backup does not know: an attempt that ended, and another one.
  world.succeed(world.extract, "features");
  ASSERT_TRUE(world.commit(store));

  const StoreFolder fresh = StoreFolder::open(folder / "fresh", true).value();
  const Restored restored = restore_store(fresh, to).value();
  EXPECT_EQ(restored.events, taken.events + 1);
  EXPECT_FALSE(restored.whole);
  EXPECT_EQ(fresh.keys().value().public_key, keys.public_key);
  const Replayed replayed = EventStore::open(fresh.events_file()).value().replay().value();
  EXPECT_FALSE(replayed.damage);
  EXPECT_GT(replayed.cluster.newest_attempt(), kAttemptsSkipped);
  EXPECT_TRUE(fsck(fresh.events_file(), fresh.metrics_file()).value().sound());
  // Not over the newer store.
  store = EventStore::open(folder / "elsewhere.sqlite").value();
  const auto over = restore_store(live, to);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, ErrorCode::kConflict);
}

TEST_F(BackupTest, TakenUnderLoadItIsAPrefixAndACoordinatorStartsFromIt) {
  begin();
  std::atomic<bool> ended = false;
  std::atomic<std::uint64_t> committed = store.last_seq();
  std::thread load([&] {
    for (int i = 0; !ended; ++i) {
      world.step(world.client_peer,
                 SubmitTasks{.id = 6,
                             .sweep = fmt::format("sweep-{}", i),
                             .definition = std::string(2'000, 'x'),
                             .first = true,
                             .last = true,
                             .tasks = {SmallWorld::task("train", Object{{"i", i}})}});
      if (!world.commit(store)) break;
      committed = store.last_seq();
    }
  });
  while (committed < 50) std::this_thread::yield();
  const std::uint64_t before = committed;
  const auto taken = take_backup(live.path(), to);
  const std::uint64_t after = committed;
  ended = true;
  load.join();
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_GE(taken->events, before);
  EXPECT_LE(taken->events, after + 1'000);

  auto refused = Service::start({.store = to, .metrics = "", .build = "test"});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("--restore"), std::string::npos);
  auto service =
      Service::start({.store = folder / "fresh", .metrics = "", .restore = to, .build = "test"});
  ASSERT_TRUE(service) << service.error().message;
  (*service)->stop();
  EXPECT_TRUE((*service)->run());
  EXPECT_TRUE(
      fsck(folder / "fresh/events.sqlite", folder / "fresh/metrics.sqlite").value().sound());
}

TEST_F(BackupTest, NothingIsWrittenOverAndNothingIsLeftOfOneThatFailed) {
  begin();
  ASSERT_TRUE(take_backup(live.path(), to));
  EXPECT_EQ(take_backup(live.path(), to).error().code, ErrorCode::kConflict);
  EXPECT_EQ(take_backup(folder / "nothing", folder / "b").error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(write_file_atomic(live.metrics_file().string() + "-wal", ""));
  ASSERT_TRUE(write_file_atomic(live.metrics_file(), std::string(8'192, 'x')));
  const auto failed = take_backup(live.path(), folder / "b");
  ASSERT_FALSE(failed);
  std::size_t left = 0;
  for (const auto& entry : fs::directory_iterator(folder.path()))
    left += entry.path().filename().string().starts_with("b.") ? 1 : 0;
  EXPECT_EQ(left, 0U);
}

}  // namespace
}  // namespace strata::coordinator
