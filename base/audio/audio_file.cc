#include "base/audio/audio_file.h"

#include <sndfile.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "base/assert.h"
#include "base/files.h"

namespace strata {
namespace {

constexpr std::size_t kReadFrames = 1 << 16;
constexpr std::size_t kWavHeaderBytes = 44;

struct CloseSound {
  void operator()(SNDFILE* file) const { sf_close(file); }
};

std::optional<std::size_t> first_not_finite(std::span<const float> samples) {
  const auto found = std::ranges::find_if(samples, [](float x) { return !std::isfinite(x); });
  if (found == samples.end()) return std::nullopt;
  return static_cast<std::size_t>(found - samples.begin());
}

void put_number(std::string& out, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>((value >> (8 * i)) & 0xFFU));
}

}  // namespace

Result<Audio> read_audio(const std::filesystem::path& path) {
  SF_INFO info{};
  const std::unique_ptr<SNDFILE, CloseSound> file(sf_open(path.c_str(), SFM_READ, &info));
  if (!file) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored))
      return fail(ErrorCode::kNotFound, "reading audio {}: no such file", path.string());
    return fail(ErrorCode::kInvalid, "reading audio {}: {}", path.string(), sf_strerror(nullptr));
  }
  if (info.frames > kAudioSamplesMax) {
    return fail(ErrorCode::kTooLarge,
                "reading audio {}: {} samples, the limit is {}; cut it into pieces", path.string(),
                info.frames, kAudioSamplesMax);
  }
  if (info.samplerate <= 0 || info.samplerate > kAudioRateMax || info.channels <= 0 ||
      info.channels > kAudioChannelsMax) {
    return fail(ErrorCode::kInvalid, "reading audio {}: {} channels at {} Hz is out of range",
                path.string(), info.channels, info.samplerate);
  }
  Audio audio{.rate = info.samplerate};
  audio.samples.reserve(static_cast<std::size_t>(std::max<sf_count_t>(info.frames, 0)));
  const auto channels = static_cast<std::size_t>(info.channels);
  std::vector<float> block(kReadFrames * channels);
  // The header's length is only a hint (compressed and truncated files), so read until nothing
  // comes.
  for (sf_count_t got = 0; (got = sf_readf_float(file.get(), block.data(), kReadFrames)) > 0;) {
    for (std::size_t frame = 0; frame < static_cast<std::size_t>(got); ++frame) {
      double sum = 0;
      for (std::size_t c = 0; c < channels; ++c)
        sum += static_cast<double>(block[frame * channels + c]);
      audio.samples.push_back(static_cast<float>(sum / static_cast<double>(channels)));
    }
    if (std::ssize(audio.samples) > kAudioSamplesMax) {
      return fail(ErrorCode::kTooLarge,
                  "reading audio {}: more than {} samples; cut it into pieces", path.string(),
                  kAudioSamplesMax);
    }
  }
  if (const int error = sf_error(file.get()); error != SF_ERR_NO_ERROR) {
    return fail(ErrorCode::kDamaged, "reading audio {}: {}", path.string(), sf_error_number(error));
  }
  if (audio.samples.empty())
    return fail(ErrorCode::kInvalid, "reading audio {}: it holds no samples", path.string());
  if (const auto at = first_not_finite(audio.samples)) {
    return fail(ErrorCode::kInvalid, "reading audio {}: sample {} is not a finite number",
                path.string(), *at);
  }
  return audio;
}

std::string encode_wav(std::span<const float> samples, int rate) {
  STRATA_ASSERT(rate > 0);
  STRATA_ASSERT(std::ssize(samples) <= kAudioSamplesMax);
  const auto data_bytes = static_cast<std::uint32_t>(samples.size() * 2);
  const auto hz = static_cast<std::uint32_t>(rate);
  std::string out;
  out.reserve(kWavHeaderBytes + data_bytes);
  out += "RIFF";
  put_number(out, data_bytes + kWavHeaderBytes - 8, 4);
  out += "WAVEfmt ";
  put_number(out, 16, 4);  // size of the format chunk
  put_number(out, 1, 2);   // integer PCM
  put_number(out, 1, 2);   // channels
  put_number(out, hz, 4);
  put_number(out, hz * 2, 4);  // bytes per second
  put_number(out, 2, 2);       // bytes per frame
  put_number(out, 16, 2);      // bits
  out += "data";
  put_number(out, data_bytes, 4);
  for (const float sample : samples) {
    STRATA_ASSERT(std::isfinite(sample));
    const double scaled =
        std::clamp(std::nearbyint(static_cast<double>(sample) * 32768.0), -32768.0, 32767.0);
    put_number(out, static_cast<std::uint32_t>(static_cast<std::int32_t>(scaled)), 2);
  }
  return out;
}

Status write_wav(const std::filesystem::path& path, std::span<const float> samples, int rate) {
  if (rate <= 0 || rate > kAudioRateMax)
    return fail(ErrorCode::kInvalid, "writing audio {}: a rate of {} Hz", path.string(), rate);
  if (std::ssize(samples) > kAudioSamplesMax) {
    return fail(ErrorCode::kTooLarge, "writing audio {}: {} samples, the limit is {}",
                path.string(), samples.size(), kAudioSamplesMax);
  }
  if (const auto at = first_not_finite(samples)) {
    return fail(ErrorCode::kInvalid, "writing audio {}: sample {} is not a finite number",
                path.string(), *at);
  }
  return write_file_atomic(path, encode_wav(samples, rate));
}

}  // namespace strata
