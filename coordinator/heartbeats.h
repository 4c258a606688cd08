// Signs of life have a socket and a thread of their own, so that a long turn of the control loop,
// or a flood of other messages, costs no worker its lease: what arrived while the loop was busy is
// stepped before the next look at the clock. Nothing is decided here, and no store is touched.
//
// Of each connection the newest heartbeat is kept, of at most kPeersMax connections: what is more
// is dropped until some were taken, and its senders say it again.
//
// Thread rule: take() and send() are for the server's thread; the rest happens inside.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "base/zmq/socket.h"
#include "coordinator/core/core.h"
#include "coordinator/peers.h"

namespace strata::coordinator {

inline constexpr std::size_t kHeartbeatAnswersMax = 20'000;  // not yet sent by the thread

class Heartbeats {
 public:
  // `control` is signalled when something has arrived, and outlives this; `wake` is this thread's.
  Heartbeats(RouterSocket socket, WakeUp wake, const WakeUp& control, std::size_t most = kPeersMax);
  ~Heartbeats();
  Heartbeats(const Heartbeats&) = delete;
  Heartbeats& operator=(const Heartbeats&) = delete;

  // The newest heartbeat of each connection, in the order in which they came.
  [[nodiscard]] std::vector<Input> take();
  // Whether the peer is one of this socket's. Their numbers are apart from the main socket's.
  [[nodiscard]] static bool is_ours(PeerId peer) { return (peer.value() & kOurs) != 0; }
  // What is too much is dropped: it is said again.
  void send(PeerId to, const Message& message);

  [[nodiscard]] std::uint64_t received() const { return received_.load(); }
  [[nodiscard]] std::uint64_t garbage() const { return garbage_.load(); }

 private:
  static constexpr std::uint64_t kOurs = 1ULL << 63U;
  void work();
  void receive(Peers& peers);

  RouterSocket socket_;
  WakeUp wake_;
  const WakeUp& control_;
  const std::size_t most_;
  std::atomic<std::uint64_t> received_{0};
  std::atomic<std::uint64_t> garbage_{0};
  std::mutex mutex_;
  std::vector<Input> arrived_;  // guarded, as all below
  std::map<PeerId, std::size_t> place_;
  std::vector<Send> answers_;
  bool ending_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace strata::coordinator
