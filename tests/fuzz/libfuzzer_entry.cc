// One program a target, for the preset `fuzz` (clang, -fsanitize=fuzzer,address):
//   build/fuzz/bin/libfuzzer-sweep tests/fuzz/corpus/sweep -max_len=16384
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(strata::fuzz::STRATA_FUZZ_RUN(
      {static_cast<const char*>(static_cast<const void*>(data)), size}));
  return 0;
}
