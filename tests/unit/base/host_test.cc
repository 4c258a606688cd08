#include "base/host.h"

#include <gtest/gtest.h>

namespace strata {
namespace {

TEST(Host, APortIsANumberOfSixteenBits) {
  for (const char* good : {"tcp://127.0.0.1:0", "tcp://[::1]:65535", "host:80", "tcp://*:*", ":1"})
    EXPECT_TRUE(ends_in_port(good)) << good;
  for (const char* bad : {"tcp://127.0.0.1:65536", "tcp://127.0.0.1:22222222", "127.0.0.1:1x",
                          "127.0.0.1:", "127.0.0.1", "", "host:-1", "host: 1"})
    EXPECT_FALSE(ends_in_port(bad)) << bad;
}

}  // namespace
}  // namespace strata
