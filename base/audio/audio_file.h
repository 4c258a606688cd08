// Sound files in and out, as mono float samples where 1.0 is full scale.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace strata {

// 3 h at 24 kHz: longer files are cut up before they get here.
inline constexpr std::int64_t kAudioSamplesMax = 1LL << 28;
inline constexpr int kAudioRateMax = 384'000;
inline constexpr int kAudioChannelsMax = 64;

struct Audio {
  std::vector<float> samples{};
  int rate = 0;  // Hz
  [[nodiscard]] double seconds() const {
    return rate == 0 ? 0.0 : static_cast<double>(samples.size()) / rate;
  }
};

// What becomes of several channels.
enum class Channels { kAverage, kFirst };

// Reads what libsndfile reads (wav, flac, ogg, mp3). An error names the file; a file without a
// sample, longer than kAudioSamplesMax, or holding NaN or infinity is refused. kDamaged where fewer
// samples come than the header announces; a cut ogg or mp3 cannot be told from a short one, nor a
// WAV whose writer never filled in its length.
[[nodiscard]] Result<Audio> read_audio(const std::filesystem::path& path,
                                       Channels channels = Channels::kAverage);

struct AudioLength {
  std::int64_t samples = 0;  // of one channel
  int rate = 0;              // Hz
  [[nodiscard]] double seconds() const {
    return rate == 0 ? 0.0 : static_cast<double>(samples) / rate;
  }
};

// How many samples read_audio would give, from the header alone where that is exact (wav, flac);
// other files are decoded. A damage that only decoding shows stays unseen.
[[nodiscard]] Result<AudioLength> read_audio_length(const std::filesystem::path& path);

// 16-bit PCM WAV, written atomically; the bytes depend on the samples and the rate alone. A sample
// becomes round(x * 32768) clipped to the range of 16 bits, so what read_audio reads from such a
// file is written back unchanged. NaN and infinity are refused.
[[nodiscard]] Status write_wav(const std::filesystem::path& path, std::span<const float> samples,
                               int rate);
// The same bytes without the file. REQUIRES: every sample is finite.
[[nodiscard]] std::string encode_wav(std::span<const float> samples, int rate);

}  // namespace strata
