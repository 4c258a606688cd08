// Ranks that are threads of one process, for what needs their sums and barriers alone.
#pragma once

#include <barrier>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "trainer/collective/communicator.h"

namespace strata::trainer {

class ThreadGang {
 public:
  // Calls `as_rank` on a thread for each rank, and returns when all have.
  static void run(int size, const std::function<void(Communicator&)>& as_rank) {
    ThreadGang gang(size);
    std::vector<std::jthread> threads;
    for (int r = 0; r < size; ++r) {
      threads.emplace_back([&, r] {
        Rank rank(gang, r);
        as_rank(rank);
      });
    }
  }

 private:
  explicit ThreadGang(int size)
      : size_(size), barrier_(size), sums_(static_cast<std::size_t>(size)) {}

  class Rank final : public Communicator {
   public:
    Rank(ThreadGang& gang, int rank) : gang_(gang), rank_(rank) {}
    [[nodiscard]] int rank() const override { return rank_; }
    [[nodiscard]] int size() const override { return gang_.size_; }
    Status all_reduce_sum(std::span<float>) override {
      return fail(ErrorCode::kUnsupported, "no floats here");
    }
    Status all_reduce_sum(std::span<double> values) override {
      gang_.sums_[static_cast<std::size_t>(rank_)].assign(values.begin(), values.end());
      gang_.barrier_.arrive_and_wait();
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = 0;
        for (const std::vector<double>& one : gang_.sums_) values[i] += one.at(i);
      }
      gang_.barrier_.arrive_and_wait();
      return {};
    }
    Status broadcast(std::span<char>, int) override {
      return fail(ErrorCode::kUnsupported, "no broadcast here");
    }
    Status barrier() override {
      gang_.barrier_.arrive_and_wait();
      return {};
    }
    void abandon(int) override {}

   private:
    ThreadGang& gang_;
    int rank_;
  };

  int size_;
  std::barrier<> barrier_;
  std::vector<std::vector<double>> sums_;
};

}  // namespace strata::trainer
