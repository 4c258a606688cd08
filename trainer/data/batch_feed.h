// The micro-batches of one rank, read and padded ahead of the loop by threads of their own, in the
// order in which the loop takes them. What a batch holds depends on the update alone, so that it
// makes no difference when it was made, or by how many threads.
//
// The loop's thread constructs it, starts it, takes batches and destroys it, which ends the threads
// after the utterance that they are reading. They talk to nobody: no collective, no autograd.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "trainer/data/batch.h"
#include "trainer/data/order.h"

namespace strata::trainer {

inline constexpr int kFeedBatchesMax = 1024;
inline constexpr int kFeedThreadsMax = 256;

struct FeedOptions {
  int rank = 0;
  int ranks = 1;
  std::int64_t micro_batch = 0;  // utterances; 0: the rank's whole share of an update
  double padding = 0;            // of mels
  std::int64_t updates = 0;      // of the run: there is no batch after the last one
  int threads = 1;
  // Ready or in the making beyond the one that was taken last; at least one for each thread.
  int batches = 2;
};

class BatchFeed {
 public:
  // Begins with the first micro-batch of `update`. All references outlive the feed. REQUIRES: every
  // batch of the order has an utterance for every rank; `source` is given where some utterance is
  // not whole.
  BatchFeed(const std::vector<Utterance>& train, const UtteranceSource* source, BatchOrder order,
            const FeedOptions& options, const Clock& clock, std::int64_t update);
  BatchFeed(const BatchFeed&) = delete;
  BatchFeed& operator=(const BatchFeed&) = delete;
  ~BatchFeed();

  // Waits until it is ready. An error is that of the first utterance that could not be read;
  // nothing is taken after it. REQUIRES: there is one.
  [[nodiscard]] Result<Batch> next();
  // How long next() has waited so far. The first batch does not count: nothing could have been made
  // ahead.
  [[nodiscard]] Duration waited() const { return waited_; }

 private:
  struct Plan {  // of a micro-batch
    std::vector<const Utterance*> utterances{};
    PaddedSizes sizes{};
  };
  [[nodiscard]] bool has_plan() const;
  Plan next_plan();
  void work();
  [[nodiscard]] Result<Batch> make(const Plan& plan) const;

  const std::vector<Utterance>& train_;
  const UtteranceSource* source_;
  FeedOptions options_;
  const Clock& clock_;
  Duration waited_{};  // of the loop's thread

  std::mutex mutex_{};  // of all that follows
  std::condition_variable changed_{};
  BatchOrder order_;
  std::int64_t update_;                    // whose micro-batches are planned
  std::vector<const Utterance*> share_{};  // of that update; empty: none is begun
  std::size_t begin_ = 0;                  // of the next micro-batch in it
  PaddedSizes sizes_{};
  std::int64_t planned_ = 0;  // micro-batches
  std::int64_t taken_ = 0;
  std::map<std::int64_t, Result<Batch>> ready_{};  // by number
  std::atomic<bool> stopping_{false};
  std::vector<std::jthread> threads_{};
};

}  // namespace strata::trainer
