// Who is connected, and what still has to go to each. A send never blocks: what the socket does not
// take waits in the peer's own bounded outbox. A peer that lets it overflow loses what waited:
// everything that matters is sent again until it is acknowledged (core.h, owed()), and answers of
// clients that do not read are nobody's loss.
//
// Thread rule: the socket's thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/clock.h"
#include "base/zmq/socket.h"
#include "coordinator/core/core.h"
#include "coordinator/core/outbox.h"

namespace strata::coordinator {

// Beside those that are held; then the one not heard for longest is forgotten.
inline constexpr std::size_t kPeersMax = 10'000;

class Peers {
 public:
  explicit Peers(RouterSocket& socket, std::size_t most = kPeersMax)
      : socket_(socket), most_(most) {}

  // The same connection gets the same id for as long as it is remembered.
  PeerId heard(const std::string& identity, Instant now);
  // It is not forgotten until it is let go as often: what is sent to it later must arrive, however
  // long it is silent here. Whoever holds one bounds how many are held.
  void hold(PeerId id);
  void let_go(PeerId id);
  void send(PeerId to, const Message& message);
  void flush();

  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }
  [[nodiscard]] std::size_t count() const { return peers_.size(); }
  [[nodiscard]] bool waiting() const { return !waiting_.empty(); }

 private:
  struct Peer {
    std::string identity{};
    Instant heard{};
    Outbox outbox{};
    std::size_t holds = 0;
  };
  void forget_one();
  void drop_outbox(PeerId id, Peer& peer);
  // False when the socket takes nothing more for it now.
  bool push(PeerId id, Peer& peer, const std::string& frame);

  RouterSocket& socket_;
  std::size_t most_;
  std::size_t held_ = 0;  // peers
  std::map<std::string, PeerId, std::less<>> by_identity_;
  std::map<PeerId, Peer> peers_;
  std::map<PeerId, bool> waiting_;  // those with something in the outbox
  std::uint64_t last_id_ = 0;
  std::uint64_t dropped_ = 0;
};

// {"error", "code"}: the body of an answer that is not ok.
[[nodiscard]] std::string error_body(const Error& error);

}  // namespace strata::coordinator
