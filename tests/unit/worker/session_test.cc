#include "worker/session.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "base/subprocess.h"
#include "tests/support/temporary_folder.h"

namespace strata::worker {
namespace {

constexpr std::chrono::milliseconds kPatience{10'000};
constexpr int kPolls = 2'000;  // of 10 ms

class Processes : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"attempts", "others"})
      ASSERT_TRUE(make_folder(temporary_ / name / "a-1"));
  }
  pid_t start(const std::string& script, const std::filesystem::path& folder) {
    const auto pid = spawn({.argv = {"sh", "-c", script},
                            .extra_environment = {{kAttemptFolderVariable, folder.string()}},
                            .folder = temporary_.path(),
                            .own_session = true});
    EXPECT_TRUE(pid);
    for (int i = 0; i < kPolls; ++i) {  // it executes what it begins with
      if (!processes_in(folder).empty()) return *pid;
      ::usleep(10'000);
    }
    ADD_FAILURE() << script;
    return *pid;
  }
  static bool has(const std::vector<pid_t>& processes, pid_t pid) {
    return std::find(processes.begin(), processes.end(), pid) != processes.end();
  }
  pid_t pid_in(const std::string& name) {
    for (int i = 0; i < kPolls; ++i) {
      const std::string text = read_file(temporary_ / name).value_or("");
      if (text.ends_with('\n')) return static_cast<pid_t>(std::stol(text));
      ::usleep(10'000);
    }
    ADD_FAILURE() << name;
    return 0;
  }

  strata::testing::TemporaryFolder temporary_;
  std::filesystem::path attempts_ = temporary_ / "attempts";
};

TEST_F(Processes, ThoseOfAnAttemptAndOfAllAttemptsAreToldFromOthers) {
  const pid_t ours = start("while :; do sleep 0.2; done", attempts_ / "a-1");
  const pid_t guard = start("while :; do sleep 0.2; done", attempts_);
  const pid_t other = start("while :; do sleep 0.2; done", temporary_ / "others" / "a-1");
  EXPECT_TRUE(has(processes_in(attempts_ / "a-1"), ours));
  EXPECT_FALSE(has(processes_in(attempts_ / "a-1"), guard));
  EXPECT_TRUE(has(processes_in(attempts_), ours));
  EXPECT_TRUE(has(processes_in(attempts_), guard));
  EXPECT_FALSE(has(processes_in(attempts_), other));
  const auto ended = end_processes_in(attempts_, kPatience);
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_GE(*ended, 2U);
  EXPECT_EQ(wait_exit(ours)->signal, SIGKILL);
  EXPECT_EQ(wait_exit(guard)->signal, SIGKILL);
  EXPECT_FALSE(*poll_exit(other)) << "it lives";
  ::kill(other, SIGKILL);
  EXPECT_TRUE(wait_exit(other));
}

TEST_F(Processes, OneThatMadeItselfAnotherSessionIsFound) {
  const pid_t leader = start("setsid sleep 1000 & echo $! > pid", attempts_ / "a-1");
  ASSERT_TRUE(wait_exit(leader));
  EXPECT_TRUE(has(processes_in(attempts_), pid_in("pid")));
  EXPECT_TRUE(end_processes_in(attempts_, kPatience));
  EXPECT_TRUE(processes_in(attempts_).empty());
}

TEST_F(Processes, OneThatHasNoEnvironmentIsFoundBelowOneThatHas) {
  const pid_t leader =
      start("env -i sh -c 'echo $$ > pid; sleep 1000; :' & wait; :", attempts_ / "a-1");
  const pid_t bare = pid_in("pid");
  EXPECT_TRUE(has(processes_in(attempts_), bare));
  EXPECT_TRUE(has(processes_from(leader), bare));
  EXPECT_TRUE(has(processes_from(leader), leader));
  EXPECT_TRUE(end_processes_in(attempts_, kPatience));
  EXPECT_TRUE(processes_from(bare).empty());
  EXPECT_TRUE(wait_exit(leader));
}

TEST_F(Processes, AFolderMayHaveAnotherNameThanBefore) {
  const pid_t pid = start("while :; do sleep 0.2; done", attempts_ / "a-1");
  std::filesystem::create_directory_symlink(attempts_, temporary_ / "link");
  EXPECT_TRUE(has(processes_in(temporary_ / "link"), pid));
  EXPECT_TRUE(end_processes_in(temporary_ / "link", kPatience));
  EXPECT_TRUE(wait_exit(pid));
}

TEST_F(Processes, AnAttemptThatHasRemovedItsFolderIsStillFoundByItsName) {
  const pid_t pid = start("while :; do sleep 0.2; done", attempts_ / "a-1");
  std::filesystem::remove(attempts_ / "a-1");
  EXPECT_TRUE(has(processes_in(attempts_ / "a-1"), pid));
  EXPECT_TRUE(has(processes_in(attempts_), pid));
  EXPECT_TRUE(end_processes_in(attempts_, kPatience));
  EXPECT_TRUE(wait_exit(pid));
}

}  // namespace
}  // namespace strata::worker
