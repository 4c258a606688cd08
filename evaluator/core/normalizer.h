// What a protocol does to a text before words are counted. Protocols have versions: a version never
// changes its output, so all are pinned to Unicode 14.0 (unicode.h). Pure. Sources: F5-TTS
// src/f5_tts/eval/utils_eval.py, seed-tts-eval run_wer.py, whisper/normalizers/{basic,english}.py
// of openai-whisper 20250625.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace strata::evaluator {

enum class Protocol {
  kPlain,           // text as it is: what jiwer does when called with two strings
  kF5,              // F5-TTS and A-DMA: punctuation deleted (apostrophes too), lower case
  kSeedTts,         // seed-tts-eval: as F5, but the ASCII apostrophe stays
  kWhisperEnglish,  // EnglishTextNormalizer: numbers, contractions and spelling, too
  kWhisperBasic,    // BasicTextNormalizer: brackets dropped, symbols to spaces
  kDigits,          // ours, for spoken digits: punctuation to spaces, 4 to four, lower case
};

struct ProtocolInfo {
  Protocol protocol = Protocol::kF5;
  std::string name{};
  int version = 1;
};

// In the order in which help texts list them.
[[nodiscard]] const std::vector<ProtocolInfo>& protocols();
// An error lists the names there are.
[[nodiscard]] Result<ProtocolInfo> find_protocol(std::string_view name);

// Invalid UTF-8 is an error that names the byte. kTooLarge: a number of more than 4,300 digits
// under kWhisperEnglish, where the original ends with an exception, too.
[[nodiscard]] Result<std::string> normalize(Protocol protocol, std::string_view text);

}  // namespace strata::evaluator
