#include "base/torch/archive.h"

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/api/include/torch/version.h>
#include <torch/script.h>

#include <cstdio>
#include <cstring>
#include <limits>

#include "base/assert.h"
#include "base/fields.h"
#include "base/json.h"
#include "base/torch/guard.h"

namespace strata {
namespace {

constexpr const char* kMetadataFile = "strata.json";
constexpr std::int64_t kSelfTestDimensionsMax = 8;
constexpr std::int64_t kSelfTestElementsMax = 1LL << 24;

// Torch throws the same kinds for what a retry may cure as for what it cannot: only the text tells.
// It holds a C++ stack too, so not every "alloc" in it is one that failed.
bool lacks_memory(const Error& error) {
  for (const char* sign :
       {"can't allocate memory", "not enough memory", "out of memory", "bad_alloc"}) {
    if (error.message.find(sign) != std::string::npos) return true;
  }
  return false;
}

// An exported model is a function: what it refuses once it refuses again.
Error deterministic(Error error, ErrorCode code) {
  if (error.code == ErrorCode::kInternal)
    error.code = lacks_memory(error) ? ErrorCode::kUnavailable : code;
  return error;
}

// torch's messages carry a C++ stack of thirty lines; the first says it all.
Error first_line(Error error) {
  error.message.resize(std::min(error.message.find('\n'), error.message.size()));
  return error;
}

Result<std::string> read_extra(const std::filesystem::path& path, const std::string& name) {
  auto bytes = from_torch("reading it as a zip", [&]() -> Result<std::string> {
    caffe2::serialize::PyTorchStreamReader reader(path.string());
    const std::string record = "extra/" + name;
    if (!reader.hasRecord(record)) {
      return fail(ErrorCode::kInvalid, "it holds no {}: it was not written by tools/export", name);
    }
    if (reader.getRecordSize(record) > kArchiveExtraMax)
      return fail(ErrorCode::kTooLarge, "its {} is over {} bytes", name, kArchiveExtraMax);
    const auto [data, size] = reader.getRecord(record);
    return std::string(static_cast<const char*>(data.get()), size);
  });
  if (!bytes) return tl::unexpected(first_line(deterministic(bytes.error(), ErrorCode::kDamaged)));
  return bytes;
}

struct StoredArray {
  std::string file{};
  std::vector<std::int64_t> shape{};
  bool integers = false;
};
struct SelfTest {
  std::vector<StoredArray> inputs{};
  std::vector<StoredArray> outputs{};
  double tolerance = 0;
};
struct Description {
  ArchiveInfo info{};
  SelfTest self_test{};
};

Result<std::vector<StoredArray>> read_arrays(const Value& list, const std::string& where) {
  std::vector<StoredArray> arrays;
  if (list.if_array() == nullptr) return fail(ErrorCode::kInvalid, "{}: expected a list", where);
  for (const Value& entry : *list.if_array()) {
    Fields fields(entry, where);
    StoredArray array{.file = fields.text("file"), .shape = fields.integers("shape")};
    array.integers = fields.choice("dtype", {"float32", "int64"}) == "int64";
    std::int64_t elements = 1;
    bool small = std::ssize(array.shape) <= kSelfTestDimensionsMax;
    for (std::size_t i = 0; small && i < array.shape.size(); ++i) {
      small = array.shape[i] >= 0 && array.shape[i] <= kSelfTestElementsMax;
      if (small) elements *= array.shape[i];
      small = small && elements <= kSelfTestElementsMax;
    }
    fields.require(small, "shape", "expected at most 8 dimensions and 2^24 elements");
    STRATA_CHECK_OK(fields.finish());
    arrays.push_back(std::move(array));
  }
  return arrays;
}

Result<Description> parse_description(const std::string& text) {
  STRATA_TRY(const Value value, parse_json(text));
  Fields fields(value, kMetadataFile);
  Description out;
  out.info = {.name = fields.text("name"),
              .role = fields.text("role"),
              .family = fields.text("family"),
              .version = fields.integer("version"),
              .identity = fields.text("identity"),
              .interface = fields.text("interface")};
  if (const Value* settings = fields.child("settings")) out.info.settings = *settings;
  out.info.torch_version = fields.text("torch_version");
  out.info.exporter_version = fields.integer("exporter_version", 0);
  for (const char* other : {"licence", "sources"}) static_cast<void>(fields.child(other));
  Fields test(fields.required_child("self_test"), std::string(kMetadataFile) + ": self_test");
  STRATA_CHECK_OK(fields.finish());
  out.self_test.tolerance = test.number("tolerance");
  test.require(out.self_test.tolerance >= 0 && out.self_test.tolerance <= kSelfTestToleranceMax,
               "tolerance", fmt::format("expected 0 to {}", kSelfTestToleranceMax));
  const Value& inputs = test.required_child("inputs");
  const Value& outputs = test.required_child("outputs");
  STRATA_CHECK_OK(test.finish());
  STRATA_TRY(out.self_test.inputs,
             read_arrays(inputs, std::string(kMetadataFile) + ": self_test.inputs"));
  STRATA_TRY(out.self_test.outputs,
             read_arrays(outputs, std::string(kMetadataFile) + ": self_test.outputs"));
  return out;
}

Result<Description> read_description(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) {
    return fail(ErrorCode::kNotFound, "exported model {}: {}; make it with tools/export",
                path.string(), error.message());
  }
  if (size > kArchiveFileMax)
    return fail(ErrorCode::kTooLarge, "exported model {}: over {} bytes", path.string(),
                kArchiveFileMax);
  auto described = read_extra(path, kMetadataFile).and_then(parse_description);
  if (!described)
    return tl::unexpected(described.error().while_doing("exported model " + path.string()));
  return described;
}

// "1.13.0a0" -> 1013.
int release_of(std::string_view version) {
  int major = 0;
  int minor = 0;
  if (std::sscanf(std::string(version).c_str(), "%d.%d", &major, &minor) != 2) return 0;
  return major * 1000 + minor;
}

Status check_need(const Description& found, const ArchiveNeed& need,
                  const std::filesystem::path& path) {
  const auto differs = [](const std::string& wanted, const std::string& got) {
    return !wanted.empty() && wanted != got;
  };
  const ArchiveInfo& info = found.info;
  if (differs(need.role, info.role)) {
    return fail(ErrorCode::kInvalid, "exported model {}: its role is \"{}\", a \"{}\" is needed",
                path.string(), info.role, need.role);
  }
  if (differs(need.interface, info.interface)) {
    return fail(ErrorCode::kUnsupported,
                "exported model {}: its interface is \"{}\", this program speaks \"{}\"",
                path.string(), info.interface, need.interface);
  }
  if (differs(need.identity, info.identity)) {
    return fail(ErrorCode::kInvalid,
                "exported model {}: its identity is {}, the spec asks for {}: export it again, or "
                "change the spec",
                path.string(), info.identity, need.identity);
  }
  if (release_of(info.torch_version) > TORCH_VERSION_MAJOR * 1000 + TORCH_VERSION_MINOR) {
    return fail(ErrorCode::kUnsupported,
                "exported model {}: written by torch {}, this program has {}.{}: export it with an "
                "older torch",
                path.string(), info.torch_version, TORCH_VERSION_MAJOR, TORCH_VERSION_MINOR);
  }
  return {};
}

Status append_outputs(const c10::IValue& value, std::vector<at::Tensor>& out) {
  if (value.isTensor()) {
    out.push_back(value.toTensor().cpu());
  } else if (value.isTuple()) {
    for (const c10::IValue& element : value.toTupleRef().elements())
      STRATA_CHECK_OK(append_outputs(element, out));
  } else if (value.isInt()) {
    out.push_back(at::scalar_tensor(value.toInt(), at::kLong));
  } else if (value.isDouble()) {
    out.push_back(at::scalar_tensor(value.toDouble(), at::kDouble));
  } else {
    return fail(ErrorCode::kUnsupported, "an output of the type {}", value.tagKind());
  }
  return {};
}

// Infinite where shape, type, or an integer differs, or a value is not finite.
double largest_difference(const at::Tensor& got, const at::Tensor& wanted) {
  constexpr double kFar = std::numeric_limits<double>::infinity();
  if (got.sizes() != wanted.sizes() || got.scalar_type() != wanted.scalar_type()) return kFar;
  if (got.scalar_type() == at::kLong) return got.equal(wanted) ? 0 : kFar;
  if (got.numel() == 0) return 0;
  if (!got.isfinite().all().item<bool>()) return kFar;
  return ((got - wanted).abs() / wanted.abs().clamp_min(1)).max().item<double>();
}

}  // namespace

