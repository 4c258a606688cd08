#include "link/coordinator_link.h"

#include <algorithm>

#include "schema/codec.h"

namespace strata::link {

Result<CoordinatorLink> CoordinatorLink::open(const std::filesystem::path& address_file) {
  STRATA_TRY(AddressFile address, read_address_file(address_file));
  STRATA_TRY(DealerSocket socket, DealerSocket::connect(address.address, address.public_key));
  return CoordinatorLink(address_file, std::move(address), std::move(socket));
}

Result<bool> CoordinatorLink::refresh() {
  auto address = read_address_file(path_);
  if (!address ||
      (address->address == address_.address && address->public_key == address_.public_key))
    return false;
  STRATA_TRY(DealerSocket socket, DealerSocket::connect(address->address, address->public_key));
  socket_ = std::move(socket);
  address_ = std::move(*address);
  return true;
}

Status CoordinatorLink::send(const Message& message) {
  STRATA_TRY(const std::string frame, encode(message));
  STRATA_TRY(const Sent sent, socket_.send(frame));
  if (sent == Sent::kSent) return {};
  return fail(ErrorCode::kUnavailable, "sending to the coordinator at {}: the queue is full",
              address_.address);
}

Result<std::optional<Message>> CoordinatorLink::receive(std::chrono::milliseconds timeout) {
  const SystemClock clock;
  const Instant until = clock.now() + timeout;
  while (true) {
    STRATA_TRY(const std::optional<std::string> frame, socket_.receive());
    if (frame) {
      if (auto message = decode_message(*frame)) return std::optional<Message>(std::move(*message));
      ++garbage_;
      continue;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock.now());
    if (left.count() <= 0) return std::optional<Message>();
    WaitItem item = socket_.wait_item();
    STRATA_TRY([[maybe_unused]] const int ready, wait_any({&item, 1}, left));
  }
}

Result<Answer> CoordinatorLink::ask(const std::string& verb, const std::string& body,
                                    std::chrono::milliseconds timeout) {
  const std::uint64_t id = next_id_++;
  STRATA_CHECK_OK(send(Request{.id = id, .verb = verb, .body = body}));
  return answer_to(id, timeout);
}

Result<Answer> CoordinatorLink::submit(SubmitTasks batch, std::chrono::milliseconds timeout) {
  const std::uint64_t id = next_id_++;
  batch.id = id;
  STRATA_CHECK_OK(send(std::move(batch)));
  return answer_to(id, timeout);
}

Result<Answer> CoordinatorLink::answer_to(std::uint64_t id, std::chrono::milliseconds timeout) {
  const SystemClock clock;
  const Instant until = clock.now() + timeout;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock.now());
    STRATA_TRY(std::optional<Message> message,
               receive(std::max(left, std::chrono::milliseconds{0})));
    if (!message) {
      return fail(ErrorCode::kUnavailable,
                  "the coordinator at {} gave no answer within {} ms: does it still run? (pid {})",
                  address_.address, timeout.count(), address_.pid);
    }
    if (const auto* refused = std::get_if<Refused>(&*message))
      return fail(ErrorCode::kUnsupported, "{}", refused->reason);
    if (auto* answer = std::get_if<Answer>(&*message); answer != nullptr && answer->id == id)
      return std::move(*answer);
  }
}

}  // namespace strata::link
