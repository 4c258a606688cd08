#include "trainer/data/batch_feed.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <set>

#include "tests/unit/trainer/synthetic.h"

namespace strata::trainer {
namespace {

constexpr std::size_t kUtterances = 10;
constexpr std::size_t kBatch = 4;

// Gives utterances when it is told to.
class GatedSource final : public UtteranceSource {
 public:
  explicit GatedSource(std::vector<Utterance> whole) : whole_(std::move(whole)) {}

  // The same utterances without their tensors.
  [[nodiscard]] std::vector<Utterance> absent() const {
    std::vector<Utterance> left;
    for (const Utterance& one : whole_)
      left.push_back({.id = one.id,
                      .text = one.text,
                      .seconds = one.seconds,
                      .absent = {.frames = one.frames(),
                                 .bands = one.bands(),
                                 .feature_frames = one.feature_frames()}});
    return left;
  }

  Result<Utterance> load(const Utterance& utterance) const override {
    std::unique_lock lock(mutex_);
    ++begun_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_ || begun_ <= let_through_; });
    most_begun_ = std::max(most_begun_, begun_ - allowed_);
    if (utterance.id == broken_) return fail(ErrorCode::kDamaged, "{} is broken", utterance.id);
    return *std::ranges::find(whole_, utterance.id, &Utterance::id);
  }

  // Loads wait from now on, but for the first `count` of all.
  void close_after(std::int64_t count) {
    const std::scoped_lock lock(mutex_);
    open_ = false;
    let_through_ = count;
  }
  void open() {
    const std::scoped_lock lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait_until_begun(std::int64_t count) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return begun_ >= count; });
  }
  void allow(std::int64_t count) {
    const std::scoped_lock lock(mutex_);
    allowed_ = count;
  }
  // How many more than allowed were begun; none: not above 0.
  [[nodiscard]] std::int64_t most_beyond() const {
    const std::scoped_lock lock(mutex_);
    return most_begun_;
  }
  void break_item(const std::string& id) { broken_ = id; }

 private:
  std::vector<Utterance> whole_;
  std::string broken_{};
  mutable std::mutex mutex_{};
  mutable std::condition_variable changed_{};
  mutable std::int64_t begun_ = 0;
  mutable std::int64_t most_begun_ = std::numeric_limits<std::int64_t>::min();
  std::int64_t allowed_ = 0;
  std::int64_t let_through_ = 0;
  bool open_ = true;
};

// Each look at it takes a second, and may do something.
class TickingClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override {
    if (when_asked) when_asked();
    return Instant(std::chrono::seconds(++seconds_));
  }
  [[nodiscard]] WallTime wall() const override { return {}; }
  std::function<void()> when_asked{};

 private:
  mutable std::int64_t seconds_ = 0;
};

BatchOrder small_order() { return BatchOrder::of_fixed_size(5, kUtterances, kBatch); }

void expect_same(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_TRUE(at::equal(a.mel, b.mel));
  EXPECT_TRUE(at::equal(a.lengths, b.lengths));
  EXPECT_TRUE(at::equal(a.text, b.text));
  EXPECT_TRUE(at::equal(a.features, b.features));
  EXPECT_TRUE(at::equal(a.feature_lengths, b.feature_lengths));
  EXPECT_FALSE(a.mel.requires_grad());
}

TEST(BatchFeed, GivesWhatTheLoopWouldMakeWhateverThreadsAndBatchesAndFromAnyUpdate) {
  const std::vector<Utterance> whole = synthetic_utterances(kUtterances, 1);
  const GatedSource source(whole);
  const std::vector<Utterance> absent = source.absent();
  const SystemClock clock;
  for (const int threads : {1, 3}) {
    for (const std::int64_t first : {0, 3}) {
      for (const int ranks : {1, 2}) {
        const FeedOptions options{.rank = ranks - 1,
                                  .ranks = ranks,
                                  .micro_batch = 3,
                                  .padding = -1.5,
                                  .updates = 7,
                                  .threads = threads,
                                  .batches = threads};
        BatchFeed feed(absent, &source, small_order(), options, clock, first);
        BatchOrder order = small_order();
        for (std::int64_t update = first; update < options.updates; ++update) {
          const auto indices = order.batch(update);
          std::vector<const Utterance*> batch;
          std::vector<const Utterance*> share;
          for (const std::size_t i : indices) batch.push_back(&whole[i]);
          for (const std::size_t i : share_of_rank(indices, options.rank, ranks))
            share.push_back(&whole[i]);
          for (std::size_t begin = 0; begin < share.size(); begin += 3) {
            const std::vector<const Utterance*> part(
                share.begin() + static_cast<std::ptrdiff_t>(begin),
                share.begin() + static_cast<std::ptrdiff_t>(std::min(begin + 3, share.size())));
            const auto made = feed.next();
            ASSERT_TRUE(made.has_value()) << made.error().message;
            expect_same(*made, collate(part, padded_sizes(batch), options.padding));
          }
        }
      }
    }
  }
}

