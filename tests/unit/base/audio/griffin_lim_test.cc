// The algorithm against a plain second writing of it, its quality against figures of other
// implementations, and what it promises of lengths, seeds and bad input.
#include "base/audio/griffin_lim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <limits>
#include <numbers>

#include "base/random.h"

namespace strata {
namespace {

using Complex = std::complex<double>;

// Of the slope of the distance to a mel; exactly 0 at its least, which passes only come near.
constexpr double kOptimal = 1e-3;
constexpr MelKind kAll[] = {MelKind::kVocos, MelKind::kBigvgan, MelKind::kHifigan};

std::vector<float> two_tones(int rate, int samples = 24'000) {
  std::vector<float> out;
  for (int n = 0; n < samples; ++n) {
    out.push_back(static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * 440 * n / rate) +
                                     0.25 * std::sin(2 * std::numbers::pi * 1234.5 * n / rate)));
  }
  return out;
}

// || |a| - |b| || / || |b| ||
double spectral_convergence(const std::vector<double>& got, const std::vector<double>& wanted) {
  EXPECT_EQ(got.size(), wanted.size());
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    difference += (got[i] - wanted[i]) * (got[i] - wanted[i]);
    size += wanted[i] * wanted[i];
  }
  return std::sqrt(difference / size);
}

// A front end that is small enough for transforms by the definition.
MelConfig small_config(int pad) {
  return {.kind = MelKind::kVocos,
          .rate = 1'600,
          .fft = 64,
          .hop = 16,
          .bands = 8,
          .high_hz = 800,
          .slaney = false,
          .pad = pad,
          .magnitude_floor = 0};
}

// Everything by its definition: no fast transform, no pairs of frames, no shared code but the
// random numbers.
class Plain {
 public:
  explicit Plain(const MelConfig& config) : c_(config) {}

  [[nodiscard]] double window(int i) const {
    return std::pow(std::sin(std::numbers::pi * i / c_.fft), 2);
  }
  // One row a frame.
  [[nodiscard]] std::vector<Complex> stft(const std::vector<double>& x) const {
    std::vector<Complex> out;
    const int length = static_cast<int>(x.size());
    for (int t = 0; t * c_.hop + c_.fft <= length + 2 * c_.pad; ++t) {
      for (int k = 0; k <= c_.fft / 2; ++k) {
        Complex sum = 0;
        for (int i = 0; i < c_.fft; ++i) {
          int at = t * c_.hop + i - c_.pad;
          while (at < 0 || at >= length) at = at < 0 ? -at : 2 * (length - 1) - at;
          sum += window(i) * x[static_cast<std::size_t>(at)] * turn(k, -i);
        }
        out.push_back(sum);
      }
    }
    return out;
  }
  [[nodiscard]] std::vector<double> istft(const std::vector<Complex>& spectrum) const {
    const int bins = c_.fft / 2 + 1;
    const int frames = static_cast<int>(spectrum.size()) / bins;
    std::vector<double> sum(static_cast<std::size_t>((frames - 1) * c_.hop + c_.fft));
    std::vector<double> squares(sum.size());
    for (int t = 0; t < frames; ++t) {
      for (int i = 0; i < c_.fft; ++i) {
        double value = 0;
        for (int k = 0; k < bins; ++k) {
          const bool end = k == 0 || k == bins - 1;
          const Complex bin = spectrum[static_cast<std::size_t>(t * bins + k)];
          value += (end ? bin.real() : 2 * (bin * turn(k, i)).real()) *
                   (end && k > 0 && i % 2 != 0 ? -1 : 1);
        }
        sum[static_cast<std::size_t>(t * c_.hop + i)] += window(i) * value / c_.fft;
        squares[static_cast<std::size_t>(t * c_.hop + i)] += window(i) * window(i);
      }
    }
    std::vector<double> x;
    for (std::size_t i = static_cast<std::size_t>(c_.pad);
         i + static_cast<std::size_t>(c_.pad) < sum.size(); ++i)
      x.push_back(sum[i] / squares[i]);
    return x;
  }
  [[nodiscard]] std::vector<double> sound(const std::vector<double>& magnitudes, int iterations,
                                          double momentum, std::vector<Complex> phases) const {
    std::vector<Complex> before(magnitudes.size());
    const auto with_phases = [&] {
      std::vector<Complex> spectrum;
      for (std::size_t i = 0; i < phases.size(); ++i) spectrum.push_back(magnitudes[i] * phases[i]);
      return istft(spectrum);
    };
    for (int n = 0; n < iterations; ++n) {
      const std::vector<Complex> rebuilt = stft(with_phases());
      EXPECT_EQ(rebuilt.size(), phases.size());
      for (std::size_t i = 0; i < phases.size(); ++i) {
        const Complex ahead = rebuilt[i] - momentum / (1 + momentum) * before[i];
        phases[i] = ahead / (std::abs(ahead) + 1e-16);
      }
      before = rebuilt;
    }
    return with_phases();
  }

 private:
  [[nodiscard]] Complex turn(int k, int i) const {
    return std::polar(1.0, 2 * std::numbers::pi * k * i / c_.fft);
  }
  MelConfig c_;
};

