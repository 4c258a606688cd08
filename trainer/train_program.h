// `strata-trainer train SPEC.json`: a stage that keeps docs/stages.md; trainer/README.md lists its
// parameters.
#pragma once

#include <memory>

#include "trainer/collective/communicator.h"
#include "trainer/stage_spec.h"

namespace strata::trainer {

// The gang that the spec asks for: this process alone, or MPI's.
[[nodiscard]] Result<std::unique_ptr<Communicator>> connect(const StageSpec& spec);

// What every rank of a gang does with its result. An error may be this rank's alone, with the
// others waiting for it in a collective: it is said on standard error and ends them all with its
// exit code. A result, and the error of a rank without others, is given back.
[[nodiscard]] Result<int> end_together(Result<int> result, Communicator& communicator);

// Returns the exit code for what is a result (finished, stopped, diverged), an Error for what is
// not.
[[nodiscard]] Result<int> run_train(const StageSpec& spec);

}  // namespace strata::trainer
