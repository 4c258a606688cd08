// Named tensors in a safetensors file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/torch/tensor.h"

namespace strata::trainer {

using NamedTensors = std::map<std::string, at::Tensor, std::less<>>;

// Contiguous CPU tensors that own their memory.
[[nodiscard]] Result<NamedTensors> read_tensors(
    const std::filesystem::path& path, std::map<std::string, std::string>* metadata = nullptr);

// One tensor at a time out of a file that may be larger than memory. open() reads the header alone,
// and checks it as read_tensors does. Safe to call from several threads.
class TensorFile {
 public:
  struct Entry {
    at::ScalarType type = at::kFloat;
    std::vector<std::int64_t> shape{};
    std::int64_t begin = 0;  // bytes, in the file
    std::int64_t bytes = 0;
  };

  [[nodiscard]] static Result<TensorFile> open(const std::filesystem::path& path);

  // Nothing where there is none of that name.
  [[nodiscard]] const Entry* find(std::string_view name) const;
  // Contiguous, on the CPU. kDamaged where the file has another size than when it was opened.
  // REQUIRES: `entry` is of this file.
  [[nodiscard]] Result<at::Tensor> read(const Entry& entry) const;

 private:
  std::filesystem::path path_{};
  std::int64_t size_ = 0;
  std::map<std::string, Entry, std::less<>> entries_{};
};

// Atomic: the path holds the old file or the whole new one.
[[nodiscard]] Status write_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                                   const std::map<std::string, std::string>& metadata = {});

}  // namespace strata::trainer
