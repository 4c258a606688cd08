#include "evaluator/core/number_normalizer.h"

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "evaluator/core/english_alphabet.h"
#include "evaluator/core/number_machine.h"

namespace strata::evaluator {
namespace {

template <class Unit>
using Text = std::basic_string<Unit>;
template <class Unit>
using View = std::basic_string_view<Unit>;

const EnglishWord* find_word(View<char> text, std::size_t at, std::size_t size) {
  return find_english_word(text.substr(at, size), packed_word_at(text, at, size));
}

const EnglishWord* find_word(View<char32_t> text, std::size_t at, std::size_t size) {
  const View<char32_t> word = text.substr(at, size);
  std::array<char, 32> ascii{};
  if (word.size() > ascii.size()) return nullptr;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] >= 0x80) return nullptr;
    ascii[i] = static_cast<char>(word[i]);
  }
  const std::string_view narrow(ascii.data(), word.size());
  return find_english_word(narrow, packed_word(narrow));
}

// Where white space ends, from `at` on.
template <class Unit>
std::size_t skip_space(View<Unit> text, std::size_t at) {
  while (at < text.size() && Alphabet<Unit>::is_space(text[at])) ++at;
  return at;
}

// Where the white space before `at` begins.
template <class Unit>
std::size_t space_before(View<Unit> text, std::size_t at) {
  while (at > 0 && Alphabet<Unit>::is_space(text[at - 1])) --at;
  return at;
}

struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// The next \band\s+a\s+half\b, from `from` on; an empty span at the end for none.
template <class Unit>
Span find_and_a_half(View<Unit> text, std::size_t from) {
  for (std::size_t h = text.find(Unit{'h'}, from); h != View<Unit>::npos;
       h = text.find(Unit{'h'}, h + 1)) {
    if (!stands_at(text, h, "half") || !no_word_at(text, h + 4)) continue;
    const std::size_t a = space_before(text, h);
    if (a == h || a == 0 || text[a - 1] != Unit{'a'}) continue;
    const std::size_t d = space_before(text, a - 1);
    if (d == a - 1 || d < from + 3 || !stands_at(text, d - 3, "and")) continue;
    if (no_word_before(text, d - 3)) return {d - 3, h + 4};
  }
  return {text.size(), text.size()};
}

// "three and a half million" says "point five" after a number.
template <class Unit>
void replace_halves(Text<Unit>& text) {
  Span half = find_and_a_half<Unit>(text, 0);
  if (half.begin == half.end) return;
  Text<Unit> out;
  const auto add = [&out](View<Unit> part) {
    if (!out.empty()) out += Unit{' '};
    out += part;
  };
  for (std::size_t from = 0;; half = find_and_a_half<Unit>(text, from)) {
    const View<Unit> segment = View<Unit>(text).substr(from, half.begin - from);
    const std::size_t end = space_before(segment, segment.size());
    if (end > 0) {
      add(segment);
      if (half.begin < half.end) {
        std::size_t begin = end;
        while (begin > 0 && !Alphabet<Unit>::is_space(segment[begin - 1])) --begin;
        const EnglishWord* last = find_word(segment, begin, end - begin);
        const NumberWord kind = last == nullptr ? NumberWord::kNone : last->number;
        const bool number = kind == NumberWord::kZero || kind == NumberWord::kOnes ||
                            kind == NumberWord::kTens || kind == NumberWord::kMultiplier;
        Text<Unit> words;
        append_ascii(words, number ? "point five" : "and a half");
        add(words);
      }
    }
    if (half.begin == half.end) break;
    from = half.end;
  }
  text = std::move(out);
}

// Cuts between letters and digits ("20mm"), but not before the ending of an ordinal or of a plural
// ("20th", and also "20 th").
template <class Unit>
class Tokens {
 public:
  explicit Tokens(View<Unit> text) : text_(text) {
    tokens_.reserve(text.size() / 4 + 1);
    for (std::size_t at = skip_space(text, 0); at < text.size(); at = skip_space(text, at)) {
      const std::size_t begin = at;
      // Most words are letters to the end.
      while (at < text.size() && is_ascii_lower(text[at])) ++at;
      if (at == begin) ++at;
      for (; at < text.size() && !Alphabet<Unit>::is_space(text[at]); ++at) {
        if (is_boundary(text[at - 1], text[at])) break;
      }
      add(begin, at);
    }
    for (auto& token : tokens_) {
      token.word = token.at == NumberToken<Unit>::kNowhere
                       ? find_word(token.text, 0, token.text.size())
                       : find_word(text, token.at, token.text.size());
    }
  }

  // Tokens look into it.
  Tokens(const Tokens&) = delete;
  Tokens& operator=(const Tokens&) = delete;

  [[nodiscard]] const std::vector<NumberToken<Unit>>& list() const { return tokens_; }
  // Whether "and a half" can be in the text.
  [[nodiscard]] bool has_half() const { return has_half_; }

 private:
  static bool is_boundary(Unit a, Unit b) {
    return (is_ascii_lower(a) && is_ascii_digit(b)) || (is_ascii_digit(a) && is_ascii_lower(b));
  }

  static bool is_ending(View<Unit> piece) {
    for (const std::string_view ending : {"st", "nd", "rd", "th", "s"}) {
      if (stands_at(piece, 0, ending) && no_word_at(piece, ending.size())) return true;
    }
    return false;
  }

