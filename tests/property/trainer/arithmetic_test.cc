// What decides without tensors, for any options: rates, the average's decay, the sampler's times,
// orders of data, vocabularies.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string>

#include "tests/property/trainer/generators.h"
#include "trainer/data/order.h"
#include "trainer/data/vocabulary.h"
#include "trainer/optim/schedule.h"
#include "trainer/sampling/grid.h"

namespace strata::trainer {
namespace {

// ---- learning rate and average

RC_GTEST_PROP(AnySchedule, RisesToItsBaseAndFallsToNearlyNothingWithoutAJump, ()) {
  const std::int64_t warmup = whole(0, 300);
  const std::int64_t decay = whole(1, 300);
  const Schedule schedule{.base = real(1e-6, 1e-2), .warmup = warmup, .total = warmup + decay};
  const std::int64_t update = whole(0, 700);
  const double now = learning_rate(schedule, update);
  const double next = learning_rate(schedule, update + 1);
  RC_ASSERT(now > 0 && now <= schedule.base);
  RC_ASSERT((update < warmup ? next > now : next <= now));
  const double slope = schedule.base / static_cast<double>(update < warmup ? warmup : decay);
  RC_ASSERT(std::abs(next - now) <= slope * (1 + 1e-9));
  RC_ASSERT(learning_rate(schedule, warmup) == schedule.base);
  if (update >= schedule.total) RC_ASSERT(now < 1e-7 * schedule.base);
}

RC_GTEST_PROP(AnyAverage, BeginsAsACopyAndKeepsAShareThatGrowsUpToBeta, ()) {
  EmaOptions options;
  options.beta = real(0.1, 1);
  options.update_after = whole(0, 200);
  options.update_every = whole(1, 20);
  options.inv_gamma = real(0.1, 100);
  options.power = real(0.1, 2);
  double before = 0;
  for (std::int64_t calls = 0; calls < options.update_after + 60; ++calls) {
    const EmaDecision decision = ema_decision(options, calls);
    const bool due = calls % options.update_every == 0;
    RC_ASSERT((decision.step == EmaStep::kNothing) == !due);
    if (!due) continue;
    const bool early = calls <= options.update_after;
    RC_ASSERT((decision.step == EmaStep::kCopy) == (calls == 0 || early));
    if (decision.step == EmaStep::kCopy) continue;
    RC_ASSERT(decision.decay >= before && decision.decay <= options.beta);
    before = decision.decay;
  }
}

// ---- times of a sampler's steps

RC_GTEST_PROP(AnyGrid, IncreasesFromZeroToOneAndLagsOrLeadsAsSwaySays, ()) {
  const std::int64_t steps = whole(1, 300);
  const double sway = real(kSwayMin, kSwayMax);
  const StepGrid kind = flag() ? StepGrid::kEpss : StepGrid::kUniform;
  const auto plain = time_grid(steps, {}, kind);
  const auto swayed = time_grid(steps, sway, kind);
  for (const auto& times : {plain, swayed}) {
    RC_ASSERT(times.size() == static_cast<std::size_t>(steps + 1));
    RC_ASSERT(times.front() == 0 && times.back() == 1);
    RC_ASSERT(std::ranges::adjacent_find(times, std::greater_equal<>()) == times.end());
  }
  for (std::size_t i = 0; i < plain.size(); ++i) RC_ASSERT((swayed[i] - plain[i]) * sway >= -1e-12);
}

RC_GTEST_PROP(AnyPrunedGrid, NeverTakesASmallerStepAfterALargerOne, ()) {
  const std::int64_t steps = whole(1, 40);
  const auto times = time_grid(steps, {}, StepGrid::kEpss);
  for (std::size_t i = 0; i + 2 < times.size(); ++i)
    RC_ASSERT(times[i + 1] - times[i] <= times[i + 2] - times[i + 1] + 1e-12);
}

RC_GTEST_PROP(AnyDuration, HasRoomForPromptAndTextUpToTheMost, ()) {
  const std::int64_t prompt = whole(0, 3000);
  const std::int64_t tokens = whole(0, 3000);
  const std::int64_t most = whole(3001, 70'000);
  const std::int64_t frames = bounded_duration(whole(0, 100'000), prompt, tokens, most);
  RC_ASSERT(frames > prompt && frames > tokens && frames <= most);
}

// ---- orders of data

using Indices = std::vector<std::size_t>;

bool is_permutation_of(Indices indices, std::size_t count) {
  Indices all(count);
  std::iota(all.begin(), all.end(), 0U);
  std::ranges::sort(indices);
  return indices == all;
}

RC_GTEST_PROP(AnyPermutation, HasEveryIndexOnce, ()) {
  const auto count = static_cast<std::size_t>(whole(1, 400));
  RC_ASSERT(is_permutation_of(permutation(seed(), count), count));
  RC_ASSERT(is_permutation_of(torch_permutation(static_cast<std::uint32_t>(seed()), count), count));
}

RC_GTEST_PROP(AnyOrder, OfFixedSizeTakesNoUtteranceTwiceInAnEpochAndAsManyAsFullBatchesHold, ()) {
  const auto batch = static_cast<std::size_t>(whole(1, 12));
  const std::size_t count = batch + static_cast<std::size_t>(whole(0, 60));
  BatchOrder order = BatchOrder::of_fixed_size(seed(), count, batch);
  const auto updates = static_cast<std::int64_t>(count / batch);
  const std::int64_t epoch = whole(0, 5);
  std::set<std::size_t> seen;
  for (std::int64_t u = 0; u < updates; ++u) {
    const Indices own = order.batch(epoch * updates + u);
    RC_ASSERT(own.size() == batch);
    for (const std::size_t i : own) RC_ASSERT(i < count && seen.insert(i).second);
  }
}

RC_GTEST_PROP(AnyOrder, OfLikeLengthTakesWhatFitsOnceAnEpochAndKeepsToItsBudget, ()) {
  const FrameBudget budget{.frames = real(50, 400),
                           .utterances = static_cast<std::size_t>(whole(1, 8))};
  std::vector<double> lengths{real(1, 50)};  // one that fits
  for (std::int64_t more = whole(0, 40); more > 0; --more) lengths.push_back(real(1, 500));
  const auto batches = static_cast<std::int64_t>(batches_of_like_length(lengths, budget).size());
  BatchOrder order = BatchOrder::of_like_length(seed(), lengths, budget);
  const std::int64_t epoch = whole(0, 3);
  std::vector<int> times(lengths.size(), 0);
  for (std::int64_t u = 0; u < batches; ++u) {
    const Indices own = order.batch(epoch * batches + u);
    RC_ASSERT(!own.empty() && own.size() <= budget.utterances);
    double frames = 0;
    for (const std::size_t i : own) {
      ++times[i];
      frames += lengths[i];
    }
    RC_ASSERT(frames <= budget.frames);
    RC_ASSERT(std::ranges::is_sorted(own, {}, [&](std::size_t i) { return lengths[i]; }));
  }
  for (std::size_t i = 0; i < lengths.size(); ++i)
    RC_ASSERT(times[i] == (lengths[i] <= budget.frames ? 1 : 0));
}

RC_GTEST_PROP(AnyOrder, IsTheSameWhateverWasAskedBefore, ()) {
  const std::uint64_t by = seed();
  const bool like = flag();
  const auto made = [&] {
    const std::vector<double> lengths{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};
    return like ? BatchOrder::of_like_length(by, lengths, {.frames = 12, .utterances = 3})
                : BatchOrder::of_fixed_size(by, lengths.size(), 3);
  };
  const std::int64_t update = whole(0, 40);
  BatchOrder order = made();
  for (std::int64_t asked = whole(0, 5); asked > 0; --asked) (void)order.batch(whole(0, 40));
  RC_ASSERT(order.batch(update) == made().batch(update));
}

RC_GTEST_PROP(AnyBatch, IsWhatTheSharesOfAnyNumberOfRanksMakeTogether, ()) {
  Indices batch(static_cast<std::size_t>(whole(0, 60)));
  for (std::size_t& i : batch) i = static_cast<std::size_t>(whole(0, 1000));
  const int ranks = static_cast<int>(whole(1, 16));
  Indices together;
  std::set<std::size_t> sizes;
  for (int rank = 0; rank < ranks; ++rank) {
    const Indices share = share_of_rank(batch, rank, ranks);
    sizes.insert(share.size());
    together.insert(together.end(), share.begin(), share.end());
  }
  RC_ASSERT(together == batch);
  RC_ASSERT(*sizes.rbegin() - *sizes.begin() <= 1);
}

// ---- vocabularies

std::string utf8(std::uint32_t c) {
  const auto byte = [](std::uint32_t value) { return static_cast<char>(value); };
  const auto tail = [&](int shift) { return byte(0x80U | ((c >> shift) & 0x3FU)); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0U | (c >> 6)), tail(0)};
  if (c < 0x10000) return {byte(0xE0U | (c >> 12)), tail(6), tail(0)};
  return {byte(0xF0U | (c >> 18)), tail(12), tail(6), tail(0)};
}

// Of one to four bytes.
const std::vector<std::pair<std::int64_t, std::int64_t>> kBlocks{
    {0x20, 0x7E}, {0xA0, 0x24F}, {0x4E00, 0x9FFF}, {0x1F300, 0x1F6FF}};

std::vector<std::string> some_letters() {
  std::vector<std::string> letters(static_cast<std::size_t>(whole(0, 30)));
  for (std::string& letter : letters) {
    const auto block = *rc::gen::elementOf(kBlocks);
    letter = utf8(static_cast<std::uint32_t>(whole(block.first, block.second)));
  }
  return letters;
}

std::string joined(const std::vector<std::string>& letters) {
  return std::accumulate(letters.begin(), letters.end(), std::string());
}

RC_GTEST_PROP(AnyVocabulary, SpellsBackTheTextsThatItWasMadeOf, ()) {
  const auto letters = some_letters();
  const auto others = some_letters();
  const auto made = Vocabulary::of_texts({joined(letters), joined(others)});
  RC_ASSERT(made.has_value());
  // A line of vocab.txt for every id.
  std::vector<std::string> lines;
  const std::string file = made->format();
  for (std::size_t begin = 0; begin < file.size();) {
    const std::size_t end = file.find('\n', begin);
    lines.push_back(file.substr(begin, end - begin));
    begin = end + 1;
  }
  RC_ASSERT(lines.size() == made->size());
  const auto ids = made->encode(joined(letters));
  RC_ASSERT(ids.size() == letters.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    RC_ASSERT(lines.at(static_cast<std::size_t>(ids[i])) == letters[i]);
    RC_ASSERT(made->knows(letters[i]));
  }
  const auto again = Vocabulary::parse(file);
  RC_ASSERT(again.has_value());
  RC_ASSERT(again->format() == file);
  RC_ASSERT(again->encode(joined(others)) == made->encode(joined(others)));
}

RC_GTEST_PROP(AnyVocabulary, OfBytesHasThoseOfTheText, ()) {
  const std::string text = joined(some_letters());
  const auto ids = Vocabulary::bytes().encode(text);
  RC_ASSERT(std::ranges::equal(ids, text, {}, {}, [](char c) {
    return static_cast<std::int64_t>(static_cast<unsigned char>(c));
  }));
}

}  // namespace
}  // namespace strata::trainer
