#include "worker/work_pool.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"

namespace strata::worker {

WorkPool::WorkPool(std::size_t threads) : ready_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  STRATA_ASSERT(ready_.valid());
  for (std::size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }
}

WorkPool::~WorkPool() {
  for (std::jthread& thread : threads_) thread.request_stop();
}

bool WorkPool::submit(Job job) {
  const std::lock_guard lock(mutex_);
  if (jobs_.size() >= kJobsQueuedMax) return false;
  jobs_.push_back(std::move(job));
  changed_.notify_one();
  return true;
}

std::size_t WorkPool::complete() {
  std::uint64_t count = 0;
  (void)!::read(ready_.get(), &count, sizeof count);
  std::vector<Completion> done;
  {
    const std::lock_guard lock(mutex_);
    done.swap(done_);
  }
  for (const Completion& completion : done) completion();
  return done.size();
}

void WorkPool::work(const std::stop_token& stop) {
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [this] { return !jobs_.empty(); }) || stop.stop_requested())
        return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    Completion completion = job();
    const std::lock_guard lock(mutex_);
    done_.push_back(std::move(completion));
    const std::uint64_t one = 1;
    (void)!::write(ready_.get(), &one, sizeof one);
  }
}

}  // namespace strata::worker
