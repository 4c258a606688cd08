#include "trainer/validation.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>

#include "base/assert.h"
#include "base/random.h"
#include "base/torch/guard.h"

namespace strata::trainer {
namespace {

// The flow-matching loss of one utterance, spoken as `text`.
double flow_loss(Backbone& backbone, const Utterance& utterance,
                 const std::vector<std::int64_t>& text) {
  constexpr auto kTimes = static_cast<std::int64_t>(kValidationTimes.size());
  const std::int64_t frames = utterance.frames();
  const auto inside = static_cast<std::int64_t>(kValidationSpan * static_cast<double>(frames));
  const std::int64_t start = (frames - inside) / 2;
  const at::Tensor x1 = utterance.mel.unsqueeze(0);  // (1, N, mel)
  at::Tensor x0 = at::empty_like(x1);                // (1, N, mel)
  x0.normal_(
      0, 1,
      at::detail::createCPUGenerator(derive_seed(kValidationSeed, "validation/" + utterance.id)));
  at::Tensor time = at::empty({kTimes}, x1.options());  // (4)
  for (std::int64_t i = 0; i < kTimes; ++i)
    time[i].fill_(kValidationTimes[static_cast<std::size_t>(i)]);
  const at::Tensor t = time.view({-1, 1, 1});  // (4, 1, 1)
  at::Tensor condition = x1.clone();           // (1, N, mel)
  condition.slice(1, start, start + inside).zero_();

  BackboneInput input;
  input.noisy = (1 - t) * x0 + t * x1;                              // (4, N, mel)
  input.condition = condition.expand({kTimes, -1, -1});             // (4, N, mel), in the span 0
  const at::Tensor ids = at::tensor(text, at::kLong).unsqueeze(0);  // (1, T)
  input.text =
      backbone.embed_text(ids, frames, false).expand({kTimes, -1, -1});  // (4, N, text_dim)
  input.time = time;
  const at::Tensor error = backbone.forward(input).velocity - (x1 - x0);  // (4, N, mel)
  return error.slice(1, start, start + inside).to(at::kDouble).square().mean().item<double>();
}

}  // namespace

std::size_t permuted_partner(std::size_t index, std::size_t count) {
  STRATA_ASSERT(count >= 2);
  return (index + count / 2) % count;
}

Result<std::vector<HeldOutLoss>> validate(AcousticModel& model,
                                          const std::vector<Utterance>& heldout,
                                          Communicator& communicator,
                                          const std::function<bool()>& stop_requested,
                                          const UtteranceSource* source) {
  const std::size_t count = heldout.size();
  // Loss and permuted loss of each, 0 where another rank computes it; last, how many ranks stopped.
  std::vector<double> values(2 * count + 1, 0.0);
  STRATA_CHECK_OK(from_torch("validation", [&]() -> Status {
    const torch::NoGradGuard no_grad;
    const auto ranks = static_cast<std::size_t>(communicator.size());
    for (auto i = static_cast<std::size_t>(communicator.rank()); i < count; i += ranks) {
      if (stop_requested && stop_requested()) {
        values.back() = 1;
        return {};
      }
      STRATA_TRY(const Utterance whole, whole_utterance(heldout[i], source));
      values[2 * i] = flow_loss(model.backbone(), whole, whole.text);
      values[2 * i + 1] =
          flow_loss(model.backbone(), whole, heldout[permuted_partner(i, count)].text);
    }
    return {};
  }));
  STRATA_CHECK_OK(communicator.all_reduce_sum(std::span(values)));
  std::vector<HeldOutLoss> losses;
  if (values.back() > 0) return losses;
  for (std::size_t i = 0; i < count; ++i)
    losses.push_back({heldout[i].id, values[2 * i], values[2 * i + 1]});
  return losses;
}

bool all_finite(const std::vector<HeldOutLoss>& losses) {
  return std::ranges::all_of(losses, [](const HeldOutLoss& item) {
    return std::isfinite(item.loss) && std::isfinite(item.permuted);
  });
}

double mean_loss(const std::vector<HeldOutLoss>& losses) {
  double sum = 0;
  for (const HeldOutLoss& item : losses) sum += item.loss;
  return sum / static_cast<double>(losses.size());
}

double mean_text_use(const std::vector<HeldOutLoss>& losses) {
  double sum = 0;
  for (const HeldOutLoss& item : losses) sum += item.permuted - item.loss;
  return sum / static_cast<double>(losses.size());
}

}  // namespace strata::trainer
