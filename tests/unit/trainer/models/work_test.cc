// The counted operations against the parameters of real models: a weight of a linear map or a
// convolution is multiplied once with every frame that it is applied to.
#include "trainer/models/work.h"

#include <gtest/gtest.h>

#include "tests/unit/trainer/synthetic.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kFrames = 21;
constexpr std::int64_t kTeacherFrames = 13;

// How often a weight of the backbone is applied to one utterance.
double places(const std::string& name, const ModelConfig& config) {
  for (const char* once : {"time_embed.", "attn_norm.linear.", "norm_out.linear."}) {
    if (name.find(once) != std::string::npos) return 1;
  }
  // In UNetT's layers a token of the time is in front of the frames.
  return kFrames + (config.architecture == Architecture::kUnett && name.starts_with("layers."));
}

double weights_times(const torch::nn::Module& module,
                     const std::function<double(const std::string&)>& times) {
  double sum = 0;
  for (const auto& entry : module.named_parameters()) {
    const bool looked_up = entry.key() == "text_embed.text_embed.weight";
    // Gains and biases are no products; a response norm's are (1, 1, C).
    if (entry.value().dim() < 2 || entry.value().size(0) == 1 || looked_up) continue;
    sum += 2 * static_cast<double>(entry.value().numel()) * times(entry.key());
  }
  return sum;
}

ModelConfig some_model(Architecture architecture) {
  ModelConfig config = tiny_config();
  config.architecture = architecture;
  config.dim = 48;  // other than that of all heads
  config.depth = 5;
  config.ff_mult = 3;
  config.long_skip = architecture == Architecture::kDit;
  return config;
}

TEST(Work, OfABackboneIsEveryWeightOnceAFrameAndAttentionBetweenFrames) {
  for (const Architecture architecture : {Architecture::kDit, Architecture::kUnett}) {
    const ModelConfig config = some_model(architecture);
    const auto backbone = make_backbone(config);
    const double linear =
        weights_times(*backbone, [&](const std::string& name) { return places(name, config); });
    const double tokens = architecture == Architecture::kDit ? kFrames : kFrames + 1;
    // Scores and mixed values of 2 heads of 16 channels, in 5 blocks.
    const double attention = 5 * 2 * (2 * tokens * tokens * 32);
    EXPECT_EQ(backbone_work(config, kFrames), linear + attention);
  }
}

TEST(Work, OfTheHeadsIsAtTheirOwnFrameRates) {
  const ModelConfig config = some_model(Architecture::kDit);
  AlignConfig align;
  align.text = {{.layer = 1}, {.layer = 3}};
  align.speech = {{.layer = 2}};
  align.hidden = 20;
  align.speech_width = 9;
  AcousticModel model(config, align, 1);
  constexpr double kSpelled = 11;  // 21 frames at half the rate
  const double text = weights_times(model.text_aligner(0), [](const auto&) { return kSpelled; });
  const double speech =
      weights_times(model.speech_aligner(0), [](const auto&) { return kTeacherFrames; });
  EXPECT_EQ(heads_work(config, align, kFrames, kTeacherFrames), 2 * text + speech);
  EXPECT_EQ(heads_work(config, {}, kFrames, kTeacherFrames), 0);
}

}  // namespace
}  // namespace strata::trainer
