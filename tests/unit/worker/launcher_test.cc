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
  void SetUp() override {
    ASSERT_TRUE(become_subreaper());
    ASSERT_TRUE(make_folder(folder_));
  }
  void TearDown() override {
    launcher_.reset();
    EXPECT_TRUE(children_of(::getpid()).empty()) << "something was left behind";
  }

  LaunchOrder order(const std::string& script) {
    return {.attempt = "a#1",
            .argv = {"sh", "-c", script},
            .environment = {{"STRATA_ATTEMPT", "a#1"}},
            .folder = folder_,
            .log_file = folder_ / "log"};
  }
  ProgramExit end_of(pid_t guard) {
    ProgramExit how;
    EXPECT_TRUE(eventually([&] {
      for (const EndedSession& ended : launcher_->collect(clock_.now())) {
        EXPECT_EQ(ended.guard, guard);
        how = ended.how;
        return true;
      }
      return false;
    }));
    return how;
  }
  std::string text_of(const std::string& name) { return read_file(folder_ / name).value_or(""); }
  pid_t pid_in(const std::string& name) {
    EXPECT_TRUE(eventually([&] { return text_of(name).ends_with('\n'); })) << name;
    return static_cast<pid_t>(std::stol(text_of(name)));
  }
  static bool lives(pid_t pid) { return ::kill(pid, 0) == 0; }

  // Another attempt, in a folder of its own beside the first one.
  LaunchOrder second_order(const std::string& script) {
    LaunchOrder second = order(script);
    second.folder = attempts_ / "b-1";
    EXPECT_TRUE(make_folder(second.folder));
    second.log_file = second.folder / "log";
    return second;
  }
  // Until what was started here is gone, also what has become our child only meanwhile.
  static bool all_gone() {
    return eventually([] {
      while (::waitpid(-1, nullptr, WNOHANG) > 0) {
      }
      return children_of(::getpid()).empty();
    });
  }
  // Plays a worker that has started an attempt.
  pid_t start_worker(const LaunchOrder& its) {
    const pid_t worker = ::fork();
    if (worker != 0) return worker;
    if (!become_subreaper() || !launcher_->start(its)) ::_exit(1);
    for (;;) ::pause();
  }

  strata::testing::TemporaryFolder temporary_;
  std::filesystem::path attempts_ = temporary_ / "attempts";
  std::filesystem::path folder_ = attempts_ / "a-1";
  SystemClock clock_;
  std::optional<Launcher> launcher_{
      std::in_place, std::filesystem::path(STRATA_BINARY_DIR) / "bin/strata-guard", attempts_};
};

