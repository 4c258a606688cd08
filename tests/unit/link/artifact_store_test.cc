#include "link/artifact_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/files.h"
#include "base/sha256.h"
#include "tests/support/artifact_folder.h"
#include "tests/support/temporary_folder.h"

namespace strata::link {
namespace {

class Store : public ::testing::Test {
 protected:
  std::filesystem::path folder_with(const std::string& name, const std::string& text) {
    const auto folder = temporary_ / name;
    std::filesystem::create_directories(folder / "deep");
    EXPECT_TRUE(write_file_atomic(folder / "a.bin", text));
    EXPECT_TRUE(write_file_atomic(folder / "deep" / "b.bin", text + text));
    return folder;
  }
  std::size_t left_under_construction() {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(temporary_ / "store/tmp"), {}));
  }
  strata::testing::TemporaryFolder temporary_;
  ArtifactStore store_ = testing::open_artifact_store(temporary_ / "store");
};

TEST_F(Store, AFolderIsKnownByTheHashOfItsManifest) {
  const auto ref = store_.commit(folder_with("made", "xyz"), Take::kCopy);
  ASSERT_TRUE(ref) << ref.error().message;
  const Manifest expected{{"a.bin", {.bytes = 3, .sha256 = sha256_hex("xyz")}},
                          {"deep/b.bin", {.bytes = 6, .sha256 = sha256_hex("xyzxyz")}}};
  EXPECT_EQ(ref->hash, content_hash_of(manifest_text(expected)));
  EXPECT_EQ(ref->bytes, 9);
  EXPECT_EQ(ref->files, 2);
  const std::string hex = ref->hash.hex();
  EXPECT_EQ(store_.content(ref->hash), temporary_ / "store" / hex.substr(0, 2) / hex / "content");
  EXPECT_EQ(*read_file(store_.content(ref->hash) / "deep/b.bin"), "xyzxyz");
  EXPECT_EQ(*store_.manifest(ref->hash), expected);
  EXPECT_TRUE(store_.verify(ref->hash, Verify::kHashes));
  EXPECT_TRUE(std::filesystem::exists(temporary_ / "made")) << "a copy leaves its source";
  EXPECT_EQ(left_under_construction(), 0U);
}

TEST_F(Store, ASingleFileIsItsOwnContent) {
  ASSERT_TRUE(write_file_atomic(temporary_ / "table.csv", "1,2\n"));
  const auto ref = store_.commit(temporary_ / "table.csv", Take::kMove);
  ASSERT_TRUE(ref) << ref.error().message;
  EXPECT_EQ(*read_file(store_.content(ref->hash)), "1,2\n");
  EXPECT_EQ(store_.manifest(ref->hash)->count(""), 1U);
  EXPECT_FALSE(std::filesystem::exists(temporary_ / "table.csv"));
}

TEST_F(Store, MovingAndCopyingGiveTheSameArtifactAndTheSecondTimeChangesNothing) {
  const auto copied = store_.commit(folder_with("one", "xyz"), Take::kCopy);
  const auto before = std::filesystem::last_write_time(store_.content(copied->hash) / "a.bin");
  const auto moved = store_.commit(folder_with("two", "xyz"), Take::kMove);
  ASSERT_TRUE(moved) << moved.error().message;
  EXPECT_EQ(*copied, *moved);
  EXPECT_EQ(std::filesystem::last_write_time(store_.content(copied->hash) / "a.bin"), before);
  EXPECT_EQ(left_under_construction(), 0U);
}

