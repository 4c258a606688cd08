#include "base/zmq/socket.h"

#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>
#include <zmq.hpp>

#include "base/assert.h"
#include "base/host.h"

namespace strata {

namespace internal {
// Destroyed in reverse: the socket before its context, which then ends at once because nothing
// lingers.
struct SocketState {
  zmq::context_t context{1};
  zmq::socket_t socket{};
};
void SocketStateDeleter::operator()(SocketState* state) const { delete state; }
}  // namespace internal

namespace {

using internal::SocketHandle;
using internal::SocketState;

constexpr int kPartsMax = 8;  // of one message, before the rest of it is thrown away unread

int to_int(std::chrono::milliseconds value) { return static_cast<int>(value.count()); }

tl::unexpected<Error> zmq_error(std::string_view what, const zmq::error_t& e) {
  const auto code = e.num() == EADDRINUSE ? ErrorCode::kConflict
                    : e.num() == EINVAL   ? ErrorCode::kInvalid
                                          : ErrorCode::kUnavailable;
  return fail(code, "{}: {}", what, e.what());
}

void set_options(zmq::socket_t& socket, const SocketOptions& options) {
  namespace opt = zmq::sockopt;
  socket.set(opt::linger, 0);
  socket.set(opt::sndhwm, options.send_messages_max);
  socket.set(opt::rcvhwm, options.receive_messages_max);
  socket.set(opt::maxmsgsize, options.message_bytes_max);
  socket.set(opt::handshake_ivl, to_int(options.handshake));
  socket.set(opt::heartbeat_ivl, to_int(options.heartbeat_every));
  socket.set(opt::heartbeat_timeout, to_int(options.heartbeat_timeout));
  socket.set(opt::heartbeat_ttl, to_int(options.heartbeat_timeout));
  socket.set(opt::tcp_maxrt, to_int(options.tcp_user_timeout));
  socket.set(opt::connect_timeout, to_int(options.connect_timeout));
  socket.set(opt::reconnect_ivl, to_int(options.reconnect_first));
  socket.set(opt::reconnect_ivl_max, to_int(options.reconnect_max));
}

Result<std::string> random_identity() {
  std::string identity(kIdentityBytes, '\0');
  if (getrandom(identity.data(), identity.size(), 0) != static_cast<ssize_t>(identity.size())) {
    return fail(ErrorCode::kUnavailable, "reading random bytes for a socket's identity: {}",
                std::strerror(errno));
  }
  identity[0] = 's';  // ZeroMQ keeps identities that begin with a zero byte for itself
  return identity;
}

Status require_loopback(std::string_view doing, std::string_view address) {
  if (is_loopback(address)) return {};
  return fail(ErrorCode::kInvalid,
              "{} {}: an address that other machines can reach needs CURVE keys; use "
              "tcp://127.0.0.1:PORT, or give keys",
              doing, address);
}

// ZeroMQ takes any number, and listens on its lowest 16 bits.
Status require_port(std::string_view address) {
  if (ends_in_port(address)) return {};
  return fail(ErrorCode::kInvalid, "binding to {}: expected tcp://HOST:PORT, PORT from 0 to 65535",
              address);
}

// The parts of one waiting message; empty when there is none.
std::vector<std::string> receive_parts(zmq::socket_t& socket, bool& overflow) {
  std::vector<std::string> parts;
  overflow = false;
  zmq::message_t part;
  while (socket.recv(part, zmq::recv_flags::dontwait)) {
    if (parts.size() < kPartsMax) {
      parts.emplace_back(static_cast<const char*>(part.data()), part.size());
    } else {
      overflow = true;
    }
    if (!part.more()) break;
  }
  return parts;
}

}  // namespace

Result<CurveKeys> make_curve_keys() {
  std::array<char, kCurveKeyDigits + 1> public_key{};
  std::array<char, kCurveKeyDigits + 1> secret_key{};
  if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0) {
    return fail(ErrorCode::kUnsupported,
                "making a CURVE key pair: {} (is libzmq built with libsodium?)",
                zmq_strerror(zmq_errno()));
  }
  return CurveKeys{.public_key = public_key.data(), .secret_key = secret_key.data()};
}

