// A worker's or client's line to its coordinator: found by the address file, messages in and out. A
// coordinator that was restarted elsewhere is found again by refresh(), which reads the file once
// more.
//
// Nothing here is retried: whoever sends repeats until it is acknowledged (schema/message.h).
// Thread rule: one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/zmq/socket.h"
#include "link/address_file.h"
#include "schema/message.h"

namespace strata::link {

class CoordinatorLink {
 public:
  // kNotFound: no such file. Does not wait for the coordinator to answer.
  static Result<CoordinatorLink> open(const std::filesystem::path& address_file);

  [[nodiscard]] const AddressFile& address() const { return address_; }

  // Reads the file again; true when it names another address or key, to which the link then
  // connects. A missing or half-good file changes nothing: the coordinator may be on its way up.
  Result<bool> refresh();

  // kUnavailable when the queue is full (nobody takes anything at the other end), kTooLarge for a
  // frame over the limit.
  [[nodiscard]] Status send(const Message& message);

  // Waits up to `timeout` (zero: does not wait). Frames that are no message are skipped and
  // counted.
  [[nodiscard]] Result<std::optional<Message>> receive(std::chrono::milliseconds timeout);
  [[nodiscard]] std::uint64_t garbage() const { return garbage_; }

  // For wait_any together with other things; then receive(0ms) until it gives nothing.
  [[nodiscard]] WaitItem wait_item() const { return socket_.wait_item(); }

  // A client's question: sends it and waits for the answer with its id, dropping answers to earlier
  // ones. kUnavailable when none comes in time. An answer with ok = false is a value, not an error.
  [[nodiscard]] Result<Answer> ask(const std::string& verb, const std::string& body,
                                   std::chrono::milliseconds timeout);
  // The same for a batch of a submission; its `id` is set here.
  [[nodiscard]] Result<Answer> submit(SubmitTasks batch, std::chrono::milliseconds timeout);

 private:
  CoordinatorLink(std::filesystem::path path, AddressFile address, DealerSocket socket)
      : path_(std::move(path)), address_(std::move(address)), socket_(std::move(socket)) {}
  Result<Answer> answer_to(std::uint64_t id, std::chrono::milliseconds timeout);

  std::filesystem::path path_;
  AddressFile address_;
  DealerSocket socket_;
  std::uint64_t garbage_ = 0;
  std::uint64_t next_id_ = 1;
};

}  // namespace strata::link
