// `strata-trainer weights FILE.json`: official weights in and out. The file says under "do" which:
// "import", "export" or "forward" (trainer/weights_exchange.h).
#pragma once

#include <filesystem>

namespace strata::trainer {

// Prints the report to standard output; returns the exit code.
int run_weights(const std::filesystem::path& file);

}  // namespace strata::trainer
