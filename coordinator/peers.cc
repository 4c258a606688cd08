#include "coordinator/peers.h"

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "schema/codec.h"

namespace strata::coordinator {

std::string error_body(const Error& error) {
  return to_canonical_json(Object{{"error", error.message}, {"code", name_of(error.code)}});
}

PeerId Peers::heard(const std::string& identity, Instant now) {
  const auto it = by_identity_.find(identity);
  if (it != by_identity_.end()) {
    peers_.at(it->second).heard = now;
    return it->second;
  }
  while (peers_.size() - held_ >= std::max<std::size_t>(most_, 1)) forget_one();
  const PeerId id(++last_id_);
  by_identity_.emplace(identity, id);
  peers_.emplace(id, Peer{.identity = identity, .heard = now});
  return id;
}

void Peers::hold(PeerId id) {
  const auto it = peers_.find(id);
  if (it != peers_.end() && it->second.holds++ == 0) ++held_;
}

void Peers::let_go(PeerId id) {
  const auto it = peers_.find(id);
  if (it == peers_.end() || it->second.holds == 0) return;
  if (--it->second.holds == 0) --held_;
}

// REQUIRES: there is one that is not held.
void Peers::forget_one() {
  const auto oldest =
      std::min_element(peers_.begin(), peers_.end(), [](const auto& a, const auto& b) {
        return std::pair(a.second.holds > 0, a.second.heard) <
               std::pair(b.second.holds > 0, b.second.heard);
      });
  drop_outbox(oldest->first, oldest->second);
  by_identity_.erase(oldest->second.identity);
  peers_.erase(oldest);
}

void Peers::drop_outbox(PeerId id, Peer& peer) {
  dropped_ += peer.outbox.clear();
  waiting_.erase(id);
}

bool Peers::push(PeerId id, Peer& peer, const std::string& frame) {
  const auto sent = socket_.send(peer.identity, frame);
  if (sent && *sent == Sent::kSent) return true;
  if (sent && *sent == Sent::kFull) return false;
  if (!sent) log_warning("coordinator", "a message could not be sent: {}", sent.error().message);
  // Gone: it says Hello again, or asks again, when it is back.
  ++dropped_;
  drop_outbox(id, peer);
  return true;
}

void Peers::send(PeerId to, const Message& message) {
  const auto it = peers_.find(to);
  if (it == peers_.end()) {
    ++dropped_;
    return;
  }
  Peer& peer = it->second;
  auto frame = encode(message);
  if (!frame) {
    const auto* answer = std::get_if<Answer>(&message);
    if (answer == nullptr) {
      log_error("coordinator", "a {} was not sent: {}", name_of(message), frame.error().message);
      ++dropped_;
      return;
    }
    frame = encode(Message(
        Answer{.id = answer->id,
               .ok = false,
               .body = error_body({ErrorCode::kTooLarge,
                                   "the answer is larger than a message may be: ask for less, for "
                                   "example for one sweep or without items"})}));
  }
  if (peer.outbox.empty() && push(to, peer, *frame)) return;
  const std::size_t waited = peer.outbox.frames();
  if (peer.outbox.push(std::move(*frame))) {
    waiting_[to] = true;
    return;
  }
  log_warning("coordinator", "a peer takes nothing; {} waiting messages for it are dropped",
              waited + 1);
  dropped_ += waited + 1;
  waiting_.erase(to);
}

void Peers::flush() {
  std::vector<PeerId> ids;
  for (const auto& [id, yes] : waiting_) ids.push_back(id);
  for (const PeerId id : ids) {
    Peer& peer = peers_.at(id);
    while (!peer.outbox.empty() && push(id, peer, peer.outbox.front())) {
      if (peer.outbox.empty()) break;  // gone: dropped whole
      peer.outbox.pop();
    }
    if (peer.outbox.empty()) waiting_.erase(id);
  }
}

}  // namespace strata::coordinator
