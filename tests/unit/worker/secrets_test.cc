#include "worker/secrets.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/files.h"
#include "tests/support/temporary_folder.h"

namespace strata::worker {
namespace {

TEST(Secrets, ComeFromTheFileAndFromTheEnvironmentWhichThenForgetsThem) {
  const strata::testing::TemporaryFolder temporary;
  ASSERT_TRUE(
      write_file_atomic(temporary / "secrets", "# tokens\nHUB_TOKEN=from-file\nOTHER=a=b\n", 0600));
  ASSERT_EQ(::setenv("STRATA_SECRET_HUB_TOKEN", "from-environment", 1), 0);
  const auto secrets = Secrets::gather(temporary / "secrets");
  ASSERT_TRUE(secrets);
  EXPECT_EQ(
      *secrets->resolve({"HUB_TOKEN", "OTHER"}),
      (std::map<std::string, std::string>{{"HUB_TOKEN", "from-environment"}, {"OTHER", "a=b"}}));
  EXPECT_EQ(::getenv("STRATA_SECRET_HUB_TOKEN"), nullptr) << "children would inherit it";
}

TEST(Secrets, AMissingOneIsNamedWithWhatToDo) {
  const auto secrets = Secrets::gather("/nonexistent/secrets");
  ASSERT_TRUE(secrets);
  const auto resolved = secrets->resolve({"HUB_TOKEN"});
  ASSERT_FALSE(resolved);
  EXPECT_NE(resolved.error().message.find("STRATA_SECRET_HUB_TOKEN"), std::string::npos);
}

TEST(Secrets, AFileThatOthersMayReadIsRefused) {
  const strata::testing::TemporaryFolder temporary;
  ASSERT_TRUE(write_file_atomic(temporary / "secrets", "A=b\n", 0640));
  const auto secrets = Secrets::gather(temporary / "secrets");
  ASSERT_FALSE(secrets);
  EXPECT_NE(secrets.error().message.find("chmod 600"), std::string::npos);
}

TEST(Secrets, ABadLineIsNamedByItsNumberAndNotShown) {
  const strata::testing::TemporaryFolder temporary;
  ASSERT_TRUE(write_file_atomic(temporary / "secrets", "A=b\nhunter2\n", 0600));
  const auto secrets = Secrets::gather(temporary / "secrets");
  ASSERT_FALSE(secrets);
  EXPECT_NE(secrets.error().message.find(":2"), std::string::npos);
  EXPECT_EQ(secrets.error().message.find("hunter2"), std::string::npos);
}

TEST(Secrets, AValueThatAProgramPrintedIsBlottedOut) {
  const strata::testing::TemporaryFolder temporary;
  ASSERT_TRUE(write_file_atomic(temporary / "secrets", "TOKEN=hunter2\nSHORT=a\n", 0600));
  const auto secrets = Secrets::gather(temporary / "secrets");
  EXPECT_EQ(secrets->redact("login with hunter2 failed, hunter2!"),
            "login with <TOKEN> failed, <TOKEN>!");
}

TEST(Secrets, OneThatBeginsLikeAnotherLeavesNothingOfItself) {
  const strata::testing::TemporaryFolder temporary;
  ASSERT_TRUE(write_file_atomic(temporary / "secrets", "A=hunter2\nB=hunter2-and-more\n", 0600));
  EXPECT_EQ(Secrets::gather(temporary / "secrets")->redact("hunter2-and-more, hunter2"),
            "<B>, <A>");
}

}  // namespace
}  // namespace strata::worker
