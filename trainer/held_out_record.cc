#include "trainer/held_out_record.h"

namespace strata::trainer {
namespace {

constexpr std::string_view kBackbonePrefix = "backbone.";

void add_lines(Array& lines, const std::vector<HeldOutLoss>& losses, std::int64_t update,
               const char* which) {
  for (const HeldOutLoss& item : losses) {
    lines.emplace_back(Object{{"id", item.id},
                              {"update", update},
                              {"which", which},
                              {"loss", item.loss},
                              {"loss_permuted", item.permuted}});
  }
}

}  // namespace

void HeldOutRecord::after_update(std::int64_t update) {
  periodic_due_ =
      schedule_.every > 0 && update % schedule_.every == 0 && update != schedule_.updates;
}

HeldOutRecord::Due HeldOutRecord::due(std::int64_t update) const {
  return {.early = update == schedule_.early && early_weights_.empty(),
          .periodic = periodic_due_,
          .last = update == schedule_.updates && !last_kept_};
}

// Weights and lines together or neither: a checkpoint between them could not be gone on from.
void HeldOutRecord::keep(const Due& due, std::int64_t update,
                         const std::vector<HeldOutLoss>& losses, const NamedTensors& average) {
  if (due.early) {
    early_weights_ = backbone_only(average);
    add_lines(lines_, losses, update, "early");
  }
  if (due.periodic) periodic_due_ = false;
  if (due.last) {
    add_lines(lines_, losses, update, "last");
    last_kept_ = true;
  }
}

void HeldOutRecord::restore(Array lines, NamedTensors early_weights, bool periodic_due) {
  lines_ = std::move(lines);
  early_weights_ = std::move(early_weights);
  periodic_due_ = periodic_due && schedule_.every > 0;
  last_kept_ = false;
}

NamedTensors backbone_only(const NamedTensors& named) {
  NamedTensors weights;
  for (const auto& [name, tensor] : named) {
    if (name.starts_with(kBackbonePrefix))
      weights.emplace(name.substr(kBackbonePrefix.size()), tensor.clone());
  }
  return weights;
}

}  // namespace strata::trainer
