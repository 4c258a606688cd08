#include "coordinator/store_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace strata::coordinator {
namespace {

TEST(StoreFolder, ASecondCoordinatorIsToldWhoLivesThere) {
  const auto path = make_temporary_folder(testing::TempDir(), "store").value() / "deep" / "store";
  auto first = StoreFolder::open(path, false);
  ASSERT_TRUE(first) << first.error().message;
  const auto second = StoreFolder::open(path, false);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kConflict);
  EXPECT_NE(second.error().message.find("pid " + std::to_string(getpid())), std::string::npos)
      << second.error().message;
  first = fail(ErrorCode::kInternal, "gone");
  EXPECT_TRUE(StoreFolder::open(path, false));
}

TEST(StoreFolder, TheKeysAreMadeOnceAndKept) {
  const auto folder =
      StoreFolder::open(make_temporary_folder(testing::TempDir(), "store").value(), false).value();
  const CurveKeys keys = folder.keys().value();
  EXPECT_EQ(keys.public_key.size(), kCurveKeyDigits);
  EXPECT_EQ(folder.keys().value().secret_key, keys.secret_key);
}

TEST(StoreFolder, NetworkFileSystemsAreKnownByTheirNumbers) {
  EXPECT_STREQ(network_filesystem(0x6969), "NFS");
  EXPECT_STREQ(network_filesystem(0x0BD00BD0), "Lustre");
  EXPECT_STREQ(network_filesystem(0x47504653), "GPFS");
  EXPECT_STREQ(network_filesystem(static_cast<std::int32_t>(0xFF534D42)), "CIFS");
  EXPECT_EQ(network_filesystem(0xEF53), nullptr);  // ext4
}

}  // namespace
}  // namespace strata::coordinator
