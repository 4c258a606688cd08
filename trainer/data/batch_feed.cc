#include "trainer/data/batch_feed.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/torch/guard.h"
#include "base/torch/torch.h"

namespace strata::trainer {

BatchFeed::BatchFeed(const std::vector<Utterance>& train, const UtteranceSource* source,
                     BatchOrder order, const FeedOptions& options, const Clock& clock,
                     std::int64_t update)
    : train_(train),
      source_(source),
      options_(options),
      clock_(clock),
      order_(std::move(order)),
      update_(update) {
  STRATA_ASSERT(options_.threads >= 1);
  options_.batches = std::max(options_.batches, options_.threads);
  for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { work(); });
}

BatchFeed::~BatchFeed() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  threads_.clear();  // before what they use goes
}

Result<Batch> BatchFeed::next() {
  std::unique_lock lock(mutex_);
  STRATA_ASSERT(taken_ < planned_ || has_plan());
  const auto is_ready = [&] { return ready_.contains(taken_); };
  if (!is_ready()) {
    const Instant began = clock_.now();
    changed_.wait(lock, is_ready);
    if (taken_ > 0) waited_ += clock_.now() - began;
  }
  auto node = ready_.extract(taken_);
  ++taken_;
  lock.unlock();
  changed_.notify_all();
  return std::move(node.mapped());
}

bool BatchFeed::has_plan() const { return !share_.empty() || update_ < options_.updates; }

BatchFeed::Plan BatchFeed::next_plan() {
  if (share_.empty()) {
    const auto indices = order_.batch(update_);
    STRATA_ASSERT(indices.size() >= static_cast<std::size_t>(options_.ranks));
    std::vector<const Utterance*> whole;
    for (const std::size_t i : indices) whole.push_back(&train_[i]);
    sizes_ = padded_sizes(whole);
    for (const std::size_t i : share_of_rank(indices, options_.rank, options_.ranks))
      share_.push_back(&train_[i]);
    begin_ = 0;
    ++update_;
  }
  const std::size_t most =
      options_.micro_batch > 0 ? static_cast<std::size_t>(options_.micro_batch) : share_.size();
  const std::size_t end = std::min(share_.size(), begin_ + most);
  Plan plan{.utterances = {share_.begin() + static_cast<std::ptrdiff_t>(begin_),
                           share_.begin() + static_cast<std::ptrdiff_t>(end)},
            .sizes = sizes_};
  begin_ = end;
  if (begin_ == share_.size()) share_.clear();
  return plan;
}

void BatchFeed::work() {
  const torch::NoGradGuard no_grad;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(
        lock, [&] { return stopping_ || (planned_ < taken_ + options_.batches && has_plan()); });
    if (stopping_) return;
    const std::int64_t number = planned_++;
    const Plan plan = next_plan();
    lock.unlock();
    auto batch = from_torch("making a batch", [&] { return make(plan); });
    lock.lock();
    ready_.emplace(number, std::move(batch));
    changed_.notify_all();
  }
}

Result<Batch> BatchFeed::make(const Plan& plan) const {
  std::vector<Utterance> whole;
  std::vector<const Utterance*> pointers;
  whole.reserve(plan.utterances.size());
  for (const Utterance* utterance : plan.utterances) {
    if (stopping_) return fail(ErrorCode::kConflict, "the run is stopping");
    STRATA_TRY(Utterance one, whole_utterance(*utterance, source_));
    pointers.push_back(&whole.emplace_back(std::move(one)));
  }
  return collate(pointers, plan.sizes, options_.padding);
}

}  // namespace strata::trainer
