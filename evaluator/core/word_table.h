// The words of a text as jiwer 4.0 cuts them, as views into it, and numbers for equal words: the
// alignment compares numbers only. Nothing is copied, so the texts must outlive what is made of
// them here. Pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace strata::evaluator {

inline constexpr std::size_t kTextBytesMax = 1U << 30U;  // of one text: lengths are 32 bits

// Most words are no longer than their head, and then it is all that a comparison looks at.
struct Word {
  std::uint64_t head = 0;  // the first eight bytes, zeros where the word is shorter
  const char* data = nullptr;
  std::uint32_t length = 0;  // in bytes

  [[nodiscard]] std::string_view text() const { return {data, length}; }
  bool operator==(const Word& other) const {
    return head == other.head && length == other.length && (length <= 8 || text() == other.text());
  }
};

// jiwer's default word split: runs of two or more white-space characters become one space, the ends
// are stripped, then the text is cut at U+0020. A lone tab or no-break space inside a word
// therefore does not cut it. `words` is overwritten. Invalid UTF-8 is an error that names the byte.
[[nodiscard]] Status cut_words(std::string_view text, std::vector<Word>& words);

// A hash table that keeps its memory when it is emptied, which takes no time.
class WordTable {
 public:
  void clear();
  // Words count from 0 in the order in which they first came.
  std::uint32_t add(const Word& word);
  // size() for a word that is not there.
  [[nodiscard]] std::uint32_t find(const Word& word) const;
  [[nodiscard]] std::uint32_t size() const { return size_; }

 private:
  struct Slot {
    Word word{};
    std::uint32_t number = 0;
    std::uint32_t epoch = 0;  // another one than the table's: free
  };
  [[nodiscard]] std::size_t place_of(const Word& word) const;
  void grow();

  std::vector<Slot> slots_ = std::vector<Slot>(kSlotsFirst);
  std::uint32_t size_ = 0;
  std::uint32_t epoch_ = 1;

  static constexpr std::size_t kSlotsFirst = 128;  // 4 KiB; always a power of two
};

}  // namespace strata::evaluator
