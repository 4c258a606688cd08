// The words that Whisper's English normalizer knows: those of numbers, with what they stand for,
// and British words with their American spelling. Pure; a table made once. Sources: openai-whisper
// 20250625, whisper/normalizers/{english.py,english.json}.
#pragma once

#include <cstdint>
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

// nullptr for a word that is neither.
[[nodiscard]] const EnglishWord* find_english_word(std::string_view word);

// Eight bytes at most, as one number: equal numbers are equal words of the same length.
[[nodiscard]] std::uint64_t packed_word(std::string_view word);

}  // namespace strata::evaluator
