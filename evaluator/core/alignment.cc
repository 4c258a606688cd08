#include "evaluator/core/alignment.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/assert.h"

namespace strata::evaluator {
namespace {

constexpr std::size_t kBits = 64;
constexpr std::uint32_t kNoPlace = std::numeric_limits<std::uint32_t>::max();
// RapidFuzz's: below any of these a pair is aligned without splitting it.
constexpr std::size_t kSplitBytes = 1U << 20U;
constexpr std::size_t kSplitRows = 65;
constexpr std::size_t kSplitColumns = 10;
// Ours, and without influence on what is found: the first band is wider than the pair must have
// errors by this, and the next ones are so many times as wide.
constexpr std::size_t kBandFirst = 64;
constexpr std::size_t kBandGrowth = 4;

std::size_t first_width(std::size_t rows, std::size_t columns, std::size_t errors_max) {
  return std::min(errors_max, std::max(rows, columns) - std::min(rows, columns) + kBandFirst);
}

// A distance found in a band that is too narrow is that of a way, if not of the shortest.
std::size_t next_width(std::size_t width, std::size_t distance, std::size_t errors_max) {
  STRATA_ASSERT(width < errors_max);
  return std::min({width * kBandGrowth, distance, errors_max});
}

std::size_t ones(std::uint64_t bits) { return static_cast<std::size_t>(std::popcount(bits)); }

// How the row above a block changes from the column before: one more, one less.
struct Carry {
  std::uint64_t more = 1;  // above the first row it is one more in each column
  std::uint64_t less = 0;
};

// One column of one block: `equal` has a bit for each row whose symbol is the column's.
template <class Block>
inline void advance(Block& block, std::uint64_t equal, Carry& carry) {
  const std::uint64_t x = equal | carry.less;
  const std::uint64_t diagonal = (((x & block.more) + block.more) ^ block.more) | x | block.less;
  const std::uint64_t more = block.less | ~(diagonal | block.more);
  const std::uint64_t less = diagonal & block.more;
  const std::uint64_t more_in = more << 1U | carry.more;
  const std::uint64_t less_in = less << 1U | carry.less;
  block.more = less_in | ~(diagonal | more_in);
  block.less = more_in & diagonal;
  carry = {more >> (kBits - 1), less >> (kBits - 1)};
}

}  // namespace

void Counts::add(Edit edit, std::int64_t times) {
  switch (edit) {
    case Edit::kHit: hits += times; break;
    case Edit::kSubstitution: substitutions += times; break;
    case Edit::kDeletion: deletions += times; break;
    case Edit::kInsertion: insertions += times; break;
  }
}

Counts& Counts::operator+=(const Counts& other) {
  substitutions += other.substitutions;
  deletions += other.deletions;
  insertions += other.insertions;
  hits += other.hits;
  return *this;
}

// A way through (i, j) has |i - j| errors before it and |(rows - i) - (columns - j)| behind it, at
// the least.
Aligner::Band::Band(std::size_t row_count, std::size_t column_count, std::size_t width)
    : rows(static_cast<std::ptrdiff_t>(row_count)) {
  const std::ptrdiff_t difference = rows - static_cast<std::ptrdiff_t>(column_count);
  const auto errors = static_cast<std::ptrdiff_t>(width);
  STRATA_ASSERT(errors >= std::abs(difference));
  low = -((errors - difference) / 2);
  high = (errors + difference) / 2;
}

std::size_t Aligner::Band::first_block(std::size_t column) const {
  const std::ptrdiff_t row = std::max<std::ptrdiff_t>(1, static_cast<std::ptrdiff_t>(column) + low);
  return static_cast<std::size_t>(std::min(row, rows) - 1) / kBits;
}

std::size_t Aligner::Band::last_block(std::size_t column) const {
  const std::ptrdiff_t row = std::min(rows, static_cast<std::ptrdiff_t>(column) + high);
  return static_cast<std::size_t>(std::max<std::ptrdiff_t>(row, 1) - 1) / kBits;
}

std::size_t Aligner::Band::blocks_max() const {
  const auto all = (static_cast<std::size_t>(rows) + kBits - 1) / kBits;
  return std::min(all, static_cast<std::size_t>(high - low) / kBits + 2);
}

std::span<const Run> Aligner::align(Symbols ref, Symbols hyp, std::uint32_t alphabet) {
  runs_.clear();
  heads_.resize(std::max<std::size_t>(heads_.size(), std::size_t{alphabet} + 1));
  align_part(ref, hyp, std::max(ref.size(), hyp.size()));
  return runs_;
}

Counts Aligner::count(Symbols ref, Symbols hyp, std::uint32_t alphabet) {
  std::size_t begin = 0;
  while (begin < std::min(ref.size(), hyp.size()) && ref[begin] == hyp[begin]) ++begin;
  Symbols r = ref.subspan(begin);
  Symbols h = hyp.subspan(begin);
  while (!r.empty() && !h.empty() && r.back() == h.back()) {
    r = r.first(r.size() - 1);
    h = h.first(h.size() - 1);
  }
  Counts counts;
  if (r.size() <= kBits) {
    counts = count_short(r, h, alphabet);
  } else {
    for (const Run& run : align(r, h, alphabet)) counts.add(run.edit, run.length);
  }
  counts.hits += static_cast<std::int64_t>(ref.size() - r.size());
  return counts;
}

// As align_whole, for a reference of one block. REQUIRES: no common beginning and end.
Counts Aligner::count_short(Symbols ref, Symbols hyp, std::uint32_t alphabet) {
  Counts counts;
  std::size_t i = ref.size();
  std::size_t j = hyp.size();
  if (i > 0 && j > 0) {
    rows_of_.assign(std::size_t{alphabet} + 1, 0);
    for (std::size_t row = 0; row < i; ++row) rows_of_[ref[row]] |= std::uint64_t{1} << row;
    // The column before the first: going back from the first, an insertion is never right.
    short_columns_.resize(j + 1);
    short_columns_[0] = {};
    Block block;
    for (std::size_t column = 0; column < j; ++column) {
      Carry carry;
      const std::uint64_t equal = rows_of_[hyp[column]];
      advance(block, equal, carry);
      short_columns_[column + 1] = {block, equal};
    }
  }
  std::size_t substitutions = 0;
  std::size_t steps = 0;
  const std::size_t rows = i;
  const std::size_t columns = j;
  while (i > 0 && j > 0) {
    const ShortColumn& here = short_columns_[j];
    const std::size_t deletion = here.block.more >> (i - 1) & 1U;
    const std::size_t insertion = short_columns_[j - 1].block.less >> (i - 1) & ~deletion & 1U;
    substitutions += ~(here.equal >> (i - 1) | deletion | insertion) & 1U;
    i -= 1 - insertion;
    j -= 1 - deletion;
    ++steps;
  }
  // Every step takes a symbol of one side, or with a diagonal one of both.
  const std::size_t diagonals = (rows - i) + (columns - j) - steps;
  counts.substitutions = static_cast<std::int64_t>(substitutions);
  counts.hits = static_cast<std::int64_t>(diagonals - substitutions);
  counts.deletions = static_cast<std::int64_t>(rows - diagonals);
  counts.insertions = static_cast<std::int64_t>(columns - diagonals);
  return counts;
}

void Aligner::align_part(Symbols ref, Symbols hyp, std::size_t errors_max) {
  // Common ends first, here and again in every part: without this the split into kinds differs.
  const auto shorter = std::min(ref.size(), hyp.size());
  std::size_t prefix = 0;
  while (prefix < shorter && ref[prefix] == hyp[prefix]) ++prefix;
  std::size_t suffix = 0;
  while (suffix < shorter - prefix &&
         ref[ref.size() - 1 - suffix] == hyp[hyp.size() - 1 - suffix]) {
    ++suffix;
  }
  const Symbols r = ref.subspan(prefix, ref.size() - prefix - suffix);
  const Symbols h = hyp.subspan(prefix, hyp.size() - prefix - suffix);
  append(Edit::kHit, prefix);
  errors_max = std::min(errors_max, std::max(r.size(), h.size()));
  const std::size_t band = std::min(r.size(), 2 * errors_max + 1);
  if (2 * band * h.size() / 8 < kSplitBytes || r.size() < kSplitRows || h.size() < kSplitColumns) {
    align_whole(r, h, errors_max);
  } else {
    const Split at = split(r, h, errors_max);
    align_part(r.first(at.row), h.first(at.column), at.left);
    align_part(r.subspan(at.row), h.subspan(at.column), at.right);
  }
  append(Edit::kHit, suffix);
}

void Aligner::align_whole(Symbols ref, Symbols hyp, std::size_t errors_max) {
  if (ref.empty() || hyp.empty()) {
    append(Edit::kDeletion, ref.size());
    append(Edit::kInsertion, hyp.size());
    return;
  }
  const Side r{ref.data(), 1, ref.size()};
  const Side h{hyp.data(), 1, hyp.size()};
  for (std::size_t width = first_width(r.size, h.size, errors_max);;
       width = next_width(width, left_.back(), errors_max)) {
    const Band band(r.size, h.size, width);
    const Column end = fill(r, h, band, h.size, true);
    scores(end, r.size, left_);
    if (left_.back() <= width) return trace_back(ref, hyp, band);
  }
}

// From the end to the beginning, deletion before insertion before the diagonal. Cells on a shortest
// way have their exact values in the band, and these are the only ones that the questions ask for.
void Aligner::trace_back(Symbols ref, Symbols hyp, const Band& band) {
  const std::size_t stride = band.blocks_max();
  const auto block_at = [&](std::size_t row, std::size_t column) {
    const std::size_t block = row / kBits;
    const std::size_t first = band.first_block(column);
    const bool outside = block < first || block > band.last_block(column);
    return outside ? Block{0, 0} : kept_[(column - 1) * stride + block - first];
  };
  backwards_.clear();
  const auto note = [&](Edit edit, std::size_t times) {
    if (times == 0) return;
    if (backwards_.empty() || backwards_.back().edit != edit) backwards_.push_back({edit, 0});
    backwards_.back().length += static_cast<std::uint32_t>(times);
  };
  std::size_t i = ref.size();
  std::size_t j = hyp.size();
  while (i > 0 && j > 0) {
    const std::size_t bit = (i - 1) % kBits;
    if ((block_at(i - 1, j).more >> bit & 1U) != 0) {
      note(Edit::kDeletion, 1);
      --i;
    } else if (j > 1 && (block_at(i - 1, j - 1).less >> bit & 1U) != 0) {
      note(Edit::kInsertion, 1);
      --j;
    } else {
      note(ref[i - 1] == hyp[j - 1] ? Edit::kHit : Edit::kSubstitution, 1);
      --i;
      --j;
    }
  }
  note(Edit::kDeletion, i);
  note(Edit::kInsertion, j);
  for (auto run = backwards_.rbegin(); run != backwards_.rend(); ++run) {
    append(run->edit, run->length);
  }
}

// The hypothesis is halved, the reference at the first row with the fewest errors on both sides.
Aligner::Split Aligner::split(Symbols ref, Symbols hyp, std::size_t errors_max) {
  const std::size_t rows = ref.size();
  const std::size_t columns = hyp.size();
  Split best{.column = columns / 2};
  std::size_t least = 0;
  for (std::size_t width = first_width(rows, columns, errors_max);;
       width = next_width(width, least, errors_max)) {
    const Band band(rows, columns, width);
    const Column left =
        fill({ref.data(), 1, rows}, {hyp.data(), 1, columns}, band, best.column, false);
    scores(left, rows, left_);
    const Column right =
        fill({ref.data() + rows - 1, -1, rows}, {hyp.data() + columns - 1, -1, columns}, band,
             columns - best.column, false);
    scores(right, rows, right_);
    least = std::numeric_limits<std::size_t>::max();
    for (std::size_t at = 0; at < left_.size(); ++at) {
      const std::size_t row = left.first * kBits + at;
      const std::size_t other = rows - row - right.first * kBits;  // huge where there is none
      if (other >= right_.size() || left_[at] + right_[other] >= least) continue;
      least = left_[at] + right_[other];
      best = {row, best.column, left_[at], right_[other]};
    }
    if (least <= width) return best;
  }
}

// The lists of places, built from the end so that they begin with the first block.
void Aligner::index(const Side& ref, const Side& hyp) {
  for (std::size_t j = 0; j < hyp.size; ++j) heads_[hyp[j]] = kNoPlace;
  for (std::size_t i = 0; i < ref.size; ++i) heads_[ref[i]] = kNoPlace;
  places_.clear();
  for (std::size_t i = ref.size; i-- > 0;) {
    std::uint32_t& head = heads_[ref[i]];
    const auto block = static_cast<std::uint32_t>(i / kBits);
    if (head == kNoPlace || places_[head].block != block) {
      places_.push_back({0, block, head});
      head = static_cast<std::uint32_t>(places_.size() - 1);
    }
    places_[head].rows |= std::uint64_t{1} << (i % kBits);
  }
}

// Outside the band a cell counts as one more than its neighbour inside: never too little.
Aligner::Column Aligner::fill(const Side& ref, const Side& hyp, const Band& band,
                              std::size_t columns, bool keep) {
  index(ref, hyp);
  const std::size_t blocks = (ref.size + kBits - 1) / kBits;
  const std::size_t stride = band.blocks_max();
  column_.assign(blocks, {});
  pattern_.assign(blocks, 0);
  if (keep) kept_.resize(columns * stride);
  Column at;
  for (std::size_t j = 1; j <= columns; ++j) {
    for (const std::size_t first = band.first_block(j); at.first < first; ++at.first) {
      at.top += ones(column_[at.first].more) - ones(column_[at.first].less);
    }
    at.last = band.last_block(j);
    ++at.top;
    std::uint32_t& head = heads_[hyp[j - 1]];
    while (head != kNoPlace && places_[head].block < at.first) head = places_[head].next;
    const auto set_rows = [&](bool to_zero) {
      for (std::uint32_t p = head; p != kNoPlace && places_[p].block <= at.last;
           p = places_[p].next) {
        pattern_[places_[p].block] = to_zero ? 0 : places_[p].rows;
      }
    };
    set_rows(false);
    Carry carry;
    for (std::size_t b = at.first; b <= at.last; ++b) advance(column_[b], pattern_[b], carry);
    set_rows(true);
    if (keep) {
      std::copy_n(column_.begin() + static_cast<std::ptrdiff_t>(at.first), at.last - at.first + 1,
                  kept_.begin() + static_cast<std::ptrdiff_t>((j - 1) * stride));
    }
  }
  return at;
}

// The values of a column from the row above its first block on.
void Aligner::scores(const Column& column, std::size_t rows, std::vector<std::size_t>& out) const {
  out.clear();
  std::size_t value = column.top;
  out.push_back(value);
  for (std::size_t row = column.first * kBits; row < std::min(rows, (column.last + 1) * kBits);
       ++row) {
    const Block& block = column_[row / kBits];
    value += block.more >> (row % kBits) & 1U;
    value -= block.less >> (row % kBits) & 1U;
    out.push_back(value);
  }
}

void Aligner::append(Edit edit, std::size_t length) {
  if (length == 0) return;
  if (runs_.empty() || runs_.back().edit != edit) runs_.push_back({edit, 0});
  runs_.back().length += static_cast<std::uint32_t>(length);
}

}  // namespace strata::evaluator
