// The exported judges themselves: slow (half a minute), and registered only where they have been
// exported.
#include <gmock/gmock.h>

#include "base/random.h"
#include "base/torch/archive.h"
#include "evaluator/torch_judges.h"

namespace strata::evaluator {
namespace {

const std::filesystem::path kModels = STRATA_EXPORTED_MODELS;

TEST(RealJudges, PassTheirSelfTestAndSanityCheck) {
  for (const char* name : {"ge2e", "distill-mos", "whisper-base"}) {
    const auto verified = verify_judge(kModels / (std::string(name) + ".pt"));
    EXPECT_TRUE(verified.has_value()) << verified.error().message;
  }
}

TEST(RealJudges, WhisperGivesTheSameTokensAloneAndTogether) {
  const auto judge = open_asr_judge(kModels / "whisper-base.pt", "").value();
  auto archive = Archive::load(kModels / "whisper-base.pt", {}, false).value();
  const auto inputs = archive.self_test_inputs().value();
  const auto& wave = std::get<at::Tensor>(inputs.at(0));
  const std::vector<float> voice(wave.const_data_ptr<float>(),
                                 wave.const_data_ptr<float>() + 32'000);
  Random random(7);
  std::vector<float> noise(40'000);
  for (float& x : noise) x = static_cast<float>(random.uniform() - 0.5);
  std::vector<float> both = voice;
  for (std::size_t i = 0; i < both.size(); ++i) both[i] += 0.1F * noise[i];
  const std::vector<Samples> recordings{voice, noise, both};
  const auto together = judge->transcribe(recordings).value();
  for (std::size_t i = 0; i < recordings.size(); ++i) {
    const auto alone = judge->transcribe(std::span(&recordings[i], 1)).value().front();
    EXPECT_EQ(together[i].tokens, alone.tokens) << i;
  }
}

}  // namespace
}  // namespace strata::evaluator
