// `strata-trainer train` as a process, by the stage contract: stopped politely, killed, and handed
// a damaged checkpoint. What comes out in the end is what an undisturbed process gives.
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <cstring>
#include <numbers>
#include <sstream>
#include <thread>

#include "base/audio/audio_file.h"
#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "tests/support/temporary_folder.h"

namespace strata {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr int kUpdates = 100;
constexpr int kCheckpointEvery = 8;
constexpr int kStopped = 4;  // docs/stages.md
constexpr int kInvalid = 2;
constexpr double kRanksTolerance = 1e-4;  // trainer/README.md: sums over ranks
constexpr auto kPatience = 120s;
const std::string kTrainer = STRATA_BINARY_DIR "/bin/strata-trainer";

const Value kModel = Object{{"dim", 32},      {"depth", 3},       {"heads", 2},    {"dim_head", 16},
                            {"text_dim", 16}, {"conv_layers", 2}, {"dropout", 0.1}};

std::int64_t step_of(const Value& line) { return *line.find("step")->if_number()->to_integer(); }

// The complete lines of a progress file.
std::vector<Value> progress_of(const fs::path& attempt) {
  std::vector<Value> lines;
  std::istringstream text(read_file(attempt / "progress.jsonl").value_or(""));
  for (std::string line; std::getline(text, line);) {
    if (auto value = parse_json(line)) lines.push_back(std::move(*value));
  }
  return lines;
}

std::int64_t last_step(const fs::path& attempt) {
  const auto lines = progress_of(attempt);
  return lines.empty() ? 0 : step_of(lines.back());
}

// Of the last checkpoint that was announced; empty when there was none.
fs::path last_checkpoint(const fs::path& attempt) {
  fs::path folder;
  for (const Value& line : progress_of(attempt)) {
    if (const Value* said = line.find("checkpoint")) folder = attempt / *said->if_string();
  }
  return folder;
}

// Losses and the like of each update, without what depends on the clock.
std::map<std::int64_t, Value> series_of(const fs::path& attempt) {
  std::map<std::int64_t, Value> series;
  for (const Value& line : progress_of(attempt)) {
    const Value* metrics = line.find("metrics");
    if (metrics == nullptr || metrics->find("loss") == nullptr) continue;
    Object kept = *metrics->if_object();
    kept.erase("frames_per_second");
    series.emplace(step_of(line), std::move(kept));
  }
  return series;
}

// The numbers of a safetensors file in which all are 32-bit floats.
std::vector<float> numbers_of(const fs::path& file) {
  const std::string bytes = read_file(file).value();
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  const std::size_t begin = sizeof header + header;
  std::vector<float> numbers((bytes.size() - begin) / sizeof(float));
  std::memcpy(numbers.data(), bytes.data() + begin, numbers.size() * sizeof(float));
  return numbers;
}

class TrainerProcess : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("OMP_NUM_THREADS", "1", 1);
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    make_corpus();
  }
  void TearDown() override {
    for (const auto& [attempt, pid] : running_) {
      signal_session(pid, SIGKILL);
      (void)wait_exit(pid);
    }
    if (!HasFailure()) return;
    for (const auto& entry : fs::directory_iterator(temporary_.path())) {
      if (const auto log = read_file(entry.path() / "log.txt"))
        std::cerr << "--- " << entry.path().filename().string() << "\n" << *log;
    }
  }

  // Tones of changing pitch and a little noise: something to learn from, made here.
  void make_corpus() {
    std::string list;
    Random random(5);
    for (int i = 0; i < 14; ++i) {
      std::vector<float> samples;
      for (int n = 0; n < 16'000 * (6 + i % 4) / 10; ++n) {
        const double hz = 150 + 30 * i + 0.01 * n;
        samples.push_back(
            static_cast<float>(0.4 * std::sin(2 * std::numbers::pi * hz * n / 16'000) +
                               0.02 * (random.uniform() - 0.5)));
      }
      const std::string name = "tone" + std::to_string(i) + ".wav";
      ASSERT_TRUE(make_folder(temporary_ / "source"));
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
    start("prepare", "prepare",
          Object{{"parameters", parameters}, {"outputs", Object{{"corpus", path("corpus")}}}});
    ASSERT_EQ(wait("prepare").code, 0);
  }

  [[nodiscard]] std::string path(const std::string& name) const {
    return (temporary_ / name).string();
  }
  [[nodiscard]] fs::path attempt(const std::string& name) const { return temporary_ / name; }

  // A process in a fresh attempt folder and a session of its own.
  void start(const std::string& name, const std::string& stage, Object spec,
             std::int64_t ranks = 1) {
    spec.emplace("contract", 1);
    spec.emplace("seed", 3);
    spec.emplace("ranks", ranks);
    ASSERT_TRUE(make_folder(attempt(name) / "out"));
    ASSERT_TRUE(
        write_file_unsynced(attempt(name) / "spec.json", to_pretty_json(Value(std::move(spec)))));
    Command command{.argv = {kTrainer, stage, (attempt(name) / "spec.json").string()},
                    .folder = attempt(name),
                    .stdout_file = attempt(name) / "log.txt",
                    .stderr_file = attempt(name) / "log.txt",
                    .own_session = true};
    if (ranks > 1) {
      const std::vector<std::string> mpirun{"mpirun",          "-n",        std::to_string(ranks),
                                            "--oversubscribe", "--bind-to", "none"};
      command.argv.insert(command.argv.begin(), mpirun.begin(), mpirun.end());
    }
    const auto pid = spawn(command);
    ASSERT_TRUE(pid.has_value()) << pid.error().message;
    running_[name] = *pid;
  }

  void train(const std::string& name, const fs::path& resume = {}, std::int64_t ranks = 1) {
    Object outputs;
    for (const char* output : {"weights", "weights_early", "validation"})
      outputs.emplace(output, (attempt(name) / "out" / output).string());
    const Value recipe = Object{{"updates", kUpdates},
                                {"batch", 4},
                                {"lr", 2e-3},
                                {"warmup", 10},
                                {"progress_every", 1},
                                {"validate_every", 30},
                                {"checkpoint_every", kCheckpointEvery},
                                {"ema", Object{{"update_after", 10}, {"update_every", 2}}}};
    start(name, "train",
          Object{{"parameters", Object{{"model", kModel}, {"train", recipe}}},
                 {"inputs", Object{{"corpus", path("corpus")}}},
                 {"outputs", std::move(outputs)},
                 {"resume", resume.empty() ? Value() : Value(resume.string())}},
          ranks);
  }

  Exit wait(const std::string& name) {
    const Exit exit = wait_exit(running_.at(name)).value();
    running_.erase(name);
    return exit;
  }

  // Until it has told of so many updates.
  void wait_for_step(const std::string& name, std::int64_t step) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (last_step(attempt(name)) < step) {
      ASSERT_LT(std::chrono::steady_clock::now(), until) << name << " does not get to " << step;
      std::this_thread::sleep_for(2ms);
    }
  }

  void expect_same_outputs(const std::string& name, const std::string& as) {
    for (const char* file :
         {"weights/model.safetensors", "weights/model.json", "weights_early/model.safetensors",
          "weights_early/model.json", "validation/validation.jsonl"}) {
      const auto ours = read_file(attempt(name) / "out" / file);
      const auto theirs = read_file(attempt(as) / "out" / file);
      ASSERT_TRUE(ours && theirs) << file;
      EXPECT_TRUE(*ours == *theirs) << file << " differs between " << name << " and " << as;
    }
  }

  // Every update that `name` tells of was told the same way by `as`, and the last one is the last.
  void expect_same_series(const std::string& name, const std::string& as) {
    const auto ours = series_of(attempt(name));
    const auto theirs = series_of(attempt(as));
    ASSERT_FALSE(ours.empty());
    EXPECT_EQ(ours.rbegin()->first, kUpdates);
    EXPECT_EQ(static_cast<std::int64_t>(ours.size()), kUpdates - ours.begin()->first + 1);
    for (const auto& [step, metrics] : ours) {
      ASSERT_TRUE(theirs.contains(step)) << step;
      EXPECT_EQ(metrics, theirs.at(step)) << "update " << step;
    }
  }

  testing::TemporaryFolder temporary_;
  std::map<std::string, pid_t> running_;
};

