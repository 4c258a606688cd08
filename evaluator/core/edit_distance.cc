#include "evaluator/core/edit_distance.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "evaluator/core/unicode.h"

namespace strata::evaluator {
namespace {

constexpr const char* kReference = "reference text";
constexpr const char* kHypothesis = "hypothesis text";

Status check_length(std::size_t symbols, const char* what) {
  if (symbols <= kSymbolsMax) return {};
  return fail(ErrorCode::kTooLarge, "{} {}: the limit is {}; split the text into utterances",
              symbols, what, kSymbolsMax);
}

Status side(const char* name, Status status) {
  if (!status) return tl::unexpected(status.error().while_doing(name));
  return {};
}

Status words_of(std::string_view text, std::vector<Word>& words) {
  STRATA_CHECK_OK(cut_words(text, words));
  return check_length(words.size(), "words");
}

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

Status points_of(std::string_view text, std::vector<std::uint32_t>& points) {
  if (text.size() > kTextBytesMax) return check_length(text.size(), "bytes");
  points.clear();
  if (is_ascii(text)) {
    for (const char c : text) points.push_back(static_cast<unsigned char>(c));
  } else {
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint c = first_code_point(text.substr(at));
      if (!c.ok) return fail(ErrorCode::kInvalid, "invalid UTF-8 at byte {}", at);
      points.push_back(c.point);
      at += c.length;
    }
  }
  const auto solid = [](std::uint32_t point) { return !is_python_space(point); };
  points.erase(std::find_if(points.rbegin(), points.rend(), solid).base(), points.end());
  points.erase(points.begin(), std::ranges::find_if(points, solid));
  return check_length(points.size(), "characters");
}

std::vector<Chunk> chunks_of(std::span<const Run> runs) {
  std::vector<Chunk> chunks;
  chunks.reserve(runs.size());
  std::size_t ref = 0;
  std::size_t hyp = 0;
  for (const Run& run : runs) {
    Chunk chunk{run.edit, ref, ref, hyp, hyp};
    if (run.edit != Edit::kInsertion) chunk.ref_end += run.length;
    if (run.edit != Edit::kDeletion) chunk.hyp_end += run.length;
    ref = chunk.ref_end;
    hyp = chunk.hyp_end;
    chunks.push_back(chunk);
  }
  return chunks;
}

}  // namespace

