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

// 16,000 samples of silence in four blocks, as an encoder writes them.
std::string silent_flac() {
  static constexpr std::string_view kHex =
      "664c6143800000221000100000000b00000d01f400f000003e8022054b0f4ee3aba7e05490fd09d5799dfff8c408"
      "0004000000f854fff8c4080103000000942cfff8c408020a00000020a4fff87408030e7f840000007cd3";
  std::string bytes;
  for (std::size_t i = 0; i < kHex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(std::string(kHex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

TEST_F(AudioFile, AFileThatIsCutOffIsNotTakenForAShorterOne) {
  const std::string wav = encode_wav(std::vector<float>(1000, 0.25F), 16'000);
  const std::string flac = silent_flac();
  const auto code_of = [&](const std::string& name, const std::string& bytes) {
    EXPECT_TRUE(write_file_atomic(folder_ / name, bytes).has_value());
    const auto audio = read_audio(folder_ / name);
    EXPECT_FALSE(audio.has_value()) << name;
    if (audio) return ErrorCode::kInternal;
    EXPECT_THAT(audio.error().message, HasSubstr(name));
    return audio.error().code;
  };
  EXPECT_EQ(code_of("last_sample.wav", wav.substr(0, wav.size() - 2)), ErrorCode::kDamaged);
  EXPECT_EQ(code_of("half.wav", wav.substr(0, wav.size() / 2)), ErrorCode::kDamaged);
  EXPECT_EQ(code_of("last_block.flac", flac.substr(0, flac.size() - 5)), ErrorCode::kDamaged);
  ASSERT_TRUE(write_file_atomic(folder_ / "whole.flac", flac).has_value());
  EXPECT_EQ(read_audio(folder_ / "whole.flac")->samples.size(), 16'000U);
}

TEST_F(AudioFile, TheLengthComesFromTheHeader) {
  const std::string wav = encode_wav(std::vector<float>(1000, 0.25F), 24'000);
  ASSERT_TRUE(write_file_atomic(folder_ / "a.wav", wav).has_value());
  EXPECT_EQ(read_audio_length(folder_ / "a.wav")->samples, 1000);
  EXPECT_EQ(read_audio_length(folder_ / "a.wav")->rate, 24'000);
  // The last block is cut off, which only decoding shows.
  const std::string flac = silent_flac();
  ASSERT_TRUE(write_file_atomic(folder_ / "cut.flac", flac.substr(0, flac.size() - 5)).has_value());
  EXPECT_DOUBLE_EQ(read_audio_length(folder_ / "cut.flac")->seconds(), 2.0);
  // No header says it: decoded, the length is that of the samples.
  std::string piped = flac;
  piped.replace(22, 4, 4, '\0');
  ASSERT_TRUE(write_file_atomic(folder_ / "piped.flac", piped).has_value());
  EXPECT_EQ(read_audio_length(folder_ / "piped.flac")->samples, 16'000);
  ASSERT_TRUE(write_file_atomic(folder_ / "cut.wav", wav.substr(0, 500)).has_value());
  EXPECT_EQ(read_audio_length(folder_ / "cut.wav").error().code, ErrorCode::kDamaged);
  EXPECT_EQ(read_audio_length(folder_ / "none.wav").error().code, ErrorCode::kNotFound);
}

TEST_F(AudioFile, ALengthThatWasNeverFilledInIsNoDamage) {
  std::string wav = encode_wav(std::vector<float>(1000, 0.25F), 16'000);
  for (const std::size_t at : {std::size_t{4}, std::size_t{40}}) wav.replace(at, 4, 4, '\xff');
  ASSERT_TRUE(write_file_atomic(folder_ / "piped.wav", wav).has_value());
  const auto piped = read_audio(folder_ / "piped.wav");
  ASSERT_TRUE(piped.has_value()) << piped.error().message;
  EXPECT_EQ(piped->samples.size(), 1000U);
  std::string flac = silent_flac();
  flac.replace(22, 4, 4, '\0');  // the number of samples, and of the sum of bytes nothing is asked
  ASSERT_TRUE(write_file_atomic(folder_ / "piped.flac", flac).has_value());
  const auto from_pipe = read_audio(folder_ / "piped.flac");
  ASSERT_TRUE(from_pipe.has_value()) << from_pipe.error().message;
  EXPECT_EQ(from_pipe->samples.size(), 16'000U);
}

TEST_F(AudioFile, ChunksBeforeAndBehindTheSoundArePassedOver) {
  std::string wav = encode_wav(std::vector<float>(100, 0.25F), 16'000);
  const std::string list("LIST\x05\0\0\0INFOx\0", 14);  // five bytes and one to make it even
  ASSERT_TRUE(write_file_atomic(folder_ / "a.wav", wav.substr(0, 36) + list + wav.substr(36) + list)
                  .has_value());
  EXPECT_EQ(read_audio(folder_ / "a.wav")->samples.size(), 100U);
  ASSERT_TRUE(write_file_atomic(folder_ / "b.wav",
                                wav.substr(0, 36) + list + wav.substr(36, wav.size() - 46))
                  .has_value());
  EXPECT_EQ(read_audio(folder_ / "b.wav").error().code, ErrorCode::kDamaged);
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
