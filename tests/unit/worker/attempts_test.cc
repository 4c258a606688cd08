#include "worker/attempts.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "base/files.h"
#include "tests/support/artifact_folder.h"
#include "tests/support/temporary_folder.h"

namespace strata::worker {
namespace {

constexpr int kPolls = 2'000;  // of 10 ms

class Running : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(become_subreaper());
    ASSERT_TRUE(write_file_atomic(temporary_ / "secrets", "TOKEN=hunter2secret\n", 0600));
    secrets_ = *Secrets::gather(temporary_ / "secrets");
    make(200);
  }
  void TearDown() override {
    attempts_.reset();
    launcher_.reset();
    EXPECT_TRUE(children_of(::getpid()).empty());
  }

  void make(std::size_t kept) {
    attempts_.emplace(
        AttemptsOptions{
            .folder = temporary_.path(), .build = "b1", .host = "h1", .ended_folders_kept = kept},
        inventory_, secrets_, *launcher_, pool_);
    attempts_->use_store(store_);
  }
  static StartAttempt order(const std::string& script, std::vector<std::string> outputs = {}) {
    StartAttempt order{.gang = {{.worker = WorkerId(1), .slots = 1}}};
    order.spec.stage = "command";
    order.spec.program = {.name = "sh", .argv = {"sh", "-c", script}};
    order.spec.outputs = std::move(outputs);
    order.spec.key = compute_key(order.spec);
    order.attempt = {.task = order.spec.key, .number = 1};
    return order;
  }
  std::filesystem::path folder_of(const StartAttempt& order) {
    return RunDirectory(temporary_ / "attempts", order.attempt).folder();
  }
  void look() {
    attempts_->look(clock_.now());
    for (Input& input : attempts_->take_inputs()) told_.push_back(std::move(input));
  }
  bool eventually(const std::function<bool()>& holds) {
    for (int i = 0; i < kPolls; ++i) {
      look();
      if (holds()) return true;
      ::usleep(10'000);
    }
    return false;
  }
  // What the core is told about an attempt that runs to its end.
  ProcessEnded run(const StartAttempt& order) {
    attempts_->launch(order, clock_.now());
    EXPECT_TRUE(eventually([&] { return !attempts_->busy(); }));
    look();
    EXPECT_FALSE(told_.empty());
    const auto* ended = std::get_if<ProcessEnded>(&told_.back());
    EXPECT_NE(ended, nullptr);
    return ended == nullptr ? ProcessEnded{} : *ended;
  }
  static const Failed& failure(const ProcessEnded& ended) {
    return std::get<Failed>(ended.outcome);
  }

  strata::testing::TemporaryFolder temporary_;
  SystemClock clock_;
  Inventory inventory_{.slots = 2};
  Secrets secrets_;
  std::optional<Launcher> launcher_{std::in_place,
                                    std::filesystem::path(STRATA_BINARY_DIR) / "bin/strata-guard",
                                    temporary_ / "attempts"};
  WorkPool pool_;
  ArtifactStore store_ = testing::open_artifact_store(temporary_ / "store");
  std::optional<Attempts> attempts_;
  std::vector<Input> told_;
};

TEST_F(Running, ACommandEndsWithItsOutputsScoresAndRecordsStored) {
  auto task = order(
      "mkdir out/table; echo 1 > out/table/a.csv; "
      R"(echo '{"scores": [{"name": "wer", "value": 0.25, "unit": "fraction", "count": 4}]}' > scores.json; )"
      R"(echo '{"build": "prog-7", "host": "liar"}' > recorded.json)",
      {"table"});
  const auto ended = run(task);
  ASSERT_EQ(told_.size(), 2U) << "started, ended";
  EXPECT_TRUE(std::holds_alternative<ProcessStarted>(told_[0]));
  const auto& succeeded = std::get<Succeeded>(ended.outcome);
  ASSERT_TRUE(succeeded.artifacts.contains("table"));
  EXPECT_EQ(*read_file(store_.content(succeeded.artifacts.at("table").hash) / "a.csv"), "1\n");
  ASSERT_EQ(succeeded.scores.size(), 1U);
  EXPECT_EQ(succeeded.scores[0].value, 0.25);
  EXPECT_EQ(succeeded.recorded.at("build"), "prog-7");
  EXPECT_EQ(succeeded.recorded.at("host"), "h1")
      << "what the worker knows itself is not for the program to say";
  EXPECT_EQ(succeeded.recorded.at("folder"), folder_of(task).string());
}

TEST_F(Running, AnInputIsGivenAsAPathAndItsHashIsRecordedAsConsumed) {
  ASSERT_TRUE(write_file_atomic(temporary_ / "data", "forty-two"));
  auto task =
      order(R"sh(cp "$(sed -n 's/.*"corpus": "\([^"]*\)".*/\1/p' "$0")" out/copy)sh", {"copy"});
  task.inputs["corpus"] = *store_.commit(temporary_ / "data", Take::kCopy);
  const auto ended = run(task);
  ASSERT_TRUE(std::holds_alternative<Succeeded>(ended.outcome)) << failure(ended).reason;
  const auto& succeeded = std::get<Succeeded>(ended.outcome);
  EXPECT_EQ(succeeded.consumed.at("corpus"), task.inputs["corpus"].hash);
  EXPECT_EQ(succeeded.artifacts.at("copy"), task.inputs["corpus"])
      << "the same bytes are the same artifact";
}

TEST_F(Running, AMissingInputIsReportedAndNothingIsStarted) {
  auto task = order("echo never");
  task.inputs["corpus"] = {.hash = content_hash_of("gone")};
  const auto ended = run(task);
  EXPECT_EQ(failure(ended).cause, FailureClass::kData);
  EXPECT_EQ(ended.missing_inputs, std::vector<ContentHash>{content_hash_of("gone")});
  EXPECT_EQ(told_.size(), 1U);
  EXPECT_FALSE(std::filesystem::exists(folder_of(task)));
}

TEST_F(Running, AStoreThatIsAwayIsNoLossOfWhatItHolds) {
  ASSERT_TRUE(write_file_atomic(temporary_ / "data", "forty-two"));
  auto task = order("echo never");
  task.inputs["corpus"] = *store_.commit(temporary_ / "data", Take::kCopy);
  std::filesystem::rename(temporary_ / "store", temporary_ / "unmounted");
  const auto ended = run(task);
  EXPECT_EQ(failure(ended).cause, FailureClass::kInfra);
  EXPECT_EQ(ended.missing_inputs, std::vector<ContentHash>{});
  EXPECT_EQ(told_.size(), 1U);
}

TEST_F(Running, AnOutputThatWasNotWrittenFailsByNameAndNothingIsStored) {
  const auto ended = run(order("mkdir out/weights", {"report", "weights"}));
  EXPECT_EQ(failure(ended).cause, FailureClass::kUser);
  EXPECT_NE(failure(ended).reason.find("\"report\""), std::string::npos) << failure(ended).reason;
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(temporary_ / "store"), {}), 2)
      << "only tmp and the marker";
}

