#include "evaluator/core/english_words.h"

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "base/assert.h"
#include "evaluator/core/english_alphabet.h"

namespace strata::evaluator {
namespace {

#include "evaluator/core/english_spelling.inc"

constexpr unsigned kSlotBits = 12;  // half of the slots are filled
constexpr std::size_t kSlots = std::size_t{1} << kSlotBits;
constexpr std::size_t kLongestWord = 20;

// The words are many times as large as this: most questions end here.
struct Slot {
  std::uint16_t tag = 0;
  std::uint16_t entry = 0;  // 0: empty
};

std::uint64_t hash_of(std::string_view word, std::uint64_t packed) {
  std::uint64_t mixed = packed;
  if (word.size() > 8) {
    const std::uint64_t tail = packed_word(word.substr(word.size() - 8));
    mixed ^= (tail << 23U | tail >> 41U) + word.size();
  }
  return mixed * 0x9E3779B97F4A7C15ULL;
}

std::size_t slot_of(std::uint64_t hash) {
  return static_cast<std::size_t>(hash >> (64U - kSlotBits));
}
std::uint16_t tag_of(std::uint64_t hash) { return static_cast<std::uint16_t>(hash >> 32U); }

class Words {
 public:
  Words() {
    owned_.reserve(kNumberWordsMax);
    add_ones();
    add_tens();
    add_multipliers();
    add_others();
    add_spellings();
  }

  [[nodiscard]] const EnglishWord* find(std::string_view word, std::uint64_t packed) const {
    const std::uint64_t hash = hash_of(word, packed);
    for (std::size_t at = slot_of(hash);; at = (at + 1) % kSlots) {
      const Slot slot = slots_[at];
      if (slot.entry == 0) return nullptr;
      if (slot.tag == tag_of(hash) && entries_[slot.entry].text == word)
        return &entries_[slot.entry];
    }
  }

 private:
  static constexpr std::size_t kNumberWordsMax = 256;

  void put(const EnglishWord& word) {
    STRATA_ASSERT(!word.text.empty());
    STRATA_ASSERT(word.text.size() <= kLongestWord);
    STRATA_ASSERT(find(word.text, packed_word(word.text)) == nullptr);
    STRATA_ASSERT(entries_.size() < kSlots);
    const std::uint64_t hash = hash_of(word.text, packed_word(word.text));
    std::size_t at = slot_of(hash);
    while (slots_[at].entry != 0) at = (at + 1) % kSlots;
    slots_[at] = {.tag = tag_of(hash), .entry = static_cast<std::uint16_t>(entries_.size())};
    entries_.push_back(word);
  }

  void number(std::string text, NumberWord kind, int value, std::string_view suffix = "") {
    STRATA_ASSERT(owned_.size() < kNumberWordsMax);
    owned_.push_back(std::move(text));
    put({.text = owned_.back(), .number = kind, .value = value, .suffix = suffix});
  }

  void add_ones() {
    for (const char* zero : {"o", "oh", "zero"}) number(zero, NumberWord::kZero, 0);
    constexpr std::array<std::string_view, 19> kOnes{
        "one",     "two",     "three",     "four",     "five",    "six",      "seven",
        "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen", "fourteen",
        "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
    number("zeroth", NumberWord::kOnesSuffixed, 0, "th");
    for (std::size_t i = 0; i < kOnes.size(); ++i) {
      const int value = static_cast<int>(i) + 1;
      const std::string name(kOnes[i]);
      number(name, NumberWord::kOnes, value);
      number(name + (value == 6 ? "es" : "s"), NumberWord::kOnesSuffixed, value, "s");
      switch (value) {
        case 1: number("first", NumberWord::kOnesSuffixed, value, "st"); break;
        case 2: number("second", NumberWord::kOnesSuffixed, value, "nd"); break;
        case 3: number("third", NumberWord::kOnesSuffixed, value, "rd"); break;
        case 5: number("fifth", NumberWord::kOnesSuffixed, value, "th"); break;
        case 12: number("twelfth", NumberWord::kOnesSuffixed, value, "th"); break;
        default:  // "nineth" is what the original knows; "ninth" is none of its words
          number(name + (name.ends_with("t") ? "h" : "th"), NumberWord::kOnesSuffixed, value, "th");
      }
    }
  }

  void add_tens() {
    constexpr std::array<std::string_view, 8> kTens{"twent", "thirt",  "fort",  "fift",
                                                    "sixt",  "sevent", "eight", "ninet"};
    for (std::size_t i = 0; i < kTens.size(); ++i) {
      const int value = 10 * (static_cast<int>(i) + 2);
      const std::string stem(kTens[i]);
      number(stem + "y", NumberWord::kTens, value);
      number(stem + "ies", NumberWord::kTensSuffixed, value, "s");
      number(stem + "ieth", NumberWord::kTensSuffixed, value, "th");
    }
  }

  void add_multipliers() {
    constexpr std::array<std::string_view, 12> kNames{
        "hundred",     "thousand",   "million",    "billion",   "trillion",  "quadrillion",
        "quintillion", "sextillion", "septillion", "octillion", "nonillion", "decillion"};
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      const int power = i == 0 ? 2 : 3 * static_cast<int>(i);
      const std::string name(kNames[i]);
      number(name, NumberWord::kMultiplier, power);
      number(name + "s", NumberWord::kMultiplierSuffixed, power, "s");
      number(name + "th", NumberWord::kMultiplierSuffixed, power, "th");
    }
  }

  void add_others() {
    const auto sign = [this](std::string_view text, NumberWord kind, char c) {
      put({.text = text, .number = kind, .sign = c});
    };
    for (const char* text : {"minus", "negative"}) sign(text, NumberWord::kSign, '-');
    for (const char* text : {"plus", "positive"}) sign(text, NumberWord::kSign, '+');
    for (const char* text : {"pound", "pounds"}) sign(text, NumberWord::kUnit, narrow::kPound);
    for (const char* text : {"euro", "euros"}) sign(text, NumberWord::kUnit, narrow::kEuro);
    for (const char* text : {"dollar", "dollars"}) sign(text, NumberWord::kUnit, '$');
    for (const char* text : {"cent", "cents"}) sign(text, NumberWord::kUnit, narrow::kCent);
    number("per", NumberWord::kPer, 0);
    number("percent", NumberWord::kPercent, 0);
    number("and", NumberWord::kAnd, 0);
    number("double", NumberWord::kRepeat, 2);
    number("triple", NumberWord::kRepeat, 3);
    number("point", NumberWord::kPoint, 0);
  }

  void add_spellings() {
    std::string_view rest = kSpelling;
    const auto next = [&rest] {
      const std::size_t end = rest.find(' ');
      const std::string_view word = rest.substr(0, end);
      rest.remove_prefix(end + 1);
      return word;
    };
    for (std::size_t i = 0; i < kSpellingPairs; ++i) {
      const std::string_view british = next();
      put({.text = british, .american = next()});
    }
    STRATA_ASSERT(rest.empty());
  }

  std::vector<std::string> owned_;
  std::vector<EnglishWord> entries_ = std::vector<EnglishWord>(1);  // the first is nobody's
  std::vector<Slot> slots_ = std::vector<Slot>(kSlots);
};

}  // namespace

const EnglishWord* find_english_word(std::string_view word, std::uint64_t packed) {
  static const Words kWords;
  if (word.empty() || word.size() > kLongestWord) return nullptr;
  return kWords.find(word, packed);
}

}  // namespace strata::evaluator
