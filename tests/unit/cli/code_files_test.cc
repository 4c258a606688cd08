// Which files are the code of a stage, what is said about them, and the versions of data.
#include "cli/code_files.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include <fstream>

#include "base/sha256.h"
#include "base/subprocess.h"
#include "cli/data_version.h"
#include "tests/support/artifact_folder.h"
#include "tests/support/temporary_folder.h"

namespace strata::cli {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

class CodeOf : public ::testing::Test {
 protected:
  void SetUp() override {
    write(root_ / "sweeps/train.py", "train");
    write(root_ / "sweeps/notes.txt", "notes");
    write(root_ / "src/lib/a.py", "a");
    write(root_ / "src/lib/b.py", "b");
    write(root_ / "src/lib/__pycache__/a.pyc", "compiled");
    write(root_ / "src/lib/.hidden", "hidden");
  }
  [[nodiscard]] StageDefinition stage(Names command, Names code = {}) const {
    for (std::string& one : code) one = (root_ / "sweeps" / one).lexically_normal().string();
    return {.name = "train",
            .folder = (root_ / "sweeps").string(),
            .command = std::move(command),
            .code = std::move(code)};
  }
  [[nodiscard]] static Names files_of(const StageDefinition& stage) {
    const auto code = find_code(stage);
    return code ? code->files : Names{code.error().message};
  }
  void git(Names words) const {
    // Or it would write into the repository of a hook that runs these tests.
    words.insert(words.begin(),
                 {"env", "-u", "GIT_DIR", "-u", "GIT_WORK_TREE", "-u", "GIT_INDEX_FILE", "-u",
                  "GIT_COMMON_DIR", "git", "-C", root_.string(), "-c", "user.name=n", "-c",
                  "user.email=e@example.org"});
    const auto done = run_captured({.argv = words});
    ASSERT_TRUE(done && done->exit.ok());
  }

