// A vocoder without weights: sound whose mel comes near a given one, for every front end of mel.h.
// Griffin and Lim's iteration (1984) in its fast form with momentum (Perraudin, Balazs, Sondergaard
// 2013), step by step as librosa.griffinlim and torchaudio's GriffinLim do it:
//
//   c_0 = exp(i phi), phi uniform                                      one for each frame and bin
//   r_n = STFT(ISTFT(S c_n));  c_{n+1} = a / |a|,  a = r_n - m / (1 + m) r_{n-1},  r_-1 = 0
//   the sound: ISTFT(S c_iterations)
//
// with S the magnitudes that the mel is made of (mel_inversion.h). STFT is the front end's own:
// its window, its hop, its reflection at the ends; ISTFT is the least-squares inverse, overlap-add
// divided by the sum of squared windows, cut to MelConfig::samples(frames). A sound therefore has
// the frames that it was asked for, and is as long as what a trained vocoder of that front end
// gives.
//
// The phases are drawn from the seed, so the same mel and seed give the same sound. Speech is
// understood as well as before, sounds metallic, and is marked down by judges of naturalness
// (docs/models.md): to see that a sweep works, not for numbers to publish.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/audio/dft.h"
#include "base/audio/mel.h"
#include "base/audio/mel_inversion.h"
#include "base/result.h"

namespace strata {

inline constexpr std::int64_t kGriffinLimFramesMax = 1 << 15;  // 29 kB of memory each
inline constexpr int kGriffinLimIterationsMax = 10'000;
// Louder values count as this: a band of a sine at full scale has about 9.
inline constexpr float kGriffinLimLogMelMax = 20;

struct GriffinLimOptions {
  int iterations = 60;
  double momentum = 0.99;
  std::uint64_t seed = 0;
  bool random_phase = true;  // else 0 everywhere
};

// May be used from several threads.
class GriffinLim {
 public:
  explicit GriffinLim(const MelConfig& config, const GriffinLimOptions& options = {});

  [[nodiscard]] const MelConfig& config() const { return front_.config(); }
  // mel_config().samples(frames) samples, not bounded. Values at the mel's floor or below it are
  // silence. An error where a value is not a number, or the frames are too many or make no sample.
  [[nodiscard]] Result<std::vector<float>> speak(const Mel& mel) const;

  // The two steps of it. Magnitude of bin k in frame t is element t * (fft / 2 + 1) + k.
  // REQUIRES: a mel of config().bands.
  [[nodiscard]] std::vector<double> magnitudes(const Mel& mel) const;
  // REQUIRES: magnitudes of at least one sample.
  [[nodiscard]] std::vector<double> sound(std::span<const double> magnitudes) const;

 private:
  struct Spectrum;

  [[nodiscard]] Spectrum first_phases(std::size_t values) const;
  // The sound of magnitudes with phases of length 1; `samples` keeps its size.
  void synthesize(std::span<const double> magnitudes, const Spectrum& phases,
                  std::vector<double>& samples) const;
  void analyse(std::span<const double> samples, Spectrum& spectrum) const;

  MelFrontEnd front_;
  MelInversion inversion_;
  GriffinLimOptions options_;
  Dft dft_;
  std::vector<double> window_;
  std::size_t bins_ = 0;
};

}  // namespace strata
