// `strata-trainer check SPEC.json [--json]`: what `train` would say of the spec before its first
// update (feasibility.h), and the same at the head of `train`.
#pragma once

#include <filesystem>

#include "trainer/train_config.h"

namespace strata::trainer {

// Prints the report to standard output. 0: nothing speaks against the training, or warnings only;
// 2: it would be refused; 1: the check could not be made.
int run_check(const std::filesystem::path& file, bool json);

// Of one rank, before the corpus is loaded. An error refuses; rank 0 logs the warnings, and what is
// said of memory, whatever its level.
[[nodiscard]] Status check_before_training(const StageSpec& spec, const TrainConfig& config,
                                           int rank, int ranks);

}  // namespace strata::trainer
