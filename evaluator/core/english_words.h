// The words that Whisper's English normalizer knows: those of numbers, with what they stand for,
// and British words with their American spelling. Pure; a table made once. Sources: openai-whisper
// 20250625, whisper/normalizers/{english.py,english.json}.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace strata::evaluator {

enum class NumberWord : std::uint8_t {
  kNone,                // no word of numbers
  kZero,                // o, oh, zero
  kOnes,                // one to nineteen
  kOnesSuffixed,        // ones to nineteens, zeroth to nineteenth
  kTens,                // twenty to ninety
  kTensSuffixed,        // twenties, twentieth …
  kMultiplier,          // hundred to decillion: `value` is the power of ten
  kMultiplierSuffixed,  // hundreds, hundredth …
  kSign,                // minus, negative, plus, positive: `sign` goes before the next number
  kUnit,                // pounds, euros, dollars, cents: `sign` goes before the number just said
  kPercent,
  kPer,  // of "per cent"
  kAnd,
  kRepeat,  // double, triple: `value` is 2 or 3
  kPoint,
};

struct EnglishWord {
  std::string_view text{};
  NumberWord number = NumberWord::kNone;
  int value = 0;
  std::string_view suffix{};    // "s", "st", "nd", "rd", "th"
  char sign = 0;                // in the alphabet of single bytes (english_alphabet.h)
  std::string_view american{};  // empty: the spelling stays
};

// nullptr for a word that is neither. `packed` is its packed_word.
[[nodiscard]] const EnglishWord* find_english_word(std::string_view word, std::uint64_t packed);

// The first eight bytes as one number, the first of them lowest: shorter words of equal numbers are
// equal.
[[nodiscard]] inline std::uint64_t packed_word(std::string_view word) {
  // Copies of known size are one load each; two that overlap cover what lies between.
  const char* bytes = word.data();
  const std::size_t size = word.size();
  const auto load = [bytes](auto value, std::size_t at) -> std::uint64_t {
    std::memcpy(&value, bytes + at, sizeof(value));
    return value;
  };
  if (size >= 8) return load(std::uint64_t{}, 0);
  if (size >= 4) {
    return load(std::uint32_t{}, 0) | load(std::uint32_t{}, size - 4) << 8U * (size - 4);
  }
  if (size >= 2) {
    return load(std::uint16_t{}, 0) | load(std::uint16_t{}, size - 2) << 8U * (size - 2);
  }
  return size == 1 ? load(std::uint8_t{}, 0) : 0;
}

// packed_word of the word of `size` characters at `at`, without a branch for each size where what
// follows in the text may be read, too.
[[nodiscard]] inline std::uint64_t packed_word_at(std::string_view text, std::size_t at,
                                                  std::size_t size) {
  if (size == 0 || text.size() - at < 8) return packed_word(text.substr(at, size));
  const std::uint64_t packed = packed_word(text.substr(at, 8));
  return size >= 8 ? packed : packed & ~std::uint64_t{0} >> (64U - 8U * size);
}

}  // namespace strata::evaluator
