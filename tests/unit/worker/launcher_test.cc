#include "worker/launcher.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/files.h"
#include "tests/support/temporary_folder.h"

namespace strata::worker {
namespace {

constexpr int kPolls = 2'000;  // of 10 ms: for a machine that is very busy

bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < kPolls; ++i) {
    if (holds()) return true;
    ::usleep(10'000);
  }
  return false;
}

class Launching : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(become_subreaper()); }
  void TearDown() override {
    EXPECT_TRUE(children_of(::getpid()).empty()) << "something was left behind";
  }

  LaunchOrder order(const std::string& script) {
    return {.attempt = "a#1",
            .argv = {"sh", "-c", script},
            .environment = {{"STRATA_ATTEMPT", "a#1"}},
            .folder = temporary_.path(),
            .log_file = temporary_ / "log",
            .exit_file = temporary_ / "exit",
            .session_file = temporary_ / "session.json"};
  }
  ProgramExit end_of(pid_t session) {
    ProgramExit how;
    EXPECT_TRUE(eventually([&] {
      for (const EndedSession& ended : launcher_.collect(clock_.now())) {
        EXPECT_EQ(ended.session, session);
        how = ended.how;
        return true;
      }
      return false;
    }));
    return how;
  }
  std::string text_of(const std::string& name) { return read_file(temporary_ / name).value_or(""); }
  pid_t pid_in(const std::string& name) {
    EXPECT_TRUE(eventually([&] { return text_of(name).ends_with('\n'); })) << name;
    return static_cast<pid_t>(std::stol(text_of(name)));
  }
  static bool lives(pid_t pid) { return ::kill(pid, 0) == 0; }

  strata::testing::TemporaryFolder temporary_;
  SystemClock clock_;
  Launcher launcher_{std::filesystem::path(STRATA_BINARY_DIR) / "bin/strata-guard"};
};

