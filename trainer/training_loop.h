// The training loop, from the first update (or a checkpoint) to the last. Knows no files and no
// processes: what it reports goes to the hooks, what it sums over ranks goes through the
// communicator.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "trainer/data/batch_feed.h"
#include "trainer/data/order.h"
#include "trainer/losses/objective.h"
#include "trainer/models/precision.h"
#include "trainer/models/work.h"
#include "trainer/training_state.h"
#include "trainer/update_meter.h"

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
  // Of updates; held-out losses are always computed in float32.
  Precision precision = Precision::kFloat32;
  // Utterances of one forward on a rank; 0: the whole share. No part of the result.
  std::int64_t micro_batch = 0;
  Schedule schedule{};
  AdamWOptions adamw{};
  double clip = 1.0;
  EmaOptions ema{};
  DrawOptions draw{};
  std::uint64_t seed = 0;       // initial weights, noise, spans, times, drops, dropout
  std::uint64_t seed_data = 0;  // order of the utterances
  int loading_threads = 1;      // FeedOptions; no part of the result
  int loading_batches = 2;
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
  // All references outlive the loop. `source`: of utterances that are not whole. REQUIRES: batch <=
  // train.size() unless batch_frames > 0, every batch has an utterance for every rank,
  // heldout.size() >= 2.
  TrainingLoop(AcousticModel& model, const std::vector<Utterance>& train,
               const std::vector<Utterance>& heldout, Communicator& communicator,
               const Clock& clock, const TrainOptions& options, TrainHooks hooks,
               const UtteranceSource* source = nullptr);

  // Goes on from `state`, which a run of the same recipe reached.
  [[nodiscard]] Status restore(const TrainingState& state);
  [[nodiscard]] Result<Ending> run();

  // After kFinished: averaged weights of the backbone, as load_weights takes them, and their
  // held-out losses.
  [[nodiscard]] NamedTensors last_weights();
  [[nodiscard]] const NamedTensors& early_weights() const { return held_out_.early_weights(); }
  // HeldOutRecord::lines().
  [[nodiscard]] Array validation_lines() const { return held_out_.lines(); }

 private:
  enum class Next { kGoOn, kStop, kDiverged };
  struct Step {  // what one update is
    std::int64_t update = 0;
    // ---- which utterances
    std::vector<const Utterance*> batch{};  // of all ranks
    std::vector<const Utterance*> share{};  // of this rank
    PaddedSizes sizes{};                    // of the whole batch
    Counts counts{};                        // of the whole batch
    double frames = 0;                      // of the whole batch, without padding
    // ---- losses: this rank's part, then their sums over ranks
    double flow = 0;
    std::vector<double> text{}, speech{};  // of each tap, without its weight
    double factor = 0;                     // of the taps' weights
    double total = 0;
    bool stop = false;
    bool unfinished = false;  // stopped between micro-batches: its sums mean nothing
    // ---- the optimizer
    double norm = 0;
    double rate = 0;
    // ---- how long it waited for its batches: this rank, then the mean of all
    double data_wait = 0;  // s
  };
  Step choose();
  // Floating-point operations of the model in this update, without those on padding.
  [[nodiscard]] double work_of(const Step& step) const;
  [[nodiscard]] FeedOptions feed_options() const;
  Status forward_and_backward(Step& step, BatchFeed& feed);
  Status sum_over_ranks(Step& step);
  void apply(Step& step);
  Result<Next> tell_measure_and_keep(const Step& step);
  Status tell(const Step& step);
  Result<Next> measure_held_out();
  Result<std::vector<HeldOutLoss>> validate_average();
  Result<Ending> stop();
  [[nodiscard]] bool stop_requested() const {
    return hooks_.stop_requested && hooks_.stop_requested();
  }
  [[nodiscard]] TrainingParts parts() { return {parameters_, optimizer_, average_, held_out_}; }

  AcousticModel& model_;
  const std::vector<Utterance>& train_;
  const std::vector<Utterance>& heldout_;
  Communicator& communicator_;
  const Clock& clock_;
  const UtteranceSource* source_;
  TrainOptions options_;
  BatchOrder order_;
  TrainHooks hooks_;
  FlatParameters parameters_;
  GradientReducer reducer_;
  AdamW optimizer_;
  WeightAverage average_;
  HeldOutRecord held_out_;
  UpdateMeter meter_;
  std::int64_t done_ = 0;    // updates
  std::int64_t saved_ = -1;  // the update of the last checkpoint of this run
};

}  // namespace strata::trainer
