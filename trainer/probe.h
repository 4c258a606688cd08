// `strata-trainer probe FILE.json`: a tiny model with parameters and inputs made by arithmetic
// alone, so that its losses, gradients and intermediate values can be compared with any other
// implementation. docs/models.md describes the recipe.
#pragma once

#include <filesystem>

#include "base/torch/tensor.h"
#include "base/value.h"

namespace torch::nn {
class Module;
}

namespace strata::trainer {

// The recipe itself. Sequence p in double, of any shape; and all parameters of a module from the
// sequences 0, 1, …
[[nodiscard]] at::Tensor probe_sequence(std::uint64_t p, at::IntArrayRef shape);
void fill_probe_parameters(torch::nn::Module& model);

// The report: {"parameters", "loss": {total, cfm, speech, text}, "grad_norm", "gradients": {name:
// norm}, "tensors": {name: {sum, l1, first}}, "sample": [{sum, l1}] where it was asked for}.
[[nodiscard]] Result<Value> probe(const Value& request);

// Reads the request, prints the report to standard output, returns the exit code.
int run_probe(const std::filesystem::path& file);

}  // namespace strata::trainer
