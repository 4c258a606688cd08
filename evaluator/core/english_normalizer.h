// Whisper's EnglishTextNormalizer: what `whisper-en` does to a text. Contractions and titles in
// full, numbers in digits, American spelling, no marks or punctuation. Equal to the original
// character for character on Python 3.11, for every text; pure. Source: openai-whisper 20250625,
// whisper/normalizers/{english,basic}.py.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace strata::evaluator {

// kInvalid for invalid UTF-8, naming the byte; kTooLarge for a number of more than 4,300 digits, at
// which the original ends with an exception.
[[nodiscard]] Result<std::string> normalize_english(std::string_view text);

}  // namespace strata::evaluator
