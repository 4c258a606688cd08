#include "base/audio/audio_file.h"

#include <sndfile.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <memory>
#include <optional>

#include "base/assert.h"
#include "base/files.h"

namespace strata {
namespace {

constexpr std::size_t kReadFrames = 1 << 16;
constexpr std::size_t kWavHeaderBytes = 44;
// A writer into a pipe cannot go back to fill in the length: ffmpeg leaves 2^32 - 1 there, sox a
// little under 2^31.
constexpr std::uint64_t kWavLengthUnknown = 0x7FFF'F000;

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

// Whether the header's number of samples is exact. That of ogg and mp3 is counted or estimated from
// what is there.
bool length_is_exact(const SF_INFO& info) {
  const int major = info.format & SF_FORMAT_TYPEMASK;
  return info.frames > 0 && info.frames != SF_COUNT_MAX && major != SF_FORMAT_OGG &&
         major != SF_FORMAT_MPEG;
}

std::uint64_t number_at(std::span<const char> bytes, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// libsndfile takes a RIFF WAV that ends before its data chunk does for a shorter recording. Other
// files, and lengths that were never filled in, pass.
Status check_wav_is_whole(const std::filesystem::path& path) {
  std::error_code error;
  const std::uint64_t size = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  std::array<char, 12> head{};
  if (error || !file.read(head.data(), head.size())) return {};
  const std::string_view text(head.data(), head.size());
  if (!text.starts_with("RIFF") || !text.ends_with("WAVE")) return {};
  for (std::uint64_t at = head.size(); at + 8 <= size;) {
    std::array<char, 8> chunk{};
    if (!file.seekg(static_cast<std::streamoff>(at)) || !file.read(chunk.data(), chunk.size()))
      return {};
    const std::uint64_t length = number_at(chunk, 4);
    const std::uint64_t there = size - at - chunk.size();
    if (std::string_view(chunk.data(), 4) == "data") {
      if (length <= there || length >= kWavLengthUnknown) return {};
      return fail(
          ErrorCode::kDamaged,
          "reading audio {}: its header announces {} bytes of sound, {} are there: the file "
          "is cut off",
          path.string(), length, there);
    }
    at += chunk.size() + length + length % 2;
  }
  return {};
}

struct Sound {
  std::unique_ptr<SNDFILE, CloseSound> file{};
  SF_INFO info{};
};

Result<Sound> open_sound(const std::filesystem::path& path) {
  Sound sound;
  SF_INFO& info = sound.info;
  sound.file.reset(sf_open(path.c_str(), SFM_READ, &info));
  if (!sound.file) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored))
      return fail(ErrorCode::kNotFound, "reading audio {}: no such file", path.string());
    return fail(ErrorCode::kInvalid, "reading audio {}: {}", path.string(), sf_strerror(nullptr));
  }
  // A FLAC that was written into a pipe says SF_COUNT_MAX.
  if (info.frames > kAudioSamplesMax && info.frames != SF_COUNT_MAX) {
    return fail(ErrorCode::kTooLarge,
                "reading audio {}: {} samples, the limit is {}; cut it into pieces", path.string(),
                info.frames, kAudioSamplesMax);
  }
  if (info.samplerate <= 0 || info.samplerate > kAudioRateMax || info.channels <= 0 ||
      info.channels > kAudioChannelsMax) {
    return fail(ErrorCode::kInvalid, "reading audio {}: {} channels at {} Hz is out of range",
                path.string(), info.channels, info.samplerate);
  }
  STRATA_CHECK_OK(check_wav_is_whole(path));
  return sound;
}

}  // namespace

Result<AudioLength> read_audio_length(const std::filesystem::path& path) {
  STRATA_TRY(const Sound sound, open_sound(path));
  if (length_is_exact(sound.info))
    return AudioLength{.samples = sound.info.frames, .rate = sound.info.samplerate};
  STRATA_TRY(const Audio audio, read_audio(path));
  return AudioLength{.samples = std::ssize(audio.samples), .rate = audio.rate};
}

Result<Audio> read_audio(const std::filesystem::path& path, Channels which) {
  STRATA_TRY(const Sound sound, open_sound(path));
  const SF_INFO& info = sound.info;
  Audio audio{.rate = info.samplerate};
  if (length_is_exact(info)) audio.samples.reserve(static_cast<std::size_t>(info.frames));
  const auto channels = static_cast<std::size_t>(info.channels);
  const std::size_t kept = which == Channels::kFirst ? 1 : channels;
  std::vector<float> block(kReadFrames * channels);
  // Not every header knows the length, so read until nothing comes, and compare.
  for (sf_count_t got = 0;
       (got = sf_readf_float(sound.file.get(), block.data(), kReadFrames)) > 0;) {
    for (std::size_t frame = 0; frame < static_cast<std::size_t>(got); ++frame) {
      double sum = 0;
      for (std::size_t c = 0; c < kept; ++c)
        sum += static_cast<double>(block[frame * channels + c]);
      audio.samples.push_back(static_cast<float>(sum / static_cast<double>(kept)));
    }
    if (std::ssize(audio.samples) > kAudioSamplesMax) {
      return fail(ErrorCode::kTooLarge,
                  "reading audio {}: more than {} samples; cut it into pieces", path.string(),
                  kAudioSamplesMax);
    }
  }
  if (const int error = sf_error(sound.file.get()); error != SF_ERR_NO_ERROR) {
    return fail(ErrorCode::kDamaged, "reading audio {}: {}", path.string(), sf_error_number(error));
  }
  if (length_is_exact(info) && std::ssize(audio.samples) != info.frames) {
    return fail(ErrorCode::kDamaged,
                "reading audio {}: its header announces {} samples, {} could be read: the file is "
                "cut off or damaged",
                path.string(), info.frames, audio.samples.size());
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
