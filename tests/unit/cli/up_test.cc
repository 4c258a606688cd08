#include "cli/up.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "base/files.h"
#include "base/host.h"
#include "base/json.h"
#include "tests/support/temporary_folder.h"

namespace strata::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Place {
  strata::testing::TemporaryFolder folder{};
  std::string printed{};
  SystemClock clock{};
  Context context{[]() -> Result<std::unique_ptr<Client>> {
                    return fail(ErrorCode::kUnavailable, "nobody is there");
                  },
                  [this](const std::string& text) { printed += text; }, clock};
};

TEST(Up, OptionsThatWhatRunsWasNotStartedWithAreRefusedAndNotIgnored) {
  Place place;
  // This process stands for both.
  const Value self = Object{{"name", "strata-test"},
                            {"pid", std::int64_t{::getpid()}},
                            {"since", start_time_of(::getpid())}};
  const Value up =
      Object{{"coordinator", self}, {"worker", self}, {"options", Object{{"--slots", "2"}}}};
  ASSERT_TRUE(write_file_atomic(place.folder / kUpFileName, to_pretty_json(up)));
  const std::string folder = place.folder.path().string();
  EXPECT_EQ(run_up(place.context, {.folder = folder}).value(), kExitOk);
  EXPECT_THAT(place.printed, HasSubstr("already up: "));
  EXPECT_EQ(run_up(place.context, {.folder = folder, .slots = 2}).value(), kExitOk);
  const auto other = run_up(place.context, {.folder = folder, .slots = 8});
  ASSERT_FALSE(other.has_value());
  EXPECT_EQ(exit_code_of(other.error()), kExitFailed);
  EXPECT_EQ(other.error().message,
            "already up, with --slots 2: --slots 8 would change nothing. End it with `strata up "
            "--stop`, then start it so");
  EXPECT_THAT(run_up(place.context, {.folder = folder, .metrics = "127.0.0.1:9"}).error().message,
              HasSubstr("already up, without --metrics: "));
}

TEST(Up, AFailedStartShowsItsOwnLogAndNotThatOfTheOneBefore) {
  Place place;
  const auto program = place.folder / "strata-coordinator";
  ASSERT_TRUE(write_file_atomic(program, "#!/bin/sh\necho this one failed\nexit 1\n", 0755));
  std::filesystem::create_directories(place.folder / "logs");
  ASSERT_TRUE(
      write_file_atomic(place.folder.path() / "logs" / "coordinator.log", "an old error\n"));
  const std::string path = std::getenv("PATH");
  ASSERT_EQ(::setenv("PATH", (place.folder.path().string() + ":" + path).c_str(), 1), 0);
  const auto started = run_up(place.context, {.folder = place.folder.path().string()});
  ASSERT_EQ(::setenv("PATH", path.c_str(), 1), 0);
  ASSERT_FALSE(started.has_value());
  EXPECT_THAT(started.error().message, HasSubstr("this one failed"));
  EXPECT_THAT(started.error().message, Not(HasSubstr("an old error")));
}

}  // namespace
}  // namespace strata::cli
