#include "evaluator/core/edit_distance.h"

#include <algorithm>
#include <map>

#include "base/assert.h"
#include "base/utf8.h"
#include "evaluator/core/unicode.h"

namespace strata::evaluator {
namespace {

// Two bits for each cell of the table: is a deletion, and is an insertion, a shortest way into it?
class BackTrace {
 public:
  BackTrace(std::size_t rows, std::size_t columns)
      : columns_(columns), bits_(rows * columns * 2, false) {}
  void set(std::size_t i, std::size_t j, bool deletion, bool insertion) {
    bits_[index(i, j)] = deletion;
    bits_[index(i, j) + 1] = insertion;
  }
  [[nodiscard]] bool deletion(std::size_t i, std::size_t j) const { return bits_[index(i, j)]; }
  [[nodiscard]] bool insertion(std::size_t i, std::size_t j) const {
    return bits_[index(i, j) + 1];
  }

 private:
  [[nodiscard]] std::size_t index(std::size_t i, std::size_t j) const {
    return ((i - 1) * columns_ + (j - 1)) * 2;
  }
  std::size_t columns_;
  std::vector<bool> bits_;
};

using Symbols = std::span<const std::uint32_t>;

BackTrace fill_table(Symbols ref, Symbols hyp) {
  BackTrace trace(ref.size(), hyp.size());
  std::vector<std::uint32_t> above(hyp.size() + 1);
  std::vector<std::uint32_t> row(hyp.size() + 1);
  for (std::size_t j = 0; j <= hyp.size(); ++j) above[j] = static_cast<std::uint32_t>(j);
  for (std::size_t i = 1; i <= ref.size(); ++i) {
    row[0] = static_cast<std::uint32_t>(i);
    for (std::size_t j = 1; j <= hyp.size(); ++j) {
      const std::uint32_t diagonal = above[j - 1] + (ref[i - 1] == hyp[j - 1] ? 0U : 1U);
      row[j] = std::min({diagonal, above[j] + 1, row[j - 1] + 1});
      trace.set(i, j, row[j] == above[j] + 1, row[j - 1] + 1 == above[j - 1]);
    }
    std::swap(above, row);
  }
  return trace;
}

// The kinds of edit from the end to the start, deletion before insertion before the diagonal.
std::vector<Edit> trace_back(Symbols ref, Symbols hyp) {
  const BackTrace trace = fill_table(ref, hyp);
  std::vector<Edit> edits;
  std::size_t i = ref.size();
  std::size_t j = hyp.size();
  while (i > 0 && j > 0) {
    if (trace.deletion(i, j)) {
      edits.push_back(Edit::kDeletion);
      --i;
    } else if (trace.insertion(i, j)) {
      edits.push_back(Edit::kInsertion);
      --j;
    } else {
      edits.push_back(ref[i - 1] == hyp[j - 1] ? Edit::kHit : Edit::kSubstitution);
      --i;
      --j;
    }
  }
  edits.insert(edits.end(), i, Edit::kDeletion);
  edits.insert(edits.end(), j, Edit::kInsertion);
  return edits;
}

void append(std::vector<Chunk>& chunks, Edit edit, std::size_t length) {
  if (length == 0) return;
  if (chunks.empty() || chunks.back().edit != edit) {
    const Chunk last = chunks.empty() ? Chunk{} : chunks.back();
    chunks.push_back({edit, last.ref_end, last.ref_end, last.hyp_end, last.hyp_end});
  }
  if (edit != Edit::kInsertion) chunks.back().ref_end += length;
  if (edit != Edit::kDeletion) chunks.back().hyp_end += length;
}

Result<std::u32string> decode(std::string_view text, std::string_view side) {
  auto points = decode_utf8(text);
  if (!points) return tl::unexpected(points.error().while_doing(side));
  return points;
}

std::u32string_view strip(std::u32string_view text) {
  while (!text.empty() && is_python_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_python_space(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::u32string> cut_words(std::u32string_view text) {
  std::vector<std::u32string> words;
  std::u32string word;
  text = strip(text);
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const bool space = i < text.size() && is_python_space(text[i]);
    const bool in_run = space && ((i > 0 && is_python_space(text[i - 1])) ||
                                  (i + 1 < text.size() && is_python_space(text[i + 1])));
    if (i == text.size() || in_run || text[i] == U' ') {
      if (!word.empty()) words.push_back(std::move(word));
      word.clear();
    } else {
      word += text[i];
    }
  }
  return words;
}

}  // namespace

Counts& Counts::operator+=(const Counts& other) {
  substitutions += other.substitutions;
  deletions += other.deletions;
  insertions += other.insertions;
  hits += other.hits;
  return *this;
}

Result<std::vector<Chunk>> align(Symbols reference, Symbols hypothesis) {
  // Common ends first: leaving this out changes the split in up to 1 % of random pairs.
  const auto shorter = std::min(reference.size(), hypothesis.size());
  std::size_t prefix = 0;
  while (prefix < shorter && reference[prefix] == hypothesis[prefix]) ++prefix;
  std::size_t suffix = 0;
  while (suffix < shorter - prefix &&
         reference[reference.size() - 1 - suffix] == hypothesis[hypothesis.size() - 1 - suffix]) {
    ++suffix;
  }
  const Symbols ref = reference.subspan(prefix, reference.size() - prefix - suffix);
  const Symbols hyp = hypothesis.subspan(prefix, hypothesis.size() - prefix - suffix);
  if (!ref.empty() && hyp.size() > kAlignmentCellsMax / ref.size()) {
    return fail(ErrorCode::kTooLarge,
                "cannot align {} with {} symbols: the limit is {} table cells; split the text into "
                "utterances",
                ref.size(), hyp.size(), kAlignmentCellsMax);
  }
  const std::vector<Edit> backwards = trace_back(ref, hyp);
  std::vector<Chunk> chunks;
  append(chunks, Edit::kHit, prefix);
  for (auto edit = backwards.rbegin(); edit != backwards.rend(); ++edit) append(chunks, *edit, 1);
  append(chunks, Edit::kHit, suffix);
  return chunks;
}

Counts count(std::span<const Chunk> chunks) {
  Counts counts;
  for (const Chunk& chunk : chunks) {
    const auto ref = static_cast<std::int64_t>(chunk.ref_end - chunk.ref_begin);
    const auto hyp = static_cast<std::int64_t>(chunk.hyp_end - chunk.hyp_begin);
    switch (chunk.edit) {
      case Edit::kHit: counts.hits += ref; break;
      case Edit::kSubstitution: counts.substitutions += ref; break;
      case Edit::kDeletion: counts.deletions += ref; break;
      case Edit::kInsertion: counts.insertions += hyp; break;
    }
  }
  return counts;
}

double error_rate(const Counts& counts) {
  const auto errors = static_cast<double>(counts.errors());
  const auto length = static_cast<double>(counts.reference_length());
  return length > 0 ? errors / length : errors;
}

Measures measures(const Counts& counts) {
  const auto hits = static_cast<double>(counts.hits);
  const auto ref = static_cast<double>(counts.reference_length());
  const auto hyp = static_cast<double>(counts.hypothesis_length());
  const auto errors = static_cast<double>(counts.errors());
  Measures m;
  m.wer = error_rate(counts);
  m.mer = errors > 0 ? errors / (errors + hits) : 0;
  if (ref == 0 && hyp == 0) {
    m.wip = 1;
  } else {
    m.wip = ref > 0 && hyp > 0 ? (hits / ref) * (hits / hyp) : 0;
  }
  m.wil = 1 - m.wip;
  return m;
}

Result<std::vector<std::u32string>> split_words(std::string_view text) {
  STRATA_TRY(const std::u32string points, decode(text, "splitting words"));
  return cut_words(points);
}

Result<Alignment> align_words(std::string_view reference, std::string_view hypothesis) {
  STRATA_TRY(const std::u32string ref, decode(reference, "reference text"));
  STRATA_TRY(const std::u32string hyp, decode(hypothesis, "hypothesis text"));
  Alignment alignment{.reference = cut_words(ref), .hypothesis = cut_words(hyp)};
  std::map<std::u32string_view, std::uint32_t> numbers;
  const auto intern = [&](const std::vector<std::u32string>& words) {
    std::vector<std::uint32_t> symbols;
    symbols.reserve(words.size());
    for (const auto& word : words) {
      symbols.push_back(
          numbers.try_emplace(word, static_cast<std::uint32_t>(numbers.size())).first->second);
    }
    return symbols;
  };
  STRATA_TRY(alignment.chunks, align(intern(alignment.reference), intern(alignment.hypothesis)));
  alignment.counts = count(alignment.chunks);
  return alignment;
}

Result<Counts> count_words(std::string_view reference, std::string_view hypothesis) {
  return align_words(reference, hypothesis).map([](const Alignment& alignment) {
    return alignment.counts;
  });
}

Result<Counts> count_characters(std::string_view reference, std::string_view hypothesis) {
  STRATA_TRY(const std::u32string ref, decode(reference, "reference text"));
  STRATA_TRY(const std::u32string hyp, decode(hypothesis, "hypothesis text"));
  const auto symbols = [](std::u32string_view text) {
    text = strip(text);
    return std::vector<std::uint32_t>(text.begin(), text.end());
  };
  STRATA_TRY(const auto chunks, align(symbols(ref), symbols(hyp)));
  return count(chunks);
}

std::string to_text(std::span<const Chunk> chunks) {
  std::string text;
  for (const Chunk& c : chunks) {
    const char* letter = c.edit == Edit::kHit            ? "="
                         : c.edit == Edit::kSubstitution ? "S"
                         : c.edit == Edit::kDeletion     ? "D"
                                                         : "I";
    text += fmt::format("{}{}[{}:{},{}:{}]", text.empty() ? "" : " ", letter, c.ref_begin,
                        c.ref_end, c.hyp_begin, c.hyp_end);
  }
  return text;
}

}  // namespace strata::evaluator
