// A few threads for what takes long (hashing, copying, deleting), so that heartbeats go on
// meanwhile. A job runs on a thread of the pool and returns what is then to be done on the owner's
// thread.
//
// Thread rule: everything but the jobs themselves belongs to the owner's thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/files.h"

namespace strata::worker {

// One long copy must not hold up everybody's small ones.
inline constexpr std::size_t kWorkThreads = 2;
inline constexpr std::size_t kJobsQueuedMax = 64;

class WorkPool {
 public:
  using Completion = std::function<void()>;
  using Job = std::function<Completion()>;

  explicit WorkPool(std::size_t threads = kWorkThreads);
  ~WorkPool();  // waits for the jobs that run; those that wait are dropped
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  // False when the queue is full: try again after the next completion.
  [[nodiscard]] bool submit(Job job);
  // Readable when there are completions.
  [[nodiscard]] int ready_fd() const { return ready_.get(); }
  // Performs what finished jobs returned; the number of them.
  std::size_t complete();

 private:
  void work(const std::stop_token& stop);

  FileDescriptor ready_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Job> jobs_;
  std::vector<Completion> done_;
  std::vector<std::jthread> threads_;  // last: ends first
};

}  // namespace strata::worker