TEST_F(Launching, TheExitCodeComesBackAndTheOutputIsInTheLog) {
  const auto guard = launcher_->start(order("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(guard);
  const ProgramExit how = end_of(*guard);
  EXPECT_FALSE(how.guard_lost);
  EXPECT_EQ(how.exit.code, 3);
  EXPECT_EQ(text_of("log"), "out\nerr\n");
}

TEST_F(Launching, TheSignalThatEndedAProgramComesBack) {
  const auto guard = launcher_->start(order("kill -SEGV $$"));
  ASSERT_TRUE(guard);
  EXPECT_EQ(end_of(*guard).exit.signal, SIGSEGV);
}

TEST_F(Launching, AProgramThatCannotBeStartedHasCode127) {
  auto missing = order("");
  missing.argv = {"/nonexistent/program"};
  const auto guard = launcher_->start(missing);
  ASSERT_TRUE(guard);
  EXPECT_EQ(end_of(*guard).exit.code, 127);
  EXPECT_NE(text_of("log").find("/nonexistent/program"), std::string::npos);
}

// Three ways to hide: the background, a process group of one's own (set -m), a session of one's
// own.
constexpr const char* kHiders =
    "sleep 1000 & echo $! > one; set -m; sleep 1000 & echo $! > two; setsid -f sh -c 'echo $$ > "
    "three; exec sleep 1000'; ";

TEST_F(Launching, WhatAProgramLeavesBehindIsGoneBeforeItsEndIsTold) {
  const auto guard = launcher_->start(
      order(std::string(kHiders) + "while ! [ -s three ]; do sleep 0.01; done; exit 0"));
  ASSERT_TRUE(guard);
  EXPECT_EQ(end_of(*guard).exit.code, 0);
  for (const char* name : {"one", "two", "three"}) EXPECT_FALSE(lives(pid_in(name))) << name;
}

TEST_F(Launching, AKillReachesProcessesThatHideInOtherGroupsAndSessions) {
  const auto guard =
      launcher_->start(order(std::string(kHiders) + "trap '' TERM; echo $$ > main; sleep 1000"));
  ASSERT_TRUE(guard);
  const std::vector<pid_t> pids{pid_in("one"), pid_in("two"), pid_in("three"), pid_in("main")};
  launcher_->kill(*guard, clock_.now());
  EXPECT_EQ(end_of(*guard).exit.signal, SIGKILL);
  for (const pid_t pid : pids) EXPECT_FALSE(lives(pid));
}

TEST_F(Launching, APoliteRequestLetsTheProgramFinishItsCheckpoint) {
  const auto guard = launcher_->start(order(
      "trap 'echo saved > saved; exit 4' TERM; echo $$ > main; while :; do sleep 0.05; done"));
  ASSERT_TRUE(guard);
  pid_in("main");
  launcher_->ask_to_stop(*guard);
  EXPECT_EQ(end_of(*guard).exit.code, 4);
  EXPECT_EQ(text_of("saved"), "saved\n");
}

TEST_F(Launching, AfterAPoliteRequestTheGrandchildMayOutliveItsShell) {
  // The outer shell dies of SIGTERM at once; its child is the one that saves.
  const auto guard = launcher_->start(
      order("sh -c 'trap \"sleep 0.3; echo saved > saved; exit 4\" TERM; echo $$ > "
            "main; while :; do sleep 0.05; done'; :"));
  ASSERT_TRUE(guard);
  pid_in("main");
  launcher_->ask_to_stop(*guard);
  EXPECT_EQ(end_of(*guard).exit.signal, SIGTERM);
  EXPECT_EQ(text_of("saved"), "saved\n");
}

TEST_F(Launching, WithRanksThePoliteRequestSparesMpirunItself) {
  auto ranks = order(
      "trap 'echo struck > struck' TERM; sh -c 'trap \"exit 4\" TERM; echo $$ > rank; while :; do "
      "sleep 0.05; done'");
  ranks.ranks = true;
  const auto guard = launcher_->start(ranks);
  ASSERT_TRUE(guard);
  pid_in("rank");
  launcher_->ask_to_stop(*guard);
  EXPECT_EQ(end_of(*guard).exit.code, 4);
  EXPECT_EQ(text_of("struck"), "");
}

TEST_F(Launching, WhenTheGuardIsKilledEverythingOfItsSessionGoesToo) {
  const auto guard = launcher_->start(order(std::string(kHiders) + "echo $$ > main; sleep 1000"));
  ASSERT_TRUE(guard);
  const std::vector<pid_t> pids{pid_in("one"), pid_in("two"), pid_in("three"), pid_in("main")};
  ::kill(*guard, SIGKILL);
  EXPECT_TRUE(end_of(*guard).guard_lost);
  for (const pid_t pid : pids) EXPECT_FALSE(lives(pid));
}

TEST_F(Launching, AGuardThatDoesNotObeyIsKilledAsWell) {
  const auto guard = launcher_->start(order("echo $$ > main; sleep 1000"));
  ASSERT_TRUE(guard);
  const pid_t pid = pid_in("main");
  launcher_->kill(*guard, clock_.now());
  ::kill(*guard, SIGSTOP);  // may come too late, then the guard has obeyed: the end is the same
  end_of(*guard);
  EXPECT_FALSE(lives(pid));
}

TEST_F(Launching, AnotherSessionIsLeftAloneWhenOneIsKilled) {
  const auto first = launcher_->start(order("echo $$ > first; sleep 1000"));
  const auto second = launcher_->start(second_order("echo $$ > ../a-1/second; sleep 1000"));
  ASSERT_TRUE(first && second);
  pid_in("first");
  const pid_t other = pid_in("second");
  ::kill(*first, SIGKILL);  // the harder case: strays are looked for
  end_of(*first);
  EXPECT_TRUE(lives(other));
  launcher_->kill(*second, clock_.now());
  end_of(*second);
}

TEST_F(Launching, AGuardIsUsedAgainAndNothingOfTheAttemptBeforeIsLeftInIt) {
  auto first = order("trap 'exit 4' TERM; echo $$ > main; while :; do sleep 0.05; done");
  first.environment["TOKEN"] = "hunter2";
  const auto guard = launcher_->start(first);
  ASSERT_TRUE(guard);
  pid_in("main");
  launcher_->ask_to_stop(*guard);
  EXPECT_EQ(end_of(*guard).exit.code, 4);
  const auto again = launcher_->start(
      second_order("echo \"token: $TOKEN\"; pwd; sleep 1000 & echo $! > ../a-1/left"));
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, *guard);
  EXPECT_EQ(end_of(*again).exit.code, 0);
  EXPECT_FALSE(lives(pid_in("left"))) << "the request was to the first one";
  EXPECT_EQ(*read_file(attempts_ / "b-1" / "log"),
            "token: \n" + (attempts_ / "b-1").string() + "\n");
  EXPECT_EQ(text_of("log").find("token"), std::string::npos);
}

TEST_F(Launching, AKillThatComesTooLateDoesNotReachTheNextAttempt) {
  const auto guard = launcher_->start(order("echo $$ > main"));
  ASSERT_TRUE(guard);
  const pid_t program = pid_in("main");
  ASSERT_TRUE(eventually([&] { return !lives(program); }));
  launcher_->kill(*guard, clock_.now());  // it has told its end, which nobody has read
  EXPECT_EQ(end_of(*guard).exit.code, 0);
  const auto again = launcher_->start(second_order("sleep 0.1"));
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, *guard);
  EXPECT_EQ(end_of(*again).exit.signal, 0);
}

