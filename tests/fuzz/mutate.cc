#include "tests/fuzz/mutate.h"

#include <algorithm>
#include <array>

namespace strata::fuzz {
namespace {

constexpr std::array<unsigned char, 12> kBytes{0,    1,    2,   4,   0x7F, 0x80,
                                               0xFE, 0xFF, '0', '9', '\n', ' '};

std::size_t place(const std::string& input, Random& random) {
  return static_cast<std::size_t>(random.bounded(input.size() + 1));
}
// Short pieces most of the time.
std::size_t length(std::size_t most, Random& random) {
  const std::uint64_t cap = std::uint64_t{1} << random.bounded(11);
  return static_cast<std::size_t>(random.bounded(std::min<std::uint64_t>(cap, most) + 1));
}
template <class T>
const T& pick(const std::vector<T>& from, Random& random) {
  return from[random.bounded(from.size())];
}

void change_byte(std::string& input, Random& random) {
  if (input.empty()) return;
  char& c = input[random.bounded(input.size())];
  switch (random.bounded(4)) {
    case 0: c = static_cast<char>(c ^ static_cast<char>(1U << random.bounded(8))); break;
    case 1: c = static_cast<char>(kBytes[random.bounded(kBytes.size())]); break;
    case 2: c = static_cast<char>(c + (random.bounded(2) == 0 ? 1 : -1)); break;
    default: c = static_cast<char>(random.bounded(256));
  }
}

void change(std::string& input, const std::vector<std::string>& dictionary,
            const std::vector<std::string>& others, Random& random) {
  const std::size_t at = place(input, random);
  const std::size_t some = length(input.size() - at, random);
  switch (random.bounded(9)) {
    case 0: input.erase(at, some); break;
    case 1: input.insert(place(input, random), input.substr(at, some)); break;  // twice
    case 2:
      if (!dictionary.empty()) input.insert(at, pick(dictionary, random));
      break;
    case 3:
      if (!dictionary.empty()) input.replace(at, some, pick(dictionary, random));
      break;
    case 4:
      if (!others.empty()) {
        const std::string& other = pick(others, random);
        const std::size_t from = place(other, random);
        input.insert(at, other.substr(from, length(other.size() - from, random)));
      }
      break;
    case 5:
      if (!others.empty()) {  // our beginning, another's end
        const std::string& other = pick(others, random);
        input = input.substr(0, at) + other.substr(place(other, random));
      }
      break;
    case 6:
      if (some > 0)
        std::reverse(input.begin() + static_cast<std::ptrdiff_t>(at),
                     input.begin() + static_cast<std::ptrdiff_t>(at + some));
      break;
    default: change_byte(input, random);
  }
}

}  // namespace

std::string mutate(std::string input, const std::vector<std::string>& dictionary,
                   const std::vector<std::string>& others, Random& random) {
  const std::uint64_t changes = 1 + random.bounded(6);
  for (std::uint64_t i = 0; i < changes; ++i) change(input, dictionary, others, random);
  if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
  return input;
}

}  // namespace strata::fuzz
