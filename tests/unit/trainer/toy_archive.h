// Exported models for tests: a few lines of TorchScript with all that base/torch/archive.h asks
// for.
#pragma once

#include <torch/script.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/torch/torch.h"
#include "base/value.h"

namespace strata::trainer {

inline std::string bytes_of(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.contiguous();
  return {static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()};
}

inline Object listed(const char* file, const at::Tensor& tensor) {
  Array shape;
  for (const std::int64_t size : tensor.sizes()) shape.emplace_back(size);
  return {{"file", file},
          {"shape", std::move(shape)},
          {"dtype", tensor.scalar_type() == at::kLong ? "int64" : "float32"}};
}

// An archive with one input tensor, and a layer where it is a teacher. Its name is "toy", its
// identity "toy-" and the role.
inline void write_archive(const std::filesystem::path& path, const std::string& role,
                          const std::string& code, const at::Tensor& input, Object settings,
                          int interface = 1) {
  torch::jit::Module module(role);
  module.define(code);
  const bool teacher = role == "teacher";
  std::vector<c10::IValue> values{input};
  if (teacher) values.emplace_back(std::int64_t{2});
  const at::Tensor output = module.forward(values).toTensor();
  const at::Tensor layer = at::scalar_tensor(2, at::kLong);
  Array inputs{listed("self_test/input0", input)};
  if (teacher) inputs.emplace_back(listed("self_test/input1", layer));
  torch::jit::ExtraFilesMap extra;
  extra["self_test/input0"] = bytes_of(input);
  extra["self_test/input1"] = bytes_of(layer);
  extra["self_test/output0"] = bytes_of(output);
  extra["strata.json"] = to_canonical_json(
      Object{{"name", "toy"},
             {"role", role},
             {"family", "toy"},
             {"version", 1},
             {"exporter_version", 1},
             {"identity", "toy-" + role},
             {"interface", role + "-" + std::to_string(interface)},
             {"licence", "none"},
             {"settings", std::move(settings)},
             {"sources", Array{}},
             {"torch_version", "1.13.0"},
             {"self_test", Object{{"tolerance", 1e-4},
                                  {"inputs", std::move(inputs)},
                                  {"outputs", Array{listed("self_test/output0", output)}}}}});
  module.save(path.string(), extra);
}

}  // namespace strata::trainer
