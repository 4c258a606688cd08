// Changes to an input: bytes, runs of bytes, pieces of a dictionary, pieces of other inputs. Same
// generator, same change.
#pragma once

#include <string>
#include <vector>

#include "base/random.h"

namespace strata::fuzz {

inline constexpr std::size_t kInputBytesMax = 16U << 10U;

[[nodiscard]] std::string mutate(std::string input, const std::vector<std::string>& dictionary,
                                 const std::vector<std::string>& others, Random& random);

}  // namespace strata::fuzz
