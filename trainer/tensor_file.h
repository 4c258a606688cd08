// Named tensors in a safetensors file.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/result.h"
#include "base/torch/tensor.h"

namespace strata::trainer {

using NamedTensors = std::map<std::string, at::Tensor, std::less<>>;

// Contiguous CPU tensors that own their memory.
[[nodiscard]] Result<NamedTensors> read_tensors(
    const std::filesystem::path& path, std::map<std::string, std::string>* metadata = nullptr);
// Atomic: the path holds the old file or the whole new one.
[[nodiscard]] Status write_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                                   const std::map<std::string, std::string>& metadata = {});

}  // namespace strata::trainer
