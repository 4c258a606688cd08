#include "coordinator/core/log_chain.h"

#include <string>

#include "schema/codec.h"

namespace strata::coordinator {

std::uint32_t chained(std::uint32_t before, std::uint64_t seq, std::string_view frame) {
  std::string number(8, '\0');
  for (int i = 0; i < 8; ++i)
    number[static_cast<std::size_t>(i)] = static_cast<char>((seq >> (8 * i)) & 0xFFU);
  return crc32c(frame, crc32c(number, before));
}

}  // namespace strata::coordinator
