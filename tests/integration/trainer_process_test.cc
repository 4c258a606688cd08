// `strata-trainer train` as a process, by the stage contract: stopped politely, killed, handed a
// damaged checkpoint, gone on with on another number of ranks. What comes out in the end is what an
// undisturbed process gives.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <set>
#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "tests/integration/attempt_files.h"
#include "tests/integration/trainer_runs.h"
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

const Value kModel = tone_model(3, 2);

class TrainerProcess : public ::testing::Test {
 protected:
  void SetUp() override {
    share_the_machine();
    Object parameters = tone_corpus(temporary_ / "source", 14, tone_letter);
    start("prepare", "prepare",
          Object{{"parameters", std::move(parameters)},
                 {"outputs", Object{{"corpus", path("corpus")}}}});
    ASSERT_EQ(wait("prepare").code, 0);
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

  [[nodiscard]] std::string path(const std::string& name) const {
    return (temporary_ / name).string();
  }
  [[nodiscard]] fs::path attempt(const std::string& name) const { return temporary_ / name; }

  // A process in a fresh attempt folder and a session of its own.
  void start(const std::string& name, const std::string& stage, Object spec,
             std::int64_t ranks = 1) {
    ASSERT_NO_FATAL_FAILURE(write_spec(attempt(name), std::move(spec), ranks));
    const auto pid = spawn(trainer_command(attempt(name), stage, ranks));
    ASSERT_TRUE(pid.has_value()) << pid.error().message;
    running_[name] = *pid;
  }

  // `changes` of parameters.train.
  void train(const std::string& name, const fs::path& resume = {}, std::int64_t ranks = 1,
             const Object& changes = {}) {
    Object recipe{{"updates", kUpdates},
                  {"batch", 4},
                  {"lr", 2e-3},
                  {"warmup", 10},
                  {"progress_every", 1},
                  {"validate_every", 30},
                  {"checkpoint_every", kCheckpointEvery},
                  {"ema", Object{{"update_after", 10}, {"update_every", 2}}}};
    for (const auto& [key, value] : changes) recipe.insert_or_assign(key, value);
    start(name, "train",
          Object{{"parameters", Object{{"model", kModel}, {"train", std::move(recipe)}}},
                 {"inputs", Object{{"corpus", path("corpus")}}},
                 {"outputs", training_outputs(attempt(name))},
                 {"resume", resume.empty() ? Value() : Value(resume.string())}},
          ranks);
  }

  Exit wait(const std::string& name) {
    const Exit exit = wait_exit(running_.at(name)).value();
    running_.erase(name);
    return exit;
  }

  // Until it has told of so many updates, in the lines after the first `lines`.
  void wait_for_step(const std::string& name, std::int64_t step, std::size_t lines = 0) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (progress_of(attempt(name)).size() <= lines || last_step(attempt(name)) < step) {
      ASSERT_LT(std::chrono::steady_clock::now(), until) << name << " does not get to " << step;
      std::this_thread::sleep_for(2ms);
    }
  }

  void expect_same_outputs(const std::string& name, const std::string& as) {
    expect_same_weights(name, as);
    expect_same_files(name, as, {"validation/validation.jsonl"});
  }

  void expect_same_weights(const std::string& name, const std::string& as) {
    expect_same_files(name, as,
                      {"weights/model.safetensors", "weights/model.json",
                       "weights_early/model.safetensors", "weights_early/model.json"});
  }

  void expect_same_files(const std::string& name, const std::string& as,
                         std::initializer_list<const char*> files) {
    for (const char* file : files) {
      const auto ours = read_file(attempt(name) / "out" / file);
      const auto theirs = read_file(attempt(as) / "out" / file);
      ASSERT_TRUE(ours && theirs) << file;
      EXPECT_TRUE(*ours == *theirs) << file << " differs between " << name << " and " << as;
    }
  }

