#include "base/utf8.h"

#include "base/assert.h"

namespace strata {

// One sequence at the front of `bytes`, by Unicode 15 table 3-7 (well-formed byte sequences).
CodePoint first_code_point(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  std::size_t length = 0;
  char32_t point = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
    point = lead & 0x1FU;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    point = lead & 0x0FU;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;  // no surrogates
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    point = lead & 0x07U;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {0, 1, false};
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (i >= bytes.size() || byte(i) < low || byte(i) > high) return {0, i, false};
    point = (point << 6U) | (byte(i) & 0x3FU);
    low = 0x80;
    high = 0xBF;
  }
  return {point, length, true};
}

bool is_valid_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const CodePoint step = first_code_point(bytes);
    if (!step.ok) return false;
    bytes.remove_prefix(step.length);
  }
  return true;
}

Result<std::u32string> decode_utf8(std::string_view bytes) {
  std::u32string points;
  for (std::size_t at = 0; at < bytes.size();) {
    const CodePoint step = first_code_point(bytes.substr(at));
    if (!step.ok) return fail(ErrorCode::kInvalid, "invalid UTF-8 at byte {}", at);
    points += step.point;
    at += step.length;
  }
  return points;
}

std::u32string decode_utf8_lossy(std::string_view bytes) {
  std::u32string points;
  while (!bytes.empty()) {
    const CodePoint step = first_code_point(bytes);
    points += step.ok ? step.point : U'\uFFFD';
    bytes.remove_prefix(step.length);
  }
  return points;
}

std::string encode_utf8(std::u32string_view points) {
  std::string bytes;
  const auto put = [&](char32_t value) {
    bytes += static_cast<char>(static_cast<unsigned char>(value));
  };
  for (const char32_t p : points) {
    STRATA_ASSERT(p < 0x110000 && (p < 0xD800 || p > 0xDFFF));
    if (p < 0x80) {
      put(p);
    } else if (p < 0x800) {
      put(0xC0U | (p >> 6U));
      put(0x80U | (p & 0x3FU));
    } else if (p < 0x10000) {
      put(0xE0U | (p >> 12U));
      put(0x80U | ((p >> 6U) & 0x3FU));
      put(0x80U | (p & 0x3FU));
    } else {
      put(0xF0U | (p >> 18U));
      put(0x80U | ((p >> 12U) & 0x3FU));
      put(0x80U | ((p >> 6U) & 0x3FU));
      put(0x80U | (p & 0x3FU));
    }
  }
  return bytes;
}

}  // namespace strata
