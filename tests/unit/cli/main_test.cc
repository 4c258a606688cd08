// The program itself, for what stands in main(): usage errors and exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "cli/context.h"

namespace strata::cli {
namespace {

using ::testing::HasSubstr;

struct Ended {
  int code = -1;
  std::string out{};
  std::string err{};
};

Ended strata(const std::string& words) {
  // No coordinator is there, whatever the machine has.
  const std::string command = std::string("STRATA_COORDINATOR=/nonexistent/coordinator.json '") +
                              STRATA_BINARY_DIR + "/bin/strata' " + words;
  const auto out = run_captured({.argv = {"/bin/sh", "-c", command + " 2>/dev/null"}});
  const auto err = run_captured({.argv = {"/bin/sh", "-c", command + " 2>&1 >/dev/null"}});
  EXPECT_TRUE(out.has_value() && err.has_value());
  return out && err ? Ended{out->exit.code, out->output, err->output} : Ended{};
}

TEST(Main, AMisspeltCommandGetsASuggestion) {
  const Ended ended = strata("tabel small");
  EXPECT_EQ(ended.code, kExitUsage);
  EXPECT_EQ(ended.out, "");
  EXPECT_EQ(ended.err,
            "strata: there is no command tabel, did you mean table? (strata --help shows what "
            "there is)\n");
}

TEST(Main, WrongUsageIsTwoAndNamesTheCommandThatHelps) {
  EXPECT_EQ(strata("").code, kExitUsage);
  const Ended without = strata("plan");
  EXPECT_EQ(without.code, kExitUsage);
  EXPECT_THAT(without.err, HasSubstr("FILE is required (strata plan --help"));
  EXPECT_EQ(strata("table small --format yaml").code, kExitUsage);
  for (const char* words : {"plan x --slots -3", "plan x --gflops 0", "up --slots 0"}) {
    const Ended ended = strata(words);
    EXPECT_EQ(ended.code, kExitUsage) << words;
    EXPECT_THAT(ended.err, HasSubstr("must be above 0, not ")) << words;
  }
  EXPECT_EQ(strata("--help").code, kExitOk);
  EXPECT_EQ(strata("table --help").code, kExitOk);
}

TEST(Main, PolicyTestIsZeroWhenARuleTakesALineAndOneWhenNoneDoesAndTwoForWrongUse) {
  const auto folder = make_temporary_folder(std::filesystem::temp_directory_path(), "strata-log-");
  ASSERT_TRUE(folder);
  const std::string bad = (*folder / "bad.log").string();
  const std::string good = (*folder / "good.log").string();
  ASSERT_TRUE(write_file_atomic(bad, "step 1\nOSError: [Errno 28] No space left on device\n"));
  ASSERT_TRUE(write_file_atomic(good, "step 1\n"));
  EXPECT_EQ(strata("policy test " + bad).code, kExitOk);
  EXPECT_THAT(strata("policy test " + bad).out, HasSubstr("disk-full"));
  EXPECT_EQ(strata("policy test " + good).code, kExitFailed);
  EXPECT_EQ(strata("policy list").code, kExitOk);
  const std::string sweep = (*folder / "s.yaml").string();
  ASSERT_TRUE(
      write_file_atomic(sweep,
                        "sweep: s\nstages:\n  one:\n    program: p\n    policy:\n"
                        "      - {name: first-step, match: '^step 1$', class: scheduled}\n"));
  const Ended own = strata("policy test " + good + " --sweep " + sweep + " --stage one --json");
  EXPECT_EQ(own.code, kExitOk);
  EXPECT_THAT(own.out, HasSubstr("first-step"));
  const std::string of_sweep = "policy test " + good + " --sweep " + sweep;
  for (const std::string& words :
       {std::string("policy"), std::string("policy test"), std::string("policy try x"),
        std::string("policy test /nonexistent"), "policy list " + good, of_sweep,
        of_sweep + " --stage two", "policy test " + good + " --stage one",
        std::string("policy test ") + good + " --sweep /nonexistent --stage one"})
    EXPECT_EQ(strata(words).code, kExitUsage) << words;
  EXPECT_THAT(strata(of_sweep + " --stage onee").err, HasSubstr("did you mean one?"));
  std::filesystem::remove_all(*folder);
}

TEST(Main, WhatCannotBeWrittenIsAnErrorAndNotAnEmptyAnswer) {
  for (const char* words : {"version", "version --json", "policy list", "--help", "--version",
                            "completion bash", "tabel --json"}) {
    const std::string command =
        std::string("'") + STRATA_BINARY_DIR + "/bin/strata' " + words + " 2>&1 >/dev/full";
    const auto ended = run_captured({.argv = {"/bin/sh", "-c", command}});
    ASSERT_TRUE(ended.has_value());
    EXPECT_EQ(ended->exit.code, words == std::string("tabel --json") ? kExitUsage : kExitFailed)
        << words;
    EXPECT_EQ(ended->output, "strata: standard output: No space left on device\n") << words;
  }
}

TEST(Main, WithJsonEveryErrorIsJsonOnStandardOutput) {
  for (const char* words : {"tabel small --json", "plan --json", "--json list",
                            "plan /nonexistent.yaml --json", "query 'a = =' --json"}) {
    const Ended ended = strata(words);
    const auto value = parse_json(ended.out);
    ASSERT_TRUE(value.has_value()) << words << ": " << ended.out;
    EXPECT_NE(value->find("error"), nullptr) << words;
    EXPECT_NE(value->find("code"), nullptr) << words;
    EXPECT_EQ(ended.err, "") << words;
  }
}

TEST(Main, WithoutACoordinatorTheErrorSaysHowToStartOne) {
  const Ended ended = strata("list");
  EXPECT_EQ(ended.code, kExitFailed);
  EXPECT_THAT(ended.err, HasSubstr("/nonexistent/coordinator.json does not exist"));
  EXPECT_THAT(ended.err, HasSubstr("`strata up`"));
}

TEST(Main, ABackupIsTakenFromTheStoreBesideTheAddressFile) {
  const Ended none = strata("backup /tmp/strata-no-such-backup");
  EXPECT_EQ(none.code, kExitFailed);
  EXPECT_THAT(none.err, HasSubstr("there is no store in /nonexistent"));
  EXPECT_EQ(strata("backup").code, kExitUsage);
}

TEST(Main, FilesThatAreNoSweepsAreNamed) {
  const Ended folder = strata("plan /tmp");
  EXPECT_EQ(folder.code, kExitUsage);
  EXPECT_THAT(folder.err, HasSubstr("/tmp: it is a folder"));
  const Ended empty = strata("plan /dev/null");
  EXPECT_EQ(empty.code, kExitUsage);
  EXPECT_THAT(empty.err, HasSubstr("/dev/null:1:1: the file is empty"));
}

}  // namespace
}  // namespace strata::cli
