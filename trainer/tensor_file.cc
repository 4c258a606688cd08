#include "trainer/tensor_file.h"

#include <array>
#include <cstring>
#include <utility>

#include "base/files.h"
#include "base/torch/guard.h"
#include "trainer/safetensors.h"

namespace strata::trainer {
namespace {

constexpr std::array<std::pair<std::string_view, at::ScalarType>, 10> kTypes{
    {{"F64", at::kDouble},
     {"F32", at::kFloat},
     {"F16", at::kHalf},
     {"BF16", at::kBFloat16},
     {"I64", at::kLong},
     {"I32", at::kInt},
     {"I16", at::kShort},
     {"I8", at::kChar},
     {"U8", at::kByte},
     {"BOOL", at::kBool}}};

}  // namespace

Result<NamedTensors> read_tensors(const std::filesystem::path& path,
                                  std::map<std::string, std::string>* metadata) {
  STRATA_TRY(const std::string file, read_file(path, kSafetensorsFileMax));
  auto raw = parse_safetensors(file, metadata);
  if (!raw) return tl::unexpected(raw.error().while_doing(path.string()));
  return from_torch("reading " + path.string(), [&] {
    NamedTensors tensors;
    for (const auto& [name, entry] : *raw) {
      for (const auto& [spelling, type] : kTypes) {
        if (spelling != entry.dtype) continue;
        at::Tensor tensor = at::empty(entry.shape, type);
        if (!entry.bytes.empty())
          std::memcpy(tensor.data_ptr(), entry.bytes.data(), entry.bytes.size());
        tensors.emplace(name, std::move(tensor));
      }
    }
    return tensors;
  });
}

Status write_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                     const std::map<std::string, std::string>& metadata) {
  return from_torch("writing " + path.string(), [&]() -> Status {
    RawTensors raw;
    NamedTensors kept;  // contiguous copies live until the bytes are written
    for (const auto& [name, tensor] : tensors) {
      const at::Tensor& plain =
          kept.emplace(name, tensor.detach().cpu().contiguous()).first->second;
      RawTensor entry;
      for (const auto& [spelling, type] : kTypes) {
        if (type == plain.scalar_type()) entry.dtype = spelling;
      }
      if (entry.dtype.empty())
        return fail(ErrorCode::kUnsupported, "{}: tensor {} has a type we cannot store",
                    path.string(), name);
      entry.shape = plain.sizes().vec();
      entry.bytes = {static_cast<const char*>(plain.data_ptr()), plain.nbytes()};
      raw.emplace(name, std::move(entry));
    }
    return write_file_atomic(path, format_safetensors(raw, metadata));
  });
}

}  // namespace strata::trainer
