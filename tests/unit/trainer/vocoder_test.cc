// Which front end a vocoder has, how long its sound is, and that Griffin-Lim is one like the
// others.
#include "trainer/vocoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <numbers>

#include "base/files.h"
#include "tests/unit/trainer/toy_archive.h"

namespace strata::trainer {
namespace {

using ::testing::HasSubstr;

class Vocoders : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = *make_temporary_folder(std::filesystem::temp_directory_path(), "strata-vocoder-");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // A vocoder whose every sample is the mean of its frame, `lost` frames short.
  void write(int interface, int bands, Object settings, int lost = 0,
             const std::string& gain = "0.1") {
    settings.emplace("bands", bands);
    settings.emplace("hop", 256);
    const std::string code =
        "def forward(self, mel: Tensor) -> Tensor:\n"
        "  return (" +
        gain + " * mel.mean(1))[:, " + std::to_string(lost) + ":].repeat_interleave(256, 1)\n";
    write_archive(folder_ / "toy.pt", "vocoder", code,
                  at::linspace(-1, 1, 2 * bands).reshape({1, bands, 2}), std::move(settings),
                  interface);
  }
  Result<Vocoder> load(const std::string& name = "toy", const std::string& identity = "") {
    return Vocoder::load(folder_, VocoderChoice{{.name = name, .identity = identity}});
  }
  std::string refusal() {
    auto vocoder = load();
    EXPECT_FALSE(vocoder.has_value());
    return vocoder ? "" : vocoder.error().message;
  }