TEST_F(Launching, AGuardThatIsKilledWhileItIsIdleIsReplaced) {
  const auto guard = launcher_->start(order(":"));
  ASSERT_TRUE(guard);
  EXPECT_EQ(end_of(*guard).exit.code, 0);
  ::kill(*guard, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(*guard), &info, WEXITED | WNOWAIT), 0);
  const auto again = launcher_->start(order("exit 5"));
  ASSERT_TRUE(again);
  EXPECT_NE(*again, *guard);
  EXPECT_EQ(end_of(*again).exit.code, 5);
}

TEST_F(Launching, AttemptsAtTheSameTimeHaveGuardsOfTheirOwn) {
  const auto first = launcher_->start(order("exec sleep 1000"));
  const auto second = launcher_->start(second_order("exec sleep 1000"));
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
  EXPECT_EQ(launcher_->sessions(), 2U);
  for (const pid_t guard : {*first, *second}) {
    launcher_->kill(guard, clock_.now());
    EXPECT_EQ(end_of(guard).exit.signal, SIGKILL);
  }
  EXPECT_EQ(launcher_->sessions(), 0U);
}

TEST_F(Launching, AnAttemptWhoseFolderIsNotThereIsLostToItsGuard) {
  auto nowhere = order(":");
  nowhere.folder = attempts_ / "nowhere";
  const auto guard = launcher_->start(nowhere);
  ASSERT_TRUE(guard);
  EXPECT_TRUE(end_of(*guard).guard_lost) << "which is no failure of the program";
}

TEST_F(Launching, NothingSurvivesAWorkerThatIsKilled) {
  const pid_t worker =
      start_worker(order(std::string(kHiders) + "trap '' TERM; echo $$ > main; sleep 1000"));
  const std::vector<pid_t> pids{pid_in("one"), pid_in("two"), pid_in("three"), pid_in("main")};
  EXPECT_FALSE(processes_in(attempts_).empty());
  ::kill(worker, SIGKILL);
  EXPECT_TRUE(all_gone());
  for (const pid_t pid : pids) EXPECT_FALSE(lives(pid));
  EXPECT_EQ(*end_leftovers(attempts_, temporary_.path(), std::chrono::milliseconds(0)), 0U);
}

TEST_F(Launching, WhatAWorkerLeftBehindThatWasKilledWithItsGuardIsEnded) {
  const pid_t worker = start_worker(order(std::string(kHiders) + "echo $$ > main; sleep 1000"));
  const std::vector<pid_t> pids{pid_in("one"), pid_in("two"), pid_in("three"), pid_in("main")};
  ::kill(worker, SIGSTOP);  // it must not see the guard go
  const auto guards = children_of(worker);
  ASSERT_EQ(guards.size(), 1U);
  ::kill(guards.front(), SIGKILL);
  ::kill(worker, SIGKILL);
  EXPECT_GE(*end_leftovers(attempts_, temporary_.path(), std::chrono::milliseconds(10'000)), 4U);
  EXPECT_TRUE(all_gone());
  for (const pid_t pid : pids) EXPECT_FALSE(lives(pid));
}

TEST_F(Launching, WhatAStoppedGuardHoldsIsEndedAlsoWhereItHasNoEnvironment) {
  const auto memory = temporary_ / "memory";
  auto recorded = order("env -i setsid sh -c 'echo $$ > main; sleep 1000'");
  recorded.scratch = memory / (scratch_prefix(attempts_) + "a-1");
  ASSERT_TRUE(make_folder(memory / "somebody's"));
  const pid_t worker = start_worker(recorded);
  const pid_t program = pid_in("main");
  const auto guards = children_of(worker);
  ASSERT_EQ(guards.size(), 1U);
  ::kill(guards.front(), SIGSTOP);
  ::kill(worker, SIGKILL);
  EXPECT_TRUE(lives(program));
  EXPECT_GE(*end_leftovers(attempts_, memory, std::chrono::milliseconds(10'000)), 2U);
  EXPECT_TRUE(all_gone());
  EXPECT_FALSE(lives(program));
  EXPECT_FALSE(std::filesystem::exists(recorded.scratch));
  EXPECT_TRUE(std::filesystem::exists(memory / "somebody's"));
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
