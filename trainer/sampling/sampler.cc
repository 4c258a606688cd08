#include "trainer/sampling/sampler.h"

#include <ATen/CPUGeneratorImpl.h>

#include "base/assert.h"

namespace strata::trainer {

at::Tensor integrate(const Velocity& velocity, at::Tensor y, const std::vector<double>& grid,
                     Solver solver) {
  STRATA_ASSERT(grid.size() >= 2);
  for (std::size_t i = 0; i + 1 < grid.size(); ++i) {
    const double t = grid[i];
    const double dt = grid[i + 1] - t;
    at::Tensor slope = velocity(y, t);
    if (solver == Solver::kMidpoint) slope = velocity(y + slope * (dt / 2), t + dt / 2);
    y = y + slope * dt;
  }
  return y;
}

at::Tensor sample(Backbone& backbone, const SampleInput& input, const SamplingOptions& options) {
  const at::NoGradGuard no_gradients;
  backbone.eval();
  const std::int64_t batch = input.condition.size(0);
  const std::int64_t frames = input.condition.size(1);
  STRATA_ASSERT(input.noise.sizes() == input.condition.sizes());
  STRATA_ASSERT(std::ssize(input.durations) == batch);
  STRATA_ASSERT(std::ssize(input.prompt_frames) == batch);
  const at::TensorOptions integers(at::kLong);
  const at::Tensor positions = at::arange(frames, integers).unsqueeze(0);  // (1, N)
  // (B, N).
  const at::Tensor prompts = positions < at::tensor(input.prompt_frames, integers).unsqueeze(1);
  const at::Tensor condition =
      at::where(prompts.unsqueeze(-1), input.condition, at::zeros({}, input.condition.options()));

  // One utterance alone needs no mask; in a batch the frames after each duration are padding.
  at::Tensor mask;
  if (batch > 1) mask = positions < at::tensor(input.durations, integers).unsqueeze(1);  // (B, N)
  const bool guided = options.cfg >= kGuidanceNone;

  BackboneInput step;
  step.condition = condition;
  step.text = backbone.embed_text(input.text, frames, /*drop_text=*/false, mask);
  step.mask = mask;
  if (guided) {
    step.condition = at::cat({condition, at::zeros_like(condition)}, 0);  // (2B, N, mel)
    const at::Tensor hidden = backbone.embed_text(input.text, frames, /*drop_text=*/true, mask);
    step.text = at::cat({step.text, hidden}, 0);  // (2B, N, text_dim)
    if (mask.defined()) step.mask = at::cat({mask, mask}, 0);
  }
  const Velocity velocity = [&](const at::Tensor& y, double t) {
    step.noisy = guided ? at::cat({y, y}, 0) : y;
    step.time = at::full({step.noisy.size(0)}, t, y.options());
    at::Tensor v = backbone.forward(step).velocity;
    if (!guided) return v;
    // With the condition and the text, and without.
    const std::vector<at::Tensor> halves = v.chunk(2, 0);
    return at::Tensor(halves[0] + (halves[0] - halves[1]) * options.cfg);
  };
  const std::vector<double> grid = time_grid(options.steps, options.sway, options.grid);
  const at::Tensor y = integrate(velocity, input.noise, grid, options.solver);
  return at::where(prompts.unsqueeze(-1), condition, y);
}

at::Tensor seeded_noise(std::uint64_t seed, std::int64_t frames, std::int64_t mel) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn({frames, mel}, generator, at::TensorOptions(at::kFloat));
}

}  // namespace strata::trainer
