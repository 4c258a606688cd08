#include "evaluator/core/edit_distance.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <utility>

#include "base/random.h"
#include "base/utf8.h"
#include "tests/unit/evaluator/golden_rows.h"

namespace strata::evaluator {
namespace {

using testing::ElementsAre;
using Sequence = std::vector<std::uint32_t>;

std::vector<std::int64_t> as_list(const Counts& c) {
  return {c.substitutions, c.deletions, c.insertions, c.hits};
}

// The textbook recursion, one row at a time: no affix trimming, no back-trace.
std::int64_t plain_distance(const Sequence& a, const Sequence& b) {
  std::vector<std::int64_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<std::int64_t>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::int64_t diagonal = row[0];
    row[0] = static_cast<std::int64_t>(i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::int64_t above = row[j];
      row[j] = std::min({diagonal + (a[i - 1] == b[j - 1] ? 0 : 1), above + 1, row[j - 1] + 1});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// The whole table and the rule as it is written down, without bits: for pairs too short to split.
// Nothing is taken off the ends.
std::vector<Chunk> chunks_by_table(const Sequence& a, const Sequence& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      d[i][j] = i + j;
      if (i == 0 || j == 0) continue;
      d[i][j] = std::min(
          {d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
    }
  }
  std::vector<Chunk> backwards;
  std::size_t i = a.size();
  std::size_t j = b.size();
  while (i > 0 || j > 0) {
    Edit edit = Edit::kHit;
    if (j == 0 || (i > 0 && d[i][j] == d[i - 1][j] + 1)) {
      edit = Edit::kDeletion;
    } else if (i == 0 || d[i][j - 1] + 1 == d[i - 1][j - 1]) {
      edit = Edit::kInsertion;
    } else if (a[i - 1] != b[j - 1]) {
      edit = Edit::kSubstitution;
    }
    if (backwards.empty() || backwards.back().edit != edit) backwards.push_back({edit, i, i, j, j});
    if (edit != Edit::kInsertion) backwards.back().ref_begin = --i;
    if (edit != Edit::kDeletion) backwards.back().hyp_begin = --j;
  }
  std::ranges::reverse(backwards);
  return backwards;
}

// Counts take a way of their own where the reference is one block.
void expect_as_by_table(const Sequence& ref, const Sequence& hyp) {
  const auto wanted = chunks_by_table(ref, hyp);
  EXPECT_EQ(align(ref, hyp).value(), wanted);
  const auto characters = [](const Sequence& symbols) {
    std::u32string text;
    for (const std::uint32_t symbol : symbols) text += static_cast<char32_t>('A' + symbol);
    return encode_utf8(text);
  };
  const auto words = [](const Sequence& symbols) {
    return fmt::format("{}", fmt::join(symbols, " "));
  };
  EXPECT_EQ(count_characters(characters(ref), characters(hyp)).value(), count(wanted));
  EXPECT_EQ(count_words(words(ref), words(hyp)).value(), count(wanted));
  EXPECT_EQ(align_words(words(ref), words(hyp)).value().chunks, wanted);
}

// How make_long_alignments.py says.
std::pair<Sequence, Sequence> long_pair(const std::vector<std::int64_t>& row) {
  const auto alphabet = static_cast<std::uint64_t>(row[2]);
  Random random(static_cast<std::uint64_t>(row[0]));
  const auto symbol = [&](std::uint64_t n) {
    return static_cast<std::uint32_t>(random.bounded(n));
  };
  Sequence ref(static_cast<std::size_t>(row[1]));
  for (auto& s : ref) s = symbol(alphabet);
  Sequence copy = ref;
  for (std::int64_t edit = 0; edit < row[4]; ++edit) {
    const auto place = copy.begin() + static_cast<std::ptrdiff_t>(random.bounded(copy.size()));
    switch (random.bounded(3)) {
      case 0:
        if (copy.size() > 1) copy.erase(place);
        break;
      case 1: copy.insert(place, symbol(alphabet)); break;
      default: *place = symbol(alphabet);
    }
  }
  Sequence hyp(static_cast<std::size_t>(row[3]));
  for (auto& s : hyp) s = static_cast<std::uint32_t>(alphabet) + symbol(20);
  hyp.insert(hyp.end(), copy.begin(), copy.end());
  ref.push_back(static_cast<std::uint32_t>(alphabet) + 99);
  if (row[5] == 1) std::swap(ref, hyp);
  return {ref, hyp};
}

Sequence few_symbols(std::size_t length, std::uint32_t alphabet) {
  return *rc::gen::container<Sequence>(length, rc::gen::inRange<std::uint32_t>(0, alphabet));
}

TEST(EditDistance, EveryGoldenPairHasTheCountsAndChunksOfJiwer) {
  const auto rows = golden_rows("word_errors.jsonl");
  ASSERT_EQ(rows.size(), 43U);
  for (const Value& row : rows) {
    const auto alignment = align_words(text_at(row, "reference"), text_at(row, "hypothesis"));
    ASSERT_TRUE(alignment.has_value());
    EXPECT_EQ(as_list(alignment->counts), integers_at(row, "words")) << to_canonical_json(row);
    EXPECT_EQ(to_text(alignment->chunks), text_at(row, "chunks"));
    const auto characters = count_characters(text_at(row, "reference"), text_at(row, "hypothesis"));
    ASSERT_TRUE(characters.has_value());
    EXPECT_EQ(as_list(*characters), integers_at(row, "characters")) << to_canonical_json(row);
  }
}

TEST(EditDistance, EveryGoldenPairHasTheMeasuresOfJiwerToTwelveDigits) {
  for (const Value& row : golden_rows("word_errors.jsonl")) {
    const auto words = count_words(text_at(row, "reference"), text_at(row, "hypothesis")).value();
    const auto characters =
        count_characters(text_at(row, "reference"), text_at(row, "hypothesis")).value();
    const Measures m = measures(words);
    const auto digits = [](double value) { return fmt::format("{:.12g}", value); };
    EXPECT_EQ(digits(m.wer), text_at(row, "measures.wer"));
    EXPECT_EQ(digits(m.mer), text_at(row, "measures.mer"));
    EXPECT_EQ(digits(m.wil), text_at(row, "measures.wil"));
    EXPECT_EQ(digits(m.wip), text_at(row, "measures.wip"));
    EXPECT_EQ(digits(error_rate(characters)), text_at(row, "measures.cer"));
  }
}

TEST(EditDistance, ALoneTabOrNoBreakSpaceDoesNotSplitAWord) {
  EXPECT_EQ(split_words("a\tb").value().size(), 1U);
  EXPECT_EQ(split_words("a\u00A0b c").value().size(), 2U);
  EXPECT_EQ(split_words("a\t\tb").value().size(), 2U);
  EXPECT_EQ(split_words(" \n a \t b\u3000").value().size(), 2U);
  EXPECT_TRUE(split_words(" \t\u00A0").value().empty());
}

TEST(EditDistance, InvalidUtf8IsRefusedWithItsSideAndByte) {
  const auto result = count_words("fine", "ab\xFF");
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kInvalid);
  EXPECT_EQ(result.error().message, "hypothesis text: invalid UTF-8 at byte 2");
}

TEST(EditDistance, TheFirstEightBytesOfAWordAreNotTheWord) {
  // Eight bytes, nine, and the lengths around the second and third eight.
  for (const std::size_t length : {8U, 9U, 15U, 16U, 17U, 24U, 25U, 40U}) {
    const std::string same(length, 'x');
    for (std::size_t at = 0; at < length; ++at) {
      std::string other = same;
      other[at] = 'y';
      const Counts counts = count_words("a " + same + " b", "c " + other + " d").value();
      EXPECT_EQ(as_list(counts), (std::vector<std::int64_t>{3, 0, 0, 0})) << length << " " << at;
    }
    EXPECT_EQ(count_words("a " + same + " b", "c " + same + " d").value().hits, 1);
    EXPECT_EQ(count_words("a " + same + " b", "c " + same + "x d").value().hits, 0);
  }
}

// The fast cut looks at 64 bytes together; an accent somewhere else makes the other one cut.
TEST(EditDistance, WordsAreTheSameWhereverTheyLieInTheText) {
  for (std::size_t shift = 0; shift < 140; ++shift) {
    const std::string before(shift, 'p');
    const std::string text = "  " + before + " one three  five ";
    std::vector<std::string_view> wanted{"one", "three", "five"};
    if (shift > 0) wanted.insert(wanted.begin(), before);
    EXPECT_EQ(split_words(text).value(), wanted);
    wanted.emplace_back("\u00E9t\u00E9");
    EXPECT_EQ(split_words(text + " \u00E9t\u00E9").value(), wanted);
  }
  EXPECT_EQ(split_words(std::string(64, 'w')).value().size(), 1U);
  EXPECT_EQ(split_words(std::string(64, 'w') + " v").value().size(), 2U);
}

TEST(EditDistance, EmptySidesAreDeletionsInsertionsOrNothing) {
  const Sequence none;
  const Sequence three{1, 2, 3};
  EXPECT_TRUE(align(none, none).value().empty());
  EXPECT_EQ(to_text(align(three, none).value()), "D[0:3,0:0]");
  EXPECT_EQ(to_text(align(none, three).value()), "I[0:0,0:3]");
  EXPECT_EQ(to_text(align(three, three).value()), "=[0:3,0:3]");
  EXPECT_EQ(as_list(count_words(" \t\t ", "").value()), (std::vector<std::int64_t>{0, 0, 0, 0}));
  EXPECT_EQ(as_list(count_words("", "a b").value()), (std::vector<std::int64_t>{0, 0, 2, 0}));
}

// As rapidfuzz has them; the back-trace of the whole table would give I = I and D = = I.
TEST(EditDistance, ACommonEndGoesFirstEvenWhereTheTableHasAnotherWay) {
  EXPECT_EQ(to_text(align(Sequence{1}, Sequence{2, 1, 1}).value()), "I[0:0,0:2] =[0:1,2:3]");
  EXPECT_EQ(to_text(align(Sequence{1, 2, 3}, Sequence{2, 3, 3}).value()), "S[0:2,0:2] =[2:3,2:3]");
  EXPECT_EQ(as_list(count_words("a b c", "b c c").value()),
            (std::vector<std::int64_t>{2, 0, 0, 1}));
  EXPECT_EQ(as_list(count_characters("abc", "bcc").value()),
            (std::vector<std::int64_t>{2, 0, 0, 1}));
}

TEST(EditDistance, BlocksOf64SymbolsHaveNoSeams) {
  for (const std::size_t length : {1U, 62U, 63U, 64U, 65U, 66U, 127U, 128U, 129U, 192U, 193U}) {
    for (const std::uint32_t alphabet : {2U, 3U, 40U}) {
      Random random(length * 100 + alphabet);
      for (int i = 0; i < 20; ++i) {
        const auto symbols = [&](std::size_t n) {
          Sequence made(n);
          for (auto& symbol : made) symbol = static_cast<std::uint32_t>(random.bounded(alphabet));
          return made;
        };
        // Sequence of their own at the ends, so that nothing is taken off.
        Sequence ref = symbols(length);
        Sequence hyp = symbols(length / 2 + random.bounded(length + 2) + 1);
        ref.front() = 1000;
        hyp.back() = 1001;
        SCOPED_TRACE(fmt::format("{} symbols of {}", length, alphabet));
        expect_as_by_table(ref, hyp);
        expect_as_by_table(hyp, ref);
      }
    }
  }
}

// Most are split, once or again and again; some so that one part of the reference is empty.
TEST(EditDistance, LongPairsHaveTheCountsOfRapidFuzz) {
  const auto rows = golden_rows("long_alignments.jsonl");
  ASSERT_EQ(rows.size(), 160U);
  ErrorCounter counter;
  for (const Value& row : rows) {
    std::vector<std::int64_t> numbers;
    for (const Value& item : *row.if_array())
      numbers.push_back(item.if_number()->to_integer().value());
    ASSERT_EQ(numbers.size(), 10U);
    const auto [ref, hyp] = long_pair(numbers);
    const auto chunks = counter.align(ref, hyp);
    ASSERT_TRUE(chunks.has_value());
    EXPECT_EQ(as_list(count(*chunks)), (std::vector(numbers.begin() + 6, numbers.end())))
        << to_canonical_json(row);
  }
}

TEST(EditDistance, ALongTextOfFewErrorsNeedsNoTableOfItsSquare) {
  std::string ref;
  Random random(3);
  for (int i = 0; i < 200'000; ++i) ref += static_cast<char>('a' + random.bounded(3));
  std::string hyp = ref;
  hyp[77'777] = 'z';
  hyp.erase(150'000, 1);
  EXPECT_EQ(as_list(count_characters(ref, hyp).value()),
            (std::vector<std::int64_t>{1, 1, 0, 199'998}));
  EXPECT_EQ(as_list(count_words(ref, hyp).value()), (std::vector<std::int64_t>{1, 0, 0, 0}));
}

TEST(EditDistance, MoreSymbolsThanTheNamedLimitAreRefusedWithTheirSide) {
  const Sequence few(3, 1);
  const Sequence many(kSymbolsMax + 1, 1);
  const auto result = align(few, many);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(result.error().message,
            "hypothesis text: 16777217 symbols: the limit is 16777216; split the text into "
            "utterances");
  std::string text;
  for (std::size_t i = 0; i <= kSymbolsMax; ++i) text += "a ";
  EXPECT_EQ(count_words(text, "a").error().message,
            "reference text: 16777217 words: the limit is 16777216; split the text into "
            "utterances");
}

RC_GTEST_PROP(EditDistanceProperty, CountsAddUpToTheLengthsAndToTheBruteForceDistance, ()) {
  const auto alphabet = *rc::gen::inRange<std::uint32_t>(1, 6);
  const Sequence ref = few_symbols(*rc::gen::inRange<std::size_t>(0, 40), alphabet);
  const Sequence hyp = few_symbols(*rc::gen::inRange<std::size_t>(0, 40), alphabet);
  const Counts counts = count(align(ref, hyp).value());
  RC_ASSERT(counts.reference_length() == static_cast<std::int64_t>(ref.size()));
  RC_ASSERT(counts.hypothesis_length() == static_cast<std::int64_t>(hyp.size()));
  RC_ASSERT(counts.errors() == plain_distance(ref, hyp));
  const Counts swapped = count(align(hyp, ref).value());
  RC_ASSERT(swapped.errors() == counts.errors());
  RC_ASSERT(swapped.deletions - swapped.insertions == counts.insertions - counts.deletions);
}

RC_GTEST_PROP(EditDistanceProperty, ChunksCoverBothSidesInOrderAndHitsAreEqualSymbols, ()) {
  const Sequence ref = few_symbols(*rc::gen::inRange<std::size_t>(0, 30), 3);
  const Sequence hyp = few_symbols(*rc::gen::inRange<std::size_t>(0, 30), 3);
  const auto chunks = align(ref, hyp).value();
  std::size_t i = 0;
  std::size_t j = 0;
  for (const Chunk& c : chunks) {
    RC_ASSERT(c.ref_begin == i);
    RC_ASSERT(c.hyp_begin == j);
    for (std::size_t k = 0; c.edit == Edit::kHit && k < c.ref_end - c.ref_begin; ++k) {
      RC_ASSERT(ref[c.ref_begin + k] == hyp[c.hyp_begin + k]);
    }
    for (std::size_t k = 0; c.edit == Edit::kSubstitution && k < c.ref_end - c.ref_begin; ++k) {
      RC_ASSERT(ref[c.ref_begin + k] != hyp[c.hyp_begin + k]);
    }
    i = c.ref_end;
    j = c.hyp_end;
  }
  RC_ASSERT(i == ref.size());
  RC_ASSERT(j == hyp.size());
}

RC_GTEST_PROP(EditDistanceProperty, ACommonBeginningAndEndAddsHitsOnly, ()) {
  const Sequence ref = few_symbols(*rc::gen::inRange<std::size_t>(0, 12), 3);
  const Sequence hyp = few_symbols(*rc::gen::inRange<std::size_t>(0, 12), 3);
  const Sequence affix = few_symbols(*rc::gen::inRange<std::size_t>(0, 6), 3);
  const auto wrapped = [&](const Sequence& inner) {
    Sequence all = affix;
    all.insert(all.end(), inner.begin(), inner.end());
    all.insert(all.end(), affix.begin(), affix.end());
    return all;
  };
  RC_ASSERT(count(align(wrapped(ref), wrapped(hyp)).value()).errors() ==
            count(align(ref, hyp).value()).errors());
}

}  // namespace
}  // namespace strata::evaluator
