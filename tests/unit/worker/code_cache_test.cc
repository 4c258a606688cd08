#include "worker/code_cache.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/files.h"
#include "tests/support/artifact_folder.h"
#include "tests/support/temporary_folder.h"

namespace strata::worker {
namespace {

namespace fs = std::filesystem;

class Code : public ::testing::Test {
 protected:
  ContentHash commit(const std::string& text) {
    const auto source = temporary_ / ("source-" + text);
    fs::create_directories(source / "lib");
    EXPECT_TRUE(write_file_atomic(source / "train.py", text));
    EXPECT_TRUE(write_file_atomic(source / "lib/helper.py", "helper"));
    return store_.commit(source, link::Take::kCopy)->hash;
  }
  static AttemptId attempt(std::uint32_t number) {
    return {.task = task_key_of("t"), .number = number};
  }
  strata::testing::TemporaryFolder temporary_;
  link::ArtifactStore store_ = testing::open_artifact_store(temporary_ / "store");
  CodeCache cache_{temporary_ / "code", 2};
};

TEST_F(Code, IsLaidOutOnceReadOnlyAndExecutable) {
  const ContentHash hash = commit("one");
  const auto place = cache_.lay_out(store_, hash, attempt(1));
  ASSERT_TRUE(place) << place.error().message;
  EXPECT_EQ(*read_file(*place / "train.py"), "one");
  EXPECT_EQ(*read_file(*place / "lib/helper.py"), "helper");
  struct stat info {};
  ASSERT_EQ(::stat((*place / "train.py").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0555U);
  const auto inode = info.st_ino;
  EXPECT_EQ(*cache_.lay_out(store_, hash, attempt(2)), *place);
  ASSERT_EQ(::stat((*place / "train.py").c_str(), &info), 0);
  EXPECT_EQ(info.st_ino, inode);
}

TEST_F(Code, WhatWasDamagedIsLaidOutAgain) {
  const ContentHash hash = commit("one");
  const fs::path place = *cache_.lay_out(store_, hash, attempt(1));
  ASSERT_EQ(::chmod(place.c_str(), 0755), 0);
  fs::remove(place / "train.py");
  EXPECT_EQ(*read_file(*cache_.lay_out(store_, hash, attempt(1)) / "train.py"), "one");
}

TEST_F(Code, OtherBytesThanWereStoredAreNotRun) {
  const ContentHash hash = commit("one");
  const fs::path file = store_.content(hash) / "train.py";
  ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
  ASSERT_EQ(::chmod(file.parent_path().c_str(), 0755), 0);
  ASSERT_TRUE(write_file_unsynced(file, "two"));
  const auto place = cache_.lay_out(store_, hash, attempt(1));
  ASSERT_FALSE(place);
  EXPECT_EQ(place.error().code, ErrorCode::kDamaged);
  EXPECT_TRUE(fs::is_empty(temporary_ / "code"));
  EXPECT_EQ(cache_.lay_out(store_, content_hash_of("never"), attempt(1)).error().code,
            ErrorCode::kNotFound);
}

TEST_F(Code, TheLongestUnusedGoesAndWhatIsUsedStays) {
  const fs::path used = *cache_.lay_out(store_, commit("one"), attempt(1));
  const fs::path idle = *cache_.lay_out(store_, commit("two"), attempt(2));
  cache_.release(attempt(2));
  const fs::path third = *cache_.lay_out(store_, commit("three"), attempt(3));
  EXPECT_TRUE(fs::exists(used));
  EXPECT_FALSE(fs::exists(idle));
  EXPECT_TRUE(fs::exists(third));
}

TEST(Command, EveryTokenBecomesTheFolder) {
  const std::vector<std::string> argv{"{code}/run", "--path={code}/a:{code}/b", "x"};
  EXPECT_EQ(command_in(argv, "/w/c"),
            (std::vector<std::string>{"/w/c/run", "--path=/w/c/a:/w/c/b", "x"}));
  EXPECT_EQ(command_in(argv, {}), argv) << "without frozen code a word is what it is";
}

}  // namespace
}  // namespace strata::worker
