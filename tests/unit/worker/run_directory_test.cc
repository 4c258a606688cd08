#include "worker/run_directory.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/files.h"
#include "base/json.h"
#include "tests/support/temporary_folder.h"

namespace strata::worker {
namespace {

StartAttempt an_order() {
  StartAttempt order;
  order.spec.stage = "train";
  order.spec.parameters = Object{{"train", Object{{"updates", 400}}}};
  order.spec.seed = 7;
  order.spec.outputs = {"weights"};
  order.spec.resources = {.slots = 2, .ranks = 2, .threads = 3};
  order.spec.key = compute_key(order.spec);
  order.attempt = {.task = order.spec.key, .number = 3};
  return order;
}

TEST(RunDirectory, TheSpecIsWhatTheContractSays) {
  const StartAttempt order = an_order();
  const RunDirectory directory("/w/attempts", order.attempt);
  const std::string folder = "/w/attempts/" + order.attempt.task.hex().substr(0, 16) + "-3";
  const auto spec = parse_json(stage_spec_text(
      order, directory,
      {.inputs = {{"corpus", "/store/c"}}, .resume = "/store/r", .models = "/models"}));
  ASSERT_TRUE(spec);
  const Value expected(Object{{"contract", 1},
                              {"task", order.attempt.task.hex()},
                              {"stage", "train"},
                              {"attempt", 3},
                              {"parameters", Object{{"train", Object{{"updates", 400}}}}},
                              {"seed", 7},
                              {"inputs", Object{{"corpus", "/store/c"}}},
                              {"outputs", Object{{"weights", folder + "/out/weights"}}},
                              {"models", "/models"},
                              {"resume", "/store/r"},
                              {"slots", 2},
                              {"ranks", 2},
                              {"threads", 3}});
  EXPECT_EQ(to_canonical_json(*spec), to_canonical_json(expected));
}

TEST(RunDirectory, WithoutSeedAndCheckpointTheSpecHasNoSeedAndANullResume) {
  StartAttempt order = an_order();
  order.spec.seed.reset();
  order.spec.resources.ranks = 0;
  const auto spec = parse_json(stage_spec_text(order, RunDirectory("/w", order.attempt), {}));
  EXPECT_EQ(spec->find("seed"), nullptr);
  ASSERT_NE(spec->find("resume"), nullptr);
  EXPECT_TRUE(spec->find("resume")->is_null());
  EXPECT_EQ(*spec->find("ranks"), Value(1));
}

TEST(RunDirectory, AFolderOfAnEarlierLifeIsNotUsedAgain) {
  const strata::testing::TemporaryFolder temporary;
  const RunDirectory directory(temporary.path(), an_order().attempt);
  ASSERT_TRUE(directory.create(true));
  ASSERT_TRUE(write_file_atomic(directory.progress_file(), "{\"step\": 1}\n"));
  ASSERT_TRUE(directory.create(true));
  EXPECT_FALSE(std::filesystem::exists(directory.progress_file()));
  EXPECT_TRUE(std::filesystem::is_directory(directory.folder() / "out"));
}

TEST(RunDirectory, AFolderWithSpecAndLogAloneBecomesThatOfAnotherAttempt) {
  const strata::testing::TemporaryFolder temporary;
  StartAttempt order = an_order();
  const RunDirectory old(temporary.path(), order.attempt);
  ASSERT_TRUE(old.create(false));
  ASSERT_TRUE(write_file_in_place(old.spec_file(), "old"));
  ASSERT_TRUE(write_file_in_place(old.log_file(), "CUDA error: what another attempt said"));
  order.attempt.number = 4;
  const RunDirectory next(temporary.path(), order.attempt);
  ASSERT_TRUE(next.take_over(old.folder()));
  EXPECT_FALSE(std::filesystem::exists(old.folder()));
  EXPECT_EQ(*read_file(next.log_file()), "");
}

TEST(RunDirectory, AFolderWithAnythingElseInItIsNotTakenOver) {
  const auto refused = [](const std::function<void(const RunDirectory&)>& change) {
    const strata::testing::TemporaryFolder temporary;
    StartAttempt order = an_order();
    const RunDirectory old(temporary.path(), order.attempt);
    EXPECT_TRUE(old.create(false));
    EXPECT_TRUE(write_file_in_place(old.spec_file(), "old"));
    EXPECT_TRUE(write_file_in_place(old.log_file(), "said"));
    change(old);
    order.attempt.number = 4;
    const RunDirectory next(temporary.path(), order.attempt);
    const std::string said = read_file(old.log_file()).value_or("");
    const bool taken = next.take_over(old.folder());
    EXPECT_TRUE(taken || read_file(old.log_file()).value_or("") == said) << "as it was";
    return !taken;
  };
  EXPECT_FALSE(refused([](const RunDirectory&) {}));
  EXPECT_TRUE(refused([](const RunDirectory& old) {
    EXPECT_TRUE(write_file_in_place(old.folder() / "mine", "x"));
  }));
  EXPECT_TRUE(refused([](const RunDirectory& old) { EXPECT_TRUE(old.create(true)); }));
  EXPECT_TRUE(refused([](const RunDirectory& old) {
    std::filesystem::create_hard_link(old.log_file(), old.folder().parent_path() / "kept");
  }));
  EXPECT_TRUE(refused([](const RunDirectory& old) {
    std::filesystem::remove(old.log_file());
    std::filesystem::create_symlink("/etc/passwd", old.log_file());
  }));
}

TEST(RunDirectory, ACheckpointMustLieInTheAttemptFolder) {
  const RunDirectory directory("/w", an_order().attempt);
  EXPECT_EQ(*directory.below("checkpoints/7"), directory.folder() / "checkpoints/7");
  for (const char* bad : {"", "/etc", "../other", "a/../../b"})
    EXPECT_FALSE(directory.below(bad)) << bad;
}

TEST(RunDirectory, ALineForPeopleIsClippedAndIsText) {
  EXPECT_EQ(clipped("ValueError: bad \xff shape"), "ValueError: bad \xef\xbf\xbd shape");
  EXPECT_EQ(clipped(std::string(20'000, 'x')).size(), kLogLineMax);
}

TEST(EndedFolders, TheOldestGoFirstAndTheNewestAreKept) {
  const strata::testing::TemporaryFolder temporary;
  for (const char* name : {"a", "b"}) ASSERT_TRUE(make_folder(temporary / name));
  const auto now = std::filesystem::file_time_type::clock::now();
  std::filesystem::last_write_time(temporary / "b", now - std::chrono::hours(2));
  std::filesystem::last_write_time(temporary / "a", now - std::chrono::hours(1));
  EndedFolders folders(temporary.path(), 2);
  EXPECT_TRUE(folders.take_surplus().empty());
  folders.add(temporary / "c");
  EXPECT_EQ(folders.take_surplus(), std::vector<std::filesystem::path>{temporary / "b"});
  folders.add(temporary / "a");  // attempted again: it is the newest now
  folders.add(temporary / "d");
  EXPECT_EQ(folders.take_surplus(), std::vector<std::filesystem::path>{temporary / "c"});
}

TEST(EndedFolders, TheAgeOfAFolderIsThatOfItsSpec) {
  const strata::testing::TemporaryFolder temporary;
  for (const char* name : {"a", "b"}) ASSERT_TRUE(make_folder(temporary / name));
  ASSERT_TRUE(write_file_in_place(temporary / "a" / "spec.json", "{}"));
  const auto now = std::filesystem::file_time_type::clock::now();
  std::filesystem::last_write_time(temporary / "a", now - std::chrono::hours(2));  // taken over
  std::filesystem::last_write_time(temporary / "b", now - std::chrono::hours(1));
  EndedFolders folders(temporary.path(), 1);
  EXPECT_EQ(folders.take_surplus(), std::vector<std::filesystem::path>{temporary / "b"});
}

TEST(EndedFolders, TheOldestIsGivenAwayOnlyForOneTooMany) {
  const strata::testing::TemporaryFolder temporary;
  EndedFolders folders(temporary.path(), 2);
  EXPECT_EQ(folders.take_oldest(3), std::nullopt);
  folders.add(temporary / "a");
  EXPECT_EQ(folders.take_oldest(1), std::nullopt);
  folders.add(temporary / "b");
  EXPECT_EQ(folders.take_oldest(1), temporary / "a");
  EXPECT_EQ(folders.take_oldest(1), std::nullopt);
  EXPECT_EQ(folders.take_oldest(2), temporary / "b");
}

}  // namespace
}  // namespace strata::worker
