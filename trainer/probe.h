// `strata-trainer probe FILE.json`: a tiny model with parameters and inputs made by arithmetic alone, so that its losses,
// gradients and intermediate values can be compared with any other implementation. docs/models.md describes the recipe.
#pragma once

#include <filesystem>

#include "base/value.h"

namespace strata::trainer {

// The report: {"parameters", "loss": {total, cfm, speech, text}, "grad_norm", "gradients": {name: norm},
// "tensors": {name: {sum, l1, first}}}.
[[nodiscard]] Result<Value> probe(const Value& request);

// Reads the request, prints the report to standard output, returns the exit code.
int run_probe(const std::filesystem::path& file);

}  // namespace strata::trainer
