#include "base/zmq/socket.h"

#include <gtest/gtest.h>

#include <thread>

namespace strata {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 10'000ms;

Received receive_one(RouterSocket& router) {
  for (WaitItem item = router.wait_item(); wait_any({&item, 1}, kPatience).value() > 0;) {
    auto received = router.receive();
    EXPECT_TRUE(received.has_value());
    if (received->has_value()) return **received;
  }
  ADD_FAILURE() << "nothing was received";
  return {};
}

std::string receive_one(DealerSocket& dealer) {
  for (WaitItem item = dealer.wait_item(); wait_any({&item, 1}, kPatience).value() > 0;) {
    auto received = dealer.receive();
    EXPECT_TRUE(received.has_value());
    if (received->has_value()) return **received;
  }
  ADD_FAILURE() << "nothing was received";
  return {};
}

TEST(Socket, BytesGoToTheRouterAndTheAnswerComesBackToThePeerThatAsked) {
  auto router = RouterSocket::bind("tcp://127.0.0.1:0", {}).value();
  auto first = DealerSocket::connect(router.address(), "").value();
  auto second = DealerSocket::connect(router.address(), "").value();
  ASSERT_EQ(first.send(std::string("\0one", 4)).value(), Sent::kSent);
  const Received from_first = receive_one(router);
  EXPECT_EQ(from_first.bytes, std::string("\0one", 4));
  EXPECT_FALSE(from_first.malformed);
  ASSERT_EQ(second.send("two").value(), Sent::kSent);
  const Received from_second = receive_one(router);
  EXPECT_NE(from_first.peer, from_second.peer);
  ASSERT_EQ(router.send(from_second.peer, "for the second").value(), Sent::kSent);
  EXPECT_EQ(receive_one(second), "for the second");
  EXPECT_FALSE(first.receive().value().has_value());
}

TEST(Socket, AnAddressThatOthersCanReachIsRefusedWithoutKeys) {
  const auto bound = RouterSocket::bind("tcp://0.0.0.0:0", {});
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code, ErrorCode::kInvalid);
  EXPECT_NE(bound.error().message.find("CURVE"), std::string::npos) << bound.error().message;
  EXPECT_FALSE(DealerSocket::connect("tcp://192.0.2.1:5000", ""));
  EXPECT_FALSE(is_loopback("tcp://*:5000"));
  EXPECT_FALSE(is_loopback("tcp://127.example.org:1"));
  EXPECT_TRUE(is_loopback("tcp://127.0.0.1:0"));
  EXPECT_TRUE(is_loopback("tcp://[::1]:5000"));
}

TEST(Socket, WithKeysOnlyAClientThatHasThePublicKeyIsHeard) {
  const CurveKeys keys = make_curve_keys().value();
  auto router = RouterSocket::bind("tcp://0.0.0.0:0", keys).value();
  const std::string port = router.address().substr(router.address().rfind(':'));
  const std::string reachable = "tcp://127.0.0.1" + port;
  auto without = DealerSocket::connect(reachable, "").value();
  auto wrong = DealerSocket::connect(reachable, make_curve_keys().value().public_key).value();
  // Queued, or kFull when the handshake has failed already: either is fine for them.
  ASSERT_TRUE(without.send("no key").has_value());
  ASSERT_TRUE(wrong.send("wrong key").has_value());
  auto right = DealerSocket::connect(reachable, keys.public_key).value();
  ASSERT_EQ(right.send("right key").value(), Sent::kSent);
  EXPECT_EQ(receive_one(router).bytes, "right key");
  WaitItem item = router.wait_item();
  EXPECT_EQ(wait_any({&item, 1}, 200ms).value(), 0);
}

TEST(Socket, ASendToAnUnknownPeerSaysGone) {
  auto router = RouterSocket::bind("tcp://127.0.0.1:0", {}).value();
  EXPECT_EQ(router.send("nobody", "hello").value(), Sent::kGone);
}

TEST(Socket, APeerThatTakesNothingFillsUpAndTheSendDoesNotBlock) {
  SocketOptions small;
  small.send_messages_max = 2;
  small.receive_messages_max = 2;
  auto router = RouterSocket::bind("tcp://127.0.0.1:0", {}, small).value();
  auto dealer = DealerSocket::connect(router.address(), "", small).value();
  ASSERT_EQ(dealer.send("here").value(), Sent::kSent);
  const std::string peer = receive_one(router).peer;
  const std::string large(1 << 20, 'x');
  Sent last = Sent::kSent;
  for (int i = 0; i < 1'000 && last == Sent::kSent; ++i) last = router.send(peer, large).value();
  EXPECT_EQ(last, Sent::kFull);
}

TEST(Socket, ASecondBindOfTheSameAddressIsAConflict) {
  auto router = RouterSocket::bind("tcp://127.0.0.1:0", {}).value();
  const auto second = RouterSocket::bind(router.address(), {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kConflict);
}

TEST(Socket, AWakeUpEndsAWaitFromAnotherThread) {
  auto router = RouterSocket::bind("tcp://127.0.0.1:0", {}).value();
  const WakeUp wake = WakeUp::make().value();
  std::array items{router.wait_item(), wake.wait_item()};
  std::jthread other([&] { wake.signal(); });
  EXPECT_EQ(wait_any(items, kPatience).value(), 1);
  EXPECT_FALSE(items[0].ready);
  EXPECT_TRUE(items[1].ready);
  wake.clear();
  EXPECT_EQ(wait_any(items, 0ms).value(), 0);
}

TEST(Socket, ADealerKeepsItsIdentityWhenTheRouterComesBack) {
  auto router = std::make_unique<RouterSocket>(RouterSocket::bind("tcp://127.0.0.1:0", {}).value());
  const std::string address = router->address();
  auto dealer = DealerSocket::connect(address, "").value();
  ASSERT_EQ(dealer.send("before").value(), Sent::kSent);
  const std::string peer = receive_one(*router).peer;
  router.reset();
  router = std::make_unique<RouterSocket>(RouterSocket::bind(address, {}).value());
  // What was in flight while nobody listened may be lost, so ask until it is heard.
  Received received;
  for (int i = 0; i < 100 && received.bytes.empty(); ++i) {
    ASSERT_TRUE(dealer.send("after").has_value());
    WaitItem item = router->wait_item();
    if (wait_any({&item, 1}, 100ms).value() > 0) received = receive_one(*router);
  }
  EXPECT_EQ(received.bytes, "after");
  EXPECT_EQ(received.peer, peer);
}

}  // namespace
}  // namespace strata
