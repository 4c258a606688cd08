// Each fused operation against the formula that it stands for, composed of torch's own operations,
// and every gradient against the one that autograd derives for the formula.
#include "trainer/models/fused.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/result.h"
#include "trainer/models/precision.h"

namespace strata::trainer {
namespace {

using Operation = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

constexpr double kEpsilon = 1e-6;

// The result and the gradients of all inputs, for a gradient that differs from place to place.
std::vector<at::Tensor> all_of(const Operation& operation, const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.detach().clone().requires_grad_());
  const at::Tensor y = operation(leaves);
  const at::Tensor weight = at::arange(y.numel(), y.options()).view(y.sizes()).mul(0.7).sin();
  (y * weight).sum().backward();
  std::vector<at::Tensor> all{y.detach()};
  for (const at::Tensor& leaf : leaves) all.push_back(leaf.grad());
  return all;
}

void expect_equal(const Operation& fused, const Operation& formula,
                  const std::vector<at::Tensor>& inputs, double tolerance) {
  const auto ours = all_of(fused, inputs);
  const auto theirs = all_of(formula, inputs);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    ASSERT_EQ(ours[i].sizes(), theirs[i].sizes()) << i;
    const double size = std::max(1.0, theirs[i].abs().max().item<double>());
    EXPECT_LT((ours[i] - theirs[i]).abs().max().item<double>(), tolerance * size)
        << (i == 0 ? "the result" : "gradient of input ") << i;
  }
}

// One frame, an odd number of them, more than one run; channels of one lane, and of two.
struct Shape {
  std::int64_t batch, frames, channels;
};
class FusedOperation : public testing::TestWithParam<Shape> {
 protected:
  void SetUp() override { torch::manual_seed(7); }
  [[nodiscard]] at::Tensor frames(at::ScalarType type) const {
    const Shape s = GetParam();
    return torch::randn({s.batch, s.frames, s.channels}, type);
  }
  [[nodiscard]] at::Tensor rows(at::ScalarType type) const {
    return torch::randn({GetParam().batch, GetParam().channels}, type);
  }
  // In double precision the numbers are the formula's; in float they are within its rounding.
  void compare(const Operation& fused, const Operation& formula,
               const std::function<std::vector<at::Tensor>(at::ScalarType)>& inputs) const {
    expect_equal(fused, formula, inputs(at::kDouble), 1e-11);
    expect_equal(fused, formula, inputs(at::kFloat), 3e-5);
  }
};

TEST_P(FusedOperation, ModulatedNormIsLayerNormScaledAndShifted) {
  compare([](const auto& in) { return modulated_norm(in[0], in[1], in[2], kEpsilon); },
          [](const auto& in) {
            const at::Tensor normal = at::layer_norm(in[0], {in[0].size(2)}, {}, {}, kEpsilon);
            return normal * (1 + in[1].unsqueeze(1)) + in[2].unsqueeze(1);
          },
          [&](at::ScalarType type) {
            return std::vector<at::Tensor>{frames(type), rows(type), rows(type)};
          });
}

TEST_P(FusedOperation, GatedSumAddsWhatItsGateLetsThrough) {
  compare([](const auto& in) { return gated_sum(in[0], in[1], in[2]); },
          [](const auto& in) { return in[0] + in[1].unsqueeze(1) * in[2]; },
          [&](at::ScalarType type) {
            return std::vector<at::Tensor>{frames(type), rows(type), frames(type)};
          });
}

TEST_P(FusedOperation, ResponseNormIsThatOfConvNextWithItsResidual) {
  compare([](const auto& in) { return response_norm(in[0], in[1], in[2], kEpsilon); },
          [](const auto& in) {
            const at::Tensor strength = in[0].norm(2, {1}, true);
            const at::Tensor relative = strength / (strength.mean(-1, true) + kEpsilon);
            return in[1] * (in[0] * relative) + in[2] + in[0];
          },
          [&](at::ScalarType type) {
            const std::int64_t channels = GetParam().channels;
            return std::vector<at::Tensor>{frames(type), torch::randn({1, 1, channels}, type),
                                           torch::randn({1, 1, channels}, type)};
          });
}

