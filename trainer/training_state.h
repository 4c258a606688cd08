// Everything from which training goes on exactly, as tensors and a few numbers; checkpoint.h puts
// it into files. Random numbers need no state: they are a function of (seed, update, utterance).
#pragma once

#include "trainer/collective/gradient_reducer.h"
#include "trainer/held_out_record.h"
#include "trainer/optim/optimizer.h"

namespace strata::trainer {

struct TrainingState {
  std::int64_t update = 0;  // updates done
  std::int64_t average_calls = 0;
  // "model.*", "moment1.*", "moment2.*", "average.*", each of the model's parameters in its own
  // shape; and those of the HeldOutRecord.
  NamedTensors tensors{};
  Array early{};                // validation lines of the early weights
  bool validation_due = false;  // stopped before or in the held-out losses of this update
};

// The parts of a run that its state is made of; they outlive this.
struct TrainingParts {
  FlatParameters& parameters;
  AdamW& optimizer;
  WeightAverage& average;
  HeldOutRecord& held_out;
};

// The tensors are views of the parts: what is to outlive the next update must be copied.
[[nodiscard]] TrainingState state_of(const TrainingParts& parts, std::int64_t update);

// kInvalid, with the tensor's name, where the state is of another model.
[[nodiscard]] Status restore_state(const TrainingParts& parts, const TrainingState& saved);

}  // namespace strata::trainer
