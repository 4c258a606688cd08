#include "base/torch/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/script.h>

#include <cstring>

#include "base/files.h"

namespace strata {
namespace {

using ::testing::HasSubstr;

class ExportedModel : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = *make_temporary_folder(std::filesystem::temp_directory_path(), "strata-archive-");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // A model that gives (x * k + bias, k), written as tools/export writes one, with `stored` as the
  // self-test's output.
  std::filesystem::path write(const std::vector<float>& stored,
                              const std::string& torch_version = "1.13.0",
                              const std::string& tolerance = "0.001") {
    torch::jit::Module module("doubler");
    module.register_buffer("bias", torch::tensor({0.5F, 0.0F}));
    module.define(
        "def forward(self, x: Tensor, k: int) -> Tuple[Tensor, int]:\n  return x * k + self.bias, "
        "k\n"
        "def one(self, x: Tensor) -> Tensor:\n  return x + self.bias\n");
    torch::jit::ExtraFilesMap extra;
    extra["strata.json"] = fmt::format(
        R"({{"name": "doubler", "role": "teacher", "family": "toy", "version": 3, "exporter_version": 1,
             "identity": "abc", "interface": "teacher-1", "licence": "none",
             "settings": {{"width": 2, "note": "x"}}, "sources": [],
             "torch_version": "{}", "self_test": {{"tolerance": {},
               "inputs": [{{"file": "self_test/input0", "shape": [1, 2], "dtype": "float32"}},
                          {{"file": "self_test/input1", "shape": [], "dtype": "int64"}}],
               "outputs": [{{"file": "self_test/output0", "shape": [1, 2], "dtype": "float32"}},
                           {{"file": "self_test/output1", "shape": [], "dtype": "int64"}}]}}}})",
        torch_version, tolerance);
    extra["self_test/input0"] = bytes_of<float>({1.0F, 2.0F});
    extra["self_test/input1"] = bytes_of<std::int64_t>({2});
    extra["self_test/output0"] = bytes_of<float>(stored);
    extra["self_test/output1"] = bytes_of<std::int64_t>({2});
    const auto path = folder_ / "doubler.pt";
    module.save(path.string(), extra);
    return path;
  }

  template <class T>
  static std::string bytes_of(const std::vector<T>& values) {
    std::string bytes(values.size() * sizeof(T), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }

  std::filesystem::path folder_;
};

TEST_F(ExportedModel, LoadsDescribesItselfAndRuns) {
  const auto path = write({2.5F, 4.0F});
  auto archive =
      Archive::load(path, {.role = "teacher", .interface = "teacher-1", .identity = "abc"});
  ASSERT_TRUE(archive.has_value()) << archive.error().message;
  EXPECT_EQ(archive->info().name, "doubler");
  EXPECT_EQ(archive->info().version, 3);
  EXPECT_EQ(*archive->setting("width"), 2);
  EXPECT_FALSE(archive->setting("note").has_value());
  EXPECT_FALSE(archive->setting("depth").has_value());
  const auto outputs = archive->run({at::full({1, 2}, 10.0F), std::int64_t{3}});
  ASSERT_TRUE(outputs.has_value()) << outputs.error().message;
  ASSERT_EQ(outputs->size(), 2U);
  EXPECT_FLOAT_EQ((*outputs)[0][0][0].item<float>(), 30.5F);
  EXPECT_EQ((*outputs)[1].item<std::int64_t>(), 3);
  EXPECT_FLOAT_EQ((*archive->run_one({at::zeros({2})}, "one"))[0].item<float>(), 0.5F);
  EXPECT_FALSE(archive->run_one({at::zeros({2}), std::int64_t{3}}).has_value());
  EXPECT_EQ(*Archive::path_of(folder_, "doubler"), path);
}

