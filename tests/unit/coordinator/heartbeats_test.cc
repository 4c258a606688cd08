#include "coordinator/heartbeats.h"

#include <gtest/gtest.h>

#include "schema/codec.h"

namespace strata::coordinator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Line {
  WakeUp control = *WakeUp::make();
  RouterSocket socket = *RouterSocket::bind("tcp://127.0.0.1:0", std::nullopt);
  std::string address = socket.address();
  std::size_t most = kPeersMax;
  Heartbeats heartbeats{std::move(socket), *WakeUp::make(), control, most};
  DealerSocket worker = *DealerSocket::connect(address, "");

  void send(const Message& message) { EXPECT_EQ(*worker.send(*encode(message)), Sent::kSent); }
  // The control loop, busy with something else, looks in now and then.
  void until_received(std::uint64_t count) {
    for (int i = 0; i < 2'000 && heartbeats.received() < count; ++i) wait(milliseconds(5));
    EXPECT_EQ(heartbeats.received(), count);
  }
  void wait(milliseconds time) {
    WaitItem nothing{.fd = -1};
    static_cast<void>(wait_any({&nothing, 1}, time));
  }
};

TEST(Heartbeats, AreTakenInWhileTheControlLoopIsBusyAndTheNewestOfEachIsKept) {
  Line line;
  for (std::uint64_t i = 1; i <= 500; ++i)
    line.send(Heartbeat{.worker = WorkerId(3), .session = 9, .sequence = i});
  line.until_received(500);
  const auto inputs = line.heartbeats.take();
  ASSERT_EQ(inputs.size(), 1U) << "what waits is bounded by the number of connections";
  EXPECT_EQ(std::get<Heartbeat>(inputs[0].body).sequence, 500U);
  EXPECT_TRUE(inputs[0].beside);
  EXPECT_TRUE(Heartbeats::is_ours(inputs[0].peer));
  EXPECT_TRUE(line.heartbeats.take().empty());
}

TEST(Heartbeats, OfNoMoreConnectionsThanAreRememberedAreTheyKept) {
  Line line{.most = 2};
  std::vector<DealerSocket> others;
  for (std::uint64_t i = 1; i <= 5; ++i) {
    others.push_back(*DealerSocket::connect(line.address, ""));
    ASSERT_TRUE(others.back().send(*encode(Heartbeat{.worker = WorkerId(i), .session = i})));
    line.until_received(i);
  }
  ASSERT_TRUE(
      others.front().send(*encode(Heartbeat{.worker = WorkerId(1), .session = 1, .sequence = 9})));
  line.until_received(6);
  const auto inputs = line.heartbeats.take();
  ASSERT_EQ(inputs.size(), 2U);
  EXPECT_EQ(std::get<Heartbeat>(inputs[0].body).sequence, 9U) << "one that waits is still renewed";
  ASSERT_TRUE(others.back().send(*encode(Heartbeat{.worker = WorkerId(5), .session = 5})));
  line.until_received(7);
  EXPECT_EQ(line.heartbeats.take().size(), 1U);
}

TEST(Heartbeats, AreAnsweredOverTheirOwnConnection) {
  Line line;
  line.send(Heartbeat{.worker = WorkerId(3), .session = 9, .sequence = 1});
  line.until_received(1);
  line.heartbeats.send(line.heartbeats.take().at(0).peer, HeartbeatAck{.sequence = 1});
  std::optional<std::string> frame;
  for (int i = 0; i < 2'000 && !frame; ++i) {
    frame = *line.worker.receive();
    if (!frame) line.wait(milliseconds(5));
  }
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(std::get<HeartbeatAck>(*decode_message(*frame)).sequence, 1U);
}

TEST(Heartbeats, NothingElseGetsInThere) {
  Line line;
  line.send(Request{.id = 1, .verb = "cancel", .body = "{}"});
  EXPECT_EQ(*line.worker.send("no frame at all"), Sent::kSent);
  line.until_received(2);
  EXPECT_EQ(line.heartbeats.garbage(), 2U);
  EXPECT_TRUE(line.heartbeats.take().empty());
}

}  // namespace
}  // namespace strata::coordinator
