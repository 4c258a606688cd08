// UTF-8 in and out of code points.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace strata {

struct CodePoint {
  char32_t point = 0;
  // Bytes consumed; for a bad sequence the length of its maximal ill-formed part.
  std::size_t length = 1;
  bool ok = false;
};

// REQUIRES: `bytes` is not empty.
[[nodiscard]] CodePoint first_code_point(std::string_view bytes);
[[nodiscard]] bool is_valid_utf8(std::string_view bytes);
// An error names the offset of the first bad byte.
[[nodiscard]] Result<std::u32string> decode_utf8(std::string_view bytes);
// Bad sequences become U+FFFD, one per maximal ill-formed part, as Python's errors="replace" does.
[[nodiscard]] std::u32string decode_utf8_lossy(std::string_view bytes);
// REQUIRES: every element is a Unicode scalar value.
[[nodiscard]] std::string encode_utf8(std::u32string_view points);

}  // namespace strata