TEST_F(ExportedModel, AFailedSelfTestIsRefused) {
  const auto path = write({2.5F, 4.1F});
  const auto archive = Archive::load(path);
  ASSERT_FALSE(archive.has_value());
  EXPECT_EQ(archive.error().code, ErrorCode::kDamaged);
  EXPECT_THAT(archive.error().message, HasSubstr("self-test"));
  EXPECT_THAT(archive.error().message, HasSubstr(path.string()));
  EXPECT_TRUE(Archive::load(path, {}, /*self_test=*/false).has_value());
}

TEST_F(ExportedModel, ASelfTestThatWouldAllowAnythingIsRefused) {
  for (const char* tolerance : {"-0.001", "0.011", "1e300", "\"NaN\""}) {
    const auto archive = Archive::load(write({2.5F, 4.0F}, "1.13.0", tolerance));
    ASSERT_FALSE(archive.has_value()) << tolerance;
    EXPECT_EQ(archive.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(archive.error().message, HasSubstr("tolerance")) << tolerance;
  }
  for (const char* tolerance : {"0", "0.01"})
    EXPECT_TRUE(Archive::load(write({2.5F, 4.0F}, "1.13.0", tolerance)).has_value()) << tolerance;
}

TEST_F(ExportedModel, AnotherRoleInterfaceIdentityOrNewerTorchIsRefused) {
  const auto path = write({2.5F, 4.0F});
  EXPECT_THAT(Archive::load(path, {.role = "vocoder"}).error().message,
              HasSubstr("its role is \"teacher\""));
  EXPECT_THAT(Archive::load(path, {.interface = "teacher-2"}).error().message,
              HasSubstr("teacher-1"));
  EXPECT_THAT(Archive::load(path, {.identity = "def"}).error().message,
              HasSubstr("its identity is abc"));
  EXPECT_THAT(Archive::load(write({2.5F, 4.0F}, "99.0.1")).error().message,
              HasSubstr("written by torch 99.0.1"));
}

TEST_F(ExportedModel, MissingTruncatedAndForeignFilesAreClearErrors) {
  EXPECT_EQ(Archive::load(folder_ / "none.pt").error().code, ErrorCode::kNotFound);
  const auto path = write({2.5F, 4.0F});
  const std::string bytes = *read_file(path);
  ASSERT_TRUE(write_file_atomic(path, bytes.substr(0, bytes.size() / 2)).has_value());
  const auto truncated = Archive::load(path);
  ASSERT_FALSE(truncated.has_value());
  EXPECT_EQ(truncated.error().code, ErrorCode::kDamaged);
  EXPECT_THAT(truncated.error().message, HasSubstr(path.string()));
  EXPECT_THAT(truncated.error().message, ::testing::Not(HasSubstr("\n")));
  torch::jit::Module("bare").save((folder_ / "bare.pt").string());
  EXPECT_THAT(Archive::load(folder_ / "bare.pt").error().message,
              HasSubstr("holds no strata.json"));
  ASSERT_TRUE(write_file_atomic(folder_ / "text.pt", "hello").has_value());
  EXPECT_FALSE(Archive::load(folder_ / "text.pt").has_value());
}

TEST_F(ExportedModel, WhatTheModelRefusesIsAnErrorThatNoRetryCures) {
  auto archive = Archive::load(write({2.5F, 4.0F}));
  ASSERT_TRUE(archive.has_value());
  const auto wrong_shape = archive->run({at::zeros({3}), std::int64_t{1}});
  ASSERT_FALSE(wrong_shape.has_value());
  EXPECT_EQ(wrong_shape.error().code, ErrorCode::kInvalid);
  const auto no_method = archive->run({at::zeros({2})}, "nothing");
  ASSERT_FALSE(no_method.has_value());
  EXPECT_EQ(no_method.error().code, ErrorCode::kInvalid);
}

TEST_F(ExportedModel, NamesStayInsideTheModelsFolder) {
  for (const char* name : {"", "../evil", "/etc/passwd", ".hidden"})
    EXPECT_FALSE(Archive::path_of(folder_, name).has_value()) << name;
}

}  // namespace
}  // namespace strata
