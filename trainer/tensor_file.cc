#include "trainer/tensor_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/assert.h"
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

tl::unexpected<Error> system_failure(std::string_view what, const std::filesystem::path& path) {
  const int error = errno;
  return fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable, "{} {}: {}", what,
              path.string(), std::strerror(error));
}

struct OpenFile {
  FileDescriptor descriptor{};
  std::int64_t size = 0;
};

Result<OpenFile> open_file(const std::filesystem::path& path) {
  OpenFile file{.descriptor = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC))};
  if (!file.descriptor.valid()) return system_failure("opening", path);
  struct stat about {};
  if (::fstat(file.descriptor.get(), &about) != 0) return system_failure("asking about", path);
  file.size = about.st_size;
  return file;
}

// A file's bytes without reading them: only the pages that somebody looks at.
class Mapping {
 public:
  static Result<Mapping> of(const OpenFile& file, const std::filesystem::path& path) {
    Mapping mapping;
    if (file.size == 0) return mapping;
    const auto size = static_cast<std::size_t>(file.size);
    void* at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor.get(), 0);
    if (at == MAP_FAILED) return system_failure("mapping", path);
    mapping.bytes_ = {static_cast<const char*>(at), size};
    return mapping;
  }
  Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Mapping& operator=(Mapping&&) = delete;
  ~Mapping() {
    if (!bytes_.empty()) ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
  }
  [[nodiscard]] std::string_view bytes() const { return bytes_; }

 private:
  Mapping() = default;
  std::string_view bytes_{};
};

std::optional<at::ScalarType> type_of(std::string_view spelling) {
  for (const auto& [name, type] : kTypes) {
    if (name == spelling) return type;
  }
  return {};
}

}  // namespace

Result<TensorFile> TensorFile::open(const std::filesystem::path& path) {
  STRATA_TRY(const OpenFile opened, open_file(path));
  STRATA_TRY(const Mapping mapping, Mapping::of(opened, path));
  auto raw = parse_safetensors(mapping.bytes());
  if (!raw) return tl::unexpected(raw.error().while_doing(path.string()));
  TensorFile file;
  file.path_ = path;
  file.size_ = opened.size;
  for (auto& [name, entry] : *raw) {
    const auto type = type_of(entry.dtype);
    STRATA_ASSERT(type.has_value());  // the parser knows no other types
    file.entries_.emplace(name, Entry{.type = *type,
                                      .shape = std::move(entry.shape),
                                      .begin = entry.bytes.data() - mapping.bytes().data(),
                                      .bytes = static_cast<std::int64_t>(entry.bytes.size())});
  }
  return file;
}

const TensorFile::Entry* TensorFile::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

Result<at::Tensor> TensorFile::read(const Entry& entry) const {
  STRATA_TRY(const OpenFile file, open_file(path_));
  if (file.size != size_) {
    return fail(ErrorCode::kDamaged, "{}: it has {} bytes, and had {} before: somebody changed it",
                path_.string(), file.size, size_);
  }
  STRATA_TRY(at::Tensor tensor, from_torch("reading " + path_.string(),
                                           [&] { return at::empty(entry.shape, entry.type); }));
  STRATA_ASSERT(static_cast<std::int64_t>(tensor.nbytes()) == entry.bytes);
  char* to = static_cast<char*>(tensor.data_ptr());
  for (std::int64_t done = 0; done < entry.bytes;) {
    const ssize_t got = ::pread(file.descriptor.get(), to + done,
                                static_cast<std::size_t>(entry.bytes - done), entry.begin + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure("reading", path_);
    if (got == 0)
      return fail(ErrorCode::kDamaged, "{}: it ended while it was read", path_.string());
    done += got;
  }
  return tensor;
}

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