TEST(BatchFeed, HalfPrecisionFeaturesAreWidenedAndWholeUtterancesNeedNoSource) {
  std::vector<Utterance> whole = synthetic_utterances(kUtterances, 1);
  for (Utterance& one : whole) one.features = one.features.to(at::kHalf);
  std::vector<Utterance> wide = whole;
  for (Utterance& one : wide) one.features = one.features.to(at::kFloat);
  const SystemClock clock;
  BatchFeed feed(whole, nullptr, small_order(), {.updates = 1}, clock, 0);
  const auto made = feed.next();
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(made->features.scalar_type(), at::kFloat);
  std::vector<const Utterance*> batch;
  for (const std::size_t i : small_order().batch(0)) batch.push_back(&wide[i]);
  expect_same(*made, collate(batch));
}

TEST(BatchFeed, WhatIsReadyIsNotWaitedFor) {
  GatedSource source(synthetic_utterances(kUtterances, 1));
  const std::vector<Utterance> absent = source.absent();
  const TickingClock clock;
  BatchFeed feed(absent, &source, small_order(), {.updates = 6, .batches = 2}, clock, 0);
  for (std::int64_t taken = 0; taken < 5; ++taken) {
    // One thread begins a batch when the one before it is ready.
    source.wait_until_begun((taken + 1) * static_cast<std::int64_t>(kBatch) + 1);
    ASSERT_TRUE(feed.next().has_value());
  }
  EXPECT_EQ(feed.waited(), Duration(0));
}

TEST(BatchFeed, WaitingIsMeasuredButForTheFirstBatch) {
  GatedSource source(synthetic_utterances(kUtterances, 1));
  const std::vector<Utterance> absent = source.absent();
  TickingClock clock;
  // It opens when somebody looks at the clock because he has to wait.
  const auto open = [&] { source.open(); };
  clock.when_asked = open;
  source.close_after(0);
  BatchFeed feed(absent, &source, small_order(), {.updates = 6, .batches = 1}, clock, 0);
  ASSERT_TRUE(feed.next().has_value());
  EXPECT_EQ(feed.waited(), Duration(0)) << "the first one";
  // The second batch goes through, the third stops at its second utterance.
  source.wait_until_begun(2 * kBatch);
  source.close_after(2 * kBatch + 1);
  clock.when_asked = nullptr;
  ASSERT_TRUE(feed.next().has_value());
  const Duration before = feed.waited();
  source.wait_until_begun(2 * kBatch + 2);
  clock.when_asked = open;
  ASSERT_TRUE(feed.next().has_value());
  EXPECT_EQ(feed.waited() - before, std::chrono::seconds(1));
}

TEST(BatchFeed, MakesNoMoreAheadThanItIsAllowed) {
  constexpr int kAhead = 3;
  GatedSource source(synthetic_utterances(kUtterances, 1));
  const std::vector<Utterance> absent = source.absent();
  const SystemClock clock;
  const auto of_batches = [](std::int64_t count) {
    return count * static_cast<std::int64_t>(kBatch);
  };
  source.allow(of_batches(kAhead));
  BatchFeed feed(absent, &source, small_order(), {.updates = 40, .threads = 2, .batches = kAhead},
                 clock, 0);
  for (std::int64_t taken = 0; taken < 20; ++taken) {
    source.wait_until_begun(of_batches(taken + kAhead));
    source.allow(of_batches(taken + 1 + kAhead));
    ASSERT_TRUE(feed.next().has_value());
  }
  EXPECT_LE(source.most_beyond(), 0);
}

TEST(BatchFeed, AnErrorComesInItsTurn) {
  GatedSource source(synthetic_utterances(kUtterances, 1));
  const std::vector<Utterance> absent = source.absent();
  BatchOrder order = small_order();
  std::set<std::size_t> seen;
  for (const std::int64_t update : {0, 1}) {
    for (const std::size_t i : order.batch(update)) seen.insert(i);
  }
  const auto third = order.batch(2);
  const auto fresh = std::ranges::find_if(third, [&](std::size_t i) { return !seen.contains(i); });
  ASSERT_NE(fresh, third.end());
  source.break_item(absent[*fresh].id);
  const SystemClock clock;
  BatchFeed feed(absent, &source, small_order(), {.updates = 6, .threads = 3}, clock, 0);
  EXPECT_TRUE(feed.next().has_value());
  EXPECT_TRUE(feed.next().has_value());
  const auto broken = feed.next();
  ASSERT_FALSE(broken.has_value());
  EXPECT_EQ(broken.error().code, ErrorCode::kDamaged);
  EXPECT_EQ(broken.error().message, absent[*fresh].id + " is broken");
}

TEST(BatchFeed, LeavesNoThreadWhereverItIsLeft) {
  GatedSource source(synthetic_utterances(kUtterances, 1));
  const std::vector<Utterance> absent = source.absent();
  const SystemClock clock;
  for (int taken = 0; taken < 4; ++taken) {
    BatchFeed feed(absent, &source, small_order(), {.updates = 3, .threads = 2}, clock, 0);
    for (int i = 0; i < std::min(taken, 3); ++i) ASSERT_TRUE(feed.next().has_value());
  }
  source.close_after(0);
  {
    BatchFeed feed(absent, &source, small_order(), {.updates = 3, .threads = 2}, clock, 0);
    source.open();  // the utterances that are being read are read to their end
  }
}

}  // namespace
}  // namespace strata::trainer
