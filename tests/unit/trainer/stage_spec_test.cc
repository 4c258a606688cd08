#include "trainer/stage_spec.h"

#include <gtest/gtest.h>

#include "base/files.h"

namespace strata::trainer {
namespace {

class StageSpecTest : public ::testing::Test {
 protected:
  void SetUp() override { folder_ = *make_temporary_folder("/tmp", "strata-spec-"); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  Result<StageSpec> read(std::string_view text) {
    EXPECT_TRUE(write_file_atomic(folder_ / "spec.json", text));
    return read_stage_spec(folder_ / "spec.json");
  }
  std::filesystem::path folder_;
};

TEST_F(StageSpecTest, ASpecOfTheContractIsReadWhole) {
  const auto spec = read(
      R"({"contract": 1, "task": "ab", "stage": "train", "attempt": 3, "parameters": {"model": {"dim": 128}},
    "seed": 7, "inputs": {"corpus": "/in", "features": null}, "outputs": {"weights": "out/w"}, "models": "/m",
    "resume": null, "slots": 1, "ranks": 2, "threads": 3})");
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_EQ(*spec->seed, 7U);
  EXPECT_EQ(*spec->input("corpus"), "/in");
  EXPECT_FALSE(spec->input("features").has_value());
  EXPECT_EQ(*spec->output("weights"), "out/w");
  EXPECT_FALSE(spec->resume.has_value());
  EXPECT_EQ(spec->ranks, 2);
  EXPECT_EQ(spec->threads, 3);
}

TEST_F(StageSpecTest, AnotherVersionOfTheContractIsRefusedForGood) {
  const auto spec = read(R"({"contract": 2})");
  ASSERT_FALSE(spec.has_value());
  EXPECT_EQ(exit_code_of(spec.error()), exit_code::kInvalid);
  EXPECT_NE(spec.error().message.find("contract"), std::string::npos);
}

TEST_F(StageSpecTest, AMissingOutputIsNamed) {
  const auto spec = read(R"({"contract": 1, "outputs": {}})");
  ASSERT_TRUE(spec.has_value());
  const auto output = spec->output("weights");
  ASSERT_FALSE(output.has_value());
  EXPECT_NE(output.error().message.find("\"weights\""), std::string::npos);
}

}  // namespace
}  // namespace strata::trainer
