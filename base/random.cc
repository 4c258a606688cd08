#include "base/random.h"

namespace strata {

std::uint64_t derive_seed(std::uint64_t seed, std::string_view purpose) {
  std::uint64_t h = Random::hash(seed);
  for (const char c : purpose) h = Random::hash(h ^ static_cast<unsigned char>(c));
  return h;
}

}  // namespace strata
