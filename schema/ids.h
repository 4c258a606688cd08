// Names of things, each with a type of its own. Contents are named by SHA-256, workers by numbers
// that the coordinator gives, attempts by their task and a number that only grows: that number is
// the fencing token.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/strong_id.h"

namespace strata {

using WorkerId = StrongId<struct WorkerTag>;
// A client's question, unique within the server's life.
using RequestId = StrongId<struct RequestTag>;

// 32 bytes of SHA-256 with a tag, printed as 64 lower-case hex digits.
template <class Tag>
class DigestId {
 public:
  using Bytes = std::array<std::uint8_t, 32>;

  DigestId() = default;
  explicit DigestId(const Bytes& bytes) : bytes_(bytes) {}
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }
  [[nodiscard]] std::string hex() const;
  [[nodiscard]] std::string brief() const { return hex().substr(0, 8); }  // for people
  [[nodiscard]] bool empty() const { return *this == DigestId(); }
  auto operator<=>(const DigestId&) const = default;

 private:
  Bytes bytes_{};
};

namespace internal {
std::string digest_to_hex(const std::array<std::uint8_t, 32>& bytes);
Result<std::array<std::uint8_t, 32>> digest_from_hex(std::string_view hex);
}  // namespace internal

template <class Tag>
std::string DigestId<Tag>::hex() const {
  return internal::digest_to_hex(bytes_);
}

template <class Id>
Result<Id> parse_digest(std::string_view hex) {
  STRATA_TRY(const auto bytes, internal::digest_from_hex(hex));
  return Id(bytes);
}

// For hash tables: the digest is one already.
template <class Tag>
std::size_t hash_of(const DigestId<Tag>& id) {
  std::size_t head = 0;
  std::memcpy(&head, id.bytes().data(), sizeof(head));
  return head;
}

using TaskKey = DigestId<struct TaskKeyTag>;  // of everything that decides the task's result
using RunKey = DigestId<struct RunKeyTag>;    // of the keys of the run's tasks
using ContentHash = DigestId<struct ContentHashTag>;  // of an artifact's manifest

// The digest of canonical text.
TaskKey task_key_of(std::string_view canonical_text);
RunKey run_key_of(std::string_view canonical_text);
ContentHash content_hash_of(std::string_view bytes);

struct AttemptId {
  TaskKey task{};
  std::uint32_t number = 0;  // 1 for the first
  auto operator<=>(const AttemptId&) const = default;
  [[nodiscard]] std::string text() const;  // "4f2a9c01#2", for people
  // "4f2a9c01d2b37e55-2", below the attempts of its worker: 64 bits, so that no two share a folder.
  [[nodiscard]] std::string folder_name() const;
};

}  // namespace strata
