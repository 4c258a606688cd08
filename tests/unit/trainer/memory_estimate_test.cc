// The closed form of the parameters against the models themselves and the published counts; the
// estimate of a pass against measured peaks.
#include "trainer/memory_estimate.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temporary_folder.h"
#include "tests/unit/trainer/synthetic.h"
#include "trainer/machine_memory.h"

namespace strata::trainer {
namespace {

std::int64_t all_parameters(const ModelConfig& model, const AlignConfig& align) {
  return backbone_parameters(model) + head_parameters(model, align);
}

void expect_as_the_model_has(const ModelConfig& model, const AlignConfig& align, const char* what) {
  AcousticModel real(model, align, 1);
  std::int64_t backbone = 0;
  for (const at::Tensor& parameter : real.backbone().parameters()) backbone += parameter.numel();
  EXPECT_EQ(backbone_parameters(model), backbone) << what;
  EXPECT_EQ(all_parameters(model, align), real.parameter_count()) << what;
}

TEST(ParameterCount, IsThatOfTheRealModelWhateverItsSwitches) {
  AlignConfig several = tiny_align();
  several.text.push_back({.layer = 3});
  several.speech.push_back({.layer = 1});
  several.speech.push_back({.layer = 3});
  expect_as_the_model_has(tiny_config(), {}, "without heads");
  expect_as_the_model_has(tiny_config(), tiny_align(), "with heads");
  expect_as_the_model_has(tiny_config(), several, "with several");
  ModelConfig dit = tiny_config();
  dit.long_skip = true;
  dit.qk_norm = true;
  dit.ff_mult = 3;
  dit.heads = 3;
  dit.conv_layers = 0;
  expect_as_the_model_has(dit, tiny_align(), "long skip, odd sizes");
  for (const SkipConnection skip :
       {SkipConnection::kConcat, SkipConnection::kAdd, SkipConnection::kNone}) {
    ModelConfig unett = tiny_config();
    unett.architecture = Architecture::kUnett;
    unett.depth = 4;
    unett.skip = skip;
    expect_as_the_model_has(unett, several, "unett");
  }
}

ModelConfig f5(std::int64_t dim, std::int64_t depth, std::int64_t heads, std::int64_t vocabulary) {
  return {.dim = dim, .depth = depth, .heads = heads, .vocabulary = vocabulary};
}

ModelConfig e2(std::int64_t dim, std::int64_t depth, std::int64_t heads, std::int64_t vocabulary) {
  ModelConfig model = f5(dim, depth, heads, vocabulary);
  model.architecture = Architecture::kUnett;
  model.ff_mult = 4;
  model.text_dim = 100;
  model.conv_layers = 0;
  return model;
}

// Measured on the published code.
TEST(ParameterCount, IsThatOfThePublishedModels) {
  EXPECT_EQ(backbone_parameters(f5(768, 18, 12, 78)), 157'965'668);
  EXPECT_EQ(backbone_parameters(f5(768, 18, 12, 256)), 158'056'804);
  EXPECT_EQ(backbone_parameters(f5(768, 18, 12, 2545)), 159'228'772);
  EXPECT_EQ(backbone_parameters(f5(1024, 22, 16, 256)), 335'924'836);
  EXPECT_EQ(backbone_parameters(e2(768, 20, 12, 78)), 156'915'008);
  EXPECT_EQ(backbone_parameters(e2(1024, 24, 16, 2545)), 333'470'444);
  const AlignConfig heads{.text = {{.layer = 8}}, .speech = {{.layer = 12}}};
  EXPECT_EQ(all_parameters(f5(768, 18, 12, 78), heads), 194'855'348);
}

// One run of strata-bench-train --updates 6 on one thread: what it was told, and its peak.
struct Measured {
  const char* size = "";
  std::int64_t batch = 0, frames = 0;
  double peak_mib = 0;
  bool recompute = false, unett = false, heads = true, upstream = false, keys = false,
       bfloat16 = false;
};
constexpr Measured kMeasured[] = {
    {.size = "tiny", .batch = 8, .frames = 512, .peak_mib = 371.3},
    {.size = "tiny", .batch = 32, .frames = 512, .peak_mib = 1011.7},
    {.size = "tiny", .batch = 32, .frames = 512, .peak_mib = 720.9, .recompute = true},
    {.size = "middle", .batch = 8, .frames = 512, .peak_mib = 1078.2},
    {.size = "middle", .batch = 8, .frames = 512, .peak_mib = 634.6, .recompute = true},
    {.size = "middle", .batch = 2, .frames = 512, .peak_mib = 562.2},
    {.size = "middle", .batch = 16, .frames = 512, .peak_mib = 1786.4},
    {.size = "middle", .batch = 4, .frames = 1024, .peak_mib = 1078.5},
    {.size = "middle", .batch = 8, .frames = 512, .peak_mib = 910.0, .heads = false},
    {.size = "middle", .batch = 8, .frames = 512, .peak_mib = 1030.2, .unett = true},
    {.size = "middle",
     .batch = 8,
     .frames = 512,
     .peak_mib = 588.4,
     .recompute = true,
     .unett = true},
    {.size = "middle", .batch = 8, .frames = 512, .peak_mib = 1076.8, .upstream = true},
    {.size = "middle", .batch = 8, .frames = 512, .peak_mib = 1270.9, .keys = true},
    {.size = "middle", .batch = 4, .frames = 1024, .peak_mib = 1465.3, .keys = true},
    {.size = "middle", .batch = 16, .frames = 512, .peak_mib = 891.2, .recompute = true},
    {.size = "small", .batch = 1, .frames = 512, .peak_mib = 5097.8},
    {.size = "small", .batch = 1, .frames = 512, .peak_mib = 4710.7, .recompute = true},
    {.size = "small", .batch = 1, .frames = 1024, .peak_mib = 5560.6},
    {.size = "tiny", .batch = 32, .frames = 512, .peak_mib = 896.2, .bfloat16 = true},
    {.size = "middle", .batch = 8, .frames = 512, .peak_mib = 916.8, .bfloat16 = true},
    {.size = "middle", .batch = 16, .frames = 512, .peak_mib = 1392.1, .bfloat16 = true},
    {.size = "middle", .batch = 4, .frames = 1024, .peak_mib = 912.5, .bfloat16 = true},
    {.size = "middle",
     .batch = 8,
     .frames = 512,
     .peak_mib = 640.5,
     .recompute = true,
     .bfloat16 = true},
    {.size = "middle",
     .batch = 8,
     .frames = 512,
     .peak_mib = 1006.6,
     .keys = true,
     .bfloat16 = true},
    {.size = "middle",
     .batch = 8,
     .frames = 512,
     .peak_mib = 888.2,
     .unett = true,
     .bfloat16 = true},
    {.size = "small", .batch = 1, .frames = 512, .peak_mib = 5338.2, .bfloat16 = true},
    {.size = "small", .batch = 1, .frames = 1024, .peak_mib = 5644.6, .bfloat16 = true},
};
// docs/models.md says so.
constexpr double kSaidError = 0.10;

// As tests/bench/train_bench.cc has them.
ModelConfig bench_model(const Measured& m) {
  const std::string size = m.size;
  ModelConfig model = f5(768, 18, 12, 78);
  if (size == "middle") model = f5(256, 6, 4, 78);
  if (size == "tiny") model = f5(64, 2, 2, 78);
  if (size != "small") model.text_dim = model.dim;
  if (m.unett) model = e2(model.dim, model.depth, model.heads, 78);
  if (m.upstream || m.keys) model.masks = Masks::kUpstream;
  model.attention_mask = m.keys;
  return model;
}

constexpr double kBatchesAhead = 3;  // TrainOptions::loading_batches, and the one that is taken

AlignConfig bench_align(const Measured& m) {
  const std::string size = m.size;
  if (!m.heads) return {};
  return {.text = {{.layer = 1}},
          .speech = {{.layer = 2}},
          .hidden = size == "small"    ? 2048
                    : size == "middle" ? 512
                                       : 64};
}

MemoryEstimate bench_estimate(const Measured& m) {
  const auto teacher = static_cast<std::int64_t>(static_cast<double>(m.frames) * 50 / 93.75);
  const double one =
      4 * static_cast<double>(100 * m.frames + 1024 * teacher);  // bytes of an utterance
  return estimate_memory(
      bench_model(m), bench_align(m),
      {.utterances = m.batch, .frames = m.frames, .teacher_frames = m.heads ? teacher : 0},
      {.recompute = m.recompute, .bfloat16 = m.bfloat16},
      {.corpus =
           one * static_cast<double>(2 * m.batch) + 2 * one * 16 / static_cast<double>(m.frames),
       .batches = kBatchesAhead * one * static_cast<double>(m.batch)});
}

TEST(MemoryEstimate, IsWithinItsSaidErrorOfMeasuredPeaks) {
  for (const Measured& m : kMeasured) {
    const MemoryEstimate estimate = bench_estimate(m);
    // Without a checkpoint, which the bench does not write.
    const double mib = (estimate.program + estimate.held.corpus + estimate.held.batches +
                        estimate.fixed() + estimate.activations) /
                       (1 << 20);
    EXPECT_NEAR(mib / m.peak_mib, 1, kSaidError) << fmt::format(
        "{} {} x {}: {:.0f} MiB, measured {:.0f}", m.size, m.batch, m.frames, mib, m.peak_mib);
  }
}

TEST(MemoryEstimate, GrowsWithWhatAForwardTakesAndShrinksWithRecompute) {
  const ModelConfig model = bench_model({.size = "middle"});
  const auto peak = [&](std::int64_t utterances, std::int64_t frames, bool recompute) {
    return estimate_memory(model, {}, {.utterances = utterances, .frames = frames},
                           {.recompute = recompute}, {})
        .activations;
  };
  EXPECT_LT(peak(4, 512, false), peak(8, 512, false));
  EXPECT_LT(peak(4, 512, false), peak(4, 600, false));
  EXPECT_LT(peak(8, 512, true), 0.5 * peak(8, 512, false));
  const auto bfloat16 = estimate_memory(model, {}, {.utterances = 8, .frames = 512},
                                        {.recompute = false, .bfloat16 = true}, {});
  EXPECT_LT(bfloat16.activations, peak(8, 512, false));
}

TEST(MachineMemory, IsTheLessOfTheMachineAndTheControlGroup) {
  const testing::TemporaryFolder temporary;
  const auto write = [&](const char* file, const std::string& text) {
    std::ofstream(temporary / file) << text;
  };
  write("meminfo", "MemTotal:       2048 kB\nMemFree: 1 kB\nMemAvailable:    1024 kB\n");
  const Cgroup free({}, temporary.path());
  EXPECT_EQ(machine_memory(free, temporary / "meminfo").total, 2048 * 1024);
  EXPECT_EQ(machine_memory(free, temporary / "meminfo").available, 1024 * 1024);
  write("memory.max", "1000000\n");
  write("memory.current", "300000\n");
  const Cgroup limited({.unified = "/"}, temporary.path());
  EXPECT_EQ(machine_memory(limited, temporary / "meminfo").total, 1'000'000);
  EXPECT_EQ(machine_memory(limited, temporary / "meminfo").available, 700'000);
  EXPECT_FALSE(machine_memory(free, temporary / "nowhere").total);
}

TEST(MachineMemory, RanksOfThisMachineAreThoseThatMpirunSays) {
  ::unsetenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  EXPECT_EQ(ranks_here(8), 8);
  ::setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "4", 1);
  EXPECT_EQ(ranks_here(8), 4);
  ::unsetenv("OMPI_COMM_WORLD_LOCAL_SIZE");
}

}  // namespace
}  // namespace strata::trainer