TEST_F(Running, AProgramThatIsNowhereIsInvalidAtOnce) {
  auto task = order("");
  task.spec.program.argv = {"strata-no-such-program"};
  const auto ended = run(task);
  EXPECT_EQ(failure(ended).cause, FailureClass::kInvalid);
  EXPECT_EQ(told_.size(), 1U);
}

TEST_F(Running, AFailureCarriesTheLastLineOfTheLog) {
  EXPECT_EQ(failure(run(order("echo first; echo 'bad shape' >&2; exit 1"))).reason,
            "exit code 1: bad shape");
}

TEST_F(Running, TheEnvironmentIsWhatTheContractSays) {
  auto task = order("env > seen");
  task.spec.resources.threads = 3;
  task.gang[0].slots = 2;
  EXPECT_TRUE(std::holds_alternative<Succeeded>(run(task).outcome));
  const std::string seen = *read_file(folder_of(task) / "seen");
  for (const std::string line :
       {"OMP_NUM_THREADS=3", "OMP_WAIT_POLICY=passive", "STRATA_SLOTS=0,1"}) {
    EXPECT_NE(seen.find(line + "\n"), std::string::npos) << line;
  }
  EXPECT_NE(seen.find("STRATA_ATTEMPT=" + task.attempt.text() + "\n"), std::string::npos);
}

