#include "base/sha256.h"

#include <gtest/gtest.h>

namespace strata {
namespace {

// FIPS 180-4, appendix examples.
TEST(Sha256, KnownDigests) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, PiecesGiveTheSameDigestAsTheWhole) {
  Sha256 pieces;
  pieces.update("a");
  pieces.update("bc");
  EXPECT_EQ(pieces.hex_digest(), sha256_hex("abc"));
}

TEST(Sha256, AMissingFileIsAnError) {
  EXPECT_EQ(sha256_file("/no/such/file").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace strata
