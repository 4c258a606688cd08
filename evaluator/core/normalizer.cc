#include "evaluator/core/normalizer.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/utf8.h"
#include "evaluator/core/brackets.h"
#include "evaluator/core/english_alphabet.h"
#include "evaluator/core/english_normalizer.h"
#include "evaluator/core/unicode.h"

namespace strata::evaluator {
namespace {

// string.punctuation of Python plus zhon.hanzi.punctuation 2.1.1: 114 characters together.
bool is_removed_punctuation(char32_t point) {
  if (point < 0x80) {
    return narrow::is(static_cast<char>(point), narrow::kDropped | narrow::kSign);
  }
  using Range = std::pair<char32_t, char32_t>;
  static constexpr std::array<Range, 17> kRemoved{{{0xB7, 0xB7},
                                                   {0x2013, 0x2014},
                                                   {0x2018, 0x2019},
                                                   {0x201B, 0x201F},
                                                   {0x2026, 0x2027},
                                                   {0x3000, 0x3003},
                                                   {0x3008, 0x3011},
                                                   {0x3014, 0x301F},
                                                   {0x3030, 0x3030},
                                                   {0x303E, 0x303F},
                                                   {0xFE4F, 0xFE4F},
                                                   {0xFE51, 0xFE51},
                                                   {0xFE54, 0xFE54},
                                                   {0xFF01, 0xFF0F},
                                                   {0xFF1A, 0xFF20},
                                                   {0xFF3B, 0xFF40},
                                                   {0xFF5B, 0xFF64}}};
  return std::ranges::any_of(kRemoved,
                             [&](const Range& r) { return r.first <= point && point <= r.second; });
}

// Python's text.replace("  ", " "): one pass from the left, so four spaces become two.
std::u32string halve_double_spaces(std::u32string_view text) {
  std::u32string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (text[i] == U' ' && i + 1 < text.size() && text[i + 1] == U' ') ++i;
  }
  return out;
}

std::u32string strip_punctuation(std::u32string_view text, bool keep_apostrophe) {
  std::u32string kept;
  std::ranges::copy_if(text, std::back_inserter(kept), [&](char32_t point) {
    return (keep_apostrophe && point == U'\'') || !is_removed_punctuation(point);
  });
  return python_lower(halve_double_spaces(kept));
}

// "4-7, 1" -> "four seven one": a recognizer writes the same spoken digits in many ways, and none
// of them is an error. Numbers are not understood: "47" is four seven, which is what was said if it
// was said right.
std::u32string spelled_digits(std::u32string_view text) {
  static constexpr std::array<std::u32string_view, 10> kWords{
      U"zero", U"one", U"two", U"three", U"four", U"five", U"six", U"seven", U"eight", U"nine"};
  std::u32string out;
  const auto space = [&out] {
    if (!out.empty() && out.back() != U' ') out += U' ';
  };
  for (const char32_t point : text) {
    if (point >= U'0' && point <= U'9') {
      space();
      out += kWords[point - U'0'];
      out += U' ';
    } else if (is_removed_punctuation(point) || is_python_space(point)) {
      space();
    } else {
      out += point;
    }
  }
  if (out.ends_with(U' ')) out.pop_back();
  return python_lower(out);
}

std::u32string whisper_basic(std::u32string_view text) {
  std::u32string spoken = python_lower(text);
  drop_brackets(spoken);
  drop_parentheses(spoken);
  std::u32string clean = normal_form_kc(spoken);
  for (char32_t& point : clean) {
    const char category = major_category(point);
    if (category == 'M' || category == 'S' || category == 'P') point = U' ';
  }
  std::u32string out;
  for (const char32_t point : python_lower(clean)) {
    const bool space = is_python_space(point);
    if (!space || out.empty() || out.back() != U' ') out += space ? U' ' : point;
  }
  return out;
}

}  // namespace

const std::vector<ProtocolInfo>& protocols() {
  static const std::vector<ProtocolInfo> kProtocols{{Protocol::kF5, "f5", 1},
                                                    {Protocol::kSeedTts, "seed-tts", 1},
                                                    {Protocol::kWhisperEnglish, "whisper-en", 1},
                                                    {Protocol::kWhisperBasic, "whisper-basic", 1},
                                                    {Protocol::kDigits, "digits", 1},
                                                    {Protocol::kPlain, "plain", 1}};
  return kProtocols;
}

Result<ProtocolInfo> find_protocol(std::string_view name) {
  const auto found = std::ranges::find(protocols(), name, &ProtocolInfo::name);
  if (found != protocols().end()) return *found;
  std::string names;
  for (const auto& info : protocols()) names += (names.empty() ? "" : ", ") + info.name;
  return fail(ErrorCode::kInvalid, "there is no protocol \"{}\"; there are {}", name, names);
}

Result<std::string> normalize(Protocol protocol, std::string_view text) {
  if (protocol == Protocol::kWhisperEnglish) {
    auto normalized = normalize_english(text);
    if (!normalized) return tl::unexpected(normalized.error().while_doing("normalizing text"));
    return normalized;
  }
  auto points = decode_utf8(text);
  if (!points) return tl::unexpected(points.error().while_doing("normalizing text"));
  switch (protocol) {
    case Protocol::kPlain: return std::string(text);
    case Protocol::kF5: return encode_utf8(strip_punctuation(*points, false));
    case Protocol::kSeedTts: return encode_utf8(strip_punctuation(*points, true));
    case Protocol::kWhisperEnglish: break;  // above: it need not decode most texts
    case Protocol::kWhisperBasic: return encode_utf8(whisper_basic(*points));
    case Protocol::kDigits: return encode_utf8(spelled_digits(*points));
  }
  return fail(ErrorCode::kInvalid, "unknown protocol number {}", static_cast<int>(protocol));
}

}  // namespace strata::evaluator