TEST_F(Running, ASecretReachesTheProgramAndNoFileNorTheCore) {
  // The program gets it (the exit code tells), and even prints it in its last words.
  auto task =
      order("[ \"$TOKEN\" = hunter2secret ] || exit 9; echo \"login with $TOKEN failed\"; exit 1");
  task.spec.secrets = {"TOKEN"};
  const auto ended = run(task);
  EXPECT_EQ(failure(ended).reason, "exit code 1: login with <TOKEN> failed");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(temporary_.path())) {
    if (!entry.is_regular_file() || entry.path().filename() == "secrets" ||
        entry.path().filename() == "log.txt")
      continue;
    EXPECT_EQ(read_file(entry.path())->find("hunter2"), std::string::npos) << entry.path();
  }
}

TEST_F(Running, AnUnknownSecretFailsTheTaskBeforeItStarts) {
  auto task = order("exit 0");
  task.spec.secrets = {"NOBODY_KNOWS"};
  EXPECT_EQ(failure(run(task)).cause, FailureClass::kInvalid);
}

TEST_F(Running, ACheckpointIsStoredBeforeTheEndIsTold) {
  const auto ended =
      run(order("mkdir -p checkpoints/7; echo state > checkpoints/7/model; "
                R"(echo '{"step": 7, "checkpoint": "checkpoints/7"}' >> progress.jsonl; exit 1)"));
  EXPECT_EQ(failure(ended).cause, FailureClass::kUser);
  ASSERT_EQ(told_.size(), 3U);
  const auto& stored = std::get<CheckpointStored>(told_[1]);
  EXPECT_EQ(stored.step, 7);
  EXPECT_EQ(*read_file(store_.content(stored.artifact.hash) / "model"), "state\n");
}

TEST_F(Running, AResumedAttemptFindsItsCheckpoint) {
  ASSERT_TRUE(make_folder(temporary_ / "c"));
  ASSERT_TRUE(write_file_atomic(temporary_ / "c" / "model", "state\n"));
  auto task = order(R"sh(cp "$(sed -n 's/.*"resume": "\([^"]*\)".*/\1/p' "$0")/model" out/copy)sh",
                    {"copy"});
  task.resume_from = *store_.commit(temporary_ / "c", Take::kMove);
  EXPECT_TRUE(std::holds_alternative<Succeeded>(run(task).outcome));
}

TEST_F(Running, ADamagedCheckpointIsCalledLostAndNothingIsStarted) {
  ASSERT_TRUE(make_folder(temporary_ / "c"));
  ASSERT_TRUE(write_file_atomic(temporary_ / "c" / "model", "state\n"));
  auto task = order("echo never");
  task.resume_from = *store_.commit(temporary_ / "c", Take::kMove);
  const auto stored = store_.content(task.resume_from->hash) / "model";
  std::filesystem::permissions(stored, std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::add);
  std::ofstream(stored) << "stbte\n";  // as many bytes as before
  const auto ended = run(task);
  EXPECT_EQ(failure(ended).cause, FailureClass::kData);
  EXPECT_EQ(ended.missing_inputs, std::vector<ContentHash>{task.resume_from->hash});
  EXPECT_EQ(told_.size(), 1U);
}

TEST_F(Running, MetricsAreSentUntilAcknowledgedAndThenTheSuccessIsTold) {
  const auto task = order(R"(echo '{"step": 1, "metrics": {"loss": 2}}' > progress.jsonl)");
  attempts_->launch(task, clock_.now());
  ASSERT_TRUE(eventually([&] { return !attempts_->busy(); }));
  const Instant now = clock_.now();
  const auto first = attempts_->due_metrics(WorkerId(1), now);
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].attempt, task.attempt);
  ASSERT_EQ(first[0].points.size(), 1U);
  EXPECT_TRUE(attempts_->due_metrics(WorkerId(1), now).empty()) << "not before it may be lost";
  EXPECT_EQ(attempts_->due_metrics(WorkerId(1), now + kMetricsRepeatEvery).size(), 1U);
  look();
  ASSERT_EQ(told_.size(), 1U) << "started";
  attempts_->acknowledge({.attempt = task.attempt, .up_to = 1});
  EXPECT_FALSE(attempts_->metrics_pending());
  look();
  ASSERT_EQ(told_.size(), 2U);
  EXPECT_TRUE(std::holds_alternative<ProcessEnded>(told_[1]));
}

