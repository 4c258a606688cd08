// How fast a training step is and how much memory it takes: the real training loop over made-up
// utterances of equal length, with both A-DMA heads, dropout, clipping, AdamW and the average. Its
// peer does the same with the model classes of the f5-tts package
// (tests/bench/peers/f5_tts_peer.py).
//
//   strata-bench-train --size middle --threads 1 --updates 12
//   mpirun -n 2 strata-bench-train --size middle      (the batch is shared by the ranks)
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>

#include "base/torch/runtime.h"
#include "base/torch/torch.h"
#include "tests/bench/torch_bench.h"
#include "trainer/collective/communicator.h"
#include "trainer/models/acoustic_model.h"
#include "trainer/training_loop.h"

namespace strata::trainer {
namespace {

constexpr double kTeacherRatio = 50 / 93.75;  // teacher frames for each mel frame
constexpr std::int64_t kTeacherWidth = 1024;

void need(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "strata-bench-train: %s\n", status.error().message.c_str());
  std::exit(1);
}

std::vector<Utterance> made_up(std::int64_t count, std::int64_t frames) {
  torch::manual_seed(1);
  const auto teacher = static_cast<std::int64_t>(static_cast<double>(frames) * kTeacherRatio);
  std::vector<Utterance> utterances;
  for (std::int64_t i = 0; i < count; ++i) {
    Utterance one{.id = fmt::format("u{:04}", i)};
    one.mel = torch::randn({frames, kMel});
    one.features = torch::randn({teacher, kTeacherWidth});
    one.text = made_up_text(i);
    one.seconds = static_cast<double>(frames) * kFrameSeconds;
    utterances.push_back(std::move(one));
  }
  return utterances;
}

struct Wanted {
  std::string size = "middle";
  int threads = 1;
  std::int64_t updates = 12;
  bool recompute = false;
  bool bf16 = false;
  std::int64_t frames = kFrames;
  std::int64_t batch = 0;  // 0: that of the size
  bool heads = true;
  bool unett = false;
  std::string masks = "original";
  bool profile = false;
};

int run(const Wanted& wanted) {
  Size size = size_named(wanted.size);
  if (wanted.batch > 0) size.batch = wanted.batch;
  need(set_up_torch(wanted.threads));
  auto communicator = started_by_mpirun() ? make_mpi_communicator() : make_single_communicator();
  if (!communicator) need(tl::unexpected(communicator.error()));
  const std::vector<Utterance> train = made_up(2 * size.batch, wanted.frames);
  const std::vector<Utterance> heldout = made_up(2, 16);  // short: no part of what is measured
  const double before = memory("VmRSS");
  ModelConfig config = model_config(size);
  if (wanted.unett) {  // as E2-TTS
    config.architecture = Architecture::kUnett;
    config.ff_mult = 4;
    config.text_dim = kMel;
    config.conv_layers = 0;
  }
  if (wanted.masks != "original") config.masks = Masks::kUpstream;
  config.attention_mask = wanted.masks == "keys";
  AlignConfig align;
  if (wanted.heads) align.text = {{.layer = size.text_layer}};
  if (wanted.heads) align.speech = {{.layer = size.speech_layer}};
  align.hidden = size.hidden;
  align.speech_width = kTeacherWidth;
  AcousticModel model(config, align, 1);
  TrainOptions options;
  options.updates = wanted.updates;
  options.batch = size.batch;
  options.schedule = {.base = 1e-4, .warmup = 1, .total = wanted.updates};
  options.draw.dropout = config.dropout;
  options.recompute = wanted.recompute;
  if (wanted.bf16) options.precision = Precision::kBfloat16;
  options.progress_every = 1;
  const SystemClock clock;
  std::vector<double> seconds;
  std::vector<double> busy;
  Instant last = clock.now();
  double busy_before = processor_seconds(CLOCK_PROCESS_CPUTIME_ID);
  TrainingLoop loop(model, train, heldout, **communicator, clock, options,
                    {.progress = [&](std::int64_t, const Metrics& metrics) -> Status {
                      const Instant now = clock.now();
                      const double busy_now = processor_seconds(CLOCK_PROCESS_CPUTIME_ID);
                      if (metrics.contains("loss")) {
                        seconds.push_back(std::chrono::duration<double>(now - last).count());
                        busy.push_back(busy_now - busy_before);
                      }
                      last = now;
                      busy_before = busy_now;
                      return {};
                    }});
  if (wanted.profile) OpTimes::start();
  const auto ending = loop.run();
  if (!ending) need(tl::unexpected(ending.error()));
  if ((*communicator)->rank() != 0) return 0;
  // The first one warms up, one measures the early weights, and held-out losses follow the last.
  std::ranges::sort(seconds);
  std::ranges::sort(busy);
  const double median = seconds[seconds.size() / 2];
  std::printf("seconds a step        %10.4f\n", median);
  std::printf("least                 %10.4f\n", seconds.front());
  std::printf("least of the processor%10.4f\n", busy.front());
  std::printf("frames a second       %10.1f\n",
              static_cast<double>(size.batch * wanted.frames) / median);
  std::printf("parameters            %10lld\n", static_cast<long long>(model.parameter_count()));
  std::printf("peak, MiB             %10.1f\n", memory("VmHWM"));
  std::printf("  above the start     %10.1f\n", memory("VmHWM") - before);
  if (wanted.profile) OpTimes::print();
  return 0;
}

}  // namespace
}  // namespace strata::trainer

int main(int argc, char** argv) {
  strata::trainer::Wanted wanted;
  CLI::App app{"Seconds and memory of a training step.", "strata-bench-train"};
  app.add_option("--size", wanted.size)
      ->capture_default_str()
      ->check(CLI::IsMember({"tiny", "middle", "small"}));
  app.add_option("--threads", wanted.threads)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--updates", wanted.updates)->capture_default_str()->check(CLI::Range(6, 10'000));
  app.add_option("--frames", wanted.frames, "of every utterance")
      ->capture_default_str()
      ->check(CLI::Range(32, 1 << 16));
  app.add_option("--batch", wanted.batch, "utterances of an update; 0: that of the size")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_flag("!--no-heads", wanted.heads, "no alignment heads");
  app.add_flag("--unett", wanted.unett, "E2-TTS's network of that size");
  app.add_option("--masks", wanted.masks, "keys: upstream with attention_mask")
      ->capture_default_str()
      ->check(CLI::IsMember({"original", "upstream", "keys"}));
  app.add_flag("--recompute", wanted.recompute, "blocks again in the backward pass");
  app.add_flag("--bf16", wanted.bf16, "matrix products in bfloat16");
  app.add_flag("--profile", wanted.profile,
               "say which operations take the time of the first thread");
  CLI11_PARSE(app, argc, argv);
  return strata::trainer::run(wanted);
}
