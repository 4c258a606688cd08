#include "trainer/losses/objective.h"

#include <ATen/CPUGeneratorImpl.h>

#include "base/assert.h"
#include "base/random.h"

namespace strata::trainer {
namespace {

constexpr double kCosineFloor = 1e-8;

at::Tensor frame_mask(const at::Tensor& lengths, std::int64_t frames) {  // (B) -> (B, frames) bool
  return at::arange(frames, lengths.options()).unsqueeze(0) < lengths.unsqueeze(1);
}

std::vector<std::int64_t> to_vector(const at::Tensor& integers) {
  const at::Tensor plain = integers.to(at::kLong).contiguous();
  return {plain.data_ptr<std::int64_t>(), plain.data_ptr<std::int64_t>() + plain.numel()};
}

std::uint64_t update_seed(std::uint64_t seed, std::int64_t update) {
  return derive_seed(seed, fmt::format("update/{}", update));
}

}  // namespace

Span span_of(std::int64_t frames, double fraction, double u) {
  // float32, as the reference computes it: 0.9 * 30 must not become 26.
  const auto length =
      static_cast<std::int64_t>(static_cast<float>(fraction) * static_cast<float>(frames));
  const auto start =
      static_cast<std::int64_t>(static_cast<float>(frames - length) * static_cast<float>(u));
  return {start, length};
}

Chance chance_of(std::uint64_t seed, std::int64_t update, const std::string& id,
                 std::int64_t frames, const DrawOptions& options) {
  Random random(derive_seed(derive_seed(update_seed(seed, update), id), "span and time"));
  const double fraction = options.span_least + (1 - options.span_least) * random.uniform();
  const Span span = span_of(frames, fraction, random.uniform());
  return {.span = span, .time = random.uniform()};
}

Draws draw(std::uint64_t seed, std::int64_t update, const Batch& batch,
           const DrawOptions& options) {
  Draws draws;
  const std::uint64_t base = update_seed(seed, update);
  draws.noise = at::empty_like(batch.mel);                            // (B, N, mel)
  draws.time = at::empty({batch.size()}, batch.mel.options());        // (B)
  draws.span = at::zeros({batch.size(), batch.frames()}, at::kBool);  // (B, N)
  draws.dropout.rate = options.dropout;
  const auto lengths = to_vector(batch.lengths);
  for (std::size_t b = 0; b < batch.ids.size(); ++b) {
    const auto row = static_cast<std::int64_t>(b);
    const std::uint64_t own = derive_seed(base, batch.ids[b]);
    const Chance chance = chance_of(seed, update, batch.ids[b], lengths[b], options);
    draws.span[row].slice(0, chance.span.start, chance.span.start + chance.span.length).fill_(true);
    draws.time[row].fill_(chance.time);
    draws.noise[row].normal_(0, 1, at::detail::createCPUGenerator(derive_seed(own, "noise")));
    if (options.dropout > 0) draws.dropout.seeds.push_back(derive_seed(own, "dropout"));
  }
  Random random(derive_seed(base, "drop"));
  draws.drop_audio = random.uniform() < options.drop_audio;
  draws.drop_text = random.uniform() < options.drop_both;
  draws.drop_audio = draws.drop_audio || draws.drop_text;
  return draws;
}

Counts count(const Batch& batch, const Draws& draws) {
  return {.span_elements =
              static_cast<double>(draws.span.sum().item<std::int64_t>() * batch.mel.size(2)),
          .utterances = static_cast<double>(batch.size())};
}

at::Tensor speech_loss_sum(const at::Tensor& given, const at::Tensor& target,
                           const at::Tensor& lengths, SpeechLoss kind) {
  // bfloat16 would keep three digits of a cosine.
  const at::Tensor prediction = given.to(at::promote_types(given.scalar_type(), at::kFloat));
  at::Tensor loss;  // (B, Z), for each frame
  if (kind == SpeechLoss::kL1) {
    loss = (prediction - target).abs().mean(2);
  } else {
    const at::Tensor cosine = at::cosine_similarity(prediction, target, 2, kCosineFloor);
    loss = kind == SpeechLoss::kNegCosine
               ? -cosine
               : at::softplus(-cosine);  // softplus(-c) = -log sigmoid(c)
  }
  const at::Tensor valid = frame_mask(lengths, target.size(1));  // (B, Z)
  return (loss.masked_fill(valid.logical_not(), 0).sum(1) / lengths.clamp_min(1)).sum();
}

at::Tensor text_loss_sum(const at::Tensor& logits, const at::Tensor& frames, const at::Tensor& text,
                         const at::Tensor& text_lengths) {
  const auto type = at::promote_types(logits.scalar_type(), at::kFloat);
  const at::Tensor log_probabilities =
      at::log_softmax(logits, 2, type).transpose(0, 1);  // (T, B, V+2)
  const at::Tensor per_utterance =                       // (B)
      at::ctc_loss(log_probabilities, text.clamp_min(0), to_vector(frames), to_vector(text_lengths),
                   /*blank=*/logits.size(2) - 1, at::Reduction::None, /*zero_infinity=*/true);
  return (per_utterance / text_lengths.clamp_min(1)).sum();
}

namespace {

// Of one tap: `block` (B, N, dim).
at::Tensor text_term(AcousticModel& model, std::size_t tap, const at::Tensor& block,
                     const Batch& batch, const Observer& observe) {
  const at::Tensor logits = model.text_aligner(tap).forward(block);  // (B, ceil(N/2), V+2)
  const at::Tensor frames = (batch.lengths + 1).div(2, "floor");     // (B)
  if (observe && tap == 0) {
    const at::Tensor valid = frame_mask(frames, logits.size(1)).unsqueeze(2);
    observe("text_logits", logits.masked_fill(valid.logical_not(), 0));
  }
  return text_loss_sum(logits, frames, batch.text, batch.text_lengths);
}

at::Tensor speech_term(AcousticModel& model, std::size_t tap, const at::Tensor& block,
                       const Batch& batch, const Observer& observe) {
  STRATA_ASSERT(batch.features.defined());
  const at::Tensor projection =
      model.speech_aligner(tap).forward(block, batch.features.size(1));  // (B, Z, width)
  if (observe && tap == 0) {
    const at::Tensor valid = frame_mask(batch.feature_lengths, projection.size(1)).unsqueeze(2);
    observe("speech_projection", projection.masked_fill(valid.logical_not(), 0));
  }
  return speech_loss_sum(projection, batch.features, batch.feature_lengths,
                         model.align().speech[tap].loss);
}

}  // namespace

Losses compute_losses(AcousticModel& model, const Batch& batch, const Draws& draws,
                      const Counts& counts, double factor, const Observer& observe) {
  STRATA_ASSERT(counts.span_elements > 0);
  const AlignConfig& align = model.align();

  // ---- x_t between noise and speech, and what of the speech the model may see
  const at::Tensor& x1 = batch.mel;                  // (B, N, mel), pads are silence, or 0 (compat)
  const at::Tensor t = draws.time.view({-1, 1, 1});  // (B, 1, 1)
  const at::Tensor span = draws.span.unsqueeze(2);   // (B, N, 1)
  BackboneInput input;
  input.noisy = (1 - t) * draws.noise + t * x1;  // (B, N, mel)
  input.condition = x1.masked_fill(span, 0);     // (B, N, mel)
  if (model.config().masks == Masks::kUpstream)
    input.mask = frame_mask(batch.lengths, batch.frames());  // (B, N)
  // (B, N, text_dim).
  input.text = model.backbone().embed_text(batch.text, batch.frames(), draws.drop_text, input.mask);
  input.time = draws.time;
  input.drop_audio = draws.drop_audio;
  input.dropout = draws.dropout;
  input.observe = observe;
  if (factor > 0) {
    for (const TextTap& tap : align.text) input.taps.insert(tap.layer);
    for (const SpeechTap& tap : align.speech) input.taps.insert(tap.layer);
  }

  // ---- the velocity, against x1 - x0 inside of the spans
  const BackboneOutput output = model.backbone().forward(input);
  if (observe) observe("cond", input.condition);
  if (observe) observe("pred", output.velocity);
  const at::Tensor error =
      (output.velocity - (x1 - draws.noise)).masked_fill(span.logical_not(), 0);  // (B, N, mel)
  Losses losses;
  losses.flow = error.square().sum() / counts.span_elements;

  // ---- what the tapped blocks know of text and speech
  if (factor > 0) {
    for (std::size_t i = 0; i < align.text.size(); ++i) {
      const at::Tensor& block = output.blocks.at(align.text[i].layer);  // (B, N, dim)
      losses.text.push_back(text_term(model, i, block, batch, observe) / counts.utterances);
    }
    for (std::size_t i = 0; i < align.speech.size(); ++i) {
      const at::Tensor& block = output.blocks.at(align.speech[i].layer);  // (B, N, dim)
      losses.speech.push_back(speech_term(model, i, block, batch, observe) / counts.utterances);
    }
  }
  losses.total = total_loss(align, factor, losses.flow, losses.text, losses.speech);
  return losses;
}

}  // namespace strata::trainer