TEST(GriffinLim, IsTheAlgorithmWrittenDownPlainly) {
  for (const int pad : {24, 32}) {  // of frames hop * T, and centred ones
    for (const int frames : {1, 2, 7, 12}) {
      const MelConfig config = small_config(pad);
      if (config.samples(frames) < 1) continue;
      const GriffinLimOptions options{.iterations = 5, .momentum = 0.9, .seed = 11};
      Random values(3);
      std::vector<double> magnitudes(static_cast<std::size_t>(frames * 33));
      for (double& value : magnitudes) value = values.uniform();
      Random phase(derive_seed(11, "griffin-lim"));
      std::vector<Complex> phases;
      for (std::size_t i = 0; i < magnitudes.size(); ++i)
        phases.push_back(std::polar(1.0, 2 * std::numbers::pi * phase.uniform()));
      const auto wanted = Plain(config).sound(magnitudes, 5, 0.9, phases);
      const auto got = GriffinLim(config, options).sound(magnitudes);
      ASSERT_EQ(std::ssize(got), config.samples(frames)) << pad << " " << frames;
      ASSERT_EQ(got.size(), wanted.size()) << pad << " " << frames;
      for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(got[i], wanted[i], 1e-9) << pad << " " << frames << " " << i;
    }
  }
}

