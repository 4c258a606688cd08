// How fast speech is sampled: the sampler of the trainer over one made-up utterance with a prompt,
// Euler steps and classifier-free guidance. Its peer does the same with the class CFM of the f5-tts
// package (tests/bench/peers/f5_tts_peer.py, sample).
//
//   strata-bench-sample --size middle --threads 1 --repeats 5
//   strata-bench-sample --size middle --write FILE     (weights, inputs and mel, for the peer)
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>

#include "base/clock.h"
#include "base/torch/runtime.h"
#include "base/torch/torch.h"
#include "tests/bench/torch_bench.h"
#include "trainer/models/backbone.h"
#include "trainer/sampling/sampler.h"
#include "trainer/tensor_file.h"

namespace strata::trainer {
namespace {

constexpr double kOutputDeviation = 0.02;  // of weights that training starts at 0
constexpr std::uint64_t kNoiseSeed = 7;

struct Wanted {
  std::string size = "middle";
  int threads = 1;
  int repeats = 5;
  std::int64_t frames = kFrames;  // prompt included
  std::int64_t prompt = kFrames / 3;
  std::int64_t steps = 16;
  double cfg = 2;
  std::string file{};
  bool profile = false;
};

void need(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "strata-bench-sample: %s\n", status.error().message.c_str());
  std::exit(1);
}

// Drawn as for training, but nothing is 0: the velocity would be.
std::shared_ptr<Backbone> made_up_backbone(const Size& size) {
  torch::manual_seed(1);
  auto backbone = make_backbone(model_config(size));
  const torch::NoGradGuard no_grad;
  for (at::Tensor& parameter : backbone->parameters()) {
    if (parameter.count_nonzero().item<std::int64_t>() == 0) {
      parameter.normal_(0, kOutputDeviation);
    }
  }
  return backbone;
}

SampleInput made_up_input(const Wanted& wanted) {
  SampleInput input{.prompt_frames = {wanted.prompt}, .durations = {wanted.frames}};
  input.condition = at::zeros({1, wanted.frames, kMel});
  input.condition.slice(1, 0, wanted.prompt).normal_();
  input.text = at::tensor(made_up_text(0), at::kLong).unsqueeze(0);
  input.noise = seeded_noise(kNoiseSeed, wanted.frames, kMel).unsqueeze(0);
  return input;
}

// What the peer needs to make the same mel, where the options are the usual ones: text and noise it
// makes by the same rules.
Status write_for_peer(const Wanted& wanted, const Backbone& backbone, const SampleInput& input,
                      const at::Tensor& mel) {
  NamedTensors tensors;
  for (const auto& entry : backbone.named_parameters())
    tensors.emplace("weights." + entry.key(), entry.value().detach());
  tensors.emplace("prompt", input.condition.slice(1, 0, wanted.prompt).contiguous());
  tensors.emplace("mel", mel.contiguous());
  return write_tensors(wanted.file, tensors);
}

int run(const Wanted& wanted) {
  need(set_up_torch(wanted.threads));
  const auto backbone = made_up_backbone(size_named(wanted.size));
  const SampleInput input = made_up_input(wanted);
  SamplingOptions options;
  options.steps = wanted.steps;
  options.cfg = wanted.cfg;
  const SystemClock clock;
  std::vector<double> seconds;
  std::vector<double> busy;
  at::Tensor mel = sample(*backbone, input, options);  // warms up
  if (wanted.profile) OpTimes::start();
  for (int i = 0; i < wanted.repeats; ++i) {
    const Instant began = clock.now();
    const double busy_before = processor_seconds(CLOCK_PROCESS_CPUTIME_ID);
    mel = sample(*backbone, input, options);
    seconds.push_back(std::chrono::duration<double>(clock.now() - began).count());
    busy.push_back(processor_seconds(CLOCK_PROCESS_CPUTIME_ID) - busy_before);
    std::printf("repeat %d: seconds %.4f, of the processor %.4f\n", i + 1, seconds.back(),
                busy.back());
  }
  const double least = *std::ranges::min_element(seconds);
  const double spoken = static_cast<double>(wanted.frames - wanted.prompt) * kFrameSeconds;
  std::printf("least                 %10.4f\n", least);
  std::printf("least of the processor%10.4f\n", *std::ranges::min_element(busy));
  std::printf("real-time factor      %10.4f\n", least / spoken);
  std::printf("peak, MiB             %10.1f\n", memory("VmHWM"));
  if (wanted.profile) OpTimes::print();
  if (!wanted.file.empty()) need(write_for_peer(wanted, *backbone, input, mel));
  return 0;
}

}  // namespace
}  // namespace strata::trainer

int main(int argc, char** argv) {
  strata::trainer::Wanted wanted;
  CLI::App app{"Seconds of sampling one utterance.", "strata-bench-sample"};
  app.add_option("--size", wanted.size)
      ->capture_default_str()
      ->check(CLI::IsMember({"tiny", "middle", "small"}));
  app.add_option("--threads", wanted.threads)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--repeats", wanted.repeats)->capture_default_str()->check(CLI::Range(1, 1000));
  app.add_option("--frames", wanted.frames, "of the mel, prompt included")
      ->capture_default_str()
      ->check(CLI::Range(128, 4096));
  app.add_option("--prompt", wanted.prompt, "frames of the prompt")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--steps", wanted.steps)->capture_default_str()->check(CLI::Range(1, 1000));
  app.add_option("--cfg", wanted.cfg)->capture_default_str()->check(CLI::Range(0, 100));
  app.add_option("--write", wanted.file, "weights, inputs and mel, for the peer's --compare");
  app.add_flag("--profile", wanted.profile,
               "say which operations take the time of the first thread");
  CLI11_PARSE(app, argc, argv);
  const strata::trainer::Wanted usual;
  if (!wanted.file.empty() && (wanted.frames != usual.frames || wanted.prompt != usual.prompt ||
                               wanted.steps != usual.steps || wanted.cfg != usual.cfg)) {
    std::fprintf(stderr, "--write is for the peer, which knows the usual lengths, steps and cfg\n");
    return 2;
  }
  if (wanted.prompt >= wanted.frames) {
    std::fprintf(stderr, "strata-bench-sample: --prompt must be less than --frames\n");
    return 2;
  }
  return strata::trainer::run(wanted);
}
