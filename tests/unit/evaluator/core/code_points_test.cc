// Every character by itself through Python's rules, and through every published protocol.
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "base/sha256.h"
#include "base/utf8.h"
#include "evaluator/core/normalizer.h"
#include "evaluator/core/unicode.h"
#include "tests/unit/evaluator/golden_rows.h"

namespace strata::evaluator {
namespace {

constexpr char32_t kBlock = 4096;
constexpr char32_t kEnd = 0x110000;
constexpr std::size_t kDigits = 8;  // of each block's hash

using Function = std::function<std::string(const std::string&, char32_t)>;

std::string framed(std::string_view character) {
  constexpr std::string_view kFrame =
      "{0}mr{0}. 1{0}st {0}'s 2,{0},3.{0} $0{0}7 a{0}{0} {0}5{0}% five {0} 1{0}";
  std::string text;
  for (std::size_t i = 0; i < kFrame.size(); ++i) {
    if (kFrame[i] != '{') {
      text += kFrame[i];
      continue;
    }
    text += character;
    i += 2;
  }
  return text;
}

Function protocol(Protocol name) {
  return [name](const std::string& text, char32_t) { return normalize(name, text).value(); };
}

// In the words of tools/unicode/generate.py code-points.
const std::map<std::string, Function>& functions() {
  static const std::map<std::string, Function> kFunctions{
      {"category",
       [](const std::string&, char32_t c) {
         return std::string(1, major_category(c)) + (is_nonspacing_mark(c) ? "n" : "");
       }},
      {"classes",
       [](const std::string&, char32_t c) {
         return std::string(is_python_word(c) && c != U'_' ? "w" : "") +
                (decimal_value(c) >= 0 ? "d" : "") + (is_python_space(c) ? "s" : "");
       }},
      {"lower", [](const std::string&,
                   char32_t c) { return encode_utf8(python_lower(std::u32string(1, c))); }},
      {"nfkd", [](const std::string&,
                  char32_t c) { return encode_utf8(normal_form_kd(std::u32string(1, c))); }},
      {"nfkc", [](const std::string&,
                  char32_t c) { return encode_utf8(normal_form_kc(std::u32string(1, c))); }},
      {"f5", protocol(Protocol::kF5)},
      {"seed-tts", protocol(Protocol::kSeedTts)},
      {"whisper-basic", protocol(Protocol::kWhisperBasic)},
      {"whisper-en", protocol(Protocol::kWhisperEnglish)},
      {"whisper-en, framed",
       [](const std::string& text, char32_t) {
         return normalize(Protocol::kWhisperEnglish, framed(text)).value();
       }},
  };
  return kFunctions;
}

std::string hash_of_block(const Function& function, char32_t from) {
  std::string results;
  for (char32_t c = from; c < from + kBlock; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    results += function(encode_utf8(std::u32string(1, c)), c);
    results += '\n';
  }
  return sha256_hex(results).substr(0, kDigits);
}

TEST(CodePoints, EveryCharacterIsWhatItIsInPythonWithUnicode14) {
  const auto rows = golden_rows("code_points.jsonl");
  ASSERT_EQ(rows.size(), functions().size());
  for (const Value& row : rows) {
    const std::string what = text_at(row, "what");
    const std::string blocks = text_at(row, "blocks");
    ASSERT_EQ(blocks.size(), kEnd / kBlock * kDigits);
    for (char32_t from = 0; from < kEnd; from += kBlock) {
      EXPECT_EQ(hash_of_block(functions().at(what), from),
                blocks.substr(from / kBlock * kDigits, kDigits))
          << what << " differs between U+" << std::hex << static_cast<std::uint32_t>(from)
          << " and 4,095 further; utf8proc knows Unicode " << library_unicode_version()
          << ", and a character that 14.0 has must be there what it was in 14.0";
    }
  }
}

}  // namespace
}  // namespace strata::evaluator
