#include "trainer/training_loop.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/assert.h"
#include "base/torch/guard.h"

namespace strata::trainer {

// The algorithm of F5-TTS and A-DMA: conditional flow matching on a masked span of mels, with text
// and speech alignment in between (docs/models.md "Objective", "Optimizer", "Held-out loss";
// A-DMA's cfm_adma.py and trainer_adma.py).
Result<Ending> TrainingLoop::run() {
  // ---- held-out losses in the middle of which an earlier attempt was stopped
  STRATA_TRY(Next next, measure_held_out());
  if (hooks_.progress && next == Next::kGoOn) {
    STRATA_CHECK_OK(from_torch("measuring matrix products", [&] {
      const ComputeIn precision(options_.precision);
      meter_.set_peak(matrix_rate(clock_) * communicator_.size());
    }));
  }
  // ---- batches are read and padded ahead of the updates
  BatchFeed feed(train_, source_, order_, feed_options(), clock_, done_);
  while (next == Next::kGoOn && done_ < options_.updates) {
    meter_.begin();
    Step step;
    STRATA_CHECK_OK(from_torch("forward and backward", [&]() -> Status {
      // ---- which utterances: the same global batch whatever the number of ranks
      step = choose();
      // ---- noise, time and span; x_t; velocity and losses; their gradients: of this rank's share
      return forward_and_backward(step, feed);
    }));
    // ---- one gradient and one loss for all ranks
    STRATA_CHECK_OK(reducer_.finish());
    STRATA_CHECK_OK(sum_over_ranks(step));
    if (step.unfinished) return stop();
    // ---- a loss that is no number ends the run on every rank: a result, not a failure
    if (!std::isfinite(step.total)) return Ending::kDiverged;
    // ---- clip, AdamW, average
    STRATA_CHECK_OK(from_torch("optimizer", [&] { apply(step); }));
    if (!std::isfinite(step.norm)) return Ending::kDiverged;
    ++done_;
    meter_.end(step.frames, step.data_wait, work_of(step));
    // ---- tell, measure on held-out utterances, keep
    STRATA_TRY(next, tell_measure_and_keep(step));
  }
  if (next == Next::kDiverged) return Ending::kDiverged;
  return next == Next::kStop ? stop() : Ending::kFinished;
}

// ==== Which utterances

TrainingLoop::Step TrainingLoop::choose() {
  Step step{.update = done_, .rate = learning_rate(options_.schedule, done_)};
  const auto indices = order_.batch(step.update);
  STRATA_ASSERT(indices.size() >= static_cast<std::size_t>(communicator_.size()));
  for (const std::size_t i : indices) step.batch.push_back(&train_[i]);
  for (const std::size_t i : share_of_rank(indices, communicator_.rank(), communicator_.size()))
    step.share.push_back(&train_[i]);
  // What the losses of a share are divided by: every rank knows the spans of the whole batch.
  step.sizes = padded_sizes(step.batch);
  step.counts.utterances = static_cast<double>(step.batch.size());
  for (const Utterance* utterance : step.batch) {
    const Chance chance =
        chance_of(options_.seed, step.update, utterance->id, utterance->frames(), options_.draw);
    step.counts.span_elements += static_cast<double>(chance.span.length * utterance->bands());
    step.frames += static_cast<double>(utterance->frames());
  }
  return step;
}

double TrainingLoop::work_of(const Step& step) const {
  double work = 0;
  for (const Utterance* utterance : step.batch) {
    work += backbone_work(model_.config(), utterance->frames());
    if (step.factor > 0) {  // else no head was computed
      work += heads_work(model_.config(), model_.align(), utterance->frames(),
                         utterance->feature_frames());
    }
  }
  return kTrainingPasses * work;
}

FeedOptions TrainingLoop::feed_options() const {
  return {.rank = communicator_.rank(),
          .ranks = communicator_.size(),
          .micro_batch = options_.micro_batch,
          .padding = options_.padding,
          .updates = options_.updates,
          .threads = options_.loading_threads,
          .batches = options_.loading_batches};
}

// ==== Draw, predict, compare, differentiate

Status TrainingLoop::forward_and_backward(Step& step, BatchFeed& feed) {
  const Duration waited_before = feed.waited();
  step.text.assign(model_.align().text.size(), 0);
  step.speech.assign(model_.align().speech.size(), 0);
  const std::size_t most =
      options_.micro_batch > 0 ? static_cast<std::size_t>(options_.micro_batch) : step.share.size();
  reducer_.start(static_cast<std::int64_t>((step.share.size() + most - 1) / most));
  for (std::size_t begin = 0; begin < step.share.size(); begin += most) {
    if (begin > 0 && stop_requested()) {
      step.unfinished = true;
      return {};
    }
    // ---- the speech x1, its text, what the teacher heard: padded to the longest of all ranks'
    // mel (B, N, mel), lengths (B), text (B, T), features (B, Z, width)
    STRATA_TRY(const Batch batch, feed.next());
    STRATA_ASSERT(batch.ids.front() == step.share[begin]->id);
    STRATA_ASSERT(batch.frames() == step.sizes.frames);
    // ---- chance: noise x0 (B, N, mel), time t (B), span (B, N), what guidance hides
    const Draws draws = draw(options_.seed, step.update, batch, options_.draw);
    step.factor = align_factor(model_.align(), step.update, draws.drop_text, draws.drop_audio);
    // ---- the velocity at x_t = (1 - t) x0 + t x1 against x1 - x0 inside of the spans, and the
    // heads' losses at their blocks: scalars
    const Losses losses = [&] {
      const ComputeIn precision(options_.precision);
      return compute_losses(model_, batch, draws, step.counts, step.factor);
    }();
    losses.total.backward();
    step.flow += losses.flow.item<double>();
    for (std::size_t i = 0; i < losses.text.size(); ++i)
      step.text[i] += losses.text[i].item<double>();
    for (std::size_t i = 0; i < losses.speech.size(); ++i)
      step.speech[i] += losses.speech[i].item<double>();
  }
  step.data_wait = std::chrono::duration<double>(feed.waited() - waited_before).count();
  return {};
}

// ==== One loss for all ranks, and one decision whether to stop

Status TrainingLoop::sum_over_ranks(Step& step) {
  const bool stop = step.unfinished || stop_requested();
  std::vector<double> parts{step.flow, stop ? 1.0 : 0.0, step.unfinished ? 1.0 : 0.0,
                            step.data_wait};
  const std::size_t terms = parts.size();
  parts.insert(parts.end(), step.text.begin(), step.text.end());
  parts.insert(parts.end(), step.speech.begin(), step.speech.end());
  STRATA_CHECK_OK(communicator_.all_reduce_sum(std::span(parts)));
  step.flow = parts[0];
  step.stop = parts[1] > 0;
  step.unfinished = parts[2] > 0;
  step.data_wait = parts[3] / communicator_.size();
  std::copy_n(parts.begin() + terms, step.text.size(), step.text.begin());
  std::copy_n(parts.begin() + terms + step.text.size(), step.speech.size(), step.speech.begin());
  step.total = total_loss(model_.align(), step.factor, step.flow, step.text, step.speech);
  return {};
}

// ==== Clip, AdamW, average: each over flat buffers of all parameters, (total)

void TrainingLoop::apply(Step& step) {
  const Clip clip = clip_to(parameters_.gradients(), options_.clip);
  step.norm = clip.norm;
  if (!std::isfinite(step.norm)) return;
  optimizer_.step(parameters_.values(), parameters_.gradients(), step.rate, step.update,
                  clip.divisor);
  average_.after_update(parameters_.values());
}

// ==== Tell, measure, keep

Result<TrainingLoop::Next> TrainingLoop::tell_measure_and_keep(const Step& step) {
  held_out_.after_update(done_);
  const bool last = done_ == options_.updates;
  // ---- tell
  if (done_ % options_.progress_every == 0 || last || step.stop) STRATA_CHECK_OK(tell(step));
  // ---- measure
  STRATA_TRY(const Next next, measure_held_out());
  if (next != Next::kGoOn || last) return next;
  if (step.stop) return Next::kStop;
  // ---- keep
  const bool due = options_.checkpoint_every > 0 && done_ % options_.checkpoint_every == 0;
  if (!due || !hooks_.checkpoint) return next;
  STRATA_CHECK_OK(hooks_.checkpoint(state_of(parts(), done_)));
  saved_ = done_;
  return next;
}

namespace {

// The sum over the taps of a kind; and that of each layer, where there are several.
template <class Tap>
void add_terms(Metrics& metrics, const std::string& name, const std::vector<Tap>& taps,
               const std::vector<double>& terms) {
  if (taps.empty()) return;
  metrics.emplace(name, std::accumulate(terms.begin(), terms.end(), 0.0));
  for (std::size_t i = 0; taps.size() > 1 && i < taps.size(); ++i)
    metrics.emplace(fmt::format("{}_{}", name, taps[i].layer), terms[i]);
}

}  // namespace

Status TrainingLoop::tell(const Step& step) {
  if (!hooks_.progress) return {};
  Metrics metrics{{"loss", step.total},
                  {"loss_flow", step.flow},
                  {"learning_rate", step.rate},
                  {"gradient_norm", step.norm}};
  if (step.factor > 0) {  // else nobody computed them
    add_terms(metrics, "loss_text", model_.align().text, step.text);
    add_terms(metrics, "loss_speech", model_.align().speech, step.speech);
  }
  metrics.merge(meter_.take());
  return hooks_.progress(done_, metrics);
}

Result<TrainingLoop::Next> TrainingLoop::measure_held_out() {
  const HeldOutRecord::Due due = held_out_.due(done_);
  if (!due.any()) return Next::kGoOn;
  STRATA_TRY(const auto losses, validate_average());
  if (losses.empty()) return Next::kStop;
  if (!all_finite(losses)) return Next::kDiverged;
  STRATA_CHECK_OK(from_torch("keeping held-out losses", [&] {
    held_out_.keep(due, done_, losses, parameters_.named(average_.average()));
  }));
  if ((due.periodic || due.last) && hooks_.progress) {
    STRATA_CHECK_OK(hooks_.progress(
        done_, {{"validation_loss", mean_loss(losses)}, {"text_use", mean_text_use(losses)}}));
  }
  return Next::kGoOn;
}

// Weights and average change places meanwhile: a third copy would be a fifth of all that a run of a
// large model needs.
Result<std::vector<HeldOutLoss>> TrainingLoop::validate_average() {
  const torch::NoGradGuard no_grad;
  const auto exchange = [&] {
    float* values = parameters_.values().data_ptr<float>();
    std::swap_ranges(values, values + parameters_.total(), average_.average().data_ptr<float>());
  };
  exchange();
  auto losses = validate(model_, heldout_, communicator_, hooks_.stop_requested, source_);
  exchange();
  return losses;
}

// ==== Begin, stop, go on

namespace {

std::vector<std::string> ids_of(const std::vector<Utterance>& utterances) {
  std::vector<std::string> ids;
  for (const Utterance& utterance : utterances) ids.push_back(utterance.id);
  return ids;
}

}  // namespace

std::vector<double> lengths_of(const TrainOptions& options, const std::vector<Utterance>& train) {
  std::vector<double> lengths;
  for (const Utterance& utterance : train)
    lengths.push_back(utterance.seconds * options.frames_per_second);
  return lengths;
}

BatchOrder order_of(const TrainOptions& options, const std::vector<Utterance>& train) {
  const auto most = static_cast<std::size_t>(options.batch);
  if (options.batch_frames == 0)
    return BatchOrder::of_fixed_size(options.seed_data, train.size(), most, options.epochs);
  return BatchOrder::of_like_length(
      options.seed_data, lengths_of(options, train),
      {.frames = static_cast<double>(options.batch_frames), .utterances = most}, options.epochs);
}

TrainingLoop::TrainingLoop(AcousticModel& model, const std::vector<Utterance>& train,
                           const std::vector<Utterance>& heldout, Communicator& communicator,
                           const Clock& clock, const TrainOptions& options, TrainHooks hooks,
                           const UtteranceSource* source)
    : model_(model),
      train_(train),
      heldout_(heldout),
      communicator_(communicator),
      clock_(clock),
      source_(source),
      options_(options),
      order_(order_of(options, train)),
      hooks_(std::move(hooks)),
      parameters_(model),
      reducer_(parameters_, communicator),
      optimizer_(options.adamw, parameters_.total()),
      average_(options.ema, parameters_.values()),
      held_out_({.updates = options.updates,
                 .early = options.early_update(),
                 .every = options.validate_every},
                ids_of(heldout)),
      meter_(clock) {
  STRATA_ASSERT(heldout_.size() >= 2);
  model_.backbone().set_recompute(options_.recompute);
}

Status TrainingLoop::restore(const TrainingState& state) {
  // Equal: only the last held-out losses are missing.
  if (state.update > options_.updates) {
    return fail(ErrorCode::kInvalid, "the checkpoint is of update {}, the run ends at {}",
                state.update, options_.updates);
  }
  STRATA_CHECK_OK(restore_state(parts(), state));
  done_ = state.update;
  return {};
}

Result<Ending> TrainingLoop::stop() {
  if (hooks_.checkpoint && saved_ != done_)
    STRATA_CHECK_OK(hooks_.checkpoint(state_of(parts(), done_)));
  saved_ = done_;
  return Ending::kStopped;
}

NamedTensors TrainingLoop::last_weights() {
  return backbone_only(parameters_.named(average_.average()));
}

}  // namespace strata::trainer