TEST_F(TrainerProcess, AskedToStopItLeavesACheckpointFromWhichAnotherEndsBitForBit) {
  train("whole");
  ASSERT_EQ(wait("whole").code, 0);
  train("first");
  ASSERT_NO_FATAL_FAILURE(wait_for_step("first", 40));
  ::kill(running_.at("first"), SIGTERM);
  EXPECT_EQ(wait("first").code, kStopped);
  const Value last = progress_of(attempt("first")).back();
  ASSERT_NE(last.find("checkpoint"), nullptr) << "its last word is a checkpoint";
  const std::int64_t stopped_at = step_of(last);
  EXPECT_GE(stopped_at, 40);
  EXPECT_LT(stopped_at, kUpdates);
  EXPECT_FALSE(fs::exists(attempt("first") / "out" / "weights")) << "no result of half a run";

  train("second", last_checkpoint(attempt("first")));
  ASSERT_EQ(wait("second").code, 0);
  EXPECT_EQ(series_of(attempt("second")).begin()->first, stopped_at + 1);
  expect_same_series("second", "whole");
  expect_same_outputs("second", "whole");
}

TEST_F(TrainerProcess, KilledAgainAndAgainItEndsBitForBitFromItsLastCheckpoint) {
  train("whole");
  ASSERT_EQ(wait("whole").code, 0);
  fs::path resume;
  int life = 0;
  for (const std::int64_t step : {kCheckpointEvery - 3, 30, 55, 80}) {
    const std::string name = "life" + std::to_string(++life);
    train(name, resume);
    ASSERT_NO_FATAL_FAILURE(wait_for_step(name, step));
    ::kill(running_.at(name), SIGKILL);
    EXPECT_EQ(wait(name).signal, SIGKILL);
    if (const auto made = last_checkpoint(attempt(name)); !made.empty()) resume = made;
  }
  ASSERT_FALSE(resume.empty());
  train("last", resume);
  ASSERT_EQ(wait("last").code, 0);
  expect_same_series("last", "whole");
  expect_same_outputs("last", "whole");
}