Counts count(std::span<const Chunk> chunks) {
  Counts counts;
  for (const Chunk& chunk : chunks) {
    const std::size_t length =
        std::max(chunk.ref_end - chunk.ref_begin, chunk.hyp_end - chunk.hyp_begin);
    counts.add(chunk.edit, static_cast<std::int64_t>(length));
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

Result<std::vector<std::string_view>> split_words(std::string_view text) {
  std::vector<Word> words;
  if (auto status = cut_words(text, words); !status)
    return tl::unexpected(status.error().while_doing("splitting words"));
  std::vector<std::string_view> views;
  views.reserve(words.size());
  for (const Word& word : words) views.push_back(word.text());
  return views;
}

Status ErrorCounter::cut(std::string_view reference, std::string_view hypothesis) {
  STRATA_CHECK_OK(side(kReference, words_of(reference, ref_words_)));
  return side(kHypothesis, words_of(hypothesis, hyp_words_));
}

// What the reference does not have is one and the same number: it equals nothing.
void ErrorCounter::number(std::span<const Word> reference, std::span<const Word> hypothesis) {
  table_.clear();
  ref_.clear();
  hyp_.clear();
  for (const Word& word : reference) ref_.push_back(table_.add(word));
  for (const Word& word : hypothesis) hyp_.push_back(table_.find(word));
}

void ErrorCounter::number(Symbols reference, Symbols hypothesis) {
  // Most texts have no others than the first ones.
  constexpr std::size_t kDirect = 128;
  constexpr std::uint32_t kNew = ~std::uint32_t{0};
  std::array<std::uint32_t, kDirect> direct;
  direct.fill(kNew);
  table_.clear();
  ref_.clear();
  hyp_.clear();
  const auto as_word = [](std::uint32_t symbol) { return Word{symbol, nullptr, 4}; };
  for (const std::uint32_t symbol : reference) {
    if (symbol >= kDirect) {
      ref_.push_back(table_.add(as_word(symbol)));
    } else {
      if (direct[symbol] == kNew) direct[symbol] = table_.add(as_word(symbol));
      ref_.push_back(direct[symbol]);
    }
  }
  for (std::uint32_t& number : direct) number = std::min(number, table_.size());
  for (const std::uint32_t symbol : hypothesis) {
    hyp_.push_back(symbol < kDirect ? direct[symbol] : table_.find(as_word(symbol)));
  }
}

Result<Counts> ErrorCounter::words(std::string_view reference, std::string_view hypothesis) {
  STRATA_CHECK_OK(cut(reference, hypothesis));
  // Words of a common beginning or end need no number.
  std::span<const Word> ref = ref_words_;
  std::span<const Word> hyp = hyp_words_;
  const auto shorter = [&] { return std::min(ref.size(), hyp.size()); };
  std::size_t same = 0;
  while (same < shorter() && ref[same] == hyp[same]) ++same;
  ref = ref.subspan(same);
  hyp = hyp.subspan(same);
  same = 0;
  while (same < shorter() && ref[ref.size() - 1 - same] == hyp[hyp.size() - 1 - same]) ++same;
  ref = ref.first(ref.size() - same);
  hyp = hyp.first(hyp.size() - same);
  number(ref, hyp);
  Counts counts = aligner_.count(ref_, hyp_, table_.size());
  counts.hits += static_cast<std::int64_t>(ref_words_.size() - ref.size());
  return counts;
}

Result<Counts> ErrorCounter::characters(std::string_view reference, std::string_view hypothesis) {
  STRATA_CHECK_OK(side(kReference, points_of(reference, ref_points_)));
  STRATA_CHECK_OK(side(kHypothesis, points_of(hypothesis, hyp_points_)));
  number(Symbols(ref_points_), Symbols(hyp_points_));
  return aligner_.count(ref_, hyp_, table_.size());
}

Result<Alignment> ErrorCounter::align_words(std::string_view reference,
                                            std::string_view hypothesis) {
  STRATA_CHECK_OK(cut(reference, hypothesis));
  number(ref_words_, hyp_words_);
  Alignment alignment;
  for (const Word& word : ref_words_) alignment.reference.emplace_back(word.text());
  for (const Word& word : hyp_words_) alignment.hypothesis.emplace_back(word.text());
  alignment.chunks = chunks_of(aligner_.align(ref_, hyp_, table_.size()));
  alignment.counts = count(alignment.chunks);
  return alignment;
}

Result<std::vector<Chunk>> ErrorCounter::align(Symbols reference, Symbols hypothesis) {
  STRATA_CHECK_OK(side(kReference, check_length(reference.size(), "symbols")));
  STRATA_CHECK_OK(side(kHypothesis, check_length(hypothesis.size(), "symbols")));
  number(reference, hypothesis);
  return chunks_of(aligner_.align(ref_, hyp_, table_.size()));
}

Result<std::vector<Chunk>> align(Symbols reference, Symbols hypothesis) {
  return ErrorCounter().align(reference, hypothesis);
}

Result<Alignment> align_words(std::string_view reference, std::string_view hypothesis) {
  return ErrorCounter().align_words(reference, hypothesis);
}

Result<Counts> count_words(std::string_view reference, std::string_view hypothesis) {
  return ErrorCounter().words(reference, hypothesis);
}

Result<Counts> count_characters(std::string_view reference, std::string_view hypothesis) {
  return ErrorCounter().characters(reference, hypothesis);
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
