// The safetensors format without torch: 8 bytes little-endian header length, a JSON header
// {"name": {"dtype": "F32", "shape": [2,3], "data_offsets": [0, 24]}, "__metadata__": {...}}, then
// the bytes. Readers distrust the file: every offset, shape and length is checked before a byte is
// handed out, and every byte belongs to exactly one tensor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace strata::trainer {

inline constexpr std::uint64_t kSafetensorsHeaderMax = 100ULL << 20;  // the format's own limit
inline constexpr std::uint64_t kSafetensorsFileMax = 64ULL << 30;
inline constexpr std::size_t kSafetensorsDimensionsMax = 8;

// One entry; `bytes` points into the file's buffer (reading) or the caller's memory (writing),
// row-major.
struct RawTensor {
  std::string dtype{};  // "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"
  std::vector<std::int64_t> shape{};
  std::string_view bytes{};
};
using RawTensors = std::map<std::string, RawTensor, std::less<>>;

// Views into `file`, which must outlive the result. `metadata`, when asked for, gets the
// "__metadata__" map.
[[nodiscard]] Result<RawTensors> parse_safetensors(
    std::string_view file, std::map<std::string, std::string>* metadata = nullptr);

// The same tensors give the same bytes: entries in the order of their names, header padded to 8
// bytes with spaces.
[[nodiscard]] std::string format_safetensors(
    const RawTensors& tensors, const std::map<std::string, std::string>& metadata = {});

}  // namespace strata::trainer
