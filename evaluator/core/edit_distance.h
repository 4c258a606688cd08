// Word and character error counts with the alignment that jiwer 4.0.0 reports. Only the total of an
// alignment is unique, its split into substitutions, deletions and insertions is not; so the rule
// of the RapidFuzz core is followed exactly, for long pairs too (docs/evaluation.md, "Which
// alignment"). Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "evaluator/core/alignment.h"
#include "evaluator/core/word_table.h"

namespace strata::evaluator {

// Words, or characters, of one side of a pair. Memory grows with their number (up to 3 GiB for a
// pair of so many words, all different), time with their number times that of the errors.
inline constexpr std::size_t kSymbolsMax = 1U << 24U;

// A run of one kind: reference [ref_begin, ref_end) against hypothesis [hyp_begin, hyp_end).
struct Chunk {
  Edit edit = Edit::kHit;
  std::size_t ref_begin = 0;
  std::size_t ref_end = 0;
  std::size_t hyp_begin = 0;
  std::size_t hyp_end = 0;
  bool operator==(const Chunk&) const = default;
};

// The four measures of jiwer. With no reference words: no hypothesis words gives 0, 0, 0, 1; else
// WER is the *number* of inserted words, MER and WIL are 1, WIP is 0.
struct Measures {
  double wer = 0;
  double mer = 0;
  double wil = 0;
  double wip = 1;
};

// Symbols are compared for equality only.
[[nodiscard]] Result<std::vector<Chunk>> align(Symbols reference, Symbols hypothesis);
[[nodiscard]] Counts count(std::span<const Chunk> chunks);
[[nodiscard]] double error_rate(const Counts& counts);  // WER of words, CER of characters
[[nodiscard]] Measures measures(const Counts& counts);

// As cut_words (word_table.h); the words are views into the text.
[[nodiscard]] Result<std::vector<std::string_view>> split_words(std::string_view text);

struct Alignment {
  std::vector<std::string> reference{};
  std::vector<std::string> hypothesis{};
  std::vector<Chunk> chunks{};
  Counts counts{};
};

// Counts pairs of texts, one after another: for many pairs, because its buffers stay. Invalid UTF-8
// is an error that names the side and the byte; so is a side of more than kSymbolsMax.
class ErrorCounter {
 public:
  [[nodiscard]] Result<Counts> words(std::string_view reference, std::string_view hypothesis);
  // Code points, without white space at the ends.
  [[nodiscard]] Result<Counts> characters(std::string_view reference, std::string_view hypothesis);
  [[nodiscard]] Result<Alignment> align_words(std::string_view reference,
                                              std::string_view hypothesis);
  [[nodiscard]] Result<std::vector<Chunk>> align(Symbols reference, Symbols hypothesis);

 private:
  [[nodiscard]] Status cut(std::string_view reference, std::string_view hypothesis);
  void number(std::span<const Word> reference, std::span<const Word> hypothesis);
  void number(Symbols reference, Symbols hypothesis);

  std::vector<Word> ref_words_{};
  std::vector<Word> hyp_words_{};
  WordTable table_{};
  std::vector<std::uint32_t> ref_{};
  std::vector<std::uint32_t> hyp_{};
  std::vector<std::uint32_t> ref_points_{};
  std::vector<std::uint32_t> hyp_points_{};
  Aligner aligner_{};
};

// The same for one pair.
[[nodiscard]] Result<Alignment> align_words(std::string_view reference,
                                            std::string_view hypothesis);
[[nodiscard]] Result<Counts> count_words(std::string_view reference, std::string_view hypothesis);
[[nodiscard]] Result<Counts> count_characters(std::string_view reference,
                                              std::string_view hypothesis);

// "=[0:2,0:2] D[2:3,2:2]", the form of the golden files.
[[nodiscard]] std::string to_text(std::span<const Chunk> chunks);

}  // namespace strata::evaluator
