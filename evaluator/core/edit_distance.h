// Word and character error counts with the alignment that jiwer 4.0.0 reports. Only the total of an
// alignment is unique, its split into substitutions, deletions and insertions is not; so the tie
// rule of the RapidFuzz core is followed exactly (docs/evaluation.md, "Which alignment"). Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace strata::evaluator {

// The back-trace keeps two bits a cell: this many cells are 256 MiB, 32,000 words against 32,000.
inline constexpr std::uint64_t kAlignmentCellsMax = 1ULL << 30;

// Words (or characters) by what happened to them.
struct Counts {
  std::int64_t substitutions = 0;
  std::int64_t deletions = 0;
  std::int64_t insertions = 0;
  std::int64_t hits = 0;

  [[nodiscard]] std::int64_t errors() const { return substitutions + deletions + insertions; }
  [[nodiscard]] std::int64_t reference_length() const { return hits + substitutions + deletions; }
  [[nodiscard]] std::int64_t hypothesis_length() const { return hits + substitutions + insertions; }
  Counts& operator+=(const Counts& other);
  bool operator==(const Counts&) const = default;
};

enum class Edit { kHit, kSubstitution, kDeletion, kInsertion };

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

// Symbols are compared for equality only. An error when the table would exceed kAlignmentCellsMax.
[[nodiscard]] Result<std::vector<Chunk>> align(std::span<const std::uint32_t> reference,
                                               std::span<const std::uint32_t> hypothesis);
[[nodiscard]] Counts count(std::span<const Chunk> chunks);
[[nodiscard]] double error_rate(const Counts& counts);  // WER of words, CER of characters
[[nodiscard]] Measures measures(const Counts& counts);

// jiwer's default word split: runs of two or more white-space characters become one space, the ends
// are stripped, then the text is cut at U+0020. A lone tab or no-break space inside a word
// therefore does not cut it.
[[nodiscard]] Result<std::vector<std::u32string>> split_words(std::string_view text);

struct Alignment {
  std::vector<std::u32string> reference{};
  std::vector<std::u32string> hypothesis{};
  std::vector<Chunk> chunks{};
  Counts counts{};
};

// REQUIRES nothing of the texts; invalid UTF-8 is an error that names the side and the byte.
[[nodiscard]] Result<Alignment> align_words(std::string_view reference,
                                            std::string_view hypothesis);
[[nodiscard]] Result<Counts> count_words(std::string_view reference, std::string_view hypothesis);
[[nodiscard]] Result<Counts> count_characters(std::string_view reference,
                                              std::string_view hypothesis);

// "=[0:2,0:2] D[2:3,2:2]", the form of the golden files.
[[nodiscard]] std::string to_text(std::span<const Chunk> chunks);

}  // namespace strata::evaluator
