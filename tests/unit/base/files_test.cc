#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace strata {
namespace {

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = *make_temporary_folder(std::filesystem::temp_directory_path(), "strata-files-");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(Files, AtomicWriteReplacesTheWholeFileAndLeavesNothingBeside) {
  ASSERT_TRUE(write_file_atomic(folder_ / "a", "long old content").has_value());
  ASSERT_TRUE(write_file_atomic(folder_ / "a", "new", 0600).has_value());
  EXPECT_EQ(*read_file(folder_ / "a"), "new");
  struct stat info {};
  ASSERT_EQ(::stat((folder_ / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(Files, ErrorsNameThePathAndTheReason) {
  const auto missing = read_file(folder_ / "nothing");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(missing.error().message.find((folder_ / "nothing").string()), std::string::npos);
  EXPECT_FALSE(write_file_atomic(folder_ / "no" / "folder", "x").has_value());
  EXPECT_FALSE(read_file(folder_).has_value());
}

TEST_F(Files, ReadingStopsAtTheLimit) {
  ASSERT_TRUE(write_file_atomic(folder_ / "big", std::string(100, 'x')).has_value());
  EXPECT_TRUE(read_file(folder_ / "big", 100).has_value());
  EXPECT_EQ(read_file(folder_ / "big", 99).error().code, ErrorCode::kTooLarge);
}

TEST_F(Files, AppendedLinesAccumulateAcrossOpens) {
  for (const char* line : {"one", "two"}) {
    auto appender = LineAppender::open(folder_ / "lines");
    ASSERT_TRUE(appender.has_value());
    ASSERT_TRUE(appender->append(line).has_value());
  }
  EXPECT_EQ(*read_file(folder_ / "lines"), "one\ntwo\n");
}

}  // namespace
}  // namespace strata
