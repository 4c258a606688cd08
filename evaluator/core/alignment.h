// The alignment of two sequences that RapidFuzz's Levenshtein gives (as of 3.14), and so jiwer 4.0:
// docs/evaluation.md, "Which alignment". Distances by Myers' bit vectors in Hyyro's form (2003), 64
// reference symbols to a block, in a band of diagonals that is widened until the distance fits;
// the vectors are kept for the back-trace. Long pairs are split after Hirschberg where RapidFuzz
// splits them, because the alignment found depends on it. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace strata::evaluator {

enum class Edit { kHit, kSubstitution, kDeletion, kInsertion };

// Words (or characters) by what happened to them.
struct Counts {
  std::int64_t substitutions = 0;
  std::int64_t deletions = 0;
  std::int64_t insertions = 0;
  std::int64_t hits = 0;

  [[nodiscard]] std::int64_t errors() const { return substitutions + deletions + insertions; }
  [[nodiscard]] std::int64_t reference_length() const { return hits + substitutions + deletions; }
  [[nodiscard]] std::int64_t hypothesis_length() const { return hits + substitutions + insertions; }
  void add(Edit edit, std::int64_t times);
  Counts& operator+=(const Counts& other);
  bool operator==(const Counts&) const = default;
};

using Symbols = std::span<const std::uint32_t>;

// Of one kind, so many in a row.
struct Run {
  Edit edit = Edit::kHit;
  std::uint32_t length = 0;
};

// Keeps its buffers between pairs. Symbols of the reference are numbers below `alphabet`; a symbol
// of the hypothesis that is not in the reference may also be `alphabet` itself.
class Aligner {
 public:
  // From the beginning to the end; neighbours differ. Valid until the next call.
  [[nodiscard]] std::span<const Run> align(Symbols ref, Symbols hyp, std::uint32_t alphabet);
  [[nodiscard]] Counts count(Symbols ref, Symbols hyp, std::uint32_t alphabet);

 private:
  // Vertical differences of 64 rows in one column: where the next row is one more, one less.
  struct Block {
    std::uint64_t more = ~std::uint64_t{0};
    std::uint64_t less = 0;
  };
  // Where a symbol stands in one block of the reference. Those of a symbol make a list, in order.
  struct Place {
    std::uint64_t rows = 0;
    std::uint32_t block = 0;
    std::uint32_t next = 0;
  };
  // A sequence, forwards or backwards.
  struct Side {
    const std::uint32_t* first = nullptr;
    std::ptrdiff_t step = 1;
    std::size_t size = 0;
    std::uint32_t operator[](std::size_t i) const {
      return first[static_cast<std::ptrdiff_t>(i) * step];
    }
  };
  // The cells through which ways of at most `width` errors go.
  struct Band {
    Band(std::size_t rows, std::size_t columns, std::size_t width);
    [[nodiscard]] std::size_t first_block(std::size_t column) const;
    [[nodiscard]] std::size_t last_block(std::size_t column) const;
    [[nodiscard]] std::size_t blocks_max() const;
    std::ptrdiff_t rows = 0;
    std::ptrdiff_t low = 0;  // row - column, both ends included
    std::ptrdiff_t high = 0;
  };
  // The last column that was filled; `top` is the value above its first block.
  struct Column {
    std::size_t top = 0;
    std::size_t first = 0;
    std::size_t last = 0;
  };
  struct Split {
    std::size_t row = 0;
    std::size_t column = 0;
    std::size_t left = 0;  // errors
    std::size_t right = 0;
  };

  Counts count_short(Symbols ref, Symbols hyp, std::uint32_t alphabet);
  void align_part(Symbols ref, Symbols hyp, std::size_t errors_max);
  void align_whole(Symbols ref, Symbols hyp, std::size_t errors_max);
  void trace_back(Symbols ref, Symbols hyp, const Band& band);
  [[nodiscard]] Split split(Symbols ref, Symbols hyp, std::size_t errors_max);
  void index(const Side& ref, const Side& hyp);
  Column fill(const Side& ref, const Side& hyp, const Band& band, std::size_t columns, bool keep);
  void scores(const Column& column, std::size_t rows, std::vector<std::size_t>& out) const;
  void append(Edit edit, std::size_t length);

  std::vector<Run> runs_{};
  std::vector<Run> backwards_{};
  std::vector<std::uint32_t> heads_{};  // by symbol: its first place
  std::vector<Place> places_{};
  std::vector<Block> column_{};
  std::vector<std::uint64_t> pattern_{};  // rows of the symbol at hand, by block
  std::vector<Block> kept_{};             // columns one after another, blocks_max() each
  std::vector<std::size_t> left_{};
  std::vector<std::size_t> right_{};
  struct ShortColumn {
    Block block{};
    std::uint64_t equal = 0;
  };
  std::vector<ShortColumn> short_columns_{};
  std::vector<std::uint64_t> rows_of_{};  // by symbol, of a reference of one block
};

}  // namespace strata::evaluator