struct Archive::Impl {
  std::filesystem::path path{};
  Description description{};
  torch::jit::Module module{};
};

Archive::Archive(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Archive::Archive(Archive&&) noexcept = default;
Archive& Archive::operator=(Archive&&) noexcept = default;
Archive::~Archive() = default;

Result<std::filesystem::path> Archive::path_of(const std::filesystem::path& models,
                                               std::string_view name) {
  if (name.empty() || name.front() == '.' || name.find('/') != std::string_view::npos) {
    return fail(ErrorCode::kInvalid, "\"{}\" cannot be the name of an exported model", name);
  }
  return models / fmt::format("{}.pt", name);
}

Result<ArchiveInfo> Archive::describe(const std::filesystem::path& path) {
  STRATA_TRY(Description description, read_description(path));
  return std::move(description.info);
}

Result<Archive> Archive::load(const std::filesystem::path& path, const ArchiveNeed& need,
                              bool self_test) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  STRATA_TRY(impl->description, read_description(path));
  STRATA_CHECK_OK(check_need(impl->description, need, path));
  const auto loaded = from_torch("loading exported model " + path.string(), [&] {
    // Without a device an archive that was saved on a GPU ends the program on a machine that has
    // none.
    impl->module = torch::jit::load(path.string(), torch::kCPU);
    impl->module.eval();
  });
  if (!loaded)
    return tl::unexpected(first_line(deterministic(loaded.error(), ErrorCode::kDamaged)));
  Archive archive(std::move(impl));
  if (self_test) STRATA_CHECK_OK(archive.self_test().map([](double) {}));
  return archive;
}

