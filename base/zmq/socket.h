// ZeroMQ, wrapped: the only door to zmq.hpp. Bytes in, bytes out; what they mean is
// schema/codec.h's business.
//
//   RouterSocket  binds, talks with many peers. A send never blocks and never drops in silence: it
//   says kFull or kGone. DealerSocket  connects to one router, reconnects by itself, keeps its
//   identity over reconnects. WakeUp        lets another thread or a signal handler end a wait.
//   wait_any      waits for several of them, and for plain file descriptors.
//
// An address that is not on this machine needs CURVE keys; without them bind and connect refuse.
// The server's public key never travels in the clear, so the file that holds it (mode 0600) is what
// admits a client.
//
// Thread rule: a socket belongs to one thread at a time. WakeUp::signal() may be called from
// anywhere. (orchestration.md 5.2: mandatory routing with non-blocking sends, handover, heartbeats,
// TCP time-outs.)
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/files.h"
#include "base/result.h"

namespace strata {

struct SocketOptions {
  int send_messages_max = 1'000;                // queued for one peer, then kFull
  int receive_messages_max = 1'000;             // from one peer; then it is the peer that waits
  std::int64_t message_bytes_max = 17LL << 20;  // a peer that sends more is disconnected
  std::chrono::milliseconds handshake{10'000};
  std::chrono::milliseconds heartbeat_every{5'000};
  std::chrono::milliseconds heartbeat_timeout{20'000};
  std::chrono::milliseconds tcp_user_timeout{20'000};
  std::chrono::milliseconds connect_timeout{30'000};
  std::chrono::milliseconds reconnect_first{100};
  std::chrono::milliseconds reconnect_max{5'000};
};
static_assert(SocketOptions{}.heartbeat_every * 3 <= SocketOptions{}.heartbeat_timeout,
              "two lost heartbeats are no loss");

inline constexpr std::size_t kIdentityBytes = 16;   // random, of each DealerSocket
inline constexpr std::size_t kCurveKeyDigits = 40;  // 32 bytes in Z85

struct CurveKeys {
  std::string public_key{};  // Z85
  std::string secret_key{};
};
[[nodiscard]] Result<CurveKeys> make_curve_keys();

// tcp://127.0.0.1:*, tcp://[::1]:*, tcp://localhost:*, ipc://, inproc://
[[nodiscard]] bool is_loopback(std::string_view address);

namespace internal {
struct SocketState;
struct SocketStateDeleter {
  void operator()(SocketState* state) const;
};
using SocketHandle = std::unique_ptr<SocketState, SocketStateDeleter>;
}  // namespace internal

// What wait_any waits for; `ready` is its answer.
struct WaitItem {
  void* socket = nullptr;  // of wait_item(), or null: then `fd`
  int fd = -1;
  bool ready = false;
};
// Returns when one is readable, or after `timeout`; the number of ready items. An interrupting
// signal ends it early.
[[nodiscard]] Result<int> wait_any(std::span<WaitItem> items, std::chrono::milliseconds timeout);

enum class Sent { kSent, kFull, kGone };

struct Received {
  std::string peer{};  // give it to send() to answer
  std::string bytes{};
  bool malformed = false;  // more or fewer parts than one: count it and forget it
};

class RouterSocket {
 public:
  // Port 0 takes any free one. kConflict: the address is in use.
  static Result<RouterSocket> bind(const std::string& address, const std::optional<CurveKeys>& keys,
                                   const SocketOptions& options = {});
  // As others reach it, with the real port.
  [[nodiscard]] const std::string& address() const { return address_; }
  // Does not wait.
  [[nodiscard]] Result<std::optional<Received>> receive();
  // kFull: the peer's queue is full, try later. kGone: no such connection.
  [[nodiscard]] Result<Sent> send(const std::string& peer, std::string_view bytes);
  [[nodiscard]] WaitItem wait_item() const;

 private:
  RouterSocket(internal::SocketHandle state, std::string address)
      : state_(std::move(state)), address_(std::move(address)) {}
  internal::SocketHandle state_;
  std::string address_;
};

class DealerSocket {
 public:
  // Returns at once; the connection is made, and made again, in the background. `server_public_key`
  // empty: no CURVE.
  static Result<DealerSocket> connect(const std::string& address,
                                      const std::string& server_public_key,
                                      const SocketOptions& options = {});
  [[nodiscard]] Result<std::optional<std::string>> receive();
  // kFull also while there is no connection and the queue is full.
  [[nodiscard]] Result<Sent> send(std::string_view bytes);
  [[nodiscard]] WaitItem wait_item() const;

 private:
  explicit DealerSocket(internal::SocketHandle state) : state_(std::move(state)) {}
  internal::SocketHandle state_;
};

class WakeUp {
 public:
  static Result<WakeUp> make();
  void signal() const;  // any thread, also a signal handler
  void clear() const;   // after a wait that it ended
  [[nodiscard]] WaitItem wait_item() const;

 private:
  explicit WakeUp(FileDescriptor fd) : fd_(std::move(fd)) {}
  FileDescriptor fd_;
};

}  // namespace strata
