#include "trainer/training_loop.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/assert.h"
#include "base/torch/guard.h"
#include "trainer/data/order.h"

namespace strata::trainer {
namespace {

constexpr std::string_view kBackbonePrefix = "backbone.";

Array to_lines(const std::vector<HeldOutLoss>& losses, std::int64_t update, const char* which) {
  Array lines;
  for (const HeldOutLoss& item : losses) {
    lines.emplace_back(Object{{"id", item.id},
                              {"update", update},
                              {"which", which},
                              {"loss", item.loss},
                              {"loss_permuted", item.permuted}});
  }
  return lines;
}

// The sum over the taps of a kind; and that of each layer, where there are several.
template <class Tap>
void add_terms(Metrics& metrics, const std::string& name, const std::vector<Tap>& taps,
               const std::vector<double>& terms) {
  if (taps.empty()) return;
  metrics.emplace(name, std::accumulate(terms.begin(), terms.end(), 0.0));
  for (std::size_t i = 0; taps.size() > 1 && i < taps.size(); ++i)
    metrics.emplace(fmt::format("{}_{}", name, taps[i].layer), terms[i]);
}

// The backbone's tensors without their prefix, in memory of their own.
NamedTensors backbone_only(const NamedTensors& named) {
  NamedTensors weights;
  for (const auto& [name, tensor] : named) {
    if (name.starts_with(kBackbonePrefix))
      weights.emplace(name.substr(kBackbonePrefix.size()), tensor.clone());
  }
  return weights;
}

}  // namespace

TrainingLoop::TrainingLoop(AcousticModel& model, const std::vector<Utterance>& train,
                           const std::vector<Utterance>& heldout, Communicator& communicator,
                           const Clock& clock, const TrainOptions& options, TrainHooks hooks)
    : model_(model),
      train_(train),
      heldout_(heldout),
      communicator_(communicator),
      clock_(clock),
      options_(options),
      order_(order_of(options, train)),
      hooks_(std::move(hooks)),
      parameters_(model),
      reducer_(parameters_, communicator),
      optimizer_(options.adamw, parameters_.total()),
      average_(options.ema, parameters_.values()) {
  STRATA_ASSERT(heldout_.size() >= 2);
  model_.backbone().set_recompute(options_.recompute);
}

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

Result<Ending> TrainingLoop::run() {
  reported_at_ = clock_.now();
  Next next = Next::kGoOn;
  // A run that was stopped while it measured held-out losses.
  if (done_ == options_.early_update() && lines_.empty()) {
    STRATA_TRY(next, keep_early_weights());
  }
  if (next == Next::kGoOn && validation_due_) {
    STRATA_TRY(next, validate_on_the_way());
  }
  while (next == Next::kGoOn && done_ < options_.updates) {
    Step step;
    STRATA_CHECK_OK(from_torch("forward and backward", [&] {
      // ---- which utterances: the same global batch whatever the number of ranks
      step = choose(done_);
      // ---- forward and backward over this rank's share
      reducer_.start();
      forward_and_backward(step, done_);
    }));
    // ---- one gradient and one loss for all ranks
    STRATA_CHECK_OK(reducer_.finish());
    STRATA_CHECK_OK(sum_over_ranks(step));
    if (step.unfinished) return stop();
    // ---- a loss that is no number ends the run on every rank: a result, not a failure
    if (!std::isfinite(step.total)) return Ending::kDiverged;
    // ---- clip, AdamW, average
    STRATA_CHECK_OK(from_torch("optimizer", [&] { apply(step, done_); }));
    if (!std::isfinite(step.norm)) return Ending::kDiverged;
    ++done_;
    // ---- tell, validate, keep
    STRATA_TRY(next, after_update(step));
    if (next == Next::kGoOn && step.stop && done_ < options_.updates) next = Next::kStop;
  }
  if (next == Next::kGoOn) {
    STRATA_TRY(next, keep_last_lines());
  }
  if (next == Next::kDiverged) return Ending::kDiverged;
  return next == Next::kStop ? stop() : Ending::kFinished;
}

Result<Ending> TrainingLoop::stop() {
  if (hooks_.checkpoint && saved_ != done_) STRATA_CHECK_OK(hooks_.checkpoint(state()));
  saved_ = done_;
  return Ending::kStopped;
}

TrainingLoop::Step TrainingLoop::choose(std::int64_t update) {
  const auto indices = order_.batch(update);
  STRATA_ASSERT(indices.size() >= static_cast<std::size_t>(communicator_.size()));
  Step step;
  for (const std::size_t i : indices) step.batch.push_back(&train_[i]);
  for (const std::size_t i : share_of_rank(indices, communicator_.rank(), communicator_.size()))
    step.share.push_back(&train_[i]);
  step.sizes = padded_sizes(step.batch);
  step.counts.utterances = static_cast<double>(step.batch.size());
  for (const Utterance* utterance : step.batch) {
    const Chance chance =
        chance_of(options_.seed, update, utterance->id, utterance->frames(), options_.draw);
    step.counts.span_elements += static_cast<double>(chance.span.length * utterance->mel.size(1));
    step.frames += static_cast<double>(utterance->frames());
  }
  step.rate = learning_rate(options_.schedule, update);
  return step;
}

void TrainingLoop::forward_and_backward(Step& step, std::int64_t update) {
  step.text.assign(model_.align().text.size(), 0);
  step.speech.assign(model_.align().speech.size(), 0);
  const std::size_t most =
      options_.micro_batch > 0 ? static_cast<std::size_t>(options_.micro_batch) : step.share.size();
  for (std::size_t begin = 0; begin < step.share.size(); begin += most) {
    if (begin > 0 && stop_requested()) {
      step.unfinished = true;
      return;
    }
    const std::size_t end = std::min(step.share.size(), begin + most);
    const std::vector<const Utterance*> utterances(
        step.share.begin() + static_cast<std::ptrdiff_t>(begin),
        step.share.begin() + static_cast<std::ptrdiff_t>(end));
    const Batch batch = collate(utterances, step.sizes, options_.padding);  // mel (B, N, mel)
    // Noise (B, N, mel), span (B, N).
    const Draws draws = draw(options_.seed, update, batch, options_.draw);
    step.factor = align_factor(model_.align(), update, draws.drop_text, draws.drop_audio);
    const Losses losses = compute_losses(model_, batch, draws, step.counts, step.factor);
    losses.total.backward();
    step.flow += losses.flow.item<double>();
    for (std::size_t i = 0; i < losses.text.size(); ++i)
      step.text[i] += losses.text[i].item<double>();
    for (std::size_t i = 0; i < losses.speech.size(); ++i)
      step.speech[i] += losses.speech[i].item<double>();
  }
}

Status TrainingLoop::sum_over_ranks(Step& step) {
  const bool stop = step.unfinished || stop_requested();
  std::vector<double> parts{step.flow, stop ? 1.0 : 0.0, step.unfinished ? 1.0 : 0.0};
  const std::size_t terms = parts.size();
  parts.insert(parts.end(), step.text.begin(), step.text.end());
  parts.insert(parts.end(), step.speech.begin(), step.speech.end());
  STRATA_CHECK_OK(communicator_.all_reduce_sum(std::span(parts)));
  step.flow = parts[0];
  step.stop = parts[1] > 0;
  step.unfinished = parts[2] > 0;
  std::copy_n(parts.begin() + terms, step.text.size(), step.text.begin());
  std::copy_n(parts.begin() + terms + step.text.size(), step.speech.size(), step.speech.begin());
  step.total = total_loss(model_.align(), step.factor, step.flow, step.text, step.speech);
  return {};
}

void TrainingLoop::apply(Step& step, std::int64_t update) {
  step.norm = clip_gradients(parameters_.gradients(), options_.clip);
  if (!std::isfinite(step.norm)) return;
  optimizer_.step(parameters_.values(), parameters_.gradients(), step.rate, update);
  average_.after_update(parameters_.values());
}

Result<TrainingLoop::Next> TrainingLoop::after_update(const Step& step) {
  frames_since_report_ += step.frames;
  Next next = Next::kGoOn;
  const bool last = done_ == options_.updates;
  validation_due_ = options_.validate_every > 0 && done_ % options_.validate_every == 0 && !last;
  if (done_ == options_.early_update()) {
    STRATA_TRY(next, keep_early_weights());
  }
  if (done_ % options_.progress_every == 0 || last || step.stop) STRATA_CHECK_OK(report(step));
  if (next != Next::kGoOn) return next;
  if (validation_due_) {
    STRATA_TRY(next, validate_on_the_way());
    if (next != Next::kGoOn) return next;
  }
  const bool due = options_.checkpoint_every > 0 && done_ % options_.checkpoint_every == 0 &&
                   !last && !step.stop;
  if (!due || !hooks_.checkpoint) return next;
  STRATA_CHECK_OK(hooks_.checkpoint(state()));
  saved_ = done_;
  return next;
}

Status TrainingLoop::report_validation(const std::vector<HeldOutLoss>& losses) {
  if (!hooks_.progress) return {};
  return hooks_.progress(
      done_, {{"validation_loss", mean_loss(losses)}, {"text_use", mean_text_use(losses)}});
}

Status TrainingLoop::report(const Step& step) {
  if (!hooks_.progress) return {};
  Metrics metrics{{"loss", step.total},
                  {"loss_flow", step.flow},
                  {"learning_rate", step.rate},
                  {"gradient_norm", step.norm}};
  if (step.factor > 0) {  // else nobody computed them
    add_terms(metrics, "loss_text", model_.align().text, step.text);
    add_terms(metrics, "loss_speech", model_.align().speech, step.speech);
  }
  const double seconds = std::chrono::duration<double>(clock_.now() - reported_at_).count();
  if (seconds > 0) metrics.emplace("frames_per_second", frames_since_report_ / seconds);
  frames_since_report_ = 0;
  reported_at_ = clock_.now();
  return hooks_.progress(done_, metrics);
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
  auto losses = validate(model_, heldout_, communicator_, hooks_.stop_requested);
  exchange();
  return losses;
}

TrainingLoop::Next TrainingLoop::judge(const std::vector<HeldOutLoss>& losses) {
  if (losses.empty()) return Next::kStop;
  return all_finite(losses) ? Next::kGoOn : Next::kDiverged;
}

Result<TrainingLoop::Next> TrainingLoop::validate_on_the_way() {
  STRATA_TRY(const auto losses, validate_average());
  const Next next = judge(losses);
  if (next != Next::kGoOn) return next;
  validation_due_ = false;
  STRATA_CHECK_OK(report_validation(losses));
  return next;
}

// Weights and lines together or neither: a checkpoint between them could not be gone on from.
Result<TrainingLoop::Next> TrainingLoop::keep_early_weights() {
  STRATA_TRY(const auto losses, validate_average());
  const Next next = judge(losses);
  if (next != Next::kGoOn) return next;
  early_weights_ = backbone_only(parameters_.named(average_.average()));
  lines_ = to_lines(losses, done_, "early");
  return next;
}

Result<TrainingLoop::Next> TrainingLoop::keep_last_lines() {
  STRATA_TRY(const auto losses, validate_average());
  const Next next = judge(losses);
  if (next != Next::kGoOn) return next;
  for (Value& line : to_lines(losses, done_, "last")) lines_.push_back(std::move(line));
  STRATA_CHECK_OK(report_validation(losses));
  return next;
}

NamedTensors TrainingLoop::last_weights() {
  return backbone_only(parameters_.named(average_.average()));
}

TrainingState TrainingLoop::state() {
  TrainingState state{.update = done_, .average_calls = average_.calls()};
  const auto add = [&](const std::string& prefix, const NamedTensors& named) {
    for (const auto& [name, tensor] : named) state.tensors.emplace(prefix + name, tensor);
  };
  add("model.", parameters_.named(parameters_.values()));
  add("moment1.", parameters_.named(optimizer_.first_moment()));
  add("moment2.", parameters_.named(optimizer_.second_moment()));
  add("average.", parameters_.named(average_.average()));
  add("early.", early_weights_);
  state.early = lines_;
  state.validation_due = validation_due_;
  return state;
}

Status TrainingLoop::restore(const TrainingState& saved) {
  return from_torch("restoring a checkpoint", [&]() -> Status {
    const torch::NoGradGuard no_grad;
    // Equal: only the last held-out losses are missing.
    if (saved.update > options_.updates) {
      return fail(ErrorCode::kInvalid, "the checkpoint is of update {}, the run ends at {}",
                  saved.update, options_.updates);
    }
    TrainingState own = state();
    early_weights_.clear();
    for (const auto& [name, tensor] : saved.tensors) {
      if (name.starts_with("early.")) {
        early_weights_.emplace(name.substr(6), tensor);
        continue;
      }
      const auto it = own.tensors.find(name);
      if (it == own.tensors.end() || it->second.sizes() != tensor.sizes()) {
        return fail(ErrorCode::kInvalid, "the checkpoint's tensor {} does not fit the model", name);
      }
      it->second.copy_(tensor);  // a view of the flat buffers
      own.tensors.erase(it);
    }
    if (!own.tensors.empty())
      return fail(ErrorCode::kInvalid, "the checkpoint lacks tensor {}",
                  own.tensors.begin()->first);
    done_ = saved.update;
    average_.set_calls(saved.average_calls);
    lines_ = saved.early;
    validation_due_ = saved.validation_due && options_.validate_every > 0;
    return {};
  });
}

}  // namespace strata::trainer
