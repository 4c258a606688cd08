// What follows a backward pass: clipping, AdamW, and the average of the weights; each over flat
// buffers.
#pragma once

#include "base/torch/tensor.h"
#include "trainer/optim/schedule.h"

namespace strata::trainer {

// By what gradients are divided so that their L2 norm is at most `limit`: (norm + 1e-6) / limit, at
// least 1. AdamW divides as it goes, which spares a pass over them.
struct Clip {
  double norm = 0;  // before
  double divisor = 1;
};
[[nodiscard]] Clip clip_to(const at::Tensor& gradients, double limit);

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;  // on every parameter, without exception
};

// torch's fused AdamW. It differs from torch::optim::AdamW in the last digits and is 3.5 times as
// fast; it is the only one used here, so that results compare.
class AdamW {
 public:
  AdamW(const AdamWOptions& options, std::int64_t total);
  // `update` counts from 0. Divides `gradients` by `divisor` first, in place.
  void step(at::Tensor& values, at::Tensor& gradients, double learning_rate, std::int64_t update,
            double divisor = 1);
  [[nodiscard]] at::Tensor& first_moment() { return first_; }    // (total)
  [[nodiscard]] at::Tensor& second_moment() { return second_; }  // (total)

 private:
  AdamWOptions options_;
  at::Tensor first_, second_;
};

// The average of ema-pytorch; called once after every update.
class WeightAverage {
 public:
  WeightAverage(const EmaOptions& options, const at::Tensor& values);
  void after_update(const at::Tensor& values);
  [[nodiscard]] at::Tensor& average() { return average_; }  // (total)
  [[nodiscard]] std::int64_t calls() const { return calls_; }
  void set_calls(std::int64_t calls) { calls_ = calls; }

 private:
  EmaOptions options_;
  at::Tensor average_;
  std::int64_t calls_ = 0;
};

}  // namespace strata::trainer
