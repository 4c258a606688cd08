#include "worker/work_pool.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>

namespace strata::worker {
namespace {

void wait_for(WorkPool& pool) {
  pollfd item{.fd = pool.ready_fd(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&item, 1, 10'000), 1);
}

TEST(WorkPool, AJobRunsElsewhereAndItsCompletionHere) {
  WorkPool pool(1);
  std::thread::id job_thread;
  std::thread::id completion_thread;
  ASSERT_TRUE(pool.submit([&]() -> WorkPool::Completion {
    job_thread = std::this_thread::get_id();
    return [&] { completion_thread = std::this_thread::get_id(); };
  }));
  wait_for(pool);
  EXPECT_EQ(pool.complete(), 1U);
  EXPECT_NE(job_thread, std::this_thread::get_id());
  EXPECT_EQ(completion_thread, std::this_thread::get_id());
}

TEST(WorkPool, AFullQueueSaysNo) {
  WorkPool pool(1);
  std::atomic<bool> go{false};
  const auto blocked = [&]() -> WorkPool::Completion {
    go.wait(false);
    return [] {};
  };
  std::size_t accepted = 0;
  while (pool.submit(blocked)) ++accepted;
  EXPECT_GE(accepted, kJobsQueuedMax);
  EXPECT_LE(accepted, kJobsQueuedMax + 1) << "the one that runs";
  go = true;
  go.notify_all();
}

}  // namespace
}  // namespace strata::worker
