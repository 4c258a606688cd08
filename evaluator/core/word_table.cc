#include "evaluator/core/word_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/utf8.h"
#include "evaluator/core/unicode.h"

namespace strata::evaluator {
namespace {

// Byte i of a text is bits 8 i .. 8 i + 7 of a loaded word below.
static_assert(std::endian::native == std::endian::little);

constexpr std::size_t kBlock = 64;  // bytes looked at together: a bit each
constexpr std::uint64_t kEach = 0x0101010101010101U;
constexpr std::uint64_t kHigh = kEach * 0x80U;

std::uint64_t load(const char* bytes) {
  std::uint64_t eight = 0;
  std::memcpy(&eight, bytes, sizeof eight);
  return eight;
}

// The high bits of eight bytes, side by side.
std::uint64_t gather(std::uint64_t high) { return ((high >> 7U) * 0x0102040810204080U) >> 56U; }

std::uint64_t where_space(std::uint64_t eight) {
  const std::uint64_t x = eight ^ (kEach * ' ');
  return gather(~(((x & ~kHigh) + ~kHigh) | x | ~kHigh));
}

// Control characters, some of which are white space, and everything beyond ASCII.
bool has_special(std::uint64_t eight) {
  return ((eight | ~((eight & ~kHigh) + kEach * (0x80U - ' '))) & kHigh) != 0;
}

class Cutter {
 public:
  Cutter(std::string_view text, std::vector<Word>& words) : text_(text), words_(words) {}

  // Without special characters every space cuts, and nothing else does. False where there are some;
  // the words so far are then worthless.
  bool cut_plain() {
    std::uint64_t inside = 0;  // 1: the block before ended inside a word
    std::size_t begin = 0;
    for (std::size_t base = 0; base < text_.size(); base += kBlock) {
      const char* bytes = text_.data() + base;
      std::array<char, kBlock> last;
      if (text_.size() - base < kBlock) {
        last.fill(' ');
        std::memcpy(last.data(), bytes, text_.size() - base);
        bytes = last.data();
      }
      std::uint64_t spaces = 0;
      bool special = false;
      for (std::size_t i = 0; i < kBlock / 8; ++i) {
        const std::uint64_t eight = load(bytes + i * 8);
        spaces |= where_space(eight) << (i * 8);
        special |= has_special(eight);
      }
      if (special) return false;
      // A set bit where a word begins, and behind its end.
      std::uint64_t edges = ~spaces ^ (~spaces << 1U | inside);
      while (edges != 0) {
        const auto at = base + static_cast<std::size_t>(std::countr_zero(edges));
        edges &= edges - 1;
        if (inside == 0) begin = at;
        if (inside != 0) emit(begin, at);
        inside ^= 1U;
      }
    }
    if (inside != 0) emit(begin, text_.size());
    return true;
  }

  Status cut_any() {
    constexpr std::size_t kNone = std::string_view::npos;
    std::size_t word = kNone;  // where the open one begins
    std::size_t run = kNone;   // where the white space before `at` begins
    bool cuts = false;         // does that run cut?
    for (std::size_t at = 0; at < text_.size();) {
      const CodePoint c = first_code_point(text_.substr(at));
      if (!c.ok) return fail(ErrorCode::kInvalid, "invalid UTF-8 at byte {}", at);
      const bool between = c.point > 0x20 && c.point < 0x85;  // in no range of white space
      if (!between && is_python_space(c.point)) {
        cuts = run != kNone || c.point == U' ';
        if (run == kNone) run = at;
      } else {
        if (word == kNone || (run != kNone && cuts)) {
          if (word != kNone) emit(word, run);
          word = at;
        }
        run = kNone;
      }
      at += c.length;
    }
    if (word != kNone) emit(word, std::min(run, text_.size()));
    return {};
  }

 private:
  void emit(std::size_t begin, std::size_t end) {
    const char* data = text_.data() + begin;
    const std::size_t length = end - begin;
    std::uint64_t head = 0;
    if (begin + sizeof head <= text_.size()) {
      head = load(data);
      if (length < 8) head &= (1ULL << (length * 8)) - 1;
    } else {
      std::memcpy(&head, data, std::min<std::size_t>(length, 8));
    }
    words_.push_back({head, data, static_cast<std::uint32_t>(length)});
  }

  std::string_view text_;
  std::vector<Word>& words_;
};

// Multiplications spread to the high bits; the place is taken from there.
std::uint64_t hash_of(const Word& word) {
  constexpr std::uint64_t kSpread = 0x9E3779B97F4A7C15U;
  std::uint64_t hash = (word.head ^ word.length) * kSpread;
  if (word.length > 8) {
    const char* end = word.data + word.length;
    for (const char* at = word.data + 8; at + 8 < end; at += 8) {
      hash = (std::rotr(hash, 32) ^ load(at)) * kSpread;
    }
    hash = (std::rotr(hash, 32) ^ load(end - 8)) * kSpread;
  }
  return (hash ^ hash >> 32U) * kSpread >> 32U;
}

}  // namespace

Status cut_words(std::string_view text, std::vector<Word>& words) {
  if (text.size() > kTextBytesMax) {
    return fail(ErrorCode::kTooLarge,
                "a text of {} bytes: the limit is {}; split it into utterances", text.size(),
                kTextBytesMax);
  }
  words.clear();
  Cutter cutter(text, words);
  if (cutter.cut_plain()) return {};
  words.clear();
  return cutter.cut_any();
}

void WordTable::clear() {
  size_ = 0;
  if (++epoch_ == 0) {
    std::ranges::fill(slots_, Slot{});
    epoch_ = 1;
  }
}

std::size_t WordTable::place_of(const Word& word) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t place = hash_of(word) & mask;
  while (slots_[place].epoch == epoch_ && slots_[place].word != word) place = (place + 1) & mask;
  return place;
}

std::uint32_t WordTable::add(const Word& word) {
  std::size_t place = place_of(word);
  if (slots_[place].epoch == epoch_) return slots_[place].number;
  if (std::size_t{size_} * 2 >= slots_.size()) {
    grow();
    place = place_of(word);
  }
  slots_[place] = {word, size_, epoch_};
  return size_++;
}

std::uint32_t WordTable::find(const Word& word) const {
  const Slot& slot = slots_[place_of(word)];
  return slot.epoch == epoch_ ? slot.number : size_;
}

void WordTable::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  std::swap(old, slots_);
  for (const Slot& slot : old) {
    if (slot.epoch == epoch_) slots_[place_of(slot.word)] = slot;
  }
}

}  // namespace strata::evaluator
