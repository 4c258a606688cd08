#include "trainer/tensor_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "base/files.h"
#include "tests/support/temporary_folder.h"

namespace strata::trainer {
namespace {

using ::testing::HasSubstr;

TEST(TensorFile, GivesEachTensorAsReadingTheWholeFileDoes) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "some.safetensors";
  NamedTensors written;
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kBool})
    written.emplace(at::toString(type), (at::arange(24).reshape({4, 2, 3}) % 5).to(type));
  written.emplace("empty", at::zeros({0, 7}));
  written.emplace("scalar", at::scalar_tensor(2.5));
  ASSERT_TRUE(write_tensors(path, written).has_value());
  const auto file = TensorFile::open(path);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  const auto whole = read_tensors(path);
  ASSERT_EQ(whole->size(), written.size());
  for (const auto& [name, tensor] : *whole) {
    const auto* entry = file->find(name);
    ASSERT_NE(entry, nullptr) << name;
    const auto alone = file->read(*entry);
    ASSERT_TRUE(alone.has_value()) << alone.error().message;
    EXPECT_EQ(alone->scalar_type(), tensor.scalar_type());
    EXPECT_TRUE(at::equal(*alone, tensor)) << name;
  }
  EXPECT_EQ(file->find("another"), nullptr);
}

TEST(TensorFile, RefusesWhatIsNoFileOrNotWhole) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "some.safetensors";
  EXPECT_EQ(TensorFile::open(path).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(write_file_atomic(path, "").has_value());
  EXPECT_EQ(TensorFile::open(path).error().code, ErrorCode::kDamaged);
  ASSERT_TRUE(write_tensors(path, {{"a", at::ones({8})}}).has_value());
  const std::string bytes = *read_file(path);
  ASSERT_TRUE(write_file_atomic(path, bytes.substr(0, bytes.size() - 1)).has_value());
  EXPECT_THAT(TensorFile::open(path).error().message, HasSubstr(path.string()));
}

TEST(TensorFile, NoticesThatTheFileChanged) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "some.safetensors";
  ASSERT_TRUE(write_tensors(path, {{"a", at::ones({8})}}).has_value());
  const auto file = TensorFile::open(path);
  ASSERT_TRUE(file.has_value());
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 4);
  const auto read = file->read(*file->find("a"));
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kDamaged);
  std::filesystem::remove(path);
  EXPECT_EQ(file->read(*file->find("a")).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace strata::trainer
