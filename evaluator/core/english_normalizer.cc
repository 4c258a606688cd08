#include "evaluator/core/english_normalizer.h"

#include <algorithm>
#include <array>
#include <optional>

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
constexpr std::size_t kWholeWordMin = 2;
constexpr std::size_t kWholeWordMax = 7;

// Finds a whole word by its bytes as one number.
class WholeWords {
 public:
  WholeWords() {
    for (const WholeWord& one : kWholeWords) {
      std::size_t at = slot_of(packed_word(one.word));
      while (slots_[at].key != 0) at = (at + 1) % kSlots;
      slots_[at] = {packed_word(one.word), &one};
    }
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
  std::array<Slot, kSlots> slots_{};
};

std::uint64_t key_of(View<char> word) { return packed_word(word); }
// 0, the key of no word, where it is not ASCII.
std::uint64_t key_of(View<char32_t> word) {
  std::uint64_t key = 0;
  for (std::size_t i = word.size(); i-- > 0;) {
    if (word[i] >= 0x80) return 0;
    key = key << 8U | word[i];
  }
  return key;
}

enum class Which { kFillers, kOthers, kAll };

// All patterns of this kind at once: none makes or breaks a word of another.
template <class Unit>
void replace_whole_words(Text<Unit>& text, Text<Unit>& spare, Which which) {
  static const WholeWords kWords;
  spare.clear();
  std::size_t copied = 0;
  const std::size_t size = text.size();
  for (std::size_t at = 0; at < size; ++at) {
    if (!Alphabet<Unit>::is_word(text[at])) continue;
    const std::size_t begin = at;
    while (at < size && Alphabet<Unit>::is_word(text[at])) ++at;
    const std::size_t length = at - begin;
    if (length < kWholeWordMin || length > kWholeWordMax) continue;
    const WholeWord* found = kWords.find(key_of(View<Unit>(text).substr(begin, length)));
    if (found == nullptr) continue;
    const bool filler = found->replacement.empty();
    if ((filler && which == Which::kOthers) || (!filler && which == Which::kFillers)) continue;
    spare.append(text, copied, begin - copied);
    append_ascii(spare, found->replacement);
    copied = at;
  }
  if (copied == 0) return;
  spare.append(text, copied);
  std::swap(text, spare);
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

// Steps 3 to 6 of the original: fillers, contractions, titles.
template <class Unit>
void replace_words(Text<Unit>& text) {
  Text<Unit> spare;
  if (text.find(Unit{'\''}) == Text<Unit>::npos) {
    return replace_whole_words(text, spare, Which::kAll);
  }
  replace_whole_words(text, spare, Which::kFillers);
  join_apostrophes(text);
  replace_whole_words(text, spare, Which::kOthers);
  for (const Contraction& one : kContractions) replace_contraction(text, spare, one);
}

// (\d),(\d) becomes \1\2. A match takes its digits with it: of "1,2,3" the first comma goes only.
// Then \.([^0-9]|$) becomes a space and \1. In place.
template <class Unit>
void join_digits_and_end_sentences(Text<Unit>& text) {
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
  for (char& c : text) {
    if (narrow::is(c, narrow::kDropped)) c = ' ';
  }
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
  const std::size_t size = text.size();
  if (std::ranges::any_of(text, sign)) {
    for (std::size_t i = 0; i + 1 < size; ++i) {
      if (!sign(text[i]) || is_ascii_digit(text[i + 1])) continue;
      text[i] = Unit{' '};
      ++i;
    }
  }
  if (text.find(Unit{'%'}) != Text<Unit>::npos) {
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

// The alphabet of single bytes, lower case; nothing where the text needs more.
std::optional<std::string> narrowed(std::string_view bytes) {
  std::string text(bytes.size(), '\0');
  std::size_t end = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (static_cast<unsigned char>(c) < 0x80) {
      text[end++] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
      continue;
    }
    const std::string_view rest = bytes.substr(i);
    if (rest.starts_with("\u00A2")) {
      text[end++] = narrow::kCent;
      i += 1;
    } else if (rest.starts_with("\u00A3")) {
      text[end++] = narrow::kPound;
      i += 1;
    } else if (rest.starts_with("\u20AC")) {
      text[end++] = narrow::kEuro;
      i += 2;
    } else if (rest.starts_with("\u2018") || rest.starts_with("\u2019") ||
               rest.starts_with("\u201C") || rest.starts_with("\u201D") ||
               rest.starts_with("\u2013") || rest.starts_with("\u2014")) {
      text[end++] = narrow::kSymbol;
      i += 2;
    } else {
      return std::nullopt;
    }
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
  const auto foreign = [](char c) { return static_cast<unsigned char>(c) >= 0x80; };
  if (std::ranges::none_of(text, foreign)) return text;
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
