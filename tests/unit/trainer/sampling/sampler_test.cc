#include "trainer/sampling/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/json.h"
#include "base/torch/torch.h"
#include "trainer/probe.h"
#include "trainer/sampling/grid.h"

namespace strata::trainer {
namespace {

// The frequency tables are in float: exp and sin of another library differ by 1e-6.
constexpr double kTolerance = 2e-5;

// The tiny models of the golden tables: parameters and inputs made by arithmetic alone, in double.
std::shared_ptr<Backbone> tiny(bool dit) {
  const std::string json =
      dit ? R"({"model":"dit","dim":64,"depth":4,"heads":2,"dim_head":32,"ff_mult":2,"mel":20,
                                     "vocab":10,"text_dim":16,"conv_layers":2,"dropout":0})"
          : R"({"model":"unett","dim":64,"depth":4,"heads":2,"dim_head":32,"ff_mult":4,"mel":20,
                                     "vocab":10,"text_dim":20,"conv_layers":0,"dropout":0})";
  const auto config = read_model_config(*parse_json(json), "tiny");
  EXPECT_TRUE(config.has_value()) << config.error().message;
  auto model = make_backbone(*config);
  model->to(at::kDouble);
  fill_probe_parameters(*model);
  return model;
}

SampleInput tiny_input(const std::vector<std::int64_t>& durations,
                       const std::vector<std::int64_t>& prompts) {
  const auto batch = static_cast<std::int64_t>(durations.size());
  const std::int64_t frames = *std::ranges::max_element(durations);
  SampleInput input{.prompt_frames = prompts, .durations = durations};
  input.condition = at::zeros({batch, frames, 20}, at::kDouble);
  input.condition.slice(1, 0, 12).copy_(probe_sequence(1003, {batch, 12, 20}));
  const at::Tensor noise = std::numbers::sqrt3 * probe_sequence(1001, {2, 37, 20});
  input.noise = noise.slice(0, 0, batch).slice(1, 0, frames).clone();
  for (std::int64_t b = 0; b < batch; ++b)
    input.noise[b].slice(0, durations[static_cast<std::size_t>(b)]).zero_();
  const at::Tensor text = at::full({2, 8}, -1, at::kLong);
  text[0].copy_(at::tensor({3, 1, 4, 1, 5, 9, 2, 6}, at::kLong));
  text[1].slice(0, 0, 5).copy_(at::tensor({2, 7, 1, 8, 2}, at::kLong));
  input.text = text.slice(0, 0, batch);
  return input;
}

void expect_sums(const at::Tensor& mel, double sum, double l1) {
  EXPECT_NEAR(mel.sum().item<double>(), sum, kTolerance * l1);
  EXPECT_NEAR(mel.abs().sum().item<double>(), l1, kTolerance * l1);
}

TEST(Sampler, TheTinyDitGivesTheReferencesSumsWithEverySetting) {
  const auto model = tiny(true);
  const SampleInput input = tiny_input({37}, {12});
  const at::Tensor euler = sample(*model, input, {.steps = 4, .sway = -1, .cfg = 2});
  expect_sums(euler, -53.0058510974, 625.2845489414);
  expect_sums(sample(*model, input, {.steps = 4, .sway = {}, .cfg = 2}), -29.1156084914,
              628.5590629141);
  expect_sums(
      sample(*model, input, {.solver = Solver::kMidpoint, .steps = 4, .sway = -1, .cfg = 2}),
      -24.8473351613, 614.9784420321);
  EXPECT_TRUE(euler.slice(1, 0, 12).equal(input.condition.slice(1, 0, 12)));
}

TEST(Sampler, TheTinyUnettGivesTheReferencesSums) {
  const auto model = tiny(false);
  const SamplingOptions options{.solver = Solver::kMidpoint, .steps = 4, .sway = {}, .cfg = 2};
  expect_sums(sample(*model, tiny_input({37}, {12}), options), 49.4648188517, 715.9417639555);
}

TEST(Sampler, ABatchGivesTheReferencesSumsAndItsLongestItemIsTheOneAlone) {
  const auto model = tiny(true);
  const SamplingOptions options{.steps = 4, .sway = -1, .cfg = 2};
  const at::Tensor both = sample(*model, tiny_input({37, 25}, {12, 9}), options);
  const at::Tensor alone = sample(*model, tiny_input({37}, {12}), options);
  EXPECT_TRUE(at::allclose(both[0], alone[0], 1e-9, 1e-9));
  expect_sums(both[1].slice(0, 0, 25), -83.0935077879, 445.6587881103);
}

TEST(Sampler, WithoutGuidanceItIsThePlainConditionalRun) {
  const auto model = tiny(true);
  const SampleInput input = tiny_input({37}, {12});
  const at::Tensor none = sample(*model, input, {.steps = 3, .cfg = 0});
  EXPECT_TRUE(none.equal(sample(*model, input, {.steps = 3, .cfg = kGuidanceNone / 2})));
  const at::Tensor slight = sample(*model, input, {.steps = 3, .cfg = 2 * kGuidanceNone});
  EXPECT_TRUE(at::allclose(none, slight, 1e-3, 1e-3));
  EXPECT_FALSE(none.equal(slight));
}

TEST(Integrate, BothSolversAreExactForAConstantVelocityAndMidpointForALinearOne) {
  const auto grid = time_grid(5, -1);
  const at::Tensor start = at::full({2}, 0.25, at::kDouble);
  for (const Solver solver : {Solver::kEuler, Solver::kMidpoint}) {
    const auto constant = [](const at::Tensor& y, double) { return at::full_like(y, 3.0); };
    EXPECT_NEAR(integrate(constant, start, grid, solver)[0].item<double>(), 3.25, 1e-12);
  }
  int calls = 0;
  const auto linear = [&](const at::Tensor& y, double t) {
    ++calls;
    return at::full_like(y, 2 * t);
  };
  EXPECT_NEAR(integrate(linear, start, grid, Solver::kMidpoint)[0].item<double>(), 1.25, 1e-12);
  EXPECT_EQ(calls, 10);
  EXPECT_LT(integrate(linear, start, grid, Solver::kEuler)[0].item<double>(), 1.2);
  EXPECT_EQ(calls, 15);
}

TEST(SeededNoise, DependsOnTheSeedAlone) {
  const at::Tensor one = seeded_noise(7, 50, 20);
  at::randn({10});
  EXPECT_TRUE(one.equal(seeded_noise(7, 50, 20)));
  EXPECT_FALSE(one.equal(seeded_noise(8, 50, 20)));
  EXPECT_NEAR(one.mean().item<double>(), 0, 0.15);
  EXPECT_NEAR(one.std().item<double>(), 1, 0.15);
}

}  // namespace
}  // namespace strata::trainer