  strata::testing::TemporaryFolder temporary_;
  fs::path root_ = temporary_ / "repo";
};

TEST_F(CodeOf, IsWhatTheCommandNames) {
  EXPECT_EQ(files_of(stage({"python3", "{folder}/train.py"})), Names{"train.py"});
  EXPECT_EQ(files_of(stage({"sh", "-c", "exec python3 '{folder}/train.py' --fast"})),
            Names{"train.py"});
  EXPECT_EQ(files_of(stage({"make", "-C", "{folder}"})), (Names{"notes.txt", "train.py"}))
      << "what it takes from there cannot be told: all of it";
  EXPECT_EQ(files_of(stage({"python3", "{folder}/gone.py"})),
            Names{"the code of stage train: its command names " +
                  (root_ / "sweeps/gone.py").string() + ", which is not there"});
  StageDefinition placed = stage({"python3", "{folder}/gone.py"});
  placed.command_at = "s.yaml:7:14";
  EXPECT_EQ(files_of(placed), Names{"s.yaml:7:14: the code of stage train: its command names " +
                                    (root_ / "sweeps/gone.py").string() + ", which is not there"});
}

TEST_F(CodeOf, IsWhatTheListNamesAndTheCommandsOwnFiles) {
  EXPECT_EQ(files_of(stage({"{folder}/train.py"}, {"../src/lib", "*.txt"})),
            (Names{"src/lib/a.py", "src/lib/b.py", "sweeps/notes.txt", "sweeps/train.py"}))
      << "neither what is hidden nor what Python makes";
  EXPECT_EQ(files_of(stage({"{folder}/train.py"}, {"*.cc"}))[0],
            "the code of stage train: nothing matches " + (root_ / "sweeps/*.cc").string());
}

TEST_F(CodeOf, TheCommandFindsItInsideTheFrozenFolder) {
  const StageDefinition one =
      stage({"{folder}/train.py", "--lib={folder}/../src/lib:{folder}", "x"}, {"../src/lib"});
  EXPECT_EQ(command_in_code(one, find_code(one)->root),
            (Names{"{code}/sweeps/train.py", "--lib={code}/src/lib:{code}/sweeps", "x"}));
  const StageDefinition alone = stage({"{folder}/train.py"});
  EXPECT_EQ(command_in_code(alone, find_code(alone)->root), Names{"{code}/train.py"});
}

TEST_F(CodeOf, InARepositoryItIsWhatGitDoesNotIgnoreAndTheCommitIsNamed) {
  git({"init", "-q"});
  write(root_ / ".gitignore", "*.txt\n__pycache__\n");
  git({"add", "-A"});
  git({"commit", "-qm", "first"});
  const StageDefinition whole = stage({"make", "-C", "{folder}"});
  EXPECT_EQ(files_of(whole), Names{"train.py"});
  EXPECT_EQ(find_code(whole)->git.size(), 40U);
  ASSERT_EQ(::setenv("GIT_DIR", (temporary_ / "elsewhere").c_str(), 1), 0);
  EXPECT_EQ(find_code(whole)->git.size(), 40U) << "run by a hook of another repository";
  ASSERT_EQ(::unsetenv("GIT_DIR"), 0);
  write(root_ / "sweeps/train.py", "changed");
  write(root_ / "sweeps/new.py", "new");
  write(root_ / "src/lib/a.py", "changed, but of no concern here");
  EXPECT_EQ(files_of(whole), (Names{"new.py", "train.py"}));
  EXPECT_EQ(find_code(whole)->git.substr(40), " + 2 changed files");
}

TEST_F(CodeOf, ALinkIsFollowedInsideOnly) {
  write(temporary_ / "outside.py", "secret");
  fs::create_symlink("notes.txt", root_ / "sweeps/inside.py");
  EXPECT_EQ(files_of(stage({"{folder}/inside.py"})), Names{"inside.py"});
  fs::create_symlink(temporary_ / "outside.py", root_ / "sweeps/leads_out.py");
  EXPECT_NE(files_of(stage({"{folder}/leads_out.py"}))[0].find("is a link out of"),
            std::string::npos);
}

TEST_F(CodeOf, TooMuchIsRefusedWithWhatToDo) {
  for (std::size_t i = 0; i <= kCodeFilesMax; ++i)
    write(root_ / "sweeps/many" / std::to_string(i), "");
  const std::string error = files_of(stage({"ls", "{folder}/many"}))[0];
  EXPECT_NE(error.find("more than 2000 files"), std::string::npos) << error;
  EXPECT_NE(error.find("name with `code`"), std::string::npos) << error;
}

TEST_F(CodeOf, FrozenItIsTheArtifactThatItsManifestSaid) {
  const auto store = strata::testing::open_artifact_store(temporary_ / "store");
  const auto code = find_code(stage({"{folder}/train.py"}, {"../src/lib"}));
  ASSERT_TRUE(code);
  const auto ref = freeze(*code, store);
  ASSERT_TRUE(ref) << ref.error().message;
  EXPECT_EQ(*ref, ref_of(*manifest_of(*code)));
  EXPECT_EQ(*freeze(*code, store), *ref) << "twice is once";
  EXPECT_TRUE(fs::is_empty(temporary_ / "store/tmp"));
}

// ---- data ----

class Data : public ::testing::Test {
 protected:
  strata::testing::TemporaryFolder temporary_;
  DataVersions versions_{temporary_ / "cache"};
};

TEST_F(Data, OfAFileItIsItsSha256AndOfAFolderThatOfTheListOfItsFiles) {
  write(temporary_ / "list.jsonl", "one");
  EXPECT_EQ(versions_.of(temporary_ / "list.jsonl").value(), "sha256:" + sha256_hex("one"));
  write(temporary_ / "corpus/deep/a.wav", "sound");
  const Manifest manifest{{"deep/a.wav", {.bytes = 5, .sha256 = sha256_hex("sound")}}};
  EXPECT_EQ(versions_.of(temporary_ / "corpus").value(),
            "sha256:" + sha256_hex(manifest_text(manifest)));
  EXPECT_EQ(versions_.of(temporary_ / "gone").error().code, ErrorCode::kNotFound);
  fs::create_symlink("a.wav", temporary_ / "corpus/deep/b.wav");
  EXPECT_EQ(versions_.of(temporary_ / "corpus").error().code, ErrorCode::kInvalid);
}

TEST_F(Data, AHashIsRememberedUntilSizeTimeOrInodeChange) {
  const fs::path file = temporary_ / "list.jsonl";
  write(file, "one");
  const auto old = fs::file_time_type::clock::now() - std::chrono::hours(1);
  fs::last_write_time(file, old);
  const std::string first = versions_.of(file).value();
  write(file, "two");
  fs::last_write_time(file, old);
  EXPECT_EQ(versions_.of(file).value(), first) << "nothing that is looked at tells them apart";
  fs::last_write_time(file, old + std::chrono::seconds(1));
  EXPECT_EQ(versions_.of(file).value(), "sha256:" + sha256_hex("two"));
}

TEST_F(Data, WhatWasChangedJustNowIsReadAgain) {
  const fs::path file = temporary_ / "list.jsonl";
  write(file, "one");
  const auto now = fs::last_write_time(file);
  EXPECT_EQ(versions_.of(file).value(), "sha256:" + sha256_hex("one"));
  write(file, "two");
  fs::last_write_time(file, now);
  EXPECT_EQ(versions_.of(file).value(), "sha256:" + sha256_hex("two"));
}

}  // namespace
}  // namespace strata::cli