TEST_F(Launching, TheExitCodeComesBackAndTheOutputIsInTheLog) {
  const auto session = launcher_.start(order("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(session);
  EXPECT_TRUE(std::filesystem::exists(temporary_ / "session.json"));
  const ProgramExit how = end_of(*session);
  EXPECT_FALSE(how.guard_lost);
  EXPECT_EQ(how.exit.code, 3);
  EXPECT_EQ(text_of("log"), "out\nerr\n");
  EXPECT_FALSE(std::filesystem::exists(temporary_ / "session.json"));
}

TEST_F(Launching, TheSignalThatEndedAProgramComesBack) {
  const auto session = launcher_.start(order("kill -SEGV $$"));
  ASSERT_TRUE(session);
  EXPECT_EQ(end_of(*session).exit.signal, SIGSEGV);
}

TEST_F(Launching, AProgramThatCannotBeStartedHasCode127) {
  auto missing = order("");
  missing.argv = {"/nonexistent/program"};
  const auto session = launcher_.start(missing);
  ASSERT_TRUE(session);
  EXPECT_EQ(end_of(*session).exit.code, 127);
  EXPECT_NE(text_of("log").find("/nonexistent/program"), std::string::npos);
}

// Three ways to hide: the background, a process group of one's own (set -m), a session of one's
// own.
constexpr const char* kHiders =
    "sleep 1000 & echo $! > one; set -m; sleep 1000 & echo $! > two; setsid -f sh -c 'echo $$ > "
    "three; exec sleep 1000'; ";

TEST_F(Launching, WhatAProgramLeavesBehindIsGoneBeforeItsEndIsTold) {
  const auto session = launcher_.start(
      order(std::string(kHiders) + "while ! [ -s three ]; do sleep 0.01; done; exit 0"));
  ASSERT_TRUE(session);
  EXPECT_EQ(end_of(*session).exit.code, 0);
  for (const char* name : {"one", "two", "three"}) EXPECT_FALSE(lives(pid_in(name))) << name;
}

TEST_F(Launching, AKillReachesProcessesThatHideInOtherGroupsAndSessions) {
  const auto session =
      launcher_.start(order(std::string(kHiders) + "trap '' TERM; echo $$ > main; sleep 1000"));
  ASSERT_TRUE(session);
  const std::vector<pid_t> pids{pid_in("one"), pid_in("two"), pid_in("three"), pid_in("main")};
  launcher_.kill(*session, clock_.now());
  EXPECT_EQ(end_of(*session).exit.signal, SIGKILL);
  for (const pid_t pid : pids) EXPECT_FALSE(lives(pid));
}

TEST_F(Launching, APoliteRequestLetsTheProgramFinishItsCheckpoint) {
  const auto session = launcher_.start(order(
      "trap 'echo saved > saved; exit 4' TERM; echo $$ > main; while :; do sleep 0.05; done"));
  ASSERT_TRUE(session);
  pid_in("main");
  launcher_.ask_to_stop(*session);
  EXPECT_EQ(end_of(*session).exit.code, 4);
  EXPECT_EQ(text_of("saved"), "saved\n");
}

TEST_F(Launching, AfterAPoliteRequestTheGrandchildMayOutliveItsShell) {
  // The outer shell dies of SIGTERM at once; its child is the one that saves.
  const auto session =
      launcher_.start(order("sh -c 'trap \"sleep 0.3; echo saved > saved; exit 4\" TERM; echo $$ > "
                            "main; while :; do sleep 0.05; done'; :"));
  ASSERT_TRUE(session);
  pid_in("main");
  launcher_.ask_to_stop(*session);
  EXPECT_EQ(end_of(*session).exit.signal, SIGTERM);
  EXPECT_EQ(text_of("saved"), "saved\n");
}

TEST_F(Launching, WithRanksThePoliteRequestSparesMpirunItself) {
  auto ranks = order(
      "trap 'echo struck > struck' TERM; sh -c 'trap \"exit 4\" TERM; echo $$ > rank; while :; do "
      "sleep 0.05; done'");
  ranks.ranks = true;
  const auto session = launcher_.start(ranks);
  ASSERT_TRUE(session);
  pid_in("rank");
  launcher_.ask_to_stop(*session);
  EXPECT_EQ(end_of(*session).exit.code, 4);
  EXPECT_EQ(text_of("struck"), "");
}

TEST_F(Launching, WhenTheGuardIsKilledEverythingOfItsSessionGoesToo) {
  const auto session = launcher_.start(order(std::string(kHiders) + "echo $$ > main; sleep 1000"));
  ASSERT_TRUE(session);
  const std::vector<pid_t> pids{pid_in("one"), pid_in("two"), pid_in("three"), pid_in("main")};
  ::kill(*session, SIGKILL);
  EXPECT_TRUE(end_of(*session).guard_lost);
  for (const pid_t pid : pids) EXPECT_FALSE(lives(pid));
}

TEST_F(Launching, AGuardThatDoesNotObeyIsKilledAsWell) {
  const auto session = launcher_.start(order("echo $$ > main; sleep 1000"));
  ASSERT_TRUE(session);
  const pid_t pid = pid_in("main");
  launcher_.kill(*session, clock_.now());
  ::kill(*session, SIGSTOP);  // may come too late, then the guard has obeyed: the end is the same
  end_of(*session);
  EXPECT_FALSE(lives(pid));
}

TEST_F(Launching, AnotherSessionIsLeftAloneWhenOneIsKilled) {
  const auto first = launcher_.start(order("echo $$ > first; sleep 1000"));
  auto second_order = order("echo $$ > ../second; sleep 1000");
  second_order.folder = temporary_ / "other";
  ASSERT_TRUE(make_folder(second_order.folder));
  second_order.exit_file = temporary_ / "exit2";
  second_order.session_file = temporary_ / "session2.json";
  const auto second = launcher_.start(second_order);
  ASSERT_TRUE(first && second);
  pid_in("first");
  const pid_t other = pid_in("second");
  ::kill(*first, SIGKILL);  // the harder case: strays are looked for
  end_of(*first);
  EXPECT_TRUE(lives(other));
  launcher_.kill(*second, clock_.now());
  end_of(*second);
}

// Plays a worker that starts an attempt and is killed with -9.
TEST_F(Launching, NothingSurvivesAWorkerThatIsKilled) {
  const pid_t worker = ::fork();
  if (worker == 0) {
    if (!become_subreaper() ||
        !launcher_.start(order(std::string(kHiders) + "trap '' TERM; echo $$ > main; sleep 1000")))
      ::_exit(1);
    for (;;) ::pause();
  }
  const std::vector<pid_t> pids{pid_in("one"), pid_in("two"), pid_in("three"), pid_in("main")};
  const pid_t guard = read_record(temporary_ / "session.json")->session;
  ::kill(worker, SIGKILL);
  EXPECT_TRUE(eventually([] {  // the guard comes to us when its worker is gone
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    return children_of(::getpid()).empty();
  }));
  for (const pid_t pid : pids) EXPECT_FALSE(lives(pid));
  EXPECT_FALSE(lives(guard));
  EXPECT_EQ(*end_recorded_sessions(temporary_.path(), std::chrono::milliseconds(0)), 0);
}

TEST_F(Launching, ASessionThatAnEarlierLifeRecordedIsEnded) {
  const auto folder = temporary_ / "attempts";
  ASSERT_TRUE(make_folder(folder / "4f2a9c01-1"));
  auto recorded = order("echo $$ > main; sleep 1000");
  recorded.session_file = folder / "4f2a9c01-1" / "session.json";
  recorded.scratch = temporary_ / "scratch";
  Launcher earlier{std::filesystem::path(STRATA_BINARY_DIR) / "bin/strata-guard"};
  ASSERT_TRUE(earlier.start(recorded));
  const pid_t pid = pid_in("main");
  EXPECT_EQ(*end_recorded_sessions(folder, std::chrono::milliseconds(10'000)), 1);
  EXPECT_TRUE(eventually([] {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    return children_of(::getpid()).empty();
  }));
  EXPECT_FALSE(lives(pid));
  EXPECT_FALSE(std::filesystem::exists(recorded.session_file));
  EXPECT_FALSE(std::filesystem::exists(recorded.scratch));
}

TEST(Programs, OnesBesideTheWorkerComeFirst) {
  const strata::testing::TemporaryFolder temporary;
  EXPECT_EQ(*find_stage_program(temporary.path(), "sh"), *find_program("sh"));
  ASSERT_TRUE(write_file_atomic(temporary / "sh", "#!/bin/true\n", 0755));
  EXPECT_EQ(*find_stage_program(temporary.path(), "sh"), temporary / "sh");
  const auto missing = find_stage_program(temporary.path(), "strata-nothing");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find(temporary.path().string()), std::string::npos);
}

TEST(Programs, MpirunGetsTheRanksAndSettingsThatTheWorkerDoesNotHaveAlready) {
  EXPECT_EQ(mpi_argv({"/bin/trainer", "spec.json"}, {.ranks = 2}),
            (std::vector<std::string>{"mpirun", "-n", "2", "--oversubscribe", "--bind-to", "none",
                                      "/bin/trainer", "spec.json"}));
  ASSERT_EQ(::setenv("OMPI_MCA_btl", "self,ofi", 1), 0);
  const auto environment = mpi_environment({.scratch = "/dev/shm/x"});
  ::unsetenv("OMPI_MCA_btl");
  EXPECT_FALSE(environment.contains("OMPI_MCA_btl"));
  EXPECT_EQ(environment.at("OMPI_ALLOW_RUN_AS_ROOT"), "1");
  EXPECT_EQ(environment.at("OMPI_MCA_btl_vader_backing_directory"), "/dev/shm/x");
}

}  // namespace
}  // namespace strata::worker