TEST_F(Store, WhatIsStoredIsReadOnly) {
  const auto ref = store_.commit(folder_with("made", "xyz"), Take::kMove);
  ASSERT_TRUE(ref);
  struct stat info {};
  ASSERT_EQ(::stat((store_.content(ref->hash) / "deep/b.bin").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0444U);
  ASSERT_EQ(::stat((store_.content(ref->hash) / "deep").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0555U);
}

TEST_F(Store, LinksAndPipesAreRefusedByNameAndNothingIsStored) {
  const auto folder = folder_with("made", "xyz");
  std::filesystem::create_symlink("/etc/passwd", folder / "deep" / "link");
  for (const Take take : {Take::kCopy, Take::kMove}) {
    const auto ref = store_.commit(folder, take);
    ASSERT_FALSE(ref);
    EXPECT_EQ(ref.error().code, ErrorCode::kInvalid);
    EXPECT_NE(ref.error().message.find("deep/link"), std::string::npos) << ref.error().message;
    EXPECT_NE(ref.error().message.find("symbolic link"), std::string::npos);
  }
  std::filesystem::remove(folder / "deep" / "link");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_FALSE(store_.commit(folder, Take::kMove));
  EXPECT_EQ(left_under_construction(), 0U);
  EXPECT_TRUE(std::filesystem::exists(folder / "a.bin")) << "what is refused is not touched";
}

TEST_F(Store, DamageIsSeenAndTheNextCommitRepairsIt) {
  const auto ref = store_.commit(folder_with("made", "xyz"), Take::kCopy);
  const auto file = store_.content(ref->hash) / "a.bin";
  const auto damage = [&](const std::string& text) {
    ::chmod(file.c_str(), 0644);
    ASSERT_TRUE(write_file_atomic(file, text));
  };
  damage("xYz");
  EXPECT_TRUE(store_.verify(ref->hash, Verify::kSizes)) << "equal sizes need the hashes";
  const auto hashes = store_.verify(ref->hash, Verify::kHashes);
  ASSERT_FALSE(hashes);
  EXPECT_EQ(hashes.error().code, ErrorCode::kDamaged);
  damage("x");
  ASSERT_FALSE(store_.verify(ref->hash, Verify::kSizes));
  EXPECT_EQ(*store_.commit(folder_with("again", "xyz"), Take::kMove), *ref);
  EXPECT_TRUE(store_.verify(ref->hash, Verify::kHashes));
  EXPECT_EQ(left_under_construction(), 0U);
}

TEST_F(Store, WhatIsNotThereIsNotFound) {
  const auto status = store_.verify(content_hash_of("nothing"), Verify::kSizes);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(store_.commit(temporary_ / "nothing", Take::kMove));
}

TEST_F(Store, AFolderWithoutTheCoordinatorsMarkerIsNotTheStore) {
  std::filesystem::create_directories(temporary_ / "mount");
  const auto opened = ArtifactStore::open(temporary_ / "mount", "other");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(opened.error().message.find("coordinators/other"), std::string::npos)
      << opened.error().message;
  EXPECT_TRUE(std::filesystem::is_empty(temporary_ / "mount")) << "nothing is made there";
}

TEST_F(Store, NothingIsCalledMissingWhileTheFolderIsAway) {
  const auto ref = store_.commit(folder_with("made", "xyz"), Take::kCopy);
  std::filesystem::rename(temporary_ / "store", temporary_ / "unmounted");
  std::filesystem::create_directories(temporary_ / "store");
  EXPECT_EQ(store_.verify(ref->hash, Verify::kSizes).error().code, ErrorCode::kUnavailable);
  std::filesystem::remove(temporary_ / "store");
  std::filesystem::rename(temporary_ / "unmounted", temporary_ / "store");
  EXPECT_TRUE(store_.verify(ref->hash, Verify::kSizes));
}

TEST_F(Store, SeveralThreadsMayStoreTheSameThingAtOnce) {
  std::vector<std::filesystem::path> sources;
  for (int i = 0; i < 4; ++i) sources.push_back(folder_with("made" + std::to_string(i), "same"));
  std::vector<Result<ArtifactRef>> refs(4, ArtifactRef{});
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 4; ++i) {
      threads.emplace_back(
          [&, i] { refs[i] = store_.commit(sources[i], i % 2 == 0 ? Take::kCopy : Take::kMove); });
    }
  }
  for (const auto& ref : refs) {
    ASSERT_TRUE(ref) << ref.error().message;
    EXPECT_EQ(*ref, *refs[0]);
  }
  EXPECT_TRUE(store_.verify(refs[0]->hash, Verify::kHashes));
  EXPECT_EQ(left_under_construction(), 0U);
}

TEST_F(Store, AHalfBuiltArtifactIsNeverSeenAndIsSweptAwayWhenOld) {
  std::filesystem::create_directories(temporary_ / "store/tmp/new-abandoned/content");
  store_.remove_abandoned(std::chrono::hours(1));
  EXPECT_EQ(left_under_construction(), 1U) << "somebody may be building it";
  store_.remove_abandoned(std::chrono::hours(-1));
  EXPECT_EQ(left_under_construction(), 0U);
}

TEST_F(Store, AnArtifactCanBeEvicted) {
  const auto ref = store_.commit(folder_with("made", "xyz"), Take::kMove);
  ASSERT_TRUE(store_.remove(ref->hash));
  EXPECT_EQ(store_.verify(ref->hash, Verify::kSizes).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace strata::link
