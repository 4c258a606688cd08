// `strata-trainer check` and the start of `strata-trainer train` as processes: what is refused
// before the first update, and training from given weights, stopped and gone on with.
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "tests/integration/trainer_runs.h"
#include "tests/support/temporary_folder.h"

namespace strata {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr int kSucceeded = 0, kInvalid = 2, kStopped = 4;  // docs/stages.md
constexpr auto kPatience = 120s;

const Value kModel = tone_model(2, 1);

class TrainerStart : public ::testing::Test {
 protected:
  void SetUp() override {
    share_the_machine();
    write("prepare", Object{{"parameters", tone_corpus(temporary_ / "source", 10, spelled)},
                            {"outputs", Object{{"corpus", path("corpus")}}}});
    ASSERT_EQ(run("prepare", "prepare"), kSucceeded) << log("prepare");
  }
  static std::string spelled(int i) {
    return "ton" + std::string(static_cast<std::size_t>(i + 1), 'e');
  }

  [[nodiscard]] std::string path(const std::string& name) const {
    return (temporary_ / name).string();
  }
  [[nodiscard]] std::string log(const std::string& name) const {
    return read_file(temporary_ / name / "log.txt").value_or("");
  }
  [[nodiscard]] std::string out(const std::string& name) const {
    return read_file(temporary_ / name / "out.txt").value_or("");
  }

  void write(const std::string& name, Object spec) {
    ASSERT_NO_FATAL_FAILURE(write_spec(temporary_ / name, std::move(spec)));
  }
  // Of a training in a folder of its own; `train` and `inputs` are laid over what is usual.
  void write_training(const std::string& name, const Object& train, const Object& inputs = {},
                      const std::string& resume = {}) {
    Object recipe{
        {"updates", 30},       {"batch", 4},
        {"lr", 2e-3},          {"warmup", 5},
        {"progress_every", 1}, {"ema", Object{{"update_after", 10}, {"update_every", 2}}}};
    for (const auto& [key, value] : train) recipe.insert_or_assign(key, value);
    Object all{{"corpus", path("corpus")}};
    for (const auto& [key, value] : inputs) all.insert_or_assign(key, value);
    write(name, Object{{"parameters", Object{{"model", kModel}, {"train", std::move(recipe)}}},
                       {"inputs", std::move(all)},
                       {"outputs", training_outputs(temporary_ / name)},
                       {"resume", resume.empty() ? Value() : Value(resume)}});
  }

  std::int64_t start(const std::string& name, const std::string& subcommand,
                     const std::vector<std::string>& more = {}) {
    Command command = trainer_command(temporary_ / name, subcommand);
    command.stdout_file = temporary_ / name / "out.txt";
    fs::remove(temporary_ / name / "out.txt");
    command.argv.insert(command.argv.end(), more.begin(), more.end());
    const auto pid = spawn(command);
    EXPECT_TRUE(pid.has_value()) << pid.error().message;
    return pid.value_or(0);
  }
  int run(const std::string& name, const std::string& subcommand,
          const std::vector<std::string>& more = {}) {
    return wait_exit(static_cast<pid_t>(start(name, subcommand, more)))->code;
  }

  // Held-out losses of the early or the last weights, by item.
  std::map<std::string, Value> heldout(const std::string& name, const std::string& which) {
    std::map<std::string, Value> losses;
    std::istringstream lines(
        read_file(temporary_ / name / "out/validation/validation.jsonl").value_or(""));
    for (std::string text; std::getline(lines, text);) {
      const Value line = parse_json(text).value();
      if (*line.find("which") == Value(which))
        losses.emplace(*line.find("id")->if_string(), *line.find("loss"));
    }
    return losses;
  }
  [[nodiscard]] std::string weights(const std::string& name) const {
    return read_file(temporary_ / name / "out/weights/model.safetensors").value_or(name);
  }

