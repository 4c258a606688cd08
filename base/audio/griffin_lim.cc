#include "base/audio/griffin_lim.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/assert.h"
#include "base/random.h"

namespace strata {
namespace {

// Added to a length before dividing by it, as torchaudio does.
constexpr double kLengthFloor = 1e-16;

}  // namespace

// Frame after frame, `bins_` values each.
struct GriffinLim::Spectrum {
  explicit Spectrum(std::size_t values) : re(values), im(values) {}
  std::vector<double> re;
  std::vector<double> im;
};

GriffinLim::GriffinLim(const MelConfig& config, const GriffinLimOptions& options)
    : front_(config),
      inversion_(front_),
      options_(options),
      dft_(config.fft),
      window_(hann_window(config.fft)),
      bins_(static_cast<std::size_t>(config.fft / 2 + 1)) {
  STRATA_ASSERT(config.hop <= config.fft / 2);  // or some samples would lie under no window
  STRATA_ASSERT(options_.iterations >= 0);
  STRATA_ASSERT(options_.iterations <= kGriffinLimIterationsMax);
  STRATA_ASSERT(options_.momentum >= 0);
  STRATA_ASSERT(options_.momentum < 1);
}

Result<std::vector<float>> GriffinLim::speak(const Mel& mel) const {
  const MelConfig& config = front_.config();
  if (mel.bands != config.bands || std::ssize(mel.values) != mel.frames * mel.bands) {
    return fail(ErrorCode::kInvalid, "Griffin-Lim for the mel {} needs {} bands, not {}",
                name_of(config.kind), config.bands, mel.bands);
  }
  if (mel.frames > kGriffinLimFramesMax || config.samples(mel.frames) < 1) {
    return fail(mel.frames > kGriffinLimFramesMax ? ErrorCode::kTooLarge : ErrorCode::kInvalid,
                "Griffin-Lim for the mel {}: {} frames; expected {} to {}", name_of(config.kind),
                mel.frames, config.samples(1) < 1 ? 2 : 1, kGriffinLimFramesMax);
  }
  for (std::size_t i = 0; i < mel.values.size(); ++i) {
    if (std::isfinite(mel.values[i])) continue;
    const auto bands = static_cast<std::size_t>(mel.bands);
    return fail(ErrorCode::kInvalid,
                "Griffin-Lim for the mel {}: band {} of frame {} is not a finite number",
                name_of(config.kind), i % bands, i / bands);
  }
  const std::vector<double> samples = sound(magnitudes(mel));
  std::vector<float> rounded;
  for (const double sample : samples) rounded.push_back(static_cast<float>(sample));
  return rounded;
}

std::vector<double> GriffinLim::magnitudes(const Mel& mel) const {
  const std::size_t bands = inversion_.bands();
  STRATA_ASSERT(static_cast<std::size_t>(mel.bands) == bands);
  const float silence = std::log(kMelFloor);
  std::vector<double> all(static_cast<std::size_t>(mel.frames) * bins_);
  std::vector<double> linear(bands);
  for (std::size_t t = 0; t < static_cast<std::size_t>(mel.frames); ++t) {
    for (std::size_t b = 0; b < bands; ++b) {
      const float value = mel.values[t * bands + b];
      const float bounded = std::min(value, kGriffinLimLogMelMax);
      linear[b] = value <= silence ? 0 : std::exp(static_cast<double>(bounded));
    }
    inversion_.solve(linear, std::span(all).subspan(t * bins_, bins_));
  }
  return all;
}

std::vector<double> GriffinLim::sound(std::span<const double> magnitudes) const {
  const auto frames = static_cast<std::int64_t>(magnitudes.size() / bins_);
  STRATA_ASSERT(magnitudes.size() % bins_ == 0);
  STRATA_ASSERT(front_.config().samples(frames) >= 1);
  std::vector<double> samples(static_cast<std::size_t>(front_.config().samples(frames)));
  Spectrum phases = first_phases(magnitudes.size());
  Spectrum before(magnitudes.size());
  Spectrum rebuilt(magnitudes.size());
  const double pull = options_.momentum / (1 + options_.momentum);
  for (int n = 0; n < options_.iterations; ++n) {
    synthesize(magnitudes, phases, samples);
    analyse(samples, rebuilt);
    for (std::size_t i = 0; i < magnitudes.size(); ++i) {
      const double re = rebuilt.re[i] - pull * before.re[i];
      const double im = rebuilt.im[i] - pull * before.im[i];
      const double length = std::sqrt(re * re + im * im) + kLengthFloor;
      phases.re[i] = re / length;
      phases.im[i] = im / length;
    }
    std::swap(before, rebuilt);
  }
  synthesize(magnitudes, phases, samples);
  return samples;
}

GriffinLim::Spectrum GriffinLim::first_phases(std::size_t values) const {
  Spectrum phases(values);
  Random random(derive_seed(options_.seed, "griffin-lim"));
  for (std::size_t i = 0; i < values; ++i) {
    const double angle = options_.random_phase ? 2 * std::numbers::pi * random.uniform() : 0;
    phases.re[i] = std::cos(angle);
    phases.im[i] = std::sin(angle);
  }
  return phases;
}

// Two frames, which are real, go through one transform: the first as the real part, the second as
// the imaginary one.
void GriffinLim::synthesize(std::span<const double> magnitudes, const Spectrum& phases,
                            std::vector<double>& samples) const {
  const auto hop = static_cast<std::size_t>(front_.config().hop);
  const auto pad = static_cast<std::size_t>(front_.config().pad);
  const std::size_t frames = magnitudes.size() / bins_;
  const std::size_t points = window_.size();
  std::vector<double> sum((frames - 1) * hop + points);
  std::vector<double> squares(sum.size());
  std::vector<double> re(points);
  std::vector<double> im(points);
  for (std::size_t t = 0; t < frames; t += 2) {
    const bool paired = t + 1 < frames;
    for (std::size_t k = 0; k < bins_; ++k) {
      const std::size_t one = t * bins_ + k;
      const std::size_t two = paired ? one + bins_ : one;
      // The two ends of a real frame's spectrum are real.
      const double turn = k == 0 || k + 1 == bins_ ? 0 : 1;
      const double second = paired ? magnitudes[two] : 0;
      const double first_re = magnitudes[one] * phases.re[one];
      const double first_im = magnitudes[one] * phases.im[one] * turn;
      const double second_re = second * phases.re[two];
      const double second_im = second * phases.im[two] * turn;
      const std::size_t mirror = (points - k) % points;
      re[mirror] = first_re + second_im;
      im[mirror] = second_re - first_im;
      re[k] = first_re - second_im;
      im[k] = first_im + second_re;
    }
    dft_.inverse(re, im);
    for (std::size_t i = 0; i < points; ++i) {
      sum[t * hop + i] += window_[i] * re[i];
      squares[t * hop + i] += window_[i] * window_[i];
      if (!paired) continue;
      sum[(t + 1) * hop + i] += window_[i] * im[i];
      squares[(t + 1) * hop + i] += window_[i] * window_[i];
    }
  }
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = sum[pad + i] / squares[pad + i];
}

void GriffinLim::analyse(std::span<const double> samples, Spectrum& spectrum) const {
  const auto hop = static_cast<std::size_t>(front_.config().hop);
  const std::size_t frames = spectrum.re.size() / bins_;
  const std::size_t points = window_.size();
  std::vector<double> re(points);
  std::vector<double> im(points);
  std::vector<double> padded((frames - 1) * hop + points);
  for (std::size_t i = 0; i < padded.size(); ++i) {
    const std::int64_t position = static_cast<std::int64_t>(i) - front_.config().pad;
    padded[i] = samples[reflected(position, std::ssize(samples))];
  }
  for (std::size_t t = 0; t < frames; t += 2) {
    const bool paired = t + 1 < frames;
    for (std::size_t i = 0; i < points; ++i) {
      re[i] = window_[i] * padded[t * hop + i];
      im[i] = paired ? window_[i] * padded[(t + 1) * hop + i] : 0;
    }
    dft_.forward(re, im);
    for (std::size_t k = 0; k < bins_; ++k) {
      const std::size_t mirror = (points - k) % points;
      const std::size_t one = t * bins_ + k;
      spectrum.re[one] = (re[k] + re[mirror]) / 2;
      spectrum.im[one] = (im[k] - im[mirror]) / 2;
      if (!paired) continue;
      spectrum.re[one + bins_] = (im[k] + im[mirror]) / 2;
      spectrum.im[one + bins_] = (re[mirror] - re[k]) / 2;
    }
  }
}

}  // namespace strata
