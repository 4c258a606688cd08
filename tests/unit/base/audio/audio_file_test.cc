#include "base/audio/audio_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/files.h"

namespace strata {
namespace {

using ::testing::HasSubstr;

class AudioFile : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = *make_temporary_folder(std::filesystem::temp_directory_path(), "strata-audio-");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

void put(std::string& out, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>((value >> (8 * i)) & 0xFFU));
}

// A WAV of 32-bit floats, written by hand so that it may hold what our writer refuses.
std::string float_wav(const std::vector<float>& samples, int channels) {
  std::string data;
  for (const float x : samples) {
    std::uint32_t bits = 0;
    static_assert(sizeof bits == sizeof x);
    std::memcpy(&bits, &x, sizeof bits);
    put(data, bits, 4);
  }
  std::string out = "RIFF";
  put(out, static_cast<std::uint32_t>(36 + data.size()), 4);
  out += "WAVEfmt ";
  put(out, 16, 4);
  put(out, 3, 2);
  put(out, static_cast<std::uint32_t>(channels), 2);
  put(out, 16'000, 4);
  put(out, static_cast<std::uint32_t>(16'000 * 4 * channels), 4);
  put(out, static_cast<std::uint32_t>(4 * channels), 2);
  put(out, 32, 2);
  out += "data";
  put(out, static_cast<std::uint32_t>(data.size()), 4);
  return out + data;
}

TEST_F(AudioFile, SixteenBitSamplesComeBackUnchanged) {
  std::vector<float> samples;
  for (int i = -32768; i < 32768; i += 7) samples.push_back(static_cast<float>(i) / 32768.0F);
  ASSERT_TRUE(write_wav(folder_ / "a.wav", samples, 22'050).has_value());
  const auto audio = read_audio(folder_ / "a.wav");
  ASSERT_TRUE(audio.has_value()) << audio.error().message;
  EXPECT_EQ(audio->rate, 22'050);
  EXPECT_EQ(audio->samples, samples);
}

TEST_F(AudioFile, WritingClipsInsteadOfWrapping) {
  ASSERT_TRUE(
      write_wav(folder_ / "a.wav", std::vector<float>{2.0F, 1.0F, -1.0F, -3.0F, 0.5F}, 8'000)
          .has_value());
  const std::vector<float> expected{32767.0F / 32768, 32767.0F / 32768, -1.0F, -1.0F, 0.5F};
  EXPECT_EQ(read_audio(folder_ / "a.wav")->samples, expected);
}

TEST_F(AudioFile, NotANumberIsRefusedOnBothWays) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const auto written = write_wav(folder_ / "bad.wav", std::vector<float>{0, bad}, 8'000);
    ASSERT_FALSE(written.has_value());
    EXPECT_THAT(written.error().message, HasSubstr("sample 1 is not a finite number"));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "bad.wav"));
    ASSERT_TRUE(write_file_atomic(folder_ / "nan.wav", float_wav({0, bad, 0}, 1)).has_value());
    const auto read = read_audio(folder_ / "nan.wav");
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(read.error().message, HasSubstr("nan.wav"));
  }
}

TEST_F(AudioFile, ChannelsAreAveraged) {
  ASSERT_TRUE(write_file_atomic(folder_ / "stereo.wav", float_wav({0.5F, 0.25F, -1.0F, 1.0F}, 2))
                  .has_value());
  EXPECT_EQ(read_audio(folder_ / "stereo.wav")->samples, (std::vector<float>{0.375F, 0.0F}));
}

TEST_F(AudioFile, MissingGarbageAndEmptyFilesAreNamed) {
  const auto missing = read_audio(folder_ / "missing.wav");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("missing.wav"));
  ASSERT_TRUE(write_file_atomic(folder_ / "garbage.wav", std::string(500, 'x')).has_value());
  const auto garbage = read_audio(folder_ / "garbage.wav");
  ASSERT_FALSE(garbage.has_value());
  EXPECT_EQ(garbage.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(garbage.error().message, HasSubstr("garbage.wav"));
  ASSERT_TRUE(write_file_atomic(folder_ / "empty.wav", float_wav({}, 1)).has_value());
  const auto empty = read_audio(folder_ / "empty.wav");
  ASSERT_FALSE(empty.has_value());
  EXPECT_THAT(empty.error().message, HasSubstr("holds no samples"));
}

TEST(Wav, BytesAreThoseOfTheFormat) {
  const std::string bytes =
      encode_wav(std::vector<float>{0.0F, 1.0F / 32768, -1.0F / 32768}, 16'000);
  ASSERT_EQ(bytes.size(), 50U);
  EXPECT_EQ(bytes.substr(0, 4), "RIFF");
  EXPECT_EQ(static_cast<unsigned char>(bytes[4]), 42);
  EXPECT_EQ(bytes.substr(36, 4), "data");
  EXPECT_EQ(bytes.substr(44), std::string("\0\0\1\0\xff\xff", 6));
}

}  // namespace
}  // namespace strata
