#include "coordinator/peers.h"

#include <gtest/gtest.h>

namespace strata::coordinator {
namespace {

Instant at(int second) { return Instant(std::chrono::seconds(second)); }

TEST(Peers, OneThatIsHeldIsNotForgottenAndTheOthersAreBounded) {
  RouterSocket socket = *RouterSocket::bind("tcp://127.0.0.1:0", std::nullopt);
  Peers peers(socket, 3);
  const PeerId worker = peers.heard("worker", at(1));
  peers.hold(worker);
  const PeerId first = peers.heard("client 0", at(2));
  for (int i = 1; i < 10; ++i) peers.heard(fmt::format("client {}", i), at(2 + i));
  EXPECT_EQ(peers.count(), 4U) << "three, and the one that is held";
  EXPECT_EQ(peers.heard("worker", at(20)), worker);
  EXPECT_NE(peers.heard("client 0", at(21)), first) << "not heard for longest";
  peers.let_go(worker);
  for (int i = 0; i < 5; ++i) peers.heard(fmt::format("late {}", i), at(30 + i));
  EXPECT_EQ(peers.count(), 3U);
  EXPECT_NE(peers.heard("worker", at(40)), worker);
}

}  // namespace
}  // namespace strata::coordinator
