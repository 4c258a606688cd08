#include "link/address_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <map>

#include "base/files.h"

namespace strata::link {
namespace {

const AddressFile kFile{.address = "tcp://127.0.0.1:4000",
                        .public_key = "k",
                        .pid = 12,
                        .coordinator = "ab12",
                        .metrics_address = "127.0.0.1:4001"};

Getenv environment(std::map<std::string, std::string> values) {
  return [values](const char* name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

TEST(AddressFile, WhatIsWrittenIsReadAgainAndOnlyTheOwnerMayReadIt) {
  const auto folder = make_temporary_folder(testing::TempDir(), "link").value();
  ASSERT_TRUE(write_address_file(folder / kAddressFileName, kFile));
  EXPECT_EQ(read_address_file(folder / kAddressFileName).value(), kFile);
  struct stat info {};
  ASSERT_EQ(stat((folder / kAddressFileName).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST(AddressFile, AMissingFileSaysHowToStartACoordinator) {
  const auto file = read_address_file("/nonexistent/coordinator.json");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_NE(file.error().message.find("strata up"), std::string::npos);
}

TEST(AddressFile, GarbageIsAnErrorThatNamesTheField) {
  EXPECT_FALSE(parse_address_file("no json"));
  const auto file = parse_address_file(R"({"address": 3})");
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("address"), std::string::npos);
}

TEST(AddressFile, TheOptionWinsOverTheVariableAndTheVariableOverTheDefault) {
  const auto both = environment(
      {{"STRATA_COORDINATOR", "/a/b.json"}, {"XDG_STATE_HOME", "/state"}, {"HOME", "/home/u"}});
  EXPECT_EQ(find_address_file("/x/y.json", both), "/x/y.json");
  EXPECT_EQ(find_address_file("", both), "/a/b.json");
  EXPECT_EQ(find_address_file("", environment({{"XDG_STATE_HOME", "/state"}, {"HOME", "/home/u"}})),
            "/state/strata/default/coordinator.json");
  EXPECT_EQ(find_address_file("", environment({{"HOME", "/home/u"}})),
            "/home/u/.local/state/strata/default/coordinator.json");
}

}  // namespace
}  // namespace strata::link
