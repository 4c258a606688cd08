#include "base/torch/runtime.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/version.h>

#include "base/torch/guard.h"

namespace strata {

Status set_up_torch(int threads) {
  if (aoti_torch_abi_version() != TORCH_ABI_VERSION) {
    return fail(
        ErrorCode::kUnsupported,
        "another LibTorch was loaded than the {} that this program was built with: build it "
        "again, or put the right library first",
        TORCH_VERSION);
  }
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
