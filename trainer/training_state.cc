#include "trainer/training_state.h"

#include "base/torch/guard.h"

namespace strata::trainer {
namespace {

Status copy_back(const TrainingParts& parts, const TrainingState& saved) {
  const torch::NoGradGuard no_grad;
  TrainingState own = state_of(parts, 0);
  NamedTensors held_out;
  for (const auto& [name, tensor] : saved.tensors) {
    if (HeldOutRecord::owns(name)) {
      held_out.emplace(name, tensor);
      continue;
    }
    const auto it = own.tensors.find(name);
    if (it == own.tensors.end() || it->second.sizes() != tensor.sizes())
      return fail(ErrorCode::kInvalid, "the checkpoint's tensor {} does not fit the model", name);
    it->second.copy_(tensor);  // a view of the flat buffers
    own.tensors.erase(it);
  }
  for (const auto& [name, tensor] : own.tensors) {
    if (!HeldOutRecord::owns(name))
      return fail(ErrorCode::kInvalid, "the checkpoint lacks tensor {}", name);
  }
  parts.average.set_calls(saved.average_calls);
  return parts.held_out.restore(held_out, saved.early, saved.validation_due);
}

}  // namespace

TrainingState state_of(const TrainingParts& parts, std::int64_t update) {
  TrainingState state{.update = update,
                      .average_calls = parts.average.calls(),
                      .early = parts.held_out.early_lines(),
                      .validation_due = parts.held_out.periodic_due()};
  const auto add = [&](std::string_view prefix, const NamedTensors& named) {
    for (const auto& [name, tensor] : named)
      state.tensors.emplace(std::string(prefix) + name, tensor);
  };
  add("model.", parts.parameters.named(parts.parameters.values()));
  add("moment1.", parts.parameters.named(parts.optimizer.first_moment()));
  add("moment2.", parts.parameters.named(parts.optimizer.second_moment()));
  add("average.", parts.parameters.named(parts.average.average()));
  add("", parts.held_out.tensors());
  return state;
}

Status restore_state(const TrainingParts& parts, const TrainingState& saved) {
  return from_torch("restoring a checkpoint", [&] { return copy_back(parts, saved); });
}

}  // namespace strata::trainer
