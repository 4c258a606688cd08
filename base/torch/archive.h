// An exported model (tools/export): TorchScript with a description of itself and a self-test
// inside. Judges, teachers and vocoders are all loaded here, so that none is ever used without its
// identity and its numbers having been checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/torch/tensor.h"
#include "base/value.h"

namespace strata {

inline constexpr std::uint64_t kArchiveFileMax = 16ULL << 30;
inline constexpr std::uint64_t kArchiveExtraMax = 64ULL << 20;  // bytes of one extra file
// A self-test that allows more would pass a model that computes something else.
inline constexpr double kSelfTestToleranceMax = 1e-2;

// What strata.json inside the archive says.
struct ArchiveInfo {
  std::string name{};
  std::string role{};    // "asr", "speaker", "mos", "teacher", "vocoder"
  std::string family{};  // the checkpoint it comes from: a judge and a teacher of one sweep must
                         // not share it
  std::int64_t version = 0;
  std::string identity{};    // of source weights, exporter version and settings; what task keys and
                             // reports name
  std::string interface {};  // what forward() takes and gives, "teacher-1"
  std::int64_t exporter_version = 0;
  std::string torch_version{};  // that wrote it
  Value settings{Object{}};
};

// What the caller needs; an archive that is something else is refused. An empty string or nothing
// means: any.
struct ArchiveNeed {
  std::string role{};
  std::string interface {};
  std::string identity{};
};

class Archive {
 public:
  using Input = std::variant<at::Tensor, std::int64_t, double>;

  // models / (name + ".pt"). A name with a slash or a leading dot is refused.
  [[nodiscard]] static Result<std::filesystem::path> path_of(const std::filesystem::path& models,
                                                             std::string_view name);
  // Description only, without loading the model: milliseconds.
  [[nodiscard]] static Result<ArchiveInfo> describe(const std::filesystem::path& path);
  // On the CPU. Then runs the self-test unless told otherwise; a failed one is kDamaged.
  [[nodiscard]] static Result<Archive> load(const std::filesystem::path& path,
                                            const ArchiveNeed& need = {}, bool self_test = true);
  Archive(Archive&&) noexcept;
  Archive& operator=(Archive&&) noexcept;
  ~Archive();

  [[nodiscard]] const ArchiveInfo& info() const;
  // A number of `settings`, for example "sample_rate".
  [[nodiscard]] Result<std::int64_t> setting(std::string_view name) const;
  // The bytes of an extra file, for example "vocabulary".
  [[nodiscard]] Result<std::string> extra(const std::string& name) const;

  // Calls forward() or another method without gradients and gives its outputs: a tensor, the
  // tensors of a tuple, or numbers as tensors of no dimension. What the model itself refuses is
  // kInvalid: it would refuse it again. Not thread-safe.
  [[nodiscard]] Result<std::vector<at::Tensor>> run(const std::vector<Input>& inputs,
                                                    const char* method = "forward");
  // For one tensor out; more or fewer is an error.
  [[nodiscard]] Result<at::Tensor> run_one(const std::vector<Input>& inputs,
                                           const char* method = "forward");
  // The largest |got - stored| / max(1, |stored|) of the stored example. An error where it exceeds
  // the stored tolerance.
  [[nodiscard]] Result<double> self_test();
  // What the stored example gives to forward(), for checks of the caller's own.
  [[nodiscard]] Result<std::vector<Input>> self_test_inputs() const;

 private:
  struct Impl;
  explicit Archive(std::unique_ptr<Impl> impl);
  [[nodiscard]] Result<at::Tensor> stored(const std::string& file,
                                          const std::vector<std::int64_t>& shape,
                                          bool integers) const;
  std::unique_ptr<Impl> impl_;
};

}  // namespace strata
