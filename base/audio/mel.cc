#include "base/audio/mel.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"

namespace strata {
namespace {

// Slaney's scale (Auditory Toolbox, as in librosa): linear below 1 kHz, logarithmic above.
constexpr double kSlaneyHzPerMel = 200.0 / 3;
constexpr double kSlaneyBreakHz = 1000;
constexpr double kSlaneyBreakMel = kSlaneyBreakHz / kSlaneyHzPerMel;
const double kSlaneyLogStep = std::log(6.4) / 27;

double to_mel(double hz, bool slaney) {
  if (!slaney) return 2595 * std::log10(1 + hz / 700);
  if (hz < kSlaneyBreakHz) return hz / kSlaneyHzPerMel;
  return kSlaneyBreakMel + std::log(hz / kSlaneyBreakHz) / kSlaneyLogStep;
}

double to_hz(double mel, bool slaney) {
  if (!slaney) return 700 * (std::pow(10, mel / 2595) - 1);
  if (mel < kSlaneyBreakMel) return mel * kSlaneyHzPerMel;
  return kSlaneyBreakHz * std::exp(kSlaneyLogStep * (mel - kSlaneyBreakMel));
}

}  // namespace

Result<MelKind> parse_mel_kind(std::string_view name) {
  if (name == "vocos") return MelKind::kVocos;
  if (name == "bigvgan") return MelKind::kBigvgan;
  if (name == "hifigan") return MelKind::kHifigan;
  return fail(ErrorCode::kInvalid,
              "no mel front end is called '{}': one of vocos, bigvgan, hifigan", name);
}

const char* name_of(MelKind kind) {
  switch (kind) {
    case MelKind::kVocos: return "vocos";
    case MelKind::kBigvgan: return "bigvgan";
    case MelKind::kHifigan: return "hifigan";
  }
  STRATA_ASSERT(false);
}

std::int64_t MelConfig::frames(std::int64_t samples) const {
  const std::int64_t padded = samples + 2 * pad;
  return padded < fft ? 0 : (padded - fft) / hop + 1;
}

std::int64_t MelConfig::samples(std::int64_t count) const {
  return count < 1 ? 0 : std::max<std::int64_t>(0, (count - 1) * hop + fft - 2 * pad);
}

MelConfig mel_config(MelKind kind) {
  switch (kind) {
    case MelKind::kVocos:
      return {.kind = kind,
              .rate = 24'000,
              .bands = 100,
              .high_hz = 12'000,
              .slaney = false,
              .pad = 512,
              .magnitude_floor = 0};
    case MelKind::kBigvgan: return {.kind = kind, .rate = 24'000, .bands = 100, .high_hz = 12'000};
    case MelKind::kHifigan: return {.kind = kind};
  }
  STRATA_ASSERT(false);
}

MelFrontEnd::MelFrontEnd(const MelConfig& config)
    : config_(config), dft_(config.fft), window_(hann_window(config.fft)) {
  STRATA_ASSERT(config_.high_hz <= config_.rate / 2.0);
  make_bank();
}

void MelFrontEnd::make_bank() {
  const double top = to_mel(config_.high_hz, config_.slaney);
  std::vector<double> edges;
  for (int i = 0; i < config_.bands + 2; ++i)
    edges.push_back(to_hz(top * i / (config_.bands + 1), config_.slaney));
  for (std::size_t b = 0; b < static_cast<std::size_t>(config_.bands); ++b) {
    const double area = config_.slaney ? 2 / (edges[b + 2] - edges[b]) : 1;
    Band band;
    for (int bin = 0; bin <= config_.fft / 2; ++bin) {
      const double hz = static_cast<double>(bin) * config_.rate / config_.fft;
      const double up = (hz - edges[b]) / (edges[b + 1] - edges[b]);
      const double down = (edges[b + 2] - hz) / (edges[b + 2] - edges[b + 1]);
      const double weight = std::max(0.0, std::min(up, down));
      if (weight <= 0) continue;
      if (band.weights.empty()) band.first = bin;
      band.weights.push_back(static_cast<double>(static_cast<float>(weight * area)));
    }
    bank_.push_back(std::move(band));
  }
}

double MelFrontEnd::weight(int band, int bin) const {
  const Band& found = bank_[static_cast<std::size_t>(band)];
  const int i = bin - found.first;
  return i < 0 || i >= static_cast<int>(found.weights.size())
             ? 0.0
             : found.weights[static_cast<std::size_t>(i)];
}

void MelFrontEnd::transform(std::vector<double>& re, std::vector<double>& im) const {
  std::fill(im.begin(), im.end(), 0.0);
  dft_.forward(re, im);
  for (std::size_t k = 0; k <= re.size() / 2; ++k)
    re[k] = std::sqrt(re[k] * re[k] + im[k] * im[k] + config_.magnitude_floor);
}

Result<Mel> MelFrontEnd::compute(std::span<const float> samples) const {
  const std::int64_t length = std::ssize(samples);
  if (length <= config_.pad || config_.frames(length) < 1) {
    return fail(
        ErrorCode::kInvalid, "computing a {} mel: {} samples are too few, more than {} are needed",
        name_of(config_.kind), length, std::max(config_.pad, config_.fft - 2 * config_.pad));
  }
  for (std::int64_t i = 0; i < length; ++i) {
    if (!std::isfinite(samples[static_cast<std::size_t>(i)])) {
      return fail(ErrorCode::kInvalid, "computing a {} mel: sample {} is not a finite number",
                  name_of(config_.kind), i);
    }
  }
  Mel mel{.bands = config_.bands, .frames = config_.frames(length)};
  mel.values.reserve(static_cast<std::size_t>(mel.frames * mel.bands));
  std::vector<double> re(static_cast<std::size_t>(config_.fft));
  std::vector<double> im(re.size());
  for (std::int64_t frame = 0; frame < mel.frames; ++frame) {
    const std::int64_t start = frame * config_.hop - config_.pad;
    for (std::size_t i = 0; i < re.size(); ++i) {
      re[i] =
          static_cast<double>(samples[reflected(start + static_cast<std::int64_t>(i), length)]) *
          window_[i];
    }
    transform(re, im);
    for (const Band& band : bank_) {
      double sum = 0;
      for (std::size_t i = 0; i < band.weights.size(); ++i)
        sum += re[static_cast<std::size_t>(band.first) + i] * band.weights[i];
      mel.values.push_back(std::log(std::max(static_cast<float>(sum), kMelFloor)));
    }
  }
  return mel;
}

}  // namespace strata
