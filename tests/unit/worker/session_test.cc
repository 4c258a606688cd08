#include "worker/session.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "base/files.h"
#include "base/subprocess.h"
#include "tests/support/temporary_folder.h"

namespace strata::worker {
namespace {

constexpr std::chrono::milliseconds kPatience{10'000};

pid_t sleeper(const std::string& attempt) {
  const auto pid = spawn({.argv = {"sleep", "1000"},
                          .extra_environment = {{"STRATA_ATTEMPT", attempt}},
                          .own_session = true});
  EXPECT_TRUE(pid);
  return *pid;
}

TEST(Session, ARecordSurvivesTheDisk) {
  const strata::testing::TemporaryFolder temporary;
  auto record = record_of(::getpid());
  ASSERT_TRUE(record);
  record->attempt = "4f2a9c01#2";
  record->scratch = "/dev/shm/x";
  record->folder = "/attempts/x";
  ASSERT_TRUE(write_record(temporary / "session.json", *record));
  const auto read = read_record(temporary / "session.json");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->session, record->session);
  EXPECT_EQ(read->started, record->started);
  EXPECT_EQ(read->boot, record->boot);
  EXPECT_EQ(read->attempt, record->attempt);
  EXPECT_EQ(read->scratch, record->scratch);
  EXPECT_EQ(read->folder, record->folder);
}

TEST(Session, ARecordedSessionIsEnded) {
  const pid_t pid = sleeper("a#1");
  const auto record = record_of(pid);
  ASSERT_TRUE(record);
  EXPECT_EQ(members_of(*record), std::vector<pid_t>{pid});
  EXPECT_TRUE(end_session(*record, kPatience));
  EXPECT_EQ(wait_exit(pid)->signal, SIGKILL);
}

TEST(Session, AReusedPidIsNotKilled) {
  const pid_t pid = sleeper("a#1");
  auto record = record_of(pid);
  ASSERT_TRUE(record);
  // The session that was recorded began earlier: the number has changed hands.
  record->started -= 1;
  EXPECT_TRUE(members_of(*record).empty());
  EXPECT_TRUE(end_session(*record, kPatience));
  EXPECT_FALSE(*poll_exit(pid)) << "it lives";
  ::kill(pid, SIGKILL);
  EXPECT_TRUE(wait_exit(pid));
}

TEST(Session, NothingOfAnEarlierBootIsKilled) {
  const pid_t pid = sleeper("a#1");
  auto record = record_of(pid);
  record->boot = "another";
  EXPECT_TRUE(members_of(*record).empty());
  ::kill(pid, SIGKILL);
  EXPECT_TRUE(wait_exit(pid));
}

TEST(Session, AProcessThatMadeItselfAnotherSessionIsFoundByTheAttemptsFolder) {
  const strata::testing::TemporaryFolder temporary;
  const auto leader = spawn({.argv = {"sh", "-c", "setsid sleep 1000 & echo $! > pid; sleep 0.2"},
                             .extra_environment = {{kAttemptFolderVariable, temporary.path()}},
                             .folder = temporary.path(),
                             .own_session = true});
  ASSERT_TRUE(leader);
  auto record = record_of(*leader);
  ASSERT_TRUE(record);
  ASSERT_TRUE(wait_exit(*leader));
  EXPECT_TRUE(members_of(*record).empty()) << "its number is nobody's any more";
  record->folder = temporary.path();
  const auto pid = static_cast<pid_t>(std::stol(*read_file(temporary / "pid")));
  EXPECT_EQ(members_of(*record), std::vector<pid_t>{pid});
  EXPECT_TRUE(end_session(*record, kPatience));
  EXPECT_TRUE(members_of(*record).empty());
}

TEST(Session, WithoutItsLeaderOnlyProcessesThatCarryTheAttemptAreKilled) {
  // The leader ends, its children stay in the session: one that carries the attempt, one that does
  // not.
  const auto leader =
      spawn({.argv = {"sh", "-c", "sleep 1000 & env -u STRATA_ATTEMPT sleep 1000 & sleep 0.3"},
             .extra_environment = {{"STRATA_ATTEMPT", "a#1"}},
             .own_session = true});
  ASSERT_TRUE(leader);
  auto record = record_of(*leader);
  ASSERT_TRUE(record);
  record->attempt = "a#1";
  ASSERT_TRUE(wait_exit(*leader));
  ASSERT_EQ(processes_of_session(*leader).size(), 2U);
  EXPECT_EQ(members_of(*record).size(), 1U);
  EXPECT_TRUE(end_session(*record, kPatience));
  EXPECT_EQ(processes_of_session(*leader).size(), 1U);
  signal_session(*leader, SIGKILL);
}

}  // namespace
}  // namespace strata::worker