TEST_F(Running, TheAnswersToRepeatsSendNothingAgain) {
  const auto task = order(
      "for i in $(seq 1500); do echo \"{\\\"step\\\": $i, \\\"metrics\\\": {\\\"loss\\\": 2}}\"; "
      "done "
      "> progress.jsonl");
  attempts_->launch(task, clock_.now());
  ASSERT_TRUE(eventually([&] { return !attempts_->busy(); }));
  const Instant now = clock_.now();
  ASSERT_EQ(attempts_->due_metrics(WorkerId(1), now).size(), 1U);
  attempts_->acknowledge({.attempt = task.attempt, .up_to = 1'000});
  const auto second = attempts_->due_metrics(WorkerId(1), now);
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].points.front().sequence, 1'001U);
  for (int i = 0; i < 30; ++i) {  // the first batch was repeated for a minute
    attempts_->acknowledge({.attempt = task.attempt, .up_to = 1'000});
    EXPECT_TRUE(attempts_->due_metrics(WorkerId(1), now).empty());
  }
}

TEST_F(Running, ASuccessDoesNotWaitForEverForItsPoints) {
  const auto task = order(R"(echo '{"step": 1, "metrics": {"loss": 2}}' > progress.jsonl)");
  attempts_->launch(task, clock_.now());
  ASSERT_TRUE(eventually([&] { return !attempts_->busy(); }));
  attempts_->look(clock_.now() + kPointsPatience);
  EXPECT_EQ(attempts_->take_inputs().size(), 1U);
  EXPECT_TRUE(attempts_->metrics_pending()) << "they are sent all the same";
}

TEST_F(Running, ACheckpointIsToldAfterThePointsUpToItAndBeforeWhateverComesBehindIt) {
  const auto task = order(
      "mkdir -p c/2; echo state > c/2/model; "
      R"(echo '{"step": 1, "metrics": {"loss": 2}}' >> progress.jsonl; )"
      R"(echo '{"step": 2, "checkpoint": "c/2"}' >> progress.jsonl; )"
      R"(echo '{"step": 3, "metrics": {"loss": 1}}' >> progress.jsonl; exit 1)");
  attempts_->launch(task, clock_.now());
  ASSERT_TRUE(eventually([&] { return !attempts_->busy(); }));
  look();
  ASSERT_EQ(told_.size(), 1U) << "started";
  attempts_->acknowledge({.attempt = task.attempt, .up_to = 1});
  look();
  ASSERT_EQ(told_.size(), 3U) << "the point of step 3 belongs to a branch that is over";
  EXPECT_TRUE(std::holds_alternative<CheckpointStored>(told_[1]));
  EXPECT_TRUE(std::holds_alternative<ProcessEnded>(told_[2]));
}

TEST_F(Running, AStoppedAttemptIsToldSoWithTheReason) {
  const auto task = order("trap 'exit 4' TERM; echo > ready; while :; do sleep 0.05; done");
  attempts_->launch(task, clock_.now());
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(folder_of(task) / "ready"); }));
  attempts_->terminate(task.attempt, "the sweep was cancelled");
  ASSERT_TRUE(eventually([&] { return !attempts_->busy(); }));
  look();
  EXPECT_EQ(std::get<ProcessEnded>(told_.back()).outcome,
            Outcome(Stopped{.reason = "the sweep was cancelled"}));
}

