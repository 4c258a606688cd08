// The training loop, from the first update (or a checkpoint) to the last. Knows no files and no
// processes: what it reports goes to the hooks, what it sums over ranks goes through the
// communicator.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "trainer/checkpoint.h"
#include "trainer/collective/gradient_reducer.h"
#include "trainer/data/order.h"
#include "trainer/losses/objective.h"
#include "trainer/optim/optimizer.h"
#include "trainer/progress.h"
#include "trainer/validation.h"

namespace strata::trainer {

struct TrainOptions {
  std::int64_t updates = 0;
  std::int64_t batch = 8;  // utterances of an update, over all ranks
  // 0: exactly `batch` utterances of mixed lengths. Else batches of like length, of at most so many
  // mel frames and at most `batch` utterances.
  std::int64_t batch_frames = 0;
  // Of the mel, to count an utterance's frames by its seconds as the reference's sampler does.
  double frames_per_second = 93.75;
  Epochs epochs = Epochs::kShuffled;
  double padding = 0;      // of mels
  bool recompute = false;  // Backbone::set_recompute
  // Utterances of one forward on a rank; 0: the whole share. No part of the result.
  std::int64_t micro_batch = 0;
  Schedule schedule{};
  AdamWOptions adamw{};
  double clip = 1.0;
  EmaOptions ema{};
  DrawOptions draw{};
  std::uint64_t seed = 0;       // initial weights, noise, spans, times, drops, dropout
  std::uint64_t seed_data = 0;  // order of the utterances
  std::int64_t progress_every = 10;
  std::int64_t checkpoint_every = 0;  // 0: only on request
  std::int64_t validate_every = 0;    // 0: only the early and the last weights

  // After this many updates the early weights are kept: a fifth of the whole, at least one.
  [[nodiscard]] std::int64_t early_update() const { return std::max<std::int64_t>(1, updates / 5); }
};

// Called on every rank at the same updates; an error ends the run.
struct TrainHooks {
  std::function<Status(std::int64_t update, const Metrics&)> progress{};
  std::function<Status(const TrainingState&)> checkpoint{};
  // Asked often: before every micro-batch but the first of an update, at its end, and before every
  // utterance of a validation. One rank's yes stops all at the same place. An update or a
  // validation that is not finished is left as if it had not begun, so that going on from the
  // checkpoint gives the same bytes as never having stopped.
  std::function<bool()> stop_requested{};
};

// In frames, as batches of like length count them.
[[nodiscard]] std::vector<double> lengths_of(const TrainOptions& options,
                                             const std::vector<Utterance>& train);
// Which utterances each update sees. REQUIRES: as the loop.
[[nodiscard]] BatchOrder order_of(const TrainOptions& options, const std::vector<Utterance>& train);

enum class Ending { kFinished, kStopped, kDiverged };

class TrainingLoop {
 public:
  // All references outlive the loop. REQUIRES: batch <= train.size() unless batch_frames > 0, every
  // batch has an utterance for every rank, heldout.size() >= 2.
  TrainingLoop(AcousticModel& model, const std::vector<Utterance>& train,
               const std::vector<Utterance>& heldout, Communicator& communicator,
               const Clock& clock, const TrainOptions& options, TrainHooks hooks);

  // Goes on from `state`, which a run of the same recipe reached.
  [[nodiscard]] Status restore(const TrainingState& state);
  [[nodiscard]] Result<Ending> run();

  // After kFinished: averaged weights of the backbone, as load_weights takes them, and their
  // held-out losses.
  [[nodiscard]] NamedTensors last_weights();
  [[nodiscard]] const NamedTensors& early_weights() const { return early_weights_; }
  // {"id", "update", "which": "early" | "last", "loss", "loss_permuted"}
  [[nodiscard]] const Array& validation_lines() const { return lines_; }

 private:
  enum class Next { kGoOn, kStop, kDiverged };
  struct Step {                             // what one update was
    std::vector<const Utterance*> batch{};  // global
    std::vector<const Utterance*> share{};  // this rank's
    PaddedSizes sizes{};
    Counts counts{};
    double flow = 0, total = 0;
    double factor = 0;                     // of the taps' weights
    std::vector<double> text{}, speech{};  // of each tap, without its weight
    bool stop = false;
    bool unfinished = false;  // stopped between micro-batches: its sums mean nothing
    double norm = 0;
    double rate = 0;
    double frames = 0;
  };
  Step choose(std::int64_t update);
  void forward_and_backward(Step& step, std::int64_t update);
  Status sum_over_ranks(Step& step);
  void apply(Step& step, std::int64_t update);
  Result<Next> after_update(const Step& step);
  Status report(const Step& step);
  Result<Ending> stop();
  [[nodiscard]] bool stop_requested() const {
    return hooks_.stop_requested && hooks_.stop_requested();
  }
  Result<std::vector<HeldOutLoss>> validate_average();
  // What held-out losses mean for the run: none is a stop, one that is no number is divergence.
  static Next judge(const std::vector<HeldOutLoss>& losses);
  Status report_validation(const std::vector<HeldOutLoss>& losses);
  Result<Next> validate_on_the_way();
  Result<Next> keep_early_weights();
  Result<Next> keep_last_lines();
  TrainingState state();

  AcousticModel& model_;
  const std::vector<Utterance>& train_;
  const std::vector<Utterance>& heldout_;
  Communicator& communicator_;
  const Clock& clock_;
  TrainOptions options_;
  BatchOrder order_;
  TrainHooks hooks_;
  FlatParameters parameters_;
  GradientReducer reducer_;
  AdamW optimizer_;
  WeightAverage average_;
  std::int64_t done_ = 0;        // updates
  std::int64_t saved_ = -1;      // the update of the last checkpoint of this run
  bool validation_due_ = false;  // of the update that was done last
  double frames_since_report_ = 0;
  Instant reported_at_{};
  NamedTensors early_weights_{};
  Array lines_{};
};

}  // namespace strata::trainer
