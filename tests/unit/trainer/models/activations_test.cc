// Each activation and its gradient against torch's own.
#include "trainer/models/activations.h"

#include <gtest/gtest.h>

#include <limits>

namespace strata::trainer {
namespace {

struct Named {
  const char* name;
  at::Tensor (*ours)(const at::Tensor&);
  at::Tensor (*theirs)(const at::Tensor&);
};

at::Tensor torch_mish(const at::Tensor& x) { return at::mish(x); }
at::Tensor torch_gelu(const at::Tensor& x) { return at::gelu(x, "tanh"); }

class Activation : public testing::TestWithParam<Named> {
 protected:
  // The values and the gradients, for a gradient that differs from place to place.
  static std::pair<at::Tensor, at::Tensor> both(at::Tensor (*f)(const at::Tensor&),
                                                const at::Tensor& x) {
    const at::Tensor leaf = x.detach().clone().requires_grad_();
    const at::Tensor y = f(leaf);
    y.backward(
        at::arange(x.numel(), at::kDouble).view(x.sizes()).mul(0.7).sin().to(x.scalar_type()) + 2);
    return {y.detach(), leaf.grad()};
  }
  // Against torch's in double precision; relative to numbers that are large, absolute for others.
  static void compare(const at::Tensor& x, double tolerance) {
    const auto ours = both(GetParam().ours, x);
    const auto theirs = both(GetParam().theirs, x.to(at::kDouble));
    ASSERT_EQ(ours.first.sizes(), x.sizes());
    const auto worst = [](const at::Tensor& a, const at::Tensor& b) {
      return ((a - b).abs() / b.abs().clamp_min(1)).max().item<double>();
    };
    EXPECT_LT(worst(ours.first, theirs.first), tolerance);
    EXPECT_LT(worst(ours.second, theirs.second), tolerance);
  }
};

constexpr double kOfDouble = 2e-14;  // torch's slopes lose digits in 1 - tanh^2
constexpr double kOfFloat = 1e-6;    // of a gradient up to 3, and a result of several roundings

TEST_P(Activation, IsTorchsOwnFromOneEndToTheOther) {
  for (const double end : {12.0, 120.0}) {
    compare(at::linspace(-end, end, 24'001, at::kDouble), kOfDouble);
    compare(at::linspace(-end, end, 24'001, at::kFloat), kOfFloat);
  }
}

// More numbers than one task has, not a multiple of a vector's; and not side by side.
TEST_P(Activation, TakesTensorsOfAnyShape) {
  torch::manual_seed(3);
  compare(torch::randn({7, 101, 97}), kOfFloat);
  compare(torch::randn({5, 6, 7}).transpose(0, 2), kOfFloat);
  compare(torch::randn({5, 6, 7}).slice(1, 2, 5), kOfFloat);
  compare(torch::randn({1}), kOfFloat);
  EXPECT_EQ(GetParam().ours(torch::empty({0, 4})).sizes(), at::IntArrayRef({0, 4}));
}

TEST_P(Activation, IsFiniteWhereItsInputIsAndNotWhereItIsNot) {
  const at::Tensor large = at::tensor({-3e38F, -1e4F, -88.0F, -0.0F, 0.0F, 88.0F, 1e4F, 3e38F});
  const auto [y, dx] = both(GetParam().ours, large);
  EXPECT_TRUE(at::allclose(y, large.clamp_min(0)));  // the powers of e are below the tolerance
  EXPECT_TRUE(dx.isfinite().all().item<bool>());
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto bad =
      both(GetParam().ours,
           at::tensor({std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity}));
  EXPECT_TRUE(bad.first.isnan().all().item<bool>());
  EXPECT_TRUE(bad.second.isnan().all().item<bool>());
}

TEST_P(Activation, OfBfloat16IsTorchs) {
  const at::Tensor x = at::linspace(-5, 5, 100, at::kFloat).to(at::kBFloat16);
  EXPECT_TRUE(at::equal(GetParam().ours(x), GetParam().theirs(x)));
}

INSTANTIATE_TEST_SUITE_P(All, Activation,
                         testing::Values(Named{"Mish", trainer::mish, torch_mish},
                                         Named{"GeluTanh", gelu_tanh, torch_gelu}),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace strata::trainer
