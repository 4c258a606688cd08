// The training objective: conditional flow matching on a masked span, plus the two alignment losses
// of A-DMA. Every term is a sum over this rank's share divided by a count over the whole global
// batch, so that adding up ranks (or micro-batches) gives the loss and the gradient of the
// undivided batch.
#pragma once

#include <string_view>

#include "trainer/data/batch.h"
#include "trainer/models/acoustic_model.h"

namespace strata::trainer {

// What chance decides for a batch.
struct Draws {
  at::Tensor noise{};  // (B, N, mel): x0
  at::Tensor time{};   // (B) in [0, 1)
  at::Tensor
      span{};  // (B, N) bool: the frames to be filled in, inside of each utterance's own frames
  bool drop_audio = false;  // for the whole global batch, as the reference has it
  bool drop_text = false;   // implies drop_audio
  RowDropout dropout{};
};

// What a batch of updates may differ in.
struct DrawOptions {
  double span_least = 0.7;  // the span covers from this fraction of an utterance up to all of it
  double drop_audio = 0.3;  // probability
  double drop_both = 0.2;
  double dropout = 0;
};

// start and length of a span: length = trunc(fraction * frames), start = trunc((frames - length) *
// u).
struct Span {
  std::int64_t start = 0;
  std::int64_t length = 0;
};
[[nodiscard]] Span span_of(std::int64_t frames, double fraction, double u);

// The cheap part of what chance decides for one utterance: every rank knows it of the whole global
// batch.
struct Chance {
  Span span{};
  double time = 0;
};
[[nodiscard]] Chance chance_of(std::uint64_t seed, std::int64_t update, const std::string& id,
                               std::int64_t frames, const DrawOptions& options);

// Draws for update `update` of a run. The numbers of an utterance depend on (seed, update, id) and
// on the padded length only, never on its neighbours or on the rank.
[[nodiscard]] Draws draw(std::uint64_t seed, std::int64_t update, const Batch& batch,
                         const DrawOptions& options);

// Counts over the whole global batch.
struct Counts {
  double span_elements = 0;  // frames inside spans, times mel bands
  double utterances = 0;
};
[[nodiscard]] Counts count(const Batch& batch, const Draws& draws);

struct Losses {        // scalars
  at::Tensor total{};  // total_loss()
  at::Tensor flow{};
  std::vector<at::Tensor> text{};  // of each tap, without its weight; none where the factor is 0
  std::vector<at::Tensor> speech{};
};

// `factor`: of the taps' weights, align_factor(). `observe`, for probes and tests, also sees
// "cond", "pred", and of the first taps "text_logits" and "speech_projection".
[[nodiscard]] Losses compute_losses(AcousticModel& model, const Batch& batch, const Draws& draws,
                                    const Counts& counts, double factor = 1,
                                    const Observer& observe = {});

// Sum over utterances of the mean over their valid frames. prediction, target (B, Z, width);
// lengths (B).
[[nodiscard]] at::Tensor speech_loss_sum(const at::Tensor& prediction, const at::Tensor& target,
                                         const at::Tensor& lengths, SpeechLoss kind);

// Sum over utterances of CTC(log-softmax(logits)) / max(text length, 1); an impossible utterance
// counts 0. logits (B, T, V+2); the blank is the last class.
[[nodiscard]] at::Tensor text_loss_sum(const at::Tensor& logits, const at::Tensor& frames,
                                       const at::Tensor& text, const at::Tensor& text_lengths);

}  // namespace strata::trainer
