// The one door to LibTorch's big header. It costs 20 s and 1.4 GB to compile: include it in .cc
// files, and in headers of trainer/ and evaluator/ only where a torch type stands in the interface.
#pragma once

#include <torch/torch.h>  // IWYU pragma: export