TEST_F(Running, OneThatLeavesItsOutputUnwrittenWhenAskedIsStoppedAndNotFailed) {
  const auto task =
      order("trap 'exit 0' TERM; touch ready; while :; do sleep 0.05; done", {"table"});
  attempts_->launch(task, clock_.now());
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(folder_of(task) / "ready"); }));
  attempts_->terminate(task.attempt, "preempted");
  ASSERT_TRUE(eventually([&] { return !attempts_->busy(); }));
  look();
  EXPECT_EQ(std::get<ProcessEnded>(told_.back()).outcome, Outcome(Stopped{.reason = "preempted"}));
}

TEST_F(Running, AFailureCarriesTheStepTheSignatureAndWhatTheRulesOfItsStageSay) {
  auto task = order(
      "echo '{\"step\": 41}' > progress.jsonl; echo '{\"step\": 42, \"total\": 50}' >> "
      "progress.jsonl; echo 'corpus /data/7 is bad'; exit 1");
  task.spec.log_rules = {{.name = "corpus",
                          .pattern = "corpus .* is bad",
                          .cause = FailureClass::kData,
                          .action = LogAction::kStop}};
  EXPECT_EQ(failure(run(task)),
            (Failed{.cause = FailureClass::kData,
                    .reason = "exit code 1: corpus /data/7 is bad (rule corpus)",
                    .signature = "exit code 1: corpus <path> is bad",
                    .step = 42,
                    .action = LogAction::kStop}));
}

TEST_F(Running, ALossThatIsNoNumberIsAResultWhateverTheLogSays) {
  EXPECT_TRUE(std::holds_alternative<Diverged>(
      run(order("echo CUDA out of memory; echo loss is NaN; exit 3")).outcome));
}

TEST_F(Running, OfADroppedAttemptNothingIsStored) {
  const auto task = order(
      "mkdir c; echo x > c/x; echo '{\"step\": 1, \"checkpoint\": \"c\", \"metrics\": {\"a\": 1}}' "
      "> progress.jsonl; sleep 1000");
  attempts_->launch(task, clock_.now());
  attempts_->kill(task.attempt, false, clock_.now());
  ASSERT_TRUE(eventually([&] { return !attempts_->busy(); }));
  look();
  for (const Input& input : told_) EXPECT_FALSE(std::holds_alternative<CheckpointStored>(input));
  EXPECT_FALSE(attempts_->metrics_pending());
}

TEST_F(Running, OnlyTheNamedNumberOfEndedFoldersIsKept) {
  make(2);
  std::vector<StartAttempt> tasks;
  for (int i = 0; i < 4; ++i) {
    tasks.push_back(order("exit " + std::to_string(i % 2)));
    tasks.back().attempt.number = static_cast<std::uint32_t>(i + 1);
    run(tasks.back());
  }
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(folder_of(tasks[1])); }));
  EXPECT_FALSE(std::filesystem::exists(folder_of(tasks[0])));
  EXPECT_TRUE(std::filesystem::exists(folder_of(tasks[2])));
  EXPECT_TRUE(std::filesystem::exists(folder_of(tasks[3])));
}

TEST_F(Running, TwoRanksRunUnderMpirunAndLeaveNothingInMemory) {
  auto task = order("echo rank $OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE; exit 0");
  task.spec.resources.ranks = 2;
  const auto ended = run(task);
  ASSERT_TRUE(std::holds_alternative<Succeeded>(ended.outcome)) << failure(ended).reason;
  const std::string log = *read_file(folder_of(task) / "log.txt");
  EXPECT_NE(log.find("rank 0 of 2\n"), std::string::npos) << log;
  EXPECT_NE(log.find("rank 1 of 2\n"), std::string::npos) << log;
  EXPECT_FALSE(std::filesystem::exists("/dev/shm/strata-test-" + task.attempt.task.brief() + "-1"));
}

TEST_F(Running, ARankThatIsKilledIsALostRank) {
  auto task = order("if [ $OMPI_COMM_WORLD_RANK = 1 ]; then kill -9 $$; fi; sleep 1000");
  task.spec.resources.ranks = 2;
  EXPECT_EQ(failure(run(task)).cause, FailureClass::kInfra);
}

}  // namespace
}  // namespace strata::worker
