// Two alphabets for Whisper's English rules, so that one text of them serves both.
//
// char: a private one of single bytes for the texts that are nearly all of English: ASCII, the
// three currency signs that the rules know, and one code for all those symbols that the rules turn
// into a space whichever they are (typographic quotation marks, dashes). Fast, and never seen
// outside.
// char32_t: code points, for every other text.
//
// The classes are Python's: \w, \s, \d and [0-9] of a str pattern. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "evaluator/core/unicode.h"

namespace strata::evaluator {

template <class Unit>
struct Alphabet;

namespace narrow {

constexpr char kCent = '\x82';
constexpr char kPound = '\x83';
constexpr char kEuro = '\x84';
constexpr char kSymbol = '\x81';

constexpr std::uint8_t kWord = 1;
constexpr std::uint8_t kSpace = 2;
constexpr std::uint8_t kDigit = 4;
constexpr std::uint8_t kLower = 8;  // [a-z]
constexpr std::uint8_t kDropped =
    16;                             // becomes a space: categories M, S and P but for . % and signs
constexpr std::uint8_t kSign = 32;  // . % and the currency signs

constexpr std::uint8_t class_of(unsigned char c) {
  if (c >= '0' && c <= '9') return kWord | kDigit;
  if (c >= 'a' && c <= 'z') return kWord | kLower;
  if (c >= 'A' && c <= 'Z') return kWord;
  if (c == '_') return kWord | kDropped;
  if ((c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20)) return kSpace;
  if (c == '.' || c == '%' || c == '$' || (c >= 0x82 && c <= 0x84)) return kSign;
  if (c == 0x81 || (c > 0x20 && c < 0x7F)) return kDropped;
  return 0;
}

constexpr std::array<std::uint8_t, 256> kClasses = [] {
  std::array<std::uint8_t, 256> classes{};
  for (unsigned c = 0; c < 256; ++c) classes[c] = class_of(static_cast<unsigned char>(c));
  return classes;
}();

// What becomes of a character when symbols become spaces.
constexpr std::array<char, 256> kWithoutSymbols = [] {
  std::array<char, 256> map{};
  for (unsigned c = 0; c < 256; ++c)
    map[c] = (kClasses[c] & kDropped) != 0 ? ' ' : static_cast<char>(c);
  return map;
}();

constexpr bool is(char c, std::uint8_t classes) {
  return (kClasses[static_cast<unsigned char>(c)] & classes) != 0;
}

}  // namespace narrow

template <>
struct Alphabet<char> {
  static constexpr char kCent = narrow::kCent;
  static constexpr char kPound = narrow::kPound;
  static constexpr char kEuro = narrow::kEuro;
  static bool is_word(char c) { return narrow::is(c, narrow::kWord); }
  static bool is_space(char c) { return narrow::is(c, narrow::kSpace); }
  static int decimal(char c) { return narrow::is(c, narrow::kDigit) ? c - '0' : -1; }
};

template <>
struct Alphabet<char32_t> {
  static constexpr char32_t kCent = U'\u00A2';
  static constexpr char32_t kPound = U'\u00A3';
  static constexpr char32_t kEuro = U'\u20AC';
  static bool is_word(char32_t c) { return is_python_word(c); }
  static bool is_space(char32_t c) { return is_python_space(c); }
  static int decimal(char32_t c) { return decimal_value(c); }
};

template <class Unit>
constexpr bool is_ascii_digit(Unit c) {
  return c >= Unit{'0'} && c <= Unit{'9'};
}

template <class Unit>
constexpr bool is_ascii_lower(Unit c) {
  return c >= Unit{'a'} && c <= Unit{'z'};
}

template <class Unit>
constexpr bool is_money(Unit c) {
  return c == Unit{'$'} || c == Alphabet<Unit>::kPound || c == Alphabet<Unit>::kEuro;
}

// Whether the ASCII text `wanted` stands at `at`.
template <class Unit>
bool stands_at(std::basic_string_view<Unit> text, std::size_t at, std::string_view wanted) {
  if (text.size() < at || text.size() - at < wanted.size()) return false;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (text[at + i] != static_cast<Unit>(wanted[i])) return false;
  }
  return true;
}

// Python's \b after position `at` - 1 and before `at`, where a word character is on the other side.
template <class Unit>
bool no_word_at(std::basic_string_view<Unit> text, std::size_t at) {
  return at >= text.size() || !Alphabet<Unit>::is_word(text[at]);
}

template <class Unit>
bool no_word_before(std::basic_string_view<Unit> text, std::size_t at) {
  return at == 0 || !Alphabet<Unit>::is_word(text[at - 1]);
}

// One quick search for each.
template <class Unit>
bool has_any(std::basic_string_view<Unit> text, std::initializer_list<Unit> wanted) {
  for (const Unit c : wanted) {
    if (text.find(c) != std::basic_string_view<Unit>::npos) return true;
  }
  return false;
}

template <class Unit>
void append_ascii(std::basic_string<Unit>& out, std::string_view ascii) {
  out.append(ascii.begin(), ascii.end());
}

}  // namespace strata::evaluator
