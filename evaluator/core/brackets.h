// Both of Whisper's normalizers delete what stands in brackets before anything else. Pure. Source:
// openai-whisper 20250625, whisper/normalizers/{basic,english}.py.
#pragma once

#include <cstddef>
#include <string>

namespace strata::evaluator {

// Deletes [<\[][^>\]]*[>\]], in place: the closing character may be of the other kind, an unclosed
// opening stays.
template <class Unit>
void drop_brackets(std::basic_string<Unit>& text) {
  constexpr std::size_t kNone = std::basic_string<Unit>::npos;
  const auto opens = [](Unit c) { return c == Unit{'<'} || c == Unit{'['}; };
  if (text.find(Unit{'<'}) == kNone && text.find(Unit{'['}) == kNone) return;
  constexpr Unit kClosing[] = {Unit{'>'}, Unit{']'}, Unit{0}};
  std::size_t end = 0;
  bool closes = true;  // whether a closing one is still to come
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (closes && opens(text[i])) {
      const std::size_t close = text.find_first_of(kClosing, i + 1, 2);
      closes = close != kNone;
      if (closes) {
        i = close;
        continue;
      }
    }
    text[end++] = text[i];
  }
  text.resize(end);
}

// Deletes \(([^)]+?)\), in place: "()" stays, because one character at least must stand inside.
template <class Unit>
void drop_parentheses(std::basic_string<Unit>& text) {
  constexpr std::size_t kNone = std::basic_string<Unit>::npos;
  if (text.find(Unit{'('}) == kNone) return;
  std::size_t end = 0;
  bool closes = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (closes && text[i] == Unit{'('}) {
      const std::size_t close = text.find(Unit{')'}, i + 1);
      closes = close != kNone;
      if (closes && close > i + 1) {
        i = close;
        continue;
      }
    }
    text[end++] = text[i];
  }
  text.resize(end);
}

}  // namespace strata::evaluator