  std::filesystem::path folder_;
};

at::Tensor mel_of_a_tone(MelKind kind) {
  const MelFrontEnd front(mel_config(kind));
  std::vector<float> samples;
  for (int n = 0; n < 8'192; ++n) {
    samples.push_back(
        static_cast<float>(0.4 * std::sin(2 * std::numbers::pi * 440 * n / front.config().rate)));
  }
  const auto mel = front.compute(samples);
  return at::tensor(mel->values).reshape({mel->frames, mel->bands});
}

TEST_F(Vocoders, TheFirstInterfaceIsOfHifigansMel) {
  write(1, 80, {{"sample_rate", 22'050}});
  auto vocoder = load("toy", "toy-vocoder");
  ASSERT_TRUE(vocoder.has_value()) << vocoder.error().message;
  EXPECT_EQ(vocoder->mel().kind, MelKind::kHifigan);
  EXPECT_EQ(vocoder->speak(at::zeros({5, 80}))->size(), 5U * 256U);
  write(1, 100, {{"sample_rate", 24'000}});
  EXPECT_THAT(refusal(), HasSubstr("wants 100 bands at 24000 Hz, hop 256: the mel hifigan has 80"));
  write(3, 80, {{"sample_rate", 22'050}});
  EXPECT_THAT(refusal(), HasSubstr("\"vocoder-3\", this program speaks vocoder-1 and vocoder-2"));
}

TEST_F(Vocoders, TheSecondInterfaceNamesItsMelAndTheMelSaysHowLongTheSoundIs) {
  write(2, 100, {{"sample_rate", 24'000}, {"mel", "vocos"}}, 1);
  auto vocos = load();
  ASSERT_TRUE(vocos.has_value()) << vocos.error().message;
  EXPECT_EQ(vocos->mel().kind, MelKind::kVocos);
  EXPECT_EQ(vocos->speak(at::zeros({5, 100}))->size(), 4U * 256U);
  EXPECT_THAT(vocos->speak(at::zeros({1, 100})).error().message, HasSubstr("at least 2 frame(s)"));

  write(2, 100, {{"sample_rate", 24'000}, {"mel", "bigvgan"}});
  auto bigvgan = load();
  ASSERT_TRUE(bigvgan.has_value()) << bigvgan.error().message;
  EXPECT_EQ(bigvgan->mel().kind, MelKind::kBigvgan);
  EXPECT_EQ(bigvgan->speak(at::zeros({5, 100}))->size(), 5U * 256U);

  write(2, 100, {{"sample_rate", 24'000}, {"mel", "vocos"}});
  EXPECT_THAT(load()->speak(at::zeros({5, 100})).error().message,
              HasSubstr("another number of samples for 5 frames than 1024"));
  write(2, 100, {{"sample_rate", 24'000}});
  EXPECT_THAT(refusal(), HasSubstr("no text settings.mel"));
  write(2, 100, {{"sample_rate", 24'000}, {"mel", "melgan"}});
  EXPECT_THAT(refusal(), HasSubstr("one of vocos, bigvgan, hifigan"));
  write(2, 80, {{"sample_rate", 24'000}, {"mel", "vocos"}});
  EXPECT_THAT(refusal(), HasSubstr("wants 80 bands at 24000 Hz"));
}

TEST_F(Vocoders, SamplesAreFiniteAndWithinTheirRange) {
  write(1, 80, {{"sample_rate", 22'050}}, 0, "10");
  auto loud = load();
  EXPECT_THAT(*loud->speak(at::full({2, 80}, -3.0F)), ::testing::Each(-1.0F));
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    EXPECT_THAT(load()->speak(at::full({2, 80}, bad)).error().message, HasSubstr("not finite"));
  write(1, 80, {{"sample_rate", 22'050}}, 0, "1e38");
  EXPECT_THAT(load()->speak(at::full({2, 80}, 1e3F)).error().message,
              HasSubstr("gave samples that are not finite"));
}

// The values that tests/unit/export/catalogue_test.py has for these entries of the catalogue.
TEST_F(Vocoders, GriffinLimHasTheIdentitiesOfTheCatalogue) {
  EXPECT_EQ(griffin_lim_identity(MelKind::kVocos),
            "f57253c90b1d183daf93b2728378e626a69fc0764ed211c17aac7487034a41f2");
  EXPECT_EQ(griffin_lim_identity(MelKind::kBigvgan),
            "de9e56c9a33eb0f80fae1c33b6801f306b7f49ce261a6e616d4b477597cfc43a");
  EXPECT_EQ(griffin_lim_identity(MelKind::kHifigan),
            "ced73203e3f0b09dce7f8b5621a4d487a26db1c2b5e53b19c50f39ed1a71a187");
  EXPECT_TRUE(load("griffin-lim-vocos", griffin_lim_identity(MelKind::kVocos)).has_value());
  const auto other = load("griffin-lim-vocos", griffin_lim_identity(MelKind::kBigvgan));
  ASSERT_FALSE(other.has_value());
  EXPECT_EQ(other.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(other.error().message, HasSubstr("of this program has the identity f57253c9"));
  EXPECT_THAT(load("griffin-lim-wavenet").error().message, HasSubstr("'wavenet'"));
}

TEST_F(Vocoders, GriffinLimSpeaksEveryMelWithoutAnArchive) {
  for (const MelKind kind : {MelKind::kVocos, MelKind::kBigvgan, MelKind::kHifigan}) {
    auto vocoder = load(std::string("griffin-lim-") + name_of(kind));
    ASSERT_TRUE(vocoder.has_value()) << vocoder.error().message;
    EXPECT_EQ(vocoder->mel().kind, kind);
    const at::Tensor mel = mel_of_a_tone(kind);
    const auto sound = vocoder->speak(mel);
    ASSERT_TRUE(sound.has_value()) << sound.error().message;
    ASSERT_EQ(sound->size(), 8'192U);
    // The tone, at its loudness.
    double best = 0;
    double size = 0;
    int loudest = 0;
    for (const float sample : *sound) size += static_cast<double>(sample) * sample;
    for (int hz = 400; hz <= 480; hz += 20) {
      double re = 0;
      double im = 0;
      for (std::size_t n = 0; n < sound->size(); ++n) {
        const double angle =
            2 * std::numbers::pi * hz * static_cast<double>(n) / vocoder->mel().rate;
        re += (*sound)[n] * std::cos(angle);
        im += (*sound)[n] * std::sin(angle);
      }
      const double here = re * re + im * im;
      if (here > best) loudest = hz;
      best = std::max(best, here);
    }
    EXPECT_EQ(loudest, 440) << name_of(kind);
    EXPECT_NEAR(std::sqrt(size / static_cast<double>(sound->size())), 0.4 / std::sqrt(2.0), 0.03);
    EXPECT_EQ(*sound, *vocoder->speak(mel.to(at::kDouble).t().contiguous().t()))
        << "however the values lie in memory";
  }
}

TEST_F(Vocoders, IterationsAreOfGriffinLimAlone) {
  const auto read = [](Object parameters) -> Result<VocoderChoice> {
    parameters.emplace("identity", "");
    const Value value(std::move(parameters));
    Fields fields(value, "parameters.vocoder");
    VocoderChoice choice = read_vocoder_choice(fields);
    STRATA_CHECK_OK(fields.finish());
    return choice;
  };
  const auto few = read({{"name", "griffin-lim-hifigan"}, {"iterations", 2}});
  ASSERT_TRUE(few.has_value()) << few.error().message;
  const at::Tensor mel = mel_of_a_tone(MelKind::kHifigan);
  auto plain = load("griffin-lim-hifigan");
  auto short_one = Vocoder::load(folder_, *few);
  auto same = Vocoder::load(folder_, *read({{"name", "griffin-lim-hifigan"}, {"iterations", 60}}));
  EXPECT_EQ(*plain->speak(mel), *same->speak(mel));
  EXPECT_NE(*plain->speak(mel), *short_one->speak(mel));
  EXPECT_EQ(read({{"name", "toy"}, {"iterations", Value()}})->iterations, std::nullopt);
  EXPECT_THAT(read({{"name", "toy"}, {"iterations", 60}}).error().message,
              HasSubstr("parameters.vocoder.iterations"));
  for (const int wrong : {0, 10'001}) {
    EXPECT_THAT(read({{"name", "griffin-lim-vocos"}, {"iterations", wrong}}).error().message,
                HasSubstr("expected 1 to 10000"));
  }
}

}  // namespace
}  // namespace strata::trainer
