// `strata-trainer train SPEC.json`: a stage that keeps docs/stages.md; trainer/README.md lists its
// parameters.
#pragma once

#include "trainer/stage_spec.h"

namespace strata::trainer {

// Returns the exit code for what is a result (finished, stopped, diverged), an Error for what is
// not.
[[nodiscard]] Result<int> run_train(const StageSpec& spec);

}  // namespace strata::trainer
