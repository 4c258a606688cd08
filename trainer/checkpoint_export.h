// `strata-trainer export FILE.json`: from a checkpoint, what inference needs and nothing else, as
// the output `weights` of a run has it (trained_model.h).
#pragma once

#include <filesystem>

namespace strata::trainer {

// {"checkpoint": a checkpoint or a folder of them, "output": a folder that is not there yet,
// "weights": "average" (default) | "last" (without the averaging)}. Gives the exit code; what is
// wrong is said on standard error.
[[nodiscard]] int run_export(const std::filesystem::path& file);

}  // namespace strata::trainer
