// Inputs that stand for frames. The first byte decides how the rest is read: odd, it is a whole
// frame; even, a payload, to which a right header is given, so that the payload's own reader is
// met: of version 1 when it is 2, else of ours.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "schema/codec.h"

namespace strata::fuzz {

// `like` is a frame of the kind that is wanted.
inline std::string frame_of(std::string_view input, std::string_view like) {
  const bool whole = !input.empty() && (static_cast<unsigned char>(input[0]) & 1U) != 0;
  const std::string_view rest = input.substr(std::min<std::size_t>(1, input.size()));
  if (whole) return std::string(rest);
  std::string frame(like.substr(0, 8));
  if (!input.empty() && input[0] == 2) frame[4] = 1;
  for (const std::uint32_t word : {static_cast<std::uint32_t>(rest.size()), crc32c(rest)}) {
    for (int i = 0; i < 4; ++i) frame += static_cast<char>(word >> (8 * i));
  }
  return frame += rest;
}

}  // namespace strata::fuzz