TEST_F(TrainerProcess, ADamagedCheckpointIsRefusedByNameAndNothingIsWritten) {
  train("first");
  ASSERT_NO_FATAL_FAILURE(wait_for_step("first", kCheckpointEvery + 1));
  ::kill(running_.at("first"), SIGTERM);
  ASSERT_EQ(wait("first").code, kStopped);
  const fs::path sound = last_checkpoint(attempt("first"));
  const auto change = [&](const std::string& name, const std::string& file,
                          const std::function<void(std::string&)>& damage) {
    fs::copy(sound, temporary_ / name);
    std::string bytes = read_file(temporary_ / name / file).value();
    damage(bytes);
    EXPECT_TRUE(write_file_unsynced(temporary_ / name / file, bytes));
    train("with " + name, temporary_ / name);
    EXPECT_EQ(wait("with " + name).code, kInvalid) << name;
    const std::string log = read_file(attempt("with " + name) / "log.txt").value_or("");
    EXPECT_NE(log.find((temporary_ / name).string()), std::string::npos) << log;
    EXPECT_NE(log.find("what was written"), std::string::npos) << log;
    EXPECT_TRUE(fs::is_empty(attempt("with " + name) / "out")) << name;
  };
  change("tensor", "state.safetensors",
         [](std::string& bytes) { bytes[bytes.size() / 2] ^= '\x10'; });
  change("end", "state.safetensors", [](std::string& bytes) { bytes.resize(bytes.size() - 4); });
  change("update", "checkpoint.json", [](std::string& bytes) {
    const std::size_t digit = bytes.find("\"update\": ") + std::string("\"update\": ").size();
    bytes[digit] = bytes[digit] == '1' ? '2' : '1';
  });
  fs::copy(sound, temporary_ / "no tensors");
  fs::remove(temporary_ / "no tensors" / "state.safetensors");
  train("with no tensors", temporary_ / "no tensors");
  EXPECT_EQ(wait("with no tensors").code, kInvalid);
}

TEST_F(TrainerProcess, TwoRanksStopTogetherWhenOneIsAskedAndGoOnLikeUndisturbedOnes) {
  train("whole", {}, 2);
  ASSERT_EQ(wait("whole").code, 0);
  train("first", {}, 2);
  ASSERT_NO_FATAL_FAILURE(wait_for_step("first", 40));
  // To one rank only, and not to mpirun.
  const pid_t mpirun = running_.at("first");
  std::vector<pid_t> ranks = processes_of_session(mpirun);
  std::erase(ranks, mpirun);
  ASSERT_EQ(ranks.size(), 2U);
  ::kill(ranks.back(), SIGTERM);
  EXPECT_EQ(wait("first").code, kStopped);
  EXPECT_TRUE(processes_of_session(mpirun).empty());
  const Value last = progress_of(attempt("first")).back();
  ASSERT_NE(last.find("checkpoint"), nullptr);

  train("second", last_checkpoint(attempt("first")), 2);
  ASSERT_EQ(wait("second").code, 0);
  const auto ours = series_of(attempt("second"));
  const auto theirs = series_of(attempt("whole"));
  ASSERT_EQ(ours.begin()->first, step_of(last) + 1);
  ASSERT_EQ(ours.rbegin()->first, kUpdates);
  for (const auto& [step, metrics] : ours) {
    const double expected = theirs.at(step).find("loss")->to_double().value();
    EXPECT_NEAR(metrics.find("loss")->to_double().value(), expected,
                kRanksTolerance * std::abs(expected))
        << step;
  }
  const auto weights = numbers_of(attempt("second") / "out" / "weights" / "model.safetensors");
  const auto whole = numbers_of(attempt("whole") / "out" / "weights" / "model.safetensors");
  ASSERT_EQ(weights.size(), whole.size());
  double largest = 0;
  double apart = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(whole[i])));
    apart = std::max(apart, std::abs(static_cast<double>(weights[i]) - whole[i]));
  }
  EXPECT_LE(apart, kRanksTolerance * largest);
  RecordProperty("largest_difference", fmt::format("{}", apart));
  std::cout << fmt::format("largest difference of a weight: {} of {}\n", apart, largest);
}

}  // namespace
}  // namespace strata
