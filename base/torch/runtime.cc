#include "base/torch/runtime.h"

#include "base/torch/guard.h"

namespace strata {

Status set_up_torch(int threads) {
  return from_torch("setting up torch", [&] {
    at::set_num_threads(threads);
    at::set_num_interop_threads(1);
    at::globalContext().setFlushDenormal(true);
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  });
}

}  // namespace strata
