// `strata-trainer train` as a process whose corpus does not fit into memory: what comes out is what
// a run gives that holds it, and what is damaged ends the gang with its name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <sstream>

#include "base/files.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "tests/integration/trainer_runs.h"
#include "tests/support/temporary_folder.h"

namespace strata {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr int kInvalid = 2;  // docs/stages.md
constexpr int kUpdates = 12;
const Value kModel = tone_model(2, 1);

class TrainerLoading : public ::testing::Test {
 protected:
  void SetUp() override {
    share_the_machine();
    Object parameters = tone_corpus(temporary_ / "source", 10, tone_letter);
    ASSERT_EQ(run("prepare", "prepare",
                  Object{{"parameters", std::move(parameters)},
                         {"outputs", Object{{"corpus", (temporary_ / "corpus").string()}}}}),
              0);
  }

  // The exit code of a process in an attempt folder of its own.
  int run(const std::string& name, const std::string& stage, Object spec, int ranks = 1) {
    write_spec(temporary_ / name, std::move(spec), ranks);
    const auto pid = spawn(trainer_command(temporary_ / name, stage, ranks));
    EXPECT_TRUE(pid.has_value());
    return pid ? wait_exit(*pid).value().code : -1;
  }

  int train(const std::string& name, const Object& changes, int ranks = 1) {
    Object recipe{
        {"updates", kUpdates}, {"batch", 4}, {"lr", 2e-3}, {"warmup", 3}, {"progress_every", 1}};
    for (const auto& [key, value] : changes) recipe.insert_or_assign(key, value);
    return run(name, "train",
               Object{{"parameters", Object{{"model", kModel}, {"train", std::move(recipe)}}},
                      {"inputs", Object{{"corpus", (temporary_ / "corpus").string()}}},
                      {"outputs", training_outputs(temporary_ / name)}},
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