bool is_loopback(std::string_view address) {
  for (const std::string_view prefix :
       {"tcp://localhost:", "tcp://[::1]:", "ipc://", "inproc://"}) {
    if (address.starts_with(prefix)) return true;
  }
  constexpr std::string_view kNumeric = "tcp://127.";
  if (!address.starts_with(kNumeric)) return false;
  // Digits and points only: "127.example.org" is a name, and may be anywhere.
  const std::string_view host =
      address.substr(kNumeric.size(), address.rfind(':') - kNumeric.size());
  return !host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

Result<int> wait_any(std::span<WaitItem> items, std::chrono::milliseconds timeout) {
  std::vector<zmq_pollitem_t> polls;
  polls.reserve(items.size());
  for (const WaitItem& item : items) polls.push_back({item.socket, item.fd, ZMQ_POLLIN, 0});
  const int count = zmq_poll(polls.data(), static_cast<int>(polls.size()), timeout.count());
  if (count < 0 && zmq_errno() != EINTR) {
    return fail(ErrorCode::kInternal, "waiting for sockets: {}", zmq_strerror(zmq_errno()));
  }
  for (std::size_t i = 0; i < items.size(); ++i)
    items[i].ready = count > 0 && (polls[i].revents & ZMQ_POLLIN) != 0;
  return count < 0 ? 0 : count;
}

Result<RouterSocket> RouterSocket::bind(const std::string& address,
                                        const std::optional<CurveKeys>& keys,
                                        const SocketOptions& options) try {
  if (!keys) STRATA_CHECK_OK(require_loopback("binding to", address));
  STRATA_CHECK_OK(require_port(address));
  SocketHandle state(new SocketState());
  state->socket = zmq::socket_t(state->context, zmq::socket_type::router);
  set_options(state->socket, options);
  state->socket.set(zmq::sockopt::router_mandatory, true);
  state->socket.set(zmq::sockopt::router_handover, true);
  if (keys) {
    state->socket.set(zmq::sockopt::curve_server, true);
    state->socket.set(zmq::sockopt::curve_secretkey, keys->secret_key);
  }
  // ZeroMQ's word for "any port" is a star; people know it as 0.
  state->socket.bind(address.ends_with(":0") ? address.substr(0, address.size() - 1) + "*"
                                             : address);
  std::string real = state->socket.get(zmq::sockopt::last_endpoint);
  return RouterSocket(std::move(state), std::move(real));
} catch (const zmq::error_t& e) {
  return zmq_error(fmt::format("binding to {}", address), e);
}

Result<std::optional<Received>> RouterSocket::receive() try {
  bool overflow = false;
  std::vector<std::string> parts = receive_parts(state_->socket, overflow);
  if (parts.empty()) return std::nullopt;
  Received received{.peer = std::move(parts[0])};
  if (parts.size() == 2 && !overflow) {
    received.bytes = std::move(parts[1]);
  } else {
    received.malformed = true;
  }
  return received;
} catch (const zmq::error_t& e) {
  if (e.num() == EINTR) return std::nullopt;
  return zmq_error("receiving", e);
}

Result<Sent> RouterSocket::send(const std::string& peer, std::string_view bytes) try {
  using zmq::send_flags;
  if (!state_->socket.send(zmq::buffer(peer), send_flags::sndmore | send_flags::dontwait))
    return Sent::kFull;
  // With room for the first part there is room for the rest of the message.
  const auto sent =
      state_->socket.send(zmq::buffer(bytes.data(), bytes.size()), send_flags::dontwait);
  return sent ? Sent::kSent : Sent::kFull;
} catch (const zmq::error_t& e) {
  if (e.num() == EHOSTUNREACH) return Sent::kGone;
  return zmq_error("sending to a peer", e);
}

WaitItem RouterSocket::wait_item() const {
  return {.socket = state_->socket.handle(), .fd = -1, .ready = false};
}

Result<DealerSocket> DealerSocket::connect(const std::string& address,
                                           const std::string& server_public_key,
                                           const SocketOptions& options) try {
  SocketHandle state(new SocketState());
  state->socket = zmq::socket_t(state->context, zmq::socket_type::dealer);
  set_options(state->socket, options);
  STRATA_TRY(const std::string identity, random_identity());
  state->socket.set(zmq::sockopt::routing_id, identity);
  if (server_public_key.empty()) {
    STRATA_CHECK_OK(require_loopback("connecting to", address));
  } else {
    if (server_public_key.size() != kCurveKeyDigits) {
      return fail(ErrorCode::kInvalid,
                  "connecting to {}: the server's public key has {} characters, not {}", address,
                  server_public_key.size(), kCurveKeyDigits);
    }
    STRATA_TRY(const CurveKeys own, make_curve_keys());
    state->socket.set(zmq::sockopt::curve_serverkey, server_public_key);
    state->socket.set(zmq::sockopt::curve_publickey, own.public_key);
    state->socket.set(zmq::sockopt::curve_secretkey, own.secret_key);
  }
  state->socket.connect(address);
  return DealerSocket(std::move(state));
} catch (const zmq::error_t& e) {
  return zmq_error(fmt::format("connecting to {}", address), e);
}

Result<std::optional<std::string>> DealerSocket::receive() try {
  while (true) {
    bool overflow = false;
    std::vector<std::string> parts = receive_parts(state_->socket, overflow);
    if (parts.empty()) return std::nullopt;
    if (parts.size() == 1) return std::move(parts[0]);  // nobody of ours sends several: skip those
  }
} catch (const zmq::error_t& e) {
  if (e.num() == EINTR) return std::nullopt;
  return zmq_error("receiving", e);
}

Result<Sent> DealerSocket::send(std::string_view bytes) try {
  const auto sent =
      state_->socket.send(zmq::buffer(bytes.data(), bytes.size()), zmq::send_flags::dontwait);
  return sent ? Sent::kSent : Sent::kFull;
} catch (const zmq::error_t& e) {
  return zmq_error("sending", e);
}

WaitItem DealerSocket::wait_item() const {
  return {.socket = state_->socket.handle(), .fd = -1, .ready = false};
}

Result<WakeUp> WakeUp::make() {
  FileDescriptor fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd.valid())
    return fail(ErrorCode::kUnavailable, "making an eventfd: {}", std::strerror(errno));
  return WakeUp(std::move(fd));
}

void WakeUp::signal() const {
  const std::uint64_t one = 1;
  // Fails only when 2^64 signals wait already, and then the waiter wakes anyway.
  if (write(fd_.get(), &one, sizeof one) < 0) return;
}

void WakeUp::clear() const {
  std::uint64_t count = 0;
  if (read(fd_.get(), &count, sizeof count) < 0) return;
}

WaitItem WakeUp::wait_item() const { return {.socket = nullptr, .fd = fd_.get(), .ready = false}; }

}  // namespace strata
