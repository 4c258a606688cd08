// Log-mel front ends. The model works on exactly one of them; which one is a parameter of the run
// because the vocoder dictates it. Sums in double; values agree with the reference programs' float
// results to their rounding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/audio/dft.h"
#include "base/result.h"

namespace strata {

// vocos:   F5-TTS's default. 24 kHz, 100 HTK bands, centred frames (reflected 512), frames = n/256
// + 1. bigvgan: F5-TTS's other one. 24 kHz, 100 Slaney bands with area norm, reflected 384, frames
// = n/256. hifigan: HiFi-GAN V1 (universal). 22,050 Hz, 80 Slaney bands of 0..8 kHz, reflected 384,
// frames = n/256. All: 1024-point DFT, periodic Hann window of 1024, hop 256, magnitude,
// ln(max(band, 1e-5)).
enum class MelKind { kVocos, kBigvgan, kHifigan };

[[nodiscard]] Result<MelKind> parse_mel_kind(std::string_view name);
[[nodiscard]] const char* name_of(MelKind kind);

struct MelConfig {
  MelKind kind = MelKind::kHifigan;
  int rate = 22'050;  // Hz
  int fft = 1024;     // points; also the window
  int hop = 256;      // samples
  int bands = 80;
  double high_hz = 8'000;         // upper edge of the last band; the first begins at 0
  bool slaney = true;             // else HTK without area norm
  int pad = 384;                  // samples reflected at each end
  double magnitude_floor = 1e-9;  // added under the square root

  [[nodiscard]] double frames_per_second() const { return static_cast<double>(rate) / hop; }
  // Frames of n samples.
  [[nodiscard]] std::int64_t frames(std::int64_t samples) const;
  // The fewest samples of which that many frames are made, and what a vocoder gives for them: hop *
  // frames, or for the centred frames of vocos hop * (frames - 1).
  [[nodiscard]] std::int64_t samples(std::int64_t frames) const;
};
[[nodiscard]] MelConfig mel_config(MelKind kind);

inline constexpr float kMelFloor = 1e-5F;  // ln of it, -11.512925, is silence

// Values in frame order: value of band b in frame t is values[t * bands + b].
struct Mel {
  int bands = 0;
  std::int64_t frames = 0;
  std::vector<float> values{};
  [[nodiscard]] float at(int band, std::int64_t frame) const {
    return values[static_cast<std::size_t>(frame * bands + band)];
  }
};

// Holds window, filter bank and twiddles; compute() may be called from several threads.
class MelFrontEnd {
 public:
  explicit MelFrontEnd(const MelConfig& config);

  [[nodiscard]] const MelConfig& config() const { return config_; }
  // `samples` are at config().rate. An error where they are too few to reflect, or not finite.
  [[nodiscard]] Result<Mel> compute(std::span<const float> samples) const;
  // Weight of DFT bin `bin` in band `band`, rounded to float as the references round it.
  [[nodiscard]] double weight(int band, int bin) const;

 private:
  // The bins of one band: weights[i] belongs to bin first + i.
  struct Band {
    int first = 0;
    std::vector<double> weights{};
  };

  void make_bank();
  // Magnitudes of the 513 bins of one windowed frame, in place: `re`, `im` have `fft` elements.
  void transform(std::vector<double>& re, std::vector<double>& im) const;

  MelConfig config_;
  Dft dft_;
  std::vector<double> window_;
  std::vector<Band> bank_;
};

}  // namespace strata
