#include "evaluator/core/edit_distance.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "tests/unit/evaluator/golden_rows.h"

namespace strata::evaluator {
namespace {

using testing::ElementsAre;
using Symbols = std::vector<std::uint32_t>;

std::vector<std::int64_t> as_list(const Counts& c) {
  return {c.substitutions, c.deletions, c.insertions, c.hits};
}

// The textbook recursion, one row at a time: no affix trimming, no back-trace.
std::int64_t plain_distance(const Symbols& a, const Symbols& b) {
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

Symbols few_symbols(std::size_t length, std::uint32_t alphabet) {
  return *rc::gen::container<Symbols>(length, rc::gen::inRange<std::uint32_t>(0, alphabet));
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

TEST(EditDistance, ATableOverTheNamedLimitIsRefusedBeforeItIsMade) {
  const Symbols a(40'000, 1);
  const Symbols b(40'000, 2);
  const auto result = align(a, b);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kTooLarge);
}

RC_GTEST_PROP(EditDistanceProperty, CountsAddUpToTheLengthsAndToTheBruteForceDistance, ()) {
  const auto alphabet = *rc::gen::inRange<std::uint32_t>(1, 6);
  const Symbols ref = few_symbols(*rc::gen::inRange<std::size_t>(0, 40), alphabet);
  const Symbols hyp = few_symbols(*rc::gen::inRange<std::size_t>(0, 40), alphabet);
  const Counts counts = count(align(ref, hyp).value());
  RC_ASSERT(counts.reference_length() == static_cast<std::int64_t>(ref.size()));
  RC_ASSERT(counts.hypothesis_length() == static_cast<std::int64_t>(hyp.size()));
  RC_ASSERT(counts.errors() == plain_distance(ref, hyp));
  const Counts swapped = count(align(hyp, ref).value());
  RC_ASSERT(swapped.errors() == counts.errors());
  RC_ASSERT(swapped.deletions - swapped.insertions == counts.insertions - counts.deletions);
}

RC_GTEST_PROP(EditDistanceProperty, ChunksCoverBothSidesInOrderAndHitsAreEqualSymbols, ()) {
  const Symbols ref = few_symbols(*rc::gen::inRange<std::size_t>(0, 30), 3);
  const Symbols hyp = few_symbols(*rc::gen::inRange<std::size_t>(0, 30), 3);
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
  const Symbols ref = few_symbols(*rc::gen::inRange<std::size_t>(0, 12), 3);
  const Symbols hyp = few_symbols(*rc::gen::inRange<std::size_t>(0, 12), 3);
  const Symbols affix = few_symbols(*rc::gen::inRange<std::size_t>(0, 6), 3);
  const auto wrapped = [&](const Symbols& inner) {
    Symbols all = affix;
    all.insert(all.end(), inner.begin(), inner.end());
    all.insert(all.end(), affix.begin(), affix.end());
    return all;
  };
  RC_ASSERT(count(align(wrapped(ref), wrapped(hyp)).value()).errors() ==
            count(align(ref, hyp).value()).errors());
}

}  // namespace
}  // namespace strata::evaluator
