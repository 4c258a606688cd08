#include "base/subprocess.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "base/files.h"

namespace strata {
namespace {

TEST(Subprocess, OutputAndExitCodeComeBack) {
  const auto done = run_captured({.argv = {"sh", "-c", "echo $GREETING; exit 3"},
                                  .extra_environment = {{"GREETING", "hello"}}});
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->output, "hello\n");
  EXPECT_EQ(done->exit.code, 3);
  EXPECT_EQ(done->exit.describe(), "exit code 3");
}

TEST(Subprocess, AMissingProgramIsAnErrorThatNamesIt) {
  const auto pid = spawn({.argv = {"strata-no-such-program"}});
  ASSERT_FALSE(pid.has_value());
  EXPECT_EQ(pid.error().code, ErrorCode::kNotFound);
  EXPECT_NE(pid.error().message.find("strata-no-such-program"), std::string::npos);
}

TEST(Subprocess, FoldersAndOutputFilesAreUsed) {
  const auto folder =
      *make_temporary_folder(std::filesystem::temp_directory_path(), "strata-spawn-");
  const auto pid = spawn({.argv = {"sh", "-c", "pwd; echo bad >&2"},
                          .folder = folder,
                          .stdout_file = folder / "log",
                          .stderr_file = folder / "log"});
  ASSERT_TRUE(pid.has_value());
  EXPECT_TRUE(wait_exit(*pid)->ok());
  EXPECT_EQ(*read_file(folder / "log"), std::filesystem::canonical(folder).string() + "\nbad\n");
  std::filesystem::remove_all(folder);
}

TEST(Subprocess, ASessionIsKilledWholeIncludingOtherProcessGroups) {
  // The inner shell with job control (set -m) puts its child into a process group of its own, as
  // mpirun does with ranks.
  const auto pid =
      spawn({.argv = {"sh", "-c", "set -m; sleep 1000 & sleep 1000"}, .own_session = true});
  ASSERT_TRUE(pid.has_value());
  for (int i = 0; i < 500 && processes_of_session(*pid).size() < 3; ++i) usleep(10'000);
  EXPECT_EQ(processes_of_session(*pid).size(), 3U);
  EXPECT_EQ(signal_session(*pid, SIGKILL), 3);
  EXPECT_EQ(wait_exit(*pid)->signal, SIGKILL);
  for (int i = 0; i < 500 && !processes_of_session(*pid).empty(); ++i) usleep(10'000);
  EXPECT_TRUE(processes_of_session(*pid).empty());
}

}  // namespace
}  // namespace strata
