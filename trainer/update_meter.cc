#include "trainer/update_meter.h"

#include <utility>

namespace strata::trainer {

void UpdateMeter::begin() { begun_ = clock_.now(); }

void UpdateMeter::end(double frames, double data_wait, double work) {
  seconds_ += std::chrono::duration<double>(clock_.now() - begun_).count();
  frames_ += frames;
  data_wait_ += data_wait;
  work_ += work;
  updates_ += 1;
}

Metrics UpdateMeter::take() {
  const double seconds = std::exchange(seconds_, 0);
  const double frames = std::exchange(frames_, 0);
  const double data_wait = std::exchange(data_wait_, 0);
  const double work = std::exchange(work_, 0);
  const double updates = std::exchange(updates_, 0);
  if (seconds <= 0) return {};
  Metrics metrics{{"frames_per_second", frames / seconds},
                  {"seconds_per_update", seconds / updates},
                  {"data_wait_seconds", data_wait},
                  {"data_wait_share", data_wait / seconds},
                  {"model_flops_per_second", work / seconds}};
  if (peak_ > 0) metrics.emplace("model_flops_utilisation", work / seconds / peak_);
  return metrics;
}

}  // namespace strata::trainer
