#include <array>
#include <cstring>

#include "schema/codec.h"

namespace strata {
namespace {

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

// Slicing by eight: table k holds what a byte does to the sum when k more bytes follow it.
const Tables& tables() {
  static const Tables kTables = [] {
    Tables made{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = (c & 1U) != 0 ? 0x82F63B78U ^ (c >> 1U) : c >> 1U;
      made[0][i] = c;
    }
    for (std::size_t i = 0; i < 256; ++i) {
      for (std::size_t k = 1; k < made.size(); ++k)
        made[k][i] = (made[k - 1][i] >> 8U) ^ made[0][made[k - 1][i] & 0xFFU];
    }
    return made;
  }();
  return kTables;
}

std::uint64_t load_little_endian(const char* at) {
  std::uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = (value << 8U) | static_cast<unsigned char>(at[i]);
  return value;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t with_instruction(std::string_view bytes,
                                                                 std::uint32_t seed) {
  std::uint64_t crc = ~seed;
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, 8);
    crc = __builtin_ia32_crc32di(crc, word);
  }
  auto rest = static_cast<std::uint32_t>(crc);
  for (; left > 0; ++at, --left)
    rest = __builtin_ia32_crc32qi(rest, static_cast<unsigned char>(*at));
  return ~rest;
}
bool has_instruction() {
  static const bool kHas = __builtin_cpu_supports("sse4.2") != 0;
  return kHas;
}
#endif

}  // namespace

namespace internal {

std::uint32_t crc32c_by_tables(std::string_view bytes, std::uint32_t seed) {
  const Tables& t = tables();
  std::uint32_t crc = ~seed;
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    const std::uint64_t word = load_little_endian(at) ^ crc;
    crc = 0;
    for (std::size_t i = 0; i < 8; ++i) crc ^= t[7 - i][(word >> (8 * i)) & 0xFFU];
  }
  for (; left > 0; ++at, --left)
    crc = t[0][(crc ^ static_cast<unsigned char>(*at)) & 0xFFU] ^ (crc >> 8U);
  return ~crc;
}

}  // namespace internal

std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed) {
#if defined(__x86_64__)
  if (has_instruction()) return with_instruction(bytes, seed);
#endif
  return internal::crc32c_by_tables(bytes, seed);
}

}  // namespace strata