const ArchiveInfo& Archive::info() const { return impl_->description.info; }

Result<std::int64_t> Archive::setting(std::string_view name) const {
  const Value* value = info().settings.find(name);
  const auto number = value == nullptr || value->if_number() == nullptr
                          ? std::nullopt
                          : value->if_number()->to_integer();
  if (!number)
    return fail(ErrorCode::kInvalid, "exported model {}: its settings have no whole number \"{}\"",
                impl_->path.string(), name);
  return *number;
}

Result<std::string> Archive::extra(const std::string& name) const {
  auto bytes = read_extra(impl_->path, name);
  if (!bytes)
    return tl::unexpected(bytes.error().while_doing("exported model " + impl_->path.string()));
  return bytes;
}

Result<std::vector<at::Tensor>> Archive::run(const std::vector<Input>& inputs, const char* method) {
  auto outputs = from_torch(
      fmt::format("running {}() of {}", method, info().name),
      [&]() -> Result<std::vector<at::Tensor>> {
        const at::NoGradGuard no_gradients;
        std::vector<c10::IValue> values;
        for (const Input& input : inputs) {
          if (const auto* tensor = std::get_if<at::Tensor>(&input)) values.emplace_back(*tensor);
          if (const auto* integer = std::get_if<std::int64_t>(&input))
            values.emplace_back(*integer);
          if (const auto* number = std::get_if<double>(&input)) values.emplace_back(*number);
        }
        std::vector<at::Tensor> out;
        STRATA_CHECK_OK(append_outputs(impl_->module.get_method(method)(std::move(values)), out));
        return out;
      });
  if (!outputs) return tl::unexpected(deterministic(outputs.error(), ErrorCode::kInvalid));
  return outputs;
}

Result<at::Tensor> Archive::run_one(const std::vector<Input>& inputs, const char* method) {
  STRATA_TRY(std::vector<at::Tensor> outputs, run(inputs, method));
  if (outputs.size() != 1)
    return fail(ErrorCode::kUnsupported, "{}() of {} gave {} outputs, one is expected", method,
                info().name, outputs.size());
  return std::move(outputs.front());
}

Result<at::Tensor> Archive::stored(const std::string& file, const std::vector<std::int64_t>& shape,
                                   bool integers) const {
  STRATA_TRY(const std::string bytes, extra(file));
  at::Tensor tensor = at::empty(shape, integers ? at::kLong : at::kFloat);
  if (bytes.size() != tensor.nbytes()) {
    return fail(ErrorCode::kDamaged, "exported model {}: {} has {} bytes, its shape needs {}",
                impl_->path.string(), file, bytes.size(), tensor.nbytes());
  }
  std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

Result<std::vector<Archive::Input>> Archive::self_test_inputs() const {
  std::vector<Input> inputs;
  for (const StoredArray& array : impl_->description.self_test.inputs) {
    STRATA_TRY(at::Tensor tensor, stored(array.file, array.shape, array.integers));
    if (array.integers && array.shape.empty()) {
      inputs.emplace_back(tensor.item<std::int64_t>());
    } else {
      inputs.emplace_back(std::move(tensor));
    }
  }
  return inputs;
}

Result<double> Archive::self_test() {
  const SelfTest& test = impl_->description.self_test;
  STRATA_TRY(const std::vector<Input> inputs, self_test_inputs());
  STRATA_TRY(const std::vector<at::Tensor> got, run(inputs));
  if (got.size() != test.outputs.size()) {
    return fail(ErrorCode::kDamaged,
                "exported model {}: its self-test stores {} outputs, forward() gave {}",
                impl_->path.string(), test.outputs.size(), got.size());
  }
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    STRATA_TRY(const at::Tensor wanted,
               stored(test.outputs[i].file, test.outputs[i].shape, test.outputs[i].integers));
    worst = std::max(worst, largest_difference(got[i], wanted));
  }
  if (!(worst <= test.tolerance)) {
    return fail(ErrorCode::kDamaged,
                "exported model {}: its self-test is off by {}, allowed is {}: export it again",
                impl_->path.string(), worst, test.tolerance);
  }
  return worst;
}

}  // namespace strata