  testing::TemporaryFolder temporary_;
};

TEST_F(TrainerStart, CheckPrintsAReportAndItsExitCodeSaysWhetherTrainWouldBegin) {
  write_training("sound", {});
  EXPECT_EQ(run("sound", "check"), kSucceeded) << log("sound");
  EXPECT_NE(out("sound").find("nothing speaks against this training"), std::string::npos)
      << out("sound");
  EXPECT_FALSE(fs::exists(temporary_ / "sound/progress.jsonl"));
  EXPECT_EQ(run("sound", "check", {"--json"}), kSucceeded);
  EXPECT_EQ(*parse_json(out("sound"))->find("feasible"), Value(true)) << out("sound");

  write_training("wrong", {{"batch", 100}});
  EXPECT_EQ(run("wrong", "check"), kInvalid);
  EXPECT_NE(out("wrong").find("too_few_items"), std::string::npos) << out("wrong");
  EXPECT_NE(out("wrong").find("1 error, 0 warnings: `train` refuses it"), std::string::npos);
  EXPECT_EQ(run("wrong", "check", {"--json"}), kInvalid);
  EXPECT_EQ(*parse_json(out("wrong"))->find("feasible"), Value(false));
  EXPECT_EQ(run("wrong", "check", {"--yaml"}), kInvalid);
}

TEST_F(TrainerStart, TrainRefusesWhatTheCheckRefusesBeforeItsFirstUpdate) {
  write_training("wrong", {{"batch", 100}});
  EXPECT_EQ(run("wrong", "train"), kInvalid);
  EXPECT_NE(log("wrong").find("this training cannot work: the corpus has 7 training items"),
            std::string::npos)
      << log("wrong");
  EXPECT_FALSE(fs::exists(temporary_ / "wrong/progress.jsonl"));
}

// The characters of the held-out items that the vocabulary lacks are a warning: the run goes on.
TEST_F(TrainerStart, TrainSaysWarningsInItsLogAndGoesOn) {
  std::string vocabulary = read_file(temporary_ / "corpus/vocab.txt").value();
  ASSERT_EQ(vocabulary.substr(vocabulary.size() - 2), "t\n");
  vocabulary.resize(vocabulary.size() - 2);
  fs::permissions(temporary_ / "corpus/vocab.txt", fs::perms::owner_write, fs::perm_options::add);
  ASSERT_TRUE(write_file_unsynced(temporary_ / "corpus/vocab.txt", vocabulary));
  write_training("warned", {{"updates", 6}});
  EXPECT_EQ(run("warned", "train"), kSucceeded) << log("warned");
  EXPECT_NE(log("warned").find("training items hold what the vocabulary lacks: 't', 7 times"),
            std::string::npos)
      << log("warned");
}

TEST_F(TrainerStart, WithoutALearningRateTheGivenWeightsStayAsTheyAre) {
  write_training("first", {});
  ASSERT_EQ(run("first", "train"), kSucceeded) << log("first");
  write_training("still", {{"lr", 0}, {"updates", 6}, {"seed_data", 8}},
                 {{"init", path("first/out/weights")}});
  ASSERT_EQ(run("still", "train"), kSucceeded) << log("still");
  EXPECT_TRUE(weights("still") == weights("first"));
  EXPECT_EQ(heldout("still", "early"), heldout("first", "last"));
  EXPECT_EQ(heldout("still", "last"), heldout("first", "last"));
  EXPECT_EQ(heldout("still", "last").size(), 3U);
}

TEST_F(TrainerStart, StoppedAndGoneOnWithFromGivenWeightsItEndsBitForBit) {
  write_training("first", {{"updates", 6}});
  ASSERT_EQ(run("first", "train"), kSucceeded) << log("first");
  const Object init{{"init", path("first/out/weights")}};
  write_training("whole", {{"updates", 60}}, init);
  ASSERT_EQ(run("whole", "train"), kSucceeded) << log("whole");
  write_training("without", {{"updates", 60}});
  ASSERT_EQ(run("without", "train"), kSucceeded);
  EXPECT_FALSE(weights("without") == weights("whole"));

  write_training("stopped", {{"updates", 60}}, init);
  const auto pid = static_cast<pid_t>(start("stopped", "train"));
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (read_file(temporary_ / "stopped/progress.jsonl").value_or("").find("\"step\":9") ==
         std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    std::this_thread::sleep_for(1ms);
  }
  ::kill(pid, SIGTERM);
  ASSERT_EQ(wait_exit(pid)->code, kStopped) << log("stopped");
  write_training("rest", {{"updates", 60}}, init, path("stopped/checkpoints"));
  ASSERT_EQ(run("rest", "train"), kSucceeded) << log("rest");
  EXPECT_TRUE(weights("rest") == weights("whole"));

  // Other weights to start from are another recipe, and so are none.
  write_training("other", {{"updates", 60}}, {{"init", path("first/out/weights_early")}},
                 path("stopped/checkpoints"));
  EXPECT_EQ(run("other", "train"), kInvalid);
  EXPECT_NE(log("other").find("init is"), std::string::npos) << log("other");
  write_training("none", {{"updates", 60}}, {}, path("stopped/checkpoints"));
  EXPECT_EQ(run("none", "train"), kInvalid);
  EXPECT_NE(log("none").find("init is absent"), std::string::npos) << log("none");
}

}  // namespace
}  // namespace strata
