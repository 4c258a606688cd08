// Which mirrors a coordinator takes up, leaves behind, or is refused without.

#include <gtest/gtest.h>

#include "base/files.h"
#include "base/zmq/socket.h"
#include "coordinator/mirror_folder.h"
#include "coordinator/service.h"

namespace strata::coordinator {
namespace {

using namespace std::chrono_literals;

struct ServerMirror : testing::Test {
  std::filesystem::path store = make_temporary_folder(testing::TempDir(), "mirrored").value();
  ~ServerMirror() override { std::filesystem::remove_all(store); }
};

Result<std::unique_ptr<Service>> start(const std::filesystem::path& store,
                                       const std::filesystem::path& mirror = {},
                                       const std::filesystem::path& restore = {}) {
  return Service::start({.store = store,
                         .metrics = "",
                         .mirror = mirror,
                         .mirror_every = 5ms,
                         .restore = restore,
                         .build = "test"});
}

Status live(Result<std::unique_ptr<Service>> started) {
  if (!started) return tl::unexpected(started.error());
  (*started)->stop();
  return (*started)->run();
}

TEST_F(ServerMirror, AMirrorThatTheStoreGoesOnWithoutIsNotTakenForWhole) {
  const MirrorFolder mirror(store / "mirror");
  const auto live_with = [&](const auto& folder) { return live(start(store, folder)); };
  ASSERT_TRUE(live_with(mirror.path()));
  ASSERT_TRUE(mirror.state().value()->clean);
  const std::filesystem::path away = store / "away";
  std::filesystem::rename(mirror.path(), away);
  const Status refused = live_with("");
  ASSERT_FALSE(refused) << "the folder is not mounted, say";
  EXPECT_NE(refused.error().message.find("--mirror " + mirror.path().string()), std::string::npos)
      << refused.error().message;
  std::filesystem::rename(away, mirror.path());
  ASSERT_TRUE(live_with(""));
  EXPECT_FALSE(mirror.state().value()->clean);
  ASSERT_TRUE(live_with("")) << "it is left behind, and not asked for again";
  ASSERT_TRUE(live_with(mirror.path())) << "it may be followed again";
  EXPECT_TRUE(mirror.state().value()->clean);
  ASSERT_TRUE(live_with(store / "other"));
  EXPECT_FALSE(mirror.state().value()->clean);
}

TEST_F(ServerMirror, AStoreWhoseMirrorSomebodyWentOnFromDoesNotGoOnWithoutIt) {
  const MirrorFolder mirror(store / "mirror");
  ASSERT_TRUE(live(start(store, mirror.path())));
  {
    auto other = start(store / "other", {}, mirror.path());
    ASSERT_TRUE(other) << other.error().message;
    const Status refused = live(start(store));
    ASSERT_FALSE(refused) << "the other one is at work";
    EXPECT_NE(refused.error().message.find("kept by a living coordinator"), std::string::npos)
        << refused.error().message;
    ASSERT_TRUE(live(std::move(other)));
  }
  MirrorState ahead = mirror.state().value().value();
  ahead.last_seq += 1'000;  // what the other one has committed since
  ASSERT_TRUE(mirror.set_state(ahead));
  const Status refused = live(start(store));
  ASSERT_FALSE(refused) << "the other one has gone on from the mirror";
  EXPECT_NE(refused.error().message.find("--restore"), std::string::npos);
  std::filesystem::remove(store / "mirrored-in");
  EXPECT_TRUE(live(start(store))) << "a person has decided so";
}

TEST_F(ServerMirror, AStartThatFailsHasNotTakenTheMirrorUp) {
  const MirrorFolder mirror(store / "mirror");
  const auto taken = RouterSocket::bind("tcp://127.0.0.1:0", std::nullopt).value();
  EXPECT_FALSE(Service::start({.store = store / "other",
                               .bind = taken.address(),
                               .metrics = "",
                               .mirror = mirror.path(),
                               .build = "test"}));
  EXPECT_FALSE(mirror.state().value()) << "nobody keeps it";
}

}  // namespace
}  // namespace strata::coordinator
