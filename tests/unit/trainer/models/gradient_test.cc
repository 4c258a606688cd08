// The backward pass against a second way to know it: central differences in float64, for every
// parameter tensor of tiny models with all their parts.
#include <gtest/gtest.h>

#include "tests/unit/trainer/synthetic.h"
#include "trainer/losses/objective.h"
#include "trainer/models/precision.h"
#include "trainer/probe.h"

namespace strata::trainer {
namespace {

constexpr double kStep = 1e-5;
// Of a central difference: the step squared times a third derivative, and rounding over the step.
constexpr double kTolerance = 1e-6;

struct Case {
  const char* name = "";
  Architecture architecture = Architecture::kDit;
  SkipConnection skip = SkipConnection::kConcat;
  Masks masks = Masks::kOriginal;
  SpeechLoss loss = SpeechLoss::kNegCosine;
  bool long_skip = false;
  bool qk_norm = false;
  bool average_upsampling = false;
  double factor = 1;
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

class Gradient : public testing::TestWithParam<Case> {};

TEST_P(Gradient, OfEveryTensorIsWhatTheLossDoesWhenItMoves) {
  ModelConfig config = tiny_config();
  config.architecture = GetParam().architecture;
  if (config.architecture == Architecture::kUnett) {
    config.depth = 4;
    config.conv_layers = 0;
    config.text_dim = config.mel;
  }
  config.skip = GetParam().skip;
  config.masks = GetParam().masks;
  config.long_skip = GetParam().long_skip;
  config.qk_norm = GetParam().qk_norm;
  config.average_upsampling = GetParam().average_upsampling;
  config.text_mask_padding = config.average_upsampling;
  AlignConfig align = tiny_align();
  align.speech[0].loss = GetParam().loss;
  align.text.push_back({.layer = 2, .weight = 0.3});
  AcousticModel model(config, align, 1);
  model.to(torch::kDouble);
  fill_probe_parameters(model);
  const auto utterances = synthetic_utterances(2, 1);
  Batch batch = collate(pointers(utterances));
  Draws draws = draw(5, 0, batch, {.drop_audio = 0, .drop_both = 0});
  for (at::Tensor* tensor : {&batch.mel, &batch.features, &draws.noise, &draws.time})
    *tensor = tensor->to(torch::kDouble);
  const auto loss = [&] {
    return compute_losses(model, batch, draws, count(batch, draws), GetParam().factor).total;
  };
  loss().backward();
  const torch::NoGradGuard no_grad;
  std::uint64_t number = 0;
  int checked = 0;
  for (auto& entry : model.named_parameters()) {
    at::Tensor parameter = entry.value();
    ASSERT_TRUE(parameter.grad().defined()) << entry.key();
    const at::Tensor random = probe_sequence(500 + number++, parameter.sizes());
    for (at::Tensor direction : {random, parameter.grad().clone()}) {
      const double length = direction.norm().item<double>();
      if (length == 0) continue;
      direction = direction / length;
      const double expected = (parameter.grad() * direction).sum().item<double>();
      parameter.add_(direction, kStep);
      const double above = loss().item<double>();
      parameter.sub_(direction, 2 * kStep);
      const double below = loss().item<double>();
      parameter.add_(direction, kStep);
      EXPECT_NEAR((above - below) / (2 * kStep), expected, kTolerance * (1 + std::abs(expected)))
          << entry.key();
      ++checked;
    }
  }
  EXPECT_GT(checked, 100);
}

INSTANTIATE_TEST_SUITE_P(
    Models, Gradient,
    testing::Values(Case{.name = "Dit"},
                    Case{.name = "DitUpstream",
                         .masks = Masks::kUpstream,
                         .loss = SpeechLoss::kNegLogSigmoid,
                         .long_skip = true},
                    Case{.name = "DitUpsampledWithNormedKeys",
                         .masks = Masks::kUpstream,
                         .qk_norm = true,
                         .average_upsampling = true},
                    Case{.name = "DitL1AtHalfOfTheWeights", .loss = SpeechLoss::kL1, .factor = 0.5},
                    Case{.name = "Unett", .architecture = Architecture::kUnett},
                    Case{.name = "UnettAddUpstream",
                         .architecture = Architecture::kUnett,
                         .skip = SkipConnection::kAdd,
                         .masks = Masks::kUpstream,
                         .qk_norm = true}),
    [](const auto& one) { return std::string(one.param.name); });

// bfloat16 has 8 bits: gradients are near those of float32, and the same whether blocks are
// computed again or not. What runs from block to block stays float32.
TEST(Gradient, InBfloat16IsNearThatOfFloat32AndTheSameWhenBlocksAreComputedAgain) {
  for (const Architecture architecture : {Architecture::kDit, Architecture::kUnett}) {
    ModelConfig config = tiny_config();
    config.architecture = architecture;
    config.depth = 4;
    config.dropout = 0.1;
    config.qk_norm = architecture == Architecture::kDit;
    config.long_skip = architecture == Architecture::kDit;
    const auto utterances = synthetic_utterances(3, 1);
    const Batch batch = collate(pointers(utterances));
    const Draws draws = draw(5, 0, batch, {.drop_audio = 0, .drop_both = 0, .dropout = 0.1});
    std::vector<at::Tensor> of_float;
    std::vector<at::Tensor> of_half;
    for (const bool recompute : {false, true}) {
      for (const Precision precision : {Precision::kFloat32, Precision::kBfloat16}) {
        AcousticModel model(config, tiny_align(), 1);
        fill_probe_parameters(model);
        model.backbone().set_recompute(recompute);
        int seen = 0;
        const Observer observe = [&](std::string_view name, const at::Tensor& value) {
          if (name != "input" && !name.starts_with("block")) return;
          EXPECT_EQ(value.scalar_type(), at::kFloat) << name;
          ++seen;
        };
        const at::Tensor loss = [&] {
          const ComputeIn compute(precision);
          return compute_losses(model, batch, draws, count(batch, draws), 1, observe).total;
        }();
        EXPECT_EQ(seen, 5);
        EXPECT_EQ(loss.scalar_type(), at::kFloat);
        loss.backward();
        std::vector<at::Tensor> gradients;
        for (const at::Tensor& parameter : model.parameters())
          gradients.push_back(parameter.grad().flatten());
        const at::Tensor all = at::cat(gradients);
        EXPECT_EQ(all.scalar_type(), at::kFloat);
        (precision == Precision::kFloat32 ? of_float : of_half).push_back(all);
      }
    }
    const double apart = ((of_half[0] - of_float[0]).norm() / of_float[0].norm()).item<double>();
    EXPECT_LT(apart, 0.03);
    EXPECT_GT(apart, 1e-4) << "computed in bfloat16 at all";
    // A tapped block has two readers, whose gradients come in another order then.
    EXPECT_LT(((of_half[0] - of_half[1]).norm() / of_half[0].norm()).item<double>(), 2e-3);
  }
}

}  // namespace
}  // namespace strata::trainer
