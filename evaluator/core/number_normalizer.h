// Whisper's EnglishNumberNormalizer: "two hundred and five dollars" becomes "$205". Pure. Source:
// openai-whisper 20250625, whisper/normalizers/english.py; its quirks are kept ("five o'clock" has
// an o, which is a zero). The spelling of words that are no numbers becomes American on the way,
// because each word is looked up here once.
//
// Unit is a unit of text of english_alphabet.h.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace strata::evaluator {

// CPython refuses to make an integer of more digits, and so the original ends there.
inline constexpr std::size_t kNumberDigitsMax = 4300;

// Words with one space between them and none at the ends. REQUIRES: lower case, no marks, symbols
// or punctuation but . % $ and the signs of cent, pound and euro (what english_normalizer.cc
// leaves). kTooLarge for a number of more than kNumberDigitsMax digits.
template <class Unit>
[[nodiscard]] Result<std::basic_string<Unit>> standardize_numbers(
    std::basic_string_view<Unit> text);

}  // namespace strata::evaluator
