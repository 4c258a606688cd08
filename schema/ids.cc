#include "schema/ids.h"

#include "base/assert.h"
#include "base/sha256.h"

namespace strata {
namespace internal {

std::string digest_to_hex(const std::array<std::uint8_t, 32>& bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(64);
  for (const std::uint8_t b : bytes) {
    hex += kDigits[b >> 4U];
    hex += kDigits[b & 15U];
  }
  return hex;
}

Result<std::array<std::uint8_t, 32>> digest_from_hex(std::string_view hex) {
  const auto bad = [&] {
    return fail(ErrorCode::kInvalid, "\"{}\" is no hash: expected 64 digits of 0-9 a-f",
                hex.substr(0, 80));
  };
  if (hex.size() != 64) return bad();
  std::array<std::uint8_t, 32> bytes{};
  for (std::size_t i = 0; i < 64; ++i) {
    const char c = hex[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return bad();
    const int nibble = digit ? c - '0' : c - 'a' + 10;
    bytes.at(i / 2) = static_cast<std::uint8_t>(bytes.at(i / 2) * 16 + nibble);
  }
  return bytes;
}

}  // namespace internal

namespace {

template <class Id>
Id digest_of(std::string_view text) {
  const auto bytes = internal::digest_from_hex(sha256_hex(text));
  STRATA_ASSERT(bytes.has_value());
  return Id(*bytes);
}

}  // namespace

TaskKey task_key_of(std::string_view canonical_text) { return digest_of<TaskKey>(canonical_text); }
RunKey run_key_of(std::string_view canonical_text) { return digest_of<RunKey>(canonical_text); }
ContentHash content_hash_of(std::string_view bytes) { return digest_of<ContentHash>(bytes); }

std::string AttemptId::folder_name() const {
  return fmt::format("{}-{}", task.hex().substr(0, 16), number);
}

std::string AttemptId::text() const { return fmt::format("{}#{}", task.brief(), number); }

}  // namespace strata
