#include "base/audio/mel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

namespace strata {
namespace {

// The references work in float: bins at the tones agree closely, bins far from them hold the
// leakage of a float DFT.
constexpr double kNearTone = 2e-4;
constexpr double kFarFromTone = 0.05;

std::vector<float> two_tones(int rate, int samples) {
  std::vector<float> out;
  for (int n = 0; n < samples; ++n) {
    out.push_back(
        static_cast<float>(0.3 * std::sin(2 * std::numbers::pi * 220 * n / rate) +
                           0.2 * std::sin(2 * std::numbers::pi * 1234.5 * n / rate + 0.3)));
  }
  return out;
}

struct Golden {
  int band;
  std::int64_t frame;
  double value;
  double tolerance;
};

void expect_golden(const Mel& mel, const std::vector<Golden>& all) {
  for (const Golden& g : all)
    EXPECT_NEAR(mel.at(g.band, g.frame), g.value, g.tolerance) << g.band << "," << g.frame;
}

double mean(const Mel& mel) {
  return std::accumulate(mel.values.begin(), mel.values.end(), 0.0) /
         static_cast<double>(mel.values.size());
}

// Values of torchaudio's MelSpectrogram as F5-TTS sets it up.
TEST(Mel, VocosFrontEndMatchesTheReference) {
  const auto mel = MelFrontEnd(mel_config(MelKind::kVocos)).compute(two_tones(24'000, 24'000));
  ASSERT_TRUE(mel.has_value()) << mel.error().message;
  ASSERT_EQ(mel->bands, 100);
  ASSERT_EQ(mel->frames, 94);
  expect_golden(*mel, {{0, 0, 2.309847, kNearTone},
                       {0, 40, -3.233122, kNearTone},
                       {10, 40, 2.513361, kNearTone},
                       {11, 40, 0.315000, kNearTone},
                       {20, 40, -4.548228, kNearTone},
                       {45, 40, -6.363091, kFarFromTone},
                       {50, 40, -7.670437, kFarFromTone},
                       {99, 40, -11.512925, 1e-6},
                       {50, 93, 0.029995, kNearTone}});
  // The reference's mean is -6.284372 in float; its own steps run in double give -6.287698: all
  // leakage between the tones.
  EXPECT_NEAR(mean(*mel), -6.284372, 5e-3);
  EXPECT_NEAR(mean(*mel), -6.287698, 1e-5);
  EXPECT_NEAR(*std::ranges::min_element(mel->values), -11.512925, 1e-6);
  EXPECT_NEAR(*std::ranges::max_element(mel->values), 4.235061, kNearTone);
}

// Values of F5-TTS's copy of BigVGAN's front end.
TEST(Mel, BigvganFrontEndMatchesTheReference) {
  const auto mel = MelFrontEnd(mel_config(MelKind::kBigvgan)).compute(two_tones(24'000, 24'000));
  ASSERT_TRUE(mel.has_value()) << mel.error().message;
  ASSERT_EQ(mel->bands, 100);
  ASSERT_EQ(mel->frames, 93);
  expect_golden(*mel, {{0, 0, -0.930669, kNearTone},
                       {0, 40, -6.650656, kNearTone},
                       {10, 40, -5.486094, kNearTone},
                       {11, 40, -6.166063, kNearTone},
                       {20, 40, -9.098989, kFarFromTone},
                       {45, 40, -9.853724, kFarFromTone},
                       {50, 40, -11.220574, kFarFromTone},
                       {99, 40, -11.512925, 1e-6},
                       {50, 92, -4.936094, kNearTone}});
  EXPECT_NEAR(mean(*mel), -8.874938, 2e-3);
  EXPECT_NEAR(*std::ranges::max_element(mel->values), 0.824539, kNearTone);
}

// Values of HiFi-GAN's front end written out in torch 1.13: reflect pad, torch.stft, Slaney bank,
// log.
TEST(Mel, HifiganFrontEndMatchesTheReference) {
  const auto mel = MelFrontEnd(mel_config(MelKind::kHifigan)).compute(two_tones(22'050, 22'050));
  ASSERT_TRUE(mel.has_value()) << mel.error().message;
  ASSERT_EQ(mel->bands, 80);
  ASSERT_EQ(mel->frames, 86);
  expect_golden(*mel, {{0, 0, -0.8490237, kNearTone},
                       {0, 40, -6.9325781, kNearTone},
                       {5, 40, 0.9512193, kNearTone},
                       {6, 40, -0.5061722, kNearTone},
                       {30, 40, -2.1632998, kNearTone},
                       {31, 40, 0.2956608, kNearTone},
                       {50, 40, -11.5129251, 1e-6},
                       {79, 40, -11.5129251, 1e-6},
                       {50, 85, -4.5666003, kNearTone}});
  EXPECT_NEAR(mean(*mel), -8.6379, 2e-3);
}

TEST(Mel, HtkBankHasTheKnownTriangles) {
  const MelFrontEnd front(mel_config(MelKind::kVocos));
  EXPECT_NEAR(front.weight(0, 1), 0.854113, 2e-6);
  EXPECT_EQ(front.weight(0, 0), 0);
  EXPECT_EQ(front.weight(0, 2), 0);
  EXPECT_NEAR(front.weight(1, 1), 0.145887, 2e-6);
  EXPECT_NEAR(front.weight(1, 2), 0.743966, 2e-6);
  const std::vector<double> first{0.126974, 0.400896, 0.674818, 0.948740};
  for (int i = 0; i < 4; ++i)
    EXPECT_NEAR(front.weight(50, 96 + i), first[static_cast<std::size_t>(i)], 1e-5) << i;
  EXPECT_EQ(front.weight(50, 95), 0);
  EXPECT_GT(front.weight(50, 102), 0);
  EXPECT_EQ(front.weight(50, 103), 0);
  EXPECT_EQ(front.weight(99, 481), 0);
  EXPECT_GT(front.weight(99, 482), 0);
  const std::vector<double> sums{0.854113, 0.889853, 0.923690, 0.955701};
  for (int band = 0; band < 4; ++band) {
    double total = 0;
    for (int bin = 0; bin < 513; ++bin) total += front.weight(band, bin);
    EXPECT_NEAR(total, sums[static_cast<std::size_t>(band)], 2e-6) << band;
  }
}

TEST(Mel, SlaneyBankHasTheKnownTriangles) {
  const MelFrontEnd front(mel_config(MelKind::kBigvgan));
  EXPECT_NEAR(front.weight(0, 1), 0.02056655, 1e-7);
  EXPECT_NEAR(front.weight(0, 2), 0.01811236, 1e-7);
  EXPECT_EQ(front.weight(0, 3), 0);
  EXPECT_EQ(front.weight(50, 86), 0);
  EXPECT_GT(front.weight(50, 87), 0);
  EXPECT_GT(front.weight(50, 92), 0);
  EXPECT_EQ(front.weight(50, 93), 0);
}

TEST(Mel, SilenceIsTheFloorAndDoublingAddsLogTwo) {
  for (const MelKind kind : {MelKind::kVocos, MelKind::kBigvgan, MelKind::kHifigan}) {
    const MelFrontEnd front(mel_config(kind));
    const auto silence = front.compute(std::vector<float>(2'560, 0.0F));
    ASSERT_TRUE(silence.has_value());
    for (const float v : silence->values) ASSERT_FLOAT_EQ(v, -11.512925F);
    auto samples = two_tones(front.config().rate, 5'000);
    const auto quiet = front.compute(samples);
    for (float& x : samples) x *= 2;
    const auto loud = front.compute(samples);
    int compared = 0;
    for (std::size_t i = 0; i < quiet->values.size(); ++i) {
      if (quiet->values[i] < -4) continue;
      ++compared;
      ASSERT_NEAR(loud->values[i] - quiet->values[i], std::numbers::ln2, 1e-4);
    }
    EXPECT_GT(compared, 10);
  }
}

TEST(Mel, FramesFollowTheFormulaOfEachFrontEnd) {
  const MelConfig vocos = mel_config(MelKind::kVocos);
  const MelConfig hifigan = mel_config(MelKind::kHifigan);
  for (const int n : {600, 767, 768, 769, 1023, 1024, 24'000, 135'120}) {
    EXPECT_EQ(vocos.frames(n), n / 256 + 1) << n;
    EXPECT_EQ(hifigan.frames(n), n / 256) << n;
    const auto mel = MelFrontEnd(hifigan).compute(std::vector<float>(static_cast<std::size_t>(n)));
    ASSERT_TRUE(mel.has_value());
    EXPECT_EQ(mel->frames, n / 256);
    EXPECT_EQ(mel->values.size(), static_cast<std::size_t>(mel->frames * 80));
  }
}

TEST(Mel, TooFewSamplesAndNotANumberAreErrors) {
  const MelFrontEnd vocos(mel_config(MelKind::kVocos));
  EXPECT_FALSE(vocos.compute(std::vector<float>(512)).has_value());
  EXPECT_TRUE(vocos.compute(std::vector<float>(513)).has_value());
  const MelFrontEnd hifigan(mel_config(MelKind::kHifigan));
  EXPECT_FALSE(hifigan.compute({}).has_value());
  EXPECT_FALSE(hifigan.compute(std::vector<float>(384)).has_value());
  EXPECT_TRUE(hifigan.compute(std::vector<float>(385)).has_value());
  std::vector<float> bad(4'000);
  bad[77] = std::numeric_limits<float>::quiet_NaN();
  const auto result = hifigan.compute(bad);
  ASSERT_FALSE(result.has_value());
  EXPECT_THAT(result.error().message, ::testing::HasSubstr("sample 77"));
}

TEST(Mel, NamesOfFrontEndsReadBack) {
  for (const MelKind kind : {MelKind::kVocos, MelKind::kBigvgan, MelKind::kHifigan})
    EXPECT_EQ(*parse_mel_kind(name_of(kind)), kind);
  EXPECT_FALSE(parse_mel_kind("mel").has_value());
}

}  // namespace
}  // namespace strata