TEST_P(FusedOperation, RootNormIsTorchsOwn) {
  compare([](const auto& in) { return root_norm(in[0], in[1], kEpsilon); },
          [](const auto& in) { return at::rms_norm(in[0], {in[1].size(0)}, in[1], kEpsilon); },
          [&](at::ScalarType type) {
            return std::vector<at::Tensor>{frames(type), torch::randn({GetParam().channels}, type)};
          });
}

TEST_P(FusedOperation, DepthwiseConvolutionIsTorchsOwn) {
  for (const std::int64_t kernel : {1, 3, 7}) {
    compare(
        [](const auto& in) { return depthwise_convolution(in[0], in[1], in[2]); },
        [&](const auto& in) {
          return at::conv1d(in[0].transpose(1, 2), in[1], in[2], 1, kernel / 2, 1, in[1].size(0))
              .transpose(1, 2);
        },
        [&](at::ScalarType type) {
          const std::int64_t channels = GetParam().channels;
          return std::vector<at::Tensor>{frames(type), torch::randn({channels, 1, kernel}, type),
                                         torch::randn({channels}, type)};
        });
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, FusedOperation,
                         testing::Values(Shape{1, 1, 5}, Shape{2, 5, 64}, Shape{3, 131, 70},
                                         Shape{1, 64, 600}, Shape{2, 33, 600}),
                         [](const auto& test) {
                           return fmt::format("{}x{}x{}", test.param.batch, test.param.frames,
                                              test.param.channels);
                         });

TEST(ResponseNorm, AChannelThatIsSilentThroughoutHasAGradient) {
  at::Tensor x = torch::zeros({1, 4, 3});
  x.select(2, 0).fill_(2);
  x.requires_grad_();
  response_norm(x, torch::ones({1, 1, 3}), torch::zeros({1, 1, 3}), kEpsilon).sum().backward();
  EXPECT_TRUE(x.grad().isfinite().all().item<bool>());
}

TEST(Fused, TransposedTensorsGiveWhatTheirCopiesGive) {
  torch::manual_seed(8);
  const at::Tensor x = torch::randn({2, 9, 6}).transpose(1, 2);  // (2, 6, 9), not contiguous
  const at::Tensor gate = torch::randn({2, 18}).slice(1, 0, 9);  // (2, 9), not contiguous
  EXPECT_TRUE(
      torch::equal(gated_sum(x, gate, x), gated_sum(x.contiguous(), gate.clone(), x.contiguous())));
  EXPECT_TRUE(torch::equal(modulated_norm(x, gate, gate, kEpsilon),
                           modulated_norm(x.contiguous(), gate.clone(), gate.clone(), kEpsilon)));
}

TEST(ComputeIn, LastsAsLongAsItLivesAndKeepsWhatMustBeExactInFloat) {
  const at::Tensor x = torch::randn({2, 4, 8});
  const at::Tensor rows = torch::randn({2, 8});
  {
    const ComputeIn precision(Precision::kBfloat16);
    EXPECT_EQ(compute_precision(), Precision::kBfloat16);
    const at::Tensor y = modulated_norm(x, rows, rows, kEpsilon);
    EXPECT_EQ(y.scalar_type(), at::kBFloat16) << "feeds linear maps";
    EXPECT_EQ(gated_sum(x, rows.to(at::kBFloat16), y).scalar_type(), at::kFloat)
        << "runs from block to block";
    {
      const ComputeIn inner(Precision::kFloat32);
      EXPECT_EQ(compute_precision(), Precision::kFloat32);
    }
    EXPECT_EQ(compute_precision(), Precision::kBfloat16);
  }
  const at::Tensor half = x.to(at::kBFloat16);
  const at::Tensor normal = root_norm(half, rows[0], kEpsilon);
  EXPECT_EQ(normal.scalar_type(), at::kBFloat16) << "feeds attention";
  EXPECT_TRUE(torch::equal(normal, root_norm(half.to(at::kFloat), rows[0], kEpsilon).to(half)));
  EXPECT_EQ(compute_precision(), Precision::kFloat32);
  EXPECT_EQ(modulated_norm(x, rows, rows, kEpsilon).scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace strata::trainer