// torchaudio's steps from the true magnitudes of two tones at 24 kHz, phases 0, 32 iterations, in
// float: spectral convergence 0.0915. The same written out in numpy, in double: 0.09158053.
TEST(GriffinLim, ComesAsNearToTrueMagnitudesAsTheReference) {
  const MelConfig config = mel_config(MelKind::kVocos);
  const Dft dft(config.fft);
  const std::vector<double> window = hann_window(config.fft);
  const auto stft = [&](const auto& x) {
    std::vector<double> out;
    std::vector<double> re(window.size());
    std::vector<double> im(window.size());
    for (std::int64_t t = 0; t < config.frames(std::ssize(x)); ++t) {
      for (std::size_t i = 0; i < re.size(); ++i) {
        const auto at = t * config.hop + static_cast<std::int64_t>(i) - config.pad;
        re[i] = window[i] * static_cast<double>(x[reflected(at, std::ssize(x))]);
        im[i] = 0;
      }
      dft.forward(re, im);
      for (std::size_t k = 0; k <= window.size() / 2; ++k) out.push_back(std::hypot(re[k], im[k]));
    }
    return out;
  };
  const std::vector<double> wanted = stft(two_tones(24'000));
  const auto convergence = [&](const GriffinLimOptions& options) {
    return spectral_convergence(stft(GriffinLim(config, options).sound(wanted)), wanted);
  };
  EXPECT_NEAR(convergence({.iterations = 32, .random_phase = false}), 0.0915, 5e-4);
  EXPECT_NEAR(convergence({.iterations = 32, .random_phase = false}), 0.09158053, 1e-7);
  EXPECT_GT(convergence({.iterations = 0}), 0.6) << "numpy: 0.63 to 0.66 from random phases";
  EXPECT_LT(convergence({.iterations = 60}), 0.12) << "numpy: 0.067 to 0.098";
}

// Bounds: the worst of 20 random starts of the same in numpy with the bank's pseudo-inverse cut at
// 0, which is what torchaudio does. The better inversion here must not do worse.
TEST(GriffinLim, TheMelOfTheSoundIsNearTheMelGiven) {
  const auto linear = [](const Mel& mel) {
    std::vector<double> out;
    for (const float value : mel.values) out.push_back(std::exp(static_cast<double>(value)));
    return out;
  };
  for (const auto& [kind, bound] :
       {std::pair{MelKind::kVocos, 0.1177}, std::pair{MelKind::kBigvgan, 0.0993},
        std::pair{MelKind::kHifigan, 0.1179}}) {
    const MelFrontEnd front(mel_config(kind));
    const auto mel = front.compute(two_tones(front.config().rate));
    const auto sound = GriffinLim(front.config()).speak(*mel);
    ASSERT_TRUE(sound.has_value()) << sound.error().message;
    const auto again = front.compute(*sound);
    ASSERT_EQ(again->frames, mel->frames);
    const double convergence = spectral_convergence(linear(*again), linear(*mel));
    EXPECT_LT(convergence, bound) << name_of(kind);
    EXPECT_GT(convergence, 1e-3) << "no sound of random phase has exactly that mel";
  }
}

TEST(GriffinLim, MagnitudesAreNotNegativeAndNoOthersHaveANearerMel) {
  for (const MelKind kind : kAll) {
    const MelFrontEnd front(mel_config(kind));
    const GriffinLim vocoder(front.config());
    // One mel of a sound, one that no sound has.
    Mel mel = *front.compute(two_tones(front.config().rate, 1'024));
    mel.frames = 2;
    mel.values.resize(static_cast<std::size_t>(2 * mel.bands));
    Random random(5);
    for (std::size_t b = 0; b < static_cast<std::size_t>(mel.bands); ++b)
      mel.values[static_cast<std::size_t>(mel.bands) + b] =
          static_cast<float>(3 * random.uniform() - 3);
    const std::vector<double> all = vocoder.magnitudes(mel);
    ASSERT_EQ(all.size(), 2U * 513U);
    for (std::int64_t t = 0; t < 2; ++t) {
      std::vector<double> rest;
      double size = 0;
      for (int b = 0; b < mel.bands; ++b) {
        const float value = mel.at(b, t);
        const double wanted =
            value <= std::log(kMelFloor) ? 0 : std::exp(static_cast<double>(value));
        double got = 0;
        for (int k = 0; k < 513; ++k)
          got += front.weight(b, k) * all[static_cast<std::size_t>(t * 513 + k)];
        rest.push_back(wanted - got);
        size += wanted * wanted;
      }
      // At the least of a convex function over x >= 0 its slope is 0 where x is positive, and
      // upwards where x is 0. In units of a bin's own weights and the frame's length.
      for (int k = 0; k < 513; ++k) {
        const double x = all[static_cast<std::size_t>(t * 513 + k)];
        ASSERT_GE(x, 0);
        double slope = 0;
        double square = 0;
        for (int b = 0; b < mel.bands; ++b) {
          slope -= front.weight(b, k) * rest[static_cast<std::size_t>(b)];
          square += front.weight(b, k) * front.weight(b, k);
        }
        if (square <= 0) {
          EXPECT_EQ(x, 0) << "bin " << k << " lies in no band";
          continue;
        }
        const double steep = slope / std::sqrt(square * size);
        EXPECT_GT(steep, -kOptimal) << name_of(kind) << " bin " << k;
        if (x <= 1e-6 * std::sqrt(size / square)) continue;
        EXPECT_LT(steep, kOptimal) << name_of(kind) << " bin " << k;
      }
    }
  }
}

TEST(GriffinLim, SilenceIsSilenceAndSoundIsAsLongAsItsFrames) {
  for (const MelKind kind : kAll) {
    const MelConfig config = mel_config(kind);
    const GriffinLim vocoder(config, {.iterations = 3});
    for (const std::int64_t frames : {1, 2, 3, 10}) {
      Mel mel{.bands = config.bands, .frames = frames};
      mel.values.assign(static_cast<std::size_t>(frames * config.bands), std::log(kMelFloor));
      const auto sound = vocoder.speak(mel);
      const std::int64_t samples = kind == MelKind::kVocos ? 256 * (frames - 1) : 256 * frames;
      EXPECT_EQ(config.samples(frames), samples);
      if (samples == 0) {
        ASSERT_FALSE(sound.has_value());
        EXPECT_THAT(sound.error().message, ::testing::HasSubstr("1 frames; expected 2 to"));
        continue;
      }
      ASSERT_TRUE(sound.has_value()) << sound.error().message;
      EXPECT_EQ(std::ssize(*sound), samples);
      EXPECT_THAT(*sound, ::testing::Each(0.0F));
      // A sound of that length has that many frames, where it is long enough to have any.
      EXPECT_TRUE(samples <= config.pad || config.frames(samples) == frames);
    }
  }
}

TEST(GriffinLim, TheSameSeedGivesTheSameBytesAndAnotherOneOthers) {
  const MelFrontEnd front(mel_config(MelKind::kBigvgan));
  const auto mel = front.compute(two_tones(24'000, 4'096));
  const auto one = GriffinLim(front.config(), {.iterations = 4}).speak(*mel);
  EXPECT_EQ(*one, *GriffinLim(front.config(), {.iterations = 4}).speak(*mel));
  EXPECT_NE(*one, *GriffinLim(front.config(), {.iterations = 4, .seed = 1}).speak(*mel));
  EXPECT_NE(*one, *GriffinLim(front.config(), {.iterations = 5}).speak(*mel));
}

TEST(GriffinLim, WhatIsNoMelIsRefusedAndLoudValuesAreBounded) {
  const MelConfig config = mel_config(MelKind::kHifigan);
  const GriffinLim vocoder(config, {.iterations = 1});
  Mel mel{.bands = 80, .frames = 4};
  mel.values.assign(320, -3.0F);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    mel.values[165] = bad;
    const auto refused = vocoder.speak(mel);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(refused.error().message, ::testing::HasSubstr("band 5 of frame 2"));
  }
  mel.values[165] = 3e38F;
  const auto loud = vocoder.speak(mel);
  ASSERT_TRUE(loud.has_value());
  for (const float sample : *loud) ASSERT_TRUE(std::isfinite(sample));
  mel.bands = 100;
  EXPECT_THAT(vocoder.speak(mel).error().message, ::testing::HasSubstr("needs 80 bands, not 100"));
  EXPECT_EQ(vocoder.speak({.bands = 80, .frames = kGriffinLimFramesMax + 1}).error().code,
            ErrorCode::kInvalid);
  Mel many{.bands = 80, .frames = kGriffinLimFramesMax + 1};
  many.values.assign(static_cast<std::size_t>(many.frames * 80), -3.0F);
  EXPECT_EQ(vocoder.speak(many).error().code, ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace strata
