#include "evaluator/core/english_normalizer.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "base/utf8.h"
#include "evaluator/core/brackets.h"
#include "evaluator/core/english_alphabet.h"
#include "evaluator/core/english_words.h"
#include "evaluator/core/number_normalizer.h"

namespace strata::evaluator {
namespace {

template <class Unit>
using Text = std::basic_string<Unit>;
template <class Unit>
using View = std::basic_string_view<Unit>;

// A whole word (\bword\b) and what stands for it.
struct WholeWord {
  std::string_view word{};
  std::string_view replacement{};
};

// Titles bring a space with them; several are squeezed at the end.
constexpr std::array<WholeWord, 34> kWholeWords{{{"hmm", ""},
                                                 {"mm", ""},
                                                 {"mhm", ""},
                                                 {"mmm", ""},
                                                 {"uh", ""},
                                                 {"um", ""},
                                                 {"wanna", "want to"},
                                                 {"gotta", "got to"},
                                                 {"gonna", "going to"},
                                                 {"imma", "i am going to"},
                                                 {"woulda", "would have"},
                                                 {"coulda", "could have"},
                                                 {"shoulda", "should have"},
                                                 {"mr", "mister "},
                                                 {"mrs", "missus "},
                                                 {"st", "saint "},
                                                 {"dr", "doctor "},
                                                 {"prof", "professor "},
                                                 {"capt", "captain "},
                                                 {"gov", "governor "},
                                                 {"ald", "alderman "},
                                                 {"gen", "general "},
                                                 {"sen", "senator "},
                                                 {"rep", "representative "},
                                                 {"pres", "president "},
                                                 {"rev", "reverend "},
                                                 {"hon", "honorable "},
                                                 {"asst", "assistant "},
                                                 {"assoc", "associate "},
                                                 {"lt", "lieutenant "},
                                                 {"col", "colonel "},
                                                 {"jr", "junior "},
                                                 {"sr", "senior "},
                                                 {"esq", "esquire "}}};
constexpr std::size_t kWholeWordMax = 7;

// Finds a whole word by its bytes as one number.
class WholeWords {
 public:
  WholeWords() {
    for (const WholeWord& one : kWholeWords) {
      std::size_t at = slot_of(packed_word(one.word));
      while (slots_[at].key != 0) at = (at + 1) % kSlots;
      slots_[at] = {packed_word(one.word), &one};
      lengths_[static_cast<unsigned char>(one.word[0])] |=
          static_cast<std::uint8_t>(1U << one.word.size());
    }
  }
  // Whether one begins so and is as long: most words are none, and are known by this.
  template <class Unit>
  [[nodiscard]] bool may_be(Unit first, std::size_t length) const {
    return first < 0x80 && (lengths_[static_cast<std::size_t>(first)] >> length & 1U) != 0;
  }
  [[nodiscard]] const WholeWord* find(std::uint64_t key) const {
    for (std::size_t at = slot_of(key); slots_[at].key != 0; at = (at + 1) % kSlots) {
      if (slots_[at].key == key) return slots_[at].word;
    }
    return nullptr;
  }

