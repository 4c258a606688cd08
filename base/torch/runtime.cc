#include "base/torch/runtime.h"

#include "base/torch/guard.h"

namespace strata {

Status set_up_torch(int threads) {
  return from_torch("setting up torch", [&] {
    at::set_num_threads(threads);
    at::set_num_interop_threads(1);
    at::globalContext().setFlushDenormal(true);
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    // With the line above alone every fresh tensor would be filled with NaN first, to no end but
    // time.
    at::globalContext().setDeterministicFillUninitializedMemory(false);
  });
}

}  // namespace strata