  // As their common launcher has them, which is not among them.
  std::vector<pid_t> ranks_of(const std::string& name) {
    const pid_t mpirun = running_.at(name);
    std::vector<pid_t> ranks = processes_of_session(mpirun);
    std::erase(ranks, mpirun);
    return ranks;
  }

  [[nodiscard]] std::string log_of(const std::string& name) const {
    return read_file(attempt(name) / "log.txt").value_or("");
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
    auto heldout = series_of(attempt(as), "validation_loss");
    heldout.erase(heldout.begin(), heldout.lower_bound(ours.begin()->first));
    EXPECT_EQ(series_of(attempt(name), "validation_loss"), heldout);
  }

  // Where additions came in another order.
  void expect_close_series(const std::string& name, const std::string& as) {
    const auto ours = series_of(attempt(name));
    const auto theirs = series_of(attempt(as));
    ASSERT_FALSE(ours.empty());
    EXPECT_EQ(ours.rbegin()->first, kUpdates);
    double apart = 0;
    for (const auto& [step, metrics] : ours) {
      const double expected = theirs.at(step).find("loss")->to_double().value();
      const double found = metrics.find("loss")->to_double().value();
      EXPECT_NEAR(found, expected, kRanksTolerance * std::abs(expected)) << step;
      apart = std::max(apart, std::abs(found / expected - 1));
    }
    std::cout << fmt::format("{}: losses differ by {:.1e} at most\n", name, apart);
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

TEST_F(TrainerProcess, TwoRanksStopTogetherWhenOneIsAskedAndGoOnBitForBit) {
  train("whole", {}, 2);
  ASSERT_EQ(wait("whole").code, 0);
  train("first", {}, 2);
  ASSERT_NO_FATAL_FAILURE(wait_for_step("first", 40));
  // To one rank only, and not to mpirun.
  const pid_t mpirun = running_.at("first");
  const std::vector<pid_t> ranks = ranks_of("first");
  ASSERT_EQ(ranks.size(), 2U);
  ::kill(ranks.back(), SIGTERM);
  EXPECT_EQ(wait("first").code, kStopped);
  EXPECT_TRUE(processes_of_session(mpirun).empty());
  const Value last = progress_of(attempt("first")).back();
  ASSERT_NE(last.find("checkpoint"), nullptr);

  train("second", last_checkpoint(attempt("first")), 2);
  ASSERT_EQ(wait("second").code, 0);
  EXPECT_EQ(series_of(attempt("second")).begin()->first, step_of(last) + 1);
  expect_same_series("second", "whole");
  expect_same_outputs("second", "whole");
}

TEST_F(TrainerProcess, TwoRanksOfWhichAnyProcessIsKilledAtAnyMomentEndBitForBit) {
  train("whole", {}, 2);
  ASSERT_EQ(wait("whole").code, 0);
  fs::path resume;
  Random random(23);
  for (int life = 0; life < 6; ++life) {
    const std::string name = "life" + std::to_string(life);
    train(name, resume, 2);
    const auto step = static_cast<std::int64_t>(8 + 14 * life + random.bounded(8));
    ASSERT_NO_FATAL_FAILURE(wait_for_step(name, step));
    std::this_thread::sleep_for(std::chrono::microseconds(random.bounded(20'000)));
    const pid_t mpirun = running_.at(name);
    const std::vector<pid_t> ranks = ranks_of(name);
    ASSERT_EQ(ranks.size(), 2U);
    const pid_t victims[] = {ranks.front(), ranks.back(), mpirun};
    ::kill(victims[life % 3], SIGKILL);
    EXPECT_FALSE(wait(name).ok());
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (!processes_of_session(mpirun).empty()) {
      ASSERT_LT(std::chrono::steady_clock::now(), until) << "a rank outlived the others";
      std::this_thread::sleep_for(5ms);
    }
    // A folder of checkpoints: both ranks must take the same one.
    if (fs::exists(attempt(name) / "checkpoints")) resume = attempt(name) / "checkpoints";
  }
  train("last", resume, 2);
  ASSERT_EQ(wait("last").code, 0);
  expect_same_series("last", "whole");
  expect_same_outputs("last", "whole");
}

TEST_F(TrainerProcess, GoneOnWithOnAnotherNumberOfRanksTheLossesStayThoseOfOne) {
  train("whole");
  ASSERT_EQ(wait("whole").code, 0);
  for (const std::int64_t ranks : {1, 2}) {
    const std::string first = fmt::format("{} first", ranks);
    train(first, {}, ranks);
    ASSERT_NO_FATAL_FAILURE(wait_for_step(first, 30));
    ::kill(ranks == 1 ? running_.at(first) : ranks_of(first).front(), SIGTERM);
    ASSERT_EQ(wait(first).code, kStopped);
    auto whole_ones = checkpoints_of(attempt(first));
    ASSERT_GE(whole_ones.size(), 2U);
    if (ranks == 1) {  // two ranks pass over the newest, both of them
      tear(whole_ones.rbegin()->second);
      whole_ones.erase(std::prev(whole_ones.end()));
    }
    const std::string then = fmt::format("then {}", 3 - ranks);
    train(then, attempt(first) / "checkpoints", 3 - ranks);
    ASSERT_EQ(wait(then).code, 0);
    EXPECT_EQ(series_of(attempt(then)).begin()->first, whole_ones.rbegin()->first + 1);
    expect_close_series(then, "whole");
  }
}

// One folder and one spec, started again and again; the newest checkpoint torn once; not all kept.
TEST_F(TrainerProcess, StartedAgainInItsOwnFolderItGoesOnFromItsNewestWholeCheckpoint) {
  const Object changes{
      {"validate_every", 24},
      {"checkpoints", Object{{"last", 2}, {"every", 40}, {"best", Object{{"count", 1}}}}}};
  train("whole", {}, 1, changes);
  ASSERT_EQ(wait("whole").code, 0);
  fs::path torn;
  std::size_t lines = 0;
  for (const std::int64_t step : {3, 30, 52, 75}) {
    train("again", "checkpoints", 1, changes);
    ASSERT_NO_FATAL_FAILURE(wait_for_step("again", step, lines));
    ::kill(running_.at("again"), SIGKILL);
    EXPECT_EQ(wait("again").signal, SIGKILL);
    lines = progress_of(attempt("again")).size();
    const std::string log = log_of("again");
    EXPECT_EQ(log.find("starting at the beginning") != std::string::npos, step <= 30) << log;
    EXPECT_EQ(log.find("passing over") != std::string::npos, !torn.empty()) << log;
    if (!torn.empty()) {
      EXPECT_NE(log.find(torn.filename().string()), std::string::npos) << log;
    }
    torn.clear();
    if (step == 52) {
      torn = last_checkpoint(attempt("again"));
      tear(torn);
    }
  }
  train("again", "checkpoints", 1, changes);
  ASSERT_EQ(wait("again").code, 0);
  expect_same_series("again", "whole");
  expect_same_outputs("again", "whole");

  std::set<std::string> kept{"00000040", "00000080", "00000088", "00000096"};
  auto heldout = series_of(attempt("whole"), "validation_loss");
  heldout.erase(kUpdates);  // no checkpoint there
  const auto best = std::ranges::min_element(heldout, {}, [](const auto& entry) {
    return entry.second.find("validation_loss")->to_double().value();
  });
  ASSERT_EQ(heldout.size(), 4U);
  kept.insert(fmt::format("{:08}", best->first));
  EXPECT_EQ(names_in(attempt("whole") / "checkpoints"), kept);
  EXPECT_EQ(names_in(attempt("again") / "checkpoints"), kept);
}

// Whether what a parameter says comes to the loop: by the losses that it changes, or does not.
TEST_F(TrainerProcess, SwitchesOfDataAndMemoryReachTheLoop) {
  constexpr std::int64_t kFew = 5;  // two batches an epoch, so three epochs are begun
  const auto losses = [&](const std::string& name, Object changes) {
    changes.emplace("updates", kFew);
    changes.emplace("warmup", 1);
    train(name, {}, 1, changes);
    EXPECT_EQ(wait(name).code, 0) << name;
    std::vector<double> values;
    for (const auto& [step, metrics] : series_of(attempt(name)))
      values.push_back(metrics.find("loss")->to_double().value());
    EXPECT_EQ(std::ssize(values), kFew) << name;
    return values;
  };
  const auto plain = losses("plain", {});
  const auto zero = losses("zero", {{"compat", Object{{"zero_padding", true}}}});
  EXPECT_EQ(zero[0], plain[0]) << "a new model says 0 whatever it sees";
  EXPECT_NE(zero.back(), plain.back()) << "padding is not silence, or not zero where asked for";
  const auto raw = losses("raw", {{"normalise", "none"}});
  EXPECT_GT(raw[0], 2 * plain[0]) << "raw logarithms have a far larger scale";
  const auto about = parse_json(read_file(attempt("raw") / "out/weights/model.json").value_or(""));
  EXPECT_EQ(*about->find("mel.deviation"), Value(1));
  const auto repeated = losses("repeated", {{"compat", Object{{"repeated_order", true}}}});
  EXPECT_EQ(repeated[0], plain[0]) << "the first epoch is the same";
  EXPECT_EQ(repeated[1], plain[1]);
  EXPECT_NE(repeated[2], plain[2]) << "the second one is not";
  EXPECT_EQ(losses("again", {{"recompute", true}}), plain) << "without heads, bit for bit";
  const auto half = losses("half", {{"precision", "bf16"}});
  EXPECT_NE(half.back(), plain.back());
  EXPECT_NEAR(half.back(), plain.back(), 0.05 * plain.back());
  for (const Value& line : progress_of(attempt("half"))) {
    if (line.find("metrics.loss") == nullptr) continue;
    for (const char* rate : {"model_flops_per_second", "model_flops_utilisation"}) {
      const Value* measured = line.find("metrics." + std::string(rate));
      ASSERT_NE(measured, nullptr) << to_canonical_json(line);
      EXPECT_GT(measured->to_double().value(), 0) << rate;
    }
  }
}

TEST_F(TrainerProcess, WithoutBeingAskedItDoesNotGoOnButSaysWhatItLeavesBehind) {
  train("first");
  ASSERT_NO_FATAL_FAILURE(wait_for_step("first", kCheckpointEvery + 1));
  ::kill(running_.at("first"), SIGKILL);
  (void)wait("first");
  const std::size_t lines = progress_of(attempt("first")).size();
  train("first");
  ASSERT_NO_FATAL_FAILURE(wait_for_step("first", 1, lines));
  ::kill(running_.at("first"), SIGKILL);
  (void)wait("first");
  EXPECT_EQ(step_of(progress_of(attempt("first")).at(lines)), 1);
  EXPECT_NE(log_of("first").find(R"(set "resume": "checkpoints")"), std::string::npos);
}

bool is_periodic(const Value& held_out_line) {
  return *held_out_line.find("which") == Value("periodic");
}

// Nor can when it is measured: the weights, and the early and the last losses, are those of a run
// that never changed. Those on the way are of the intervals that they were measured at.
TEST_F(TrainerProcess, WhatCannotChangeTheResultMayChangeOnTheWayAndNothingElse) {
  train("whole");
  ASSERT_EQ(wait("whole").code, 0);
  train("first");
  ASSERT_NO_FATAL_FAILURE(wait_for_step("first", 25));
  ::kill(running_.at("first"), SIGTERM);
  ASSERT_EQ(wait("first").code, kStopped);
  const auto [stopped_at, checkpoint] = *checkpoints_of(attempt("first")).rbegin();
  train("second", checkpoint, 1,
        {{"progress_every", 3},
         {"checkpoint_every", 5},
         {"validate_every", 7},
         {"checkpoints", Object{{"last", 2}}}});
  ASSERT_EQ(wait("second").code, 0);
  expect_same_weights("second", "whole");
  std::set<std::int64_t> measured;  // every 30 updates, and from the stop on every 7
  for (std::int64_t update = 1; update < kUpdates; ++update) {
    if (update % (update <= stopped_at ? 30 : 7) == 0) measured.insert(update);
  }
  std::vector<Value> lines = held_out_lines(attempt("second"));
  std::set<std::int64_t> periodic;
  for (const Value& line : lines) {
    if (is_periodic(line)) periodic.insert(*line.find("update")->if_number()->to_integer());
  }
  EXPECT_EQ(periodic, measured);
  std::vector<Value> undisturbed = held_out_lines(attempt("whole"));
  std::erase_if(lines, is_periodic);
  std::erase_if(undisturbed, is_periodic);
  EXPECT_EQ(lines, undisturbed);
  EXPECT_EQ(lines.size(), 2U * 3U) << "early and last, of three utterances";
  EXPECT_EQ(names_in(attempt("second") / "checkpoints"),
            (std::set<std::string>{"00000090", "00000095"}));
  train("third", checkpoint, 1, {{"lr", 3e-3}});
  EXPECT_EQ(wait("third").code, kInvalid);
  EXPECT_NE(log_of("third").find("parameters.train.lr is 0.003, there 0.002"), std::string::npos)
      << log_of("third");
}

TEST_F(TrainerProcess, UnderAWorkerNoCheckpointGoesThatItMayStillBeCopying) {
  ::setenv("STRATA_ATTEMPT", "1", 1);  // docs/stages.md
  train("run", {}, 1, {{"checkpoint_every", 20}, {"checkpoints", Object{{"last", 2}}}});
  ::unsetenv("STRATA_ATTEMPT");
  ASSERT_EQ(wait("run").code, 0);
  EXPECT_EQ(names_in(attempt("run") / "checkpoints"),
            (std::set<std::string>{"00000020", "00000040", "00000060", "00000080"}));
}

TEST_F(TrainerProcess, TheWeightsOfACheckpointAreExportedAsTheRunItselfWritesThem) {
  train("run", {}, 1, {{"checkpoint_every", 20}});  // the early weights are those of update 20
  ASSERT_EQ(wait("run").code, 0);
  const auto order = [&](const std::string& name, const std::string& checkpoint,
                         const std::string& weights) {
    const fs::path file = temporary_ / (name + ".json");
    EXPECT_TRUE(write_file_unsynced(
        file, to_pretty_json(Object{{"checkpoint", (attempt("run") / checkpoint).string()},
                                    {"output", path(name)},
                                    {"weights", weights}})));
    return wait_exit(
               spawn({.argv = {STRATA_BINARY_DIR "/bin/strata-trainer", "export", file.string()},
                      .folder = temporary_.path(),
                      .stdout_file = temporary_ / (name + ".log"),
                      .stderr_file = temporary_ / (name + ".log")})
                   .value())
        .value()
        .code;
  };
  ASSERT_EQ(order("early", "checkpoints/00000020", "average"), 0);
  EXPECT_EQ(names_in(temporary_ / "early"),
            (std::set<std::string>{"model.json", "model.safetensors"}));
  for (const char* file : {"model.safetensors", "model.json"}) {
    EXPECT_TRUE(read_file(temporary_ / "early" / file).value() ==
                read_file(attempt("run") / "out" / "weights_early" / file).value())
        << file;
  }
  EXPECT_EQ(order("early", "checkpoints/00000020", "average"), kInvalid) << "nothing is replaced";
  tear(attempt("run") / "checkpoints" / "00000080");
  ASSERT_EQ(order("newest", "checkpoints", "last"), 0);
  EXPECT_EQ(*parse_json(read_file(temporary_ / "newest" / "model.json").value())->find("update"),
            Value(60));
  EXPECT_EQ(order("torn", "checkpoints/00000080", "average"), kInvalid);
}

}  // namespace
}  // namespace strata