 private:
  struct Slot {
    std::uint64_t key = 0;
    const WholeWord* word = nullptr;
  };
  static constexpr std::size_t kSlots = 256;
  static std::size_t slot_of(std::uint64_t key) {
    return static_cast<std::size_t>(key * 0x9E3779B97F4A7C15ULL >> 56U);
  }
  static_assert(kWholeWordMax < 8);
  std::array<Slot, kSlots> slots_{};
  std::array<std::uint8_t, 128> lengths_{};  // a bit for each
};

std::uint64_t key_of(View<char> text, std::size_t at, std::size_t size) {
  return packed_word_at(text, at, size);
}
// 0, the key of no word, where it is not ASCII.
std::uint64_t key_of(View<char32_t> text, std::size_t at, std::size_t size) {
  std::uint64_t key = 0;
  for (std::size_t i = at + size; i-- > at;) {
    if (text[i] >= 0x80) return 0;
    key = key << 8U | text[i];
  }
  return key;
}

enum class Which { kFillers, kOthers, kAll };

// All patterns of this kind at once: none makes or breaks a word of another. True if there were
// words of the other kind.
template <class Unit>
bool replace_whole_words(Text<Unit>& text, Text<Unit>& spare, Which which) {
  static const WholeWords kWords;
  spare.clear();
  std::size_t copied = 0;
  bool others = false;
  const std::size_t size = text.size();
  for (std::size_t at = 0; at < size; ++at) {
    if (!Alphabet<Unit>::is_word(text[at])) continue;
    const std::size_t begin = at;
    while (at < size && Alphabet<Unit>::is_word(text[at])) ++at;
    const std::size_t length = at - begin;
    if (length > kWholeWordMax || !kWords.may_be(text[begin], length)) continue;
    const WholeWord* found = kWords.find(key_of(View<Unit>(text), begin, length));
    if (found == nullptr) continue;
    const bool filler = found->replacement.empty();
    if ((filler && which == Which::kOthers) || (!filler && which == Which::kFillers)) {
      others = true;
      continue;
    }
    spare.append(text, copied, begin - copied);
    append_ascii(spare, found->replacement);
    copied = at;
  }
  if (copied == 0) return others;
  spare.append(text, copied);
  std::swap(text, spare);
  return others;
}

// A pattern with one apostrophe; it ends, and with `starts_word` begins, at the edge of a word.
struct Contraction {
  std::string_view pattern{};
  std::string_view replacement{};
  bool starts_word = false;
};

// In the order of the original, which counts: what one leaves, the next sees.
constexpr std::array<Contraction, 21> kContractions{{{"won't", "will not", true},
                                                     {"can't", "can not", true},
                                                     {"let's", "let us", true},
                                                     {"ain't", "aint", true},
                                                     {"y'all", "you all", true},
                                                     {"i'ma", "i am going to", true},
                                                     {"ma'am", "madam", true},
                                                     {"'d been", " had been"},
                                                     {"'s been", " has been"},
                                                     {"'d gone", " had gone"},
                                                     {"'s gone", " has gone"},
                                                     {"'d done", " had done"},
                                                     {"'s got", " has got"},
                                                     {"n't", " not"},
                                                     {"'re", " are"},
                                                     {"'s", " is"},
                                                     {"'d", " would"},
                                                     {"'ll", " will"},
                                                     {"'t", " not"},
                                                     {"'ve", " have"},
                                                     {"'m", " am"}}};

template <class Unit>
void replace_contraction(Text<Unit>& text, Text<Unit>& spare, const Contraction& one) {
  const View<Unit> view = text;
  const std::size_t before = one.pattern.find('\'');
  std::size_t copied = 0;
  spare.clear();
  for (std::size_t at = view.find(Unit{'\''}); at != View<Unit>::npos;
       at = view.find(Unit{'\''}, at + 1)) {
    if (at < copied + before) continue;
    const std::size_t begin = at - before;
    if (!stands_at(view, begin, one.pattern)) continue;
    const std::size_t end = begin + one.pattern.size();
    if (!no_word_at(view, end) || (one.starts_word && !no_word_before(view, begin))) continue;
    spare += view.substr(copied, begin - copied);
    append_ascii(spare, one.replacement);
    copied = end;
  }
  if (copied == 0) return;
  spare += view.substr(copied);
  std::swap(text, spare);
}

// \s+' becomes '.
template <class Unit>
void join_apostrophes(Text<Unit>& text) {
  std::size_t end = 0;
  for (const Unit c : text) {
    if (c == Unit{'\''}) {
      while (end > 0 && Alphabet<Unit>::is_space(text[end - 1])) --end;
    }
    text[end++] = c;
  }
  text.resize(end);
}

constexpr std::uint32_t letter_bit(char c) {
  return std::uint32_t{1} << static_cast<unsigned>(c - 'a');
}

// As bits. No contraction brings an apostrophe, or a letter behind one, so those that are none of
// these can be left out.
template <class Unit>
std::uint32_t letters_after_apostrophes(View<Unit> text) {
  std::uint32_t letters = 0;
  for (std::size_t at = text.find(Unit{'\''}); at != View<Unit>::npos;
       at = text.find(Unit{'\''}, at + 1)) {
    if (at + 1 < text.size() && is_ascii_lower(text[at + 1]))
      letters |= letter_bit(static_cast<char>(text[at + 1]));
  }
  return letters;
}

// Steps 3 to 6 of the original: fillers, contractions, titles.
template <class Unit>
void replace_words(Text<Unit>& text) {
  Text<Unit> spare;
  if (text.find(Unit{'\''}) == Text<Unit>::npos) {
    replace_whole_words(text, spare, Which::kAll);
    return;
  }
  const bool others = replace_whole_words(text, spare, Which::kFillers);
  join_apostrophes(text);
  if (others) replace_whole_words(text, spare, Which::kOthers);
  const std::uint32_t after = letters_after_apostrophes<Unit>(text);
  for (const Contraction& one : kContractions) {
    if ((after & letter_bit(one.pattern[one.pattern.find('\'') + 1])) != 0)
      replace_contraction(text, spare, one);
  }
}

// (\d),(\d) becomes \1\2. A match takes its digits with it: of "1,2,3" the first comma goes only.
// Then \.([^0-9]|$) becomes a space and \1. In place.
template <class Unit>
void join_digits_and_end_sentences(Text<Unit>& text) {
  if (!has_any<Unit>(text, {Unit{','}, Unit{'.'}})) return;
  const auto digit = [](Unit c) { return Alphabet<Unit>::decimal(c) >= 0; };
  std::size_t end = 0;
  std::size_t consumed = 0;
  const std::size_t size = text.size();
  for (std::size_t i = 0; i < size; ++i) {
    const Unit c = text[i];
    if (c == Unit{','} && i > consumed && i + 1 < size && digit(text[i - 1]) &&
        digit(text[i + 1])) {
      text[end++] = text[i + 1];
      ++i;
      consumed = i + 1;
    } else if (c == Unit{'.'} && (i + 1 == size || !is_ascii_digit(text[i + 1]))) {
      text[end++] = Unit{' '};
      if (i + 1 < size) text[end++] = text[++i];
    } else {
      text[end++] = c;
    }
  }
  text.resize(end);
}

// Letters that NFKD leaves whole.
std::string_view plain_letters(char32_t point) {
  switch (point) {
    case U'\u0153': return "oe";
    case U'\u0152': return "OE";
    case U'\u00F8': return "o";
    case U'\u00D8': return "O";
    case U'\u00E6': return "ae";
    case U'\u00C6': return "AE";
    case U'\u00DF': return "ss";
    case U'\u1E9E': return "SS";
    case U'\u0111':
    case U'\u00F0': return "d";
    case U'\u0110':
    case U'\u00D0': return "D";
    case U'\u00FE':
    case U'\u00DE': return "th";
    case U'\u0142': return "l";
    case U'\u0141': return "L";
    default: return "";
  }
}

void remove_symbols(std::string& text) {
  for (char& c : text) c = narrow::kWithoutSymbols[static_cast<unsigned char>(c)];
}

void remove_symbols(std::u32string& text) {
  std::u32string out;
  out.reserve(text.size());
  for (const char32_t point : normal_form_kd(text)) {
    if (point < 0x80) {
      out += narrow::is(static_cast<char>(point), narrow::kDropped) ? U' ' : point;
    } else if (point == Alphabet<char32_t>::kCent || is_money(point)) {
      out += point;
    } else if (const auto letters = plain_letters(point); !letters.empty()) {
      append_ascii(out, letters);
    } else if (!is_nonspacing_mark(point)) {
      const char category = major_category(point);
      out += category == 'M' || category == 'S' || category == 'P' ? U' ' : point;
    }
  }
  text = std::move(out);
}

// [.$¢€£]([^0-9]) becomes a space and \1; ([^0-9])% becomes \1 and a space; then white space is
// squeezed. Every match takes both of its characters with it.
template <class Unit>
Text<Unit> finish(Text<Unit> text) {
  const auto sign = [](Unit c) {
    return c == Unit{'.'} || c == Alphabet<Unit>::kCent || is_money(c);
  };
  const bool has_sign = has_any<Unit>(text, {Unit{'.'}, Unit{'$'}, Alphabet<Unit>::kCent,
                                             Alphabet<Unit>::kPound, Alphabet<Unit>::kEuro});
  const bool has_percent = has_any<Unit>(text, {Unit{'%'}});
  if (!has_sign && !has_percent) return text;  // and one space between words already
  const std::size_t size = text.size();
  if (has_sign) {
    for (std::size_t i = 0; i + 1 < size; ++i) {
      if (!sign(text[i]) || is_ascii_digit(text[i + 1])) continue;
      text[i] = Unit{' '};
      ++i;
    }
  }
  if (has_percent) {
    for (std::size_t i = 0; i + 1 < size; ++i) {
      if (is_ascii_digit(text[i]) || text[i + 1] != Unit{'%'}) continue;
      text[++i] = Unit{' '};
    }
  }
  std::size_t end = 0;
  for (const Unit c : text) {
    if (c != Unit{' '} || end == 0 || text[end - 1] != Unit{' '}) text[end++] = c;
  }
  text.resize(end);
  return text;
}

template <class Unit>
Result<Text<Unit>> numbers_and_end(const Text<Unit>& text) {
  STRATA_TRY(Text<Unit> words, standardize_numbers<Unit>(text));
  return finish(std::move(words));
}

// All but lower case, numbers and the end.
template <class Unit>
void clean(Text<Unit>& text) {
  drop_brackets(text);
  drop_parentheses(text);
  replace_words(text);
  join_digits_and_end_sentences(text);
  remove_symbols(text);
}

// Eight characters of ASCII as one number, made small letters.
std::uint64_t lowered(std::uint64_t eight) {
  constexpr std::uint64_t kEach = 0x0101010101010101ULL;
  // The high bit of each byte says: from 'A' on, and: above 'Z'. No sum leaves its byte.
  const std::uint64_t from_a = eight + kEach * (0x80 - 'A');
  const std::uint64_t above_z = eight + kEach * (0x80 - 'Z' - 1);
  return eight | ((from_a & ~above_z & kEach * 0x80) >> 2U);
}
constexpr std::uint64_t kHighBits = 0x8080808080808080ULL;

std::uint64_t eight_at(std::string_view bytes, std::size_t at) {
  std::uint64_t eight = 0;
  std::memcpy(&eight, bytes.data() + at, sizeof(eight));
  return eight;
}

struct Narrowing {
  char unit = 0;
  std::size_t length = 0;  // of the UTF-8; 0: it has no place in the alphabet of single bytes
};

Narrowing narrowing_of(std::string_view rest) {
  const unsigned char lead = static_cast<unsigned char>(rest[0]);
  if (lead < 0x80)
    return {rest[0] >= 'A' && rest[0] <= 'Z' ? static_cast<char>(rest[0] + ('a' - 'A')) : rest[0],
            1};
  if (rest.starts_with("\u00A2")) return {narrow::kCent, 2};
  if (rest.starts_with("\u00A3")) return {narrow::kPound, 2};
  if (rest.starts_with("\u20AC")) return {narrow::kEuro, 3};
  for (const char* symbol : {"\u2018", "\u2019", "\u201C", "\u201D", "\u2013", "\u2014"}) {
    if (rest.starts_with(symbol)) return {narrow::kSymbol, 3};
  }
  return {};
}

// The alphabet of single bytes, lower case; nothing where the text needs more.
std::optional<std::string> narrowed(std::string_view bytes) {
  std::string text(bytes.size(), '\0');
  std::size_t end = 0;
  for (std::size_t i = 0; i < bytes.size();) {
    if (bytes.size() - i >= 8) {
      if (const std::uint64_t eight = eight_at(bytes, i); (eight & kHighBits) == 0) {
        const std::uint64_t small = lowered(eight);
        std::memcpy(text.data() + end, &small, sizeof(small));
        end += 8;
        i += 8;
        continue;
      }
    }
    const Narrowing one = narrowing_of(bytes.substr(i));
    if (one.length == 0) return std::nullopt;
    text[end++] = one.unit;
    i += one.length;
  }
  text.resize(end);
  return text;
}

// Of a text without capitals to make small: after step 9 capitals stay.
std::optional<std::string> narrowed(std::u32string_view points) {
  std::string text;
  text.reserve(points.size());
  for (const char32_t point : points) {
    if (point < 0x80) {
      text += static_cast<char>(point);
    } else if (point == Alphabet<char32_t>::kCent) {
      text += narrow::kCent;
    } else if (point == Alphabet<char32_t>::kPound) {
      text += narrow::kPound;
    } else if (point == Alphabet<char32_t>::kEuro) {
      text += narrow::kEuro;
    } else {
      return std::nullopt;
    }
  }
  return text;
}

std::string widened(std::string text) {
  if (!has_any<char>(text, {narrow::kCent, narrow::kPound, narrow::kEuro})) return text;
  std::string out;
  out.reserve(text.size() + 16);
  for (const char c : text) {
    switch (c) {
      case narrow::kCent: out += "\u00A2"; break;
      case narrow::kPound: out += "\u00A3"; break;
      case narrow::kEuro: out += "\u20AC"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace

Result<std::string> normalize_english(std::string_view bytes) {
  std::optional<std::string> text = narrowed(bytes);
  if (text) {
    clean(*text);
  } else {
    STRATA_TRY(const std::u32string points, decode_utf8(bytes));
    std::u32string wide = python_lower(points);
    clean(wide);
    text = narrowed(wide);
    if (!text) {
      STRATA_TRY(const std::u32string words, numbers_and_end(wide));
      return encode_utf8(words);
    }
  }
  STRATA_TRY(std::string words, numbers_and_end(*text));
  return widened(std::move(words));
}

}  // namespace strata::evaluator