  void add(std::size_t begin, std::size_t end) {
    const View<Unit> piece = text_.substr(begin, end - begin);
    if (stands_at(piece, 0, "half")) has_half_ = true;
    if (!tokens_.empty() && is_ascii_digit(tokens_.back().text.back()) && is_ending(piece)) {
      return join(tokens_.back(), piece);
    }
    tokens_.push_back({.text = piece, .at = begin});
  }

  // Into one place, if white space was between them or is elsewhere in the token.
  void join(NumberToken<Unit>& last, View<Unit> piece) {
    // No growth: tokens look into it, and all of them together are no longer than the text.
    if (joined_.empty()) joined_.reserve(text_.size());
    if (last.at != NumberToken<Unit>::kNowhere) {
      const std::size_t begin = joined_.size();
      joined_ += last.text;
      last.text = View<Unit>(joined_).substr(begin);
      last.at = NumberToken<Unit>::kNowhere;
    }
    joined_ += piece;
    last.text = {last.text.data(), last.text.size() + piece.size()};
  }

  View<Unit> text_;
  Text<Unit> joined_{};
  std::vector<NumberToken<Unit>> tokens_{};
  bool has_half_ = false;
};

// One or two of [0-9] from `at` and then no word character: how many, else 0.
template <class Unit>
std::size_t cents_at(View<Unit> text, std::size_t at) {
  std::size_t count = 0;
  while (count < 2 && at + count < text.size() && is_ascii_digit(text[at + count])) ++count;
  return count > 0 && no_word_at(text, at + count) ? count : 0;
}

// ([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b becomes \1\2.\3: "$2 and ¢7" is "$2.07".
template <class Unit>
void join_cents(Text<Unit>& s) {
  const View<Unit> text = s;
  if (text.find(Alphabet<Unit>::kCent) == View<Unit>::npos) return;
  Text<Unit> out;
  for (std::size_t i = 0; i < text.size();) {
    out += text[i];
    if (!is_money(text[i++])) continue;
    std::size_t end = i;
    while (end < text.size() && is_ascii_digit(text[end])) ++end;
    std::size_t cent = end + 1;
    if (end == i || end == text.size() || text[end] != Unit{' '}) continue;
    if (stands_at(text, cent, "and ")) cent += 4;
    if (cent >= text.size() || text[cent] != Alphabet<Unit>::kCent) continue;
    const std::size_t digits = cents_at(text, cent + 1);
    if (digits == 0) continue;
    out += text.substr(i, end - i);
    append_ascii(out, digits == 1 ? ".0" : ".");
    out += text.substr(cent + 1, digits);
    i = cent + 1 + digits;
  }
  s = std::move(out);
}

// [€£$]0.([0-9]{1,2})\b becomes ¢\1, without a leading zero. The point is any character there.
template <class Unit>
void extract_cents(Text<Unit>& s) {
  const View<Unit> text = s;
  if (!has_any(text, {Unit{'$'}, Alphabet<Unit>::kPound, Alphabet<Unit>::kEuro})) return;
  Text<Unit> out;
  for (std::size_t i = 0; i < text.size();) {
    const bool zero = is_money(text[i]) && stands_at(text, i + 1, "0");
    const std::size_t digits = zero ? cents_at(text, i + 3) : 0;
    if (digits == 0) {
      out += text[i++];
      continue;
    }
    out += Alphabet<Unit>::kCent;
    const bool leading = digits == 2 && text[i + 3] == Unit{'0'};
    out += text.substr(i + 3 + (leading ? 1 : 0), digits - (leading ? 1 : 0));
    i += 3 + digits;
  }
  s = std::move(out);
}

// \b1(s?)\b becomes one\1.
template <class Unit>
void spell_one(Text<Unit>& s) {
  const View<Unit> text = s;
  std::size_t at = text.find(Unit{'1'});
  if (at == View<Unit>::npos) return;
  Text<Unit> out;
  std::size_t copied = 0;
  for (; at != View<Unit>::npos; at = text.find(Unit{'1'}, at + 1)) {
    const std::size_t plural = stands_at(text, at + 1, "s") ? 1 : 0;
    if (!no_word_before(text, at) || !no_word_at(text, at + 1 + plural)) continue;
    out += text.substr(copied, at - copied);
    append_ascii(out, "one");
    copied = at + 1;
  }
  if (copied == 0) return;
  out += text.substr(copied);
  s = std::move(out);
}

}  // namespace

template <class Unit>
Result<Text<Unit>> standardize_numbers(View<Unit> text) {
  std::optional<Tokens<Unit>> tokens(std::in_place, text);
  Text<Unit> halved;
  if (tokens->has_half()) {
    halved = text;
    replace_halves(halved);
    text = halved;
    tokens.emplace(text);
  }
  Text<Unit> out;
  out.reserve(text.size() + 16);
  STRATA_CHECK_OK(NumberMachine<Unit>(text, out).run(tokens->list()));
  join_cents(out);
  extract_cents(out);
  spell_one(out);
  return out;
}

template Result<Text<char>> standardize_numbers(View<char>);
template Result<Text<char32_t>> standardize_numbers(View<char32_t>);

}  // namespace strata::evaluator
