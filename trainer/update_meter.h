// How fast updates are made. Counts the time inside of updates alone: validations, checkpoints and
// what is told between them are none of it, nor is an update that a stop left unfinished.
#pragma once

#include "base/clock.h"
#include "trainer/progress.h"

namespace strata::trainer {

class UpdateMeter {
 public:
  explicit UpdateMeter(const Clock& clock) : clock_(clock) {}  // which outlives it

  void begin();
  // The update that was begun last is made. `frames`: of all ranks' utterances, without padding.
  // `data_wait`: seconds of it in which a rank waited for its batches, the mean of all ranks.
  // `work`: floating-point operations of the model (models/work.h), of all ranks.
  void end(double frames, double data_wait, double work);
  // What all ranks together could do in a second; 0: nobody knows.
  void set_peak(double operations) { peak_ = operations; }
  // Of the updates since the last call: "frames_per_second" (mel frames of all ranks together)
  // "seconds_per_update" (mean), "data_wait_seconds" (sum), "data_wait_share" (of the time),
  // "model_flops_per_second" and, with a peak, "model_flops_utilisation", its share of the peak.
  // Nothing where there is no update or no time.
  [[nodiscard]] Metrics take();

 private:
  const Clock& clock_;
  Instant begun_{};
  double seconds_ = 0;
  double frames_ = 0;
  double data_wait_ = 0;
  double work_ = 0;
  double peak_ = 0;
  double updates_ = 0;
};

}  // namespace strata::trainer
