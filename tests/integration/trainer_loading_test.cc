// `strata-trainer train` as a process whose corpus does not fit into memory: what comes out is what
// a run gives that holds it, and what is damaged ends the gang with its name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <numbers>
#include <sstream>

#include "base/audio/audio_file.h"
#include "base/files.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "tests/support/temporary_folder.h"

namespace strata {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr int kInvalid = 2;  // docs/stages.md
constexpr int kUpdates = 12;
const std::string kTrainer = STRATA_BINARY_DIR "/bin/strata-trainer";
const Value kModel = Object{{"dim", 32},      {"depth", 2},       {"heads", 2},    {"dim_head", 16},
                            {"text_dim", 16}, {"conv_layers", 1}, {"dropout", 0.1}};

class TrainerLoading : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("OMP_NUM_THREADS", "1", 1);
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    ::setenv("OMPI_MCA_mpi_yield_when_idle", "1", 1);
    std::string list;
    ASSERT_TRUE(make_folder(temporary_ / "source"));
    for (int i = 0; i < 10; ++i) {
      std::vector<float> samples;
      for (int n = 0; n < 16'000 * (6 + i % 4) / 10; ++n) {
        const double hz = 150 + 30 * i + 0.01 * n;
        samples.push_back(
            static_cast<float>(0.4 * std::sin(2 * std::numbers::pi * hz * n / 16'000)));
      }
      const std::string name = "tone" + std::to_string(i) + ".wav";
      ASSERT_TRUE(write_wav(temporary_ / "source" / name, samples, 16'000));
      list +=
          to_canonical_json(Object{{"audio", name},
                                   {"speaker", "ann"},
                                   {"text", std::string("tone ") + static_cast<char>('a' + i)}}) +
          "\n";
    }
    ASSERT_TRUE(write_file_unsynced(temporary_ / "source" / "list.jsonl", list));
    const Value parameters =
        Object{{"corpus", Object{{"kind", "list"},
                                 {"file", (temporary_ / "source" / "list.jsonl").string()},
                                 {"seconds", Array{0.5, 2.0}},
                                 {"heldout", 3}}}};
    ASSERT_EQ(run("prepare", "prepare",
                  Object{{"parameters", parameters},
                         {"outputs", Object{{"corpus", (temporary_ / "corpus").string()}}}}),
              0);
  }

  // The exit code of a process in an attempt folder of its own.
  int run(const std::string& name, const std::string& stage, Object spec, int ranks = 1) {
    spec.emplace("contract", 1);
    spec.emplace("seed", 3);
    spec.emplace("ranks", ranks);
    const fs::path attempt = temporary_ / name;
    EXPECT_TRUE(make_folder(attempt / "out"));
    EXPECT_TRUE(write_file_unsynced(attempt / "spec.json", to_pretty_json(Value(std::move(spec)))));
    Command command{.argv = {kTrainer, stage, (attempt / "spec.json").string()},
                    .folder = attempt,
                    .stdout_file = attempt / "log.txt",
                    .stderr_file = attempt / "log.txt",
                    .own_session = true};
    if (ranks > 1) {
      const std::vector<std::string> mpirun{"mpirun",          "-n",        std::to_string(ranks),
                                            "--oversubscribe", "--bind-to", "none"};
      command.argv.insert(command.argv.begin(), mpirun.begin(), mpirun.end());
    }
    const auto pid = spawn(command);
    EXPECT_TRUE(pid.has_value());
    return pid ? wait_exit(*pid).value().code : -1;
  }

  int train(const std::string& name, const Object& changes, int ranks = 1) {
    Object outputs;
    for (const char* output : {"weights", "weights_early", "validation"})
      outputs.emplace(output, (temporary_ / name / "out" / output).string());
    Object recipe{
        {"updates", kUpdates}, {"batch", 4}, {"lr", 2e-3}, {"warmup", 3}, {"progress_every", 1}};
    for (const auto& [key, value] : changes) recipe.insert_or_assign(key, value);
    return run(name, "train",
               Object{{"parameters", Object{{"model", kModel}, {"train", std::move(recipe)}}},
                      {"inputs", Object{{"corpus", (temporary_ / "corpus").string()}}},
                      {"outputs", std::move(outputs)}},
               ranks);
  }

  [[nodiscard]] std::string text_of(const std::string& name) const {
    return read_file(temporary_ / name).value_or("");
  }
  void expect_same_outputs(const std::string& name, const std::string& as) {
    for (const char* file : {"weights/model.safetensors", "weights/model.json",
                             "weights_early/model.safetensors", "validation/validation.jsonl"}) {
      const std::string ours = text_of(name + "/out/" + file);
      ASSERT_FALSE(ours.empty()) << file;
      EXPECT_TRUE(ours == text_of(as + "/out/" + file)) << file;
    }
  }

  testing::TemporaryFolder temporary_;
};

const Value kFromDisk = Object{{"memory_gib", 0}, {"threads", 2}, {"batches", 3}};

TEST_F(TrainerLoading, WithoutMemoryForTheCorpusTheResultIsTheSameBytes) {
  // On two ranks they share the pass over all mels.
  for (const auto& [normalise, ranks] : {std::pair("corpus", 1), {"corpus", 2}, {"none", 1}}) {
    const std::string held = fmt::format("held-{}-{}", normalise, ranks);
    const std::string read = fmt::format("read-{}-{}", normalise, ranks);
    ASSERT_EQ(train(held, {{"normalise", normalise}}, ranks), 0) << text_of(held + "/log.txt");
    ASSERT_EQ(train(read, {{"normalise", normalise}, {"loading", kFromDisk}}, ranks), 0)
        << text_of(read + "/log.txt");
    EXPECT_THAT(text_of(read + "/log.txt"), HasSubstr("0 may be used: the rest is read"));
    expect_same_outputs(read, held);
    std::istringstream progress(text_of(read + "/progress.jsonl"));
    int told = 0;
    for (std::string line; std::getline(progress, line);)
      told += line.find("\"data_wait_seconds\"") != std::string::npos ? 1 : 0;
    EXPECT_EQ(told, kUpdates);
  }
}

TEST_F(TrainerLoading, ARecordingThatIsFoundDamagedLateEndsAllRanksWithItsName) {
  std::string manifest = text_of("corpus/manifest.jsonl");
  std::string broken;
  std::istringstream lines(manifest);
  for (std::string line; std::getline(lines, line) && broken.empty();) {
    const Value item = parse_json(line).value();
    if (*item.find("split") == Value("train")) broken = *item.find("audio")->if_string();
  }
  ASSERT_TRUE(write_file_atomic(temporary_ / "corpus" / broken, "no sound"));
  for (const int ranks : {1, 2}) {
    const std::string name = "damaged" + std::to_string(ranks);
    EXPECT_EQ(train(name, {{"normalise", "none"}, {"loading", kFromDisk}}, ranks), kInvalid)
        << text_of(name + "/log.txt");
    EXPECT_THAT(text_of(name + "/log.txt"), HasSubstr("reading audio"));
    EXPECT_THAT(text_of(name + "/log.txt"), HasSubstr((temporary_ / "corpus" / broken).string()));
    EXPECT_FALSE(fs::exists(temporary_ / name / "out" / "weights"));
  }
}

}  // namespace
}  // namespace strata
