#include "coordinator/core/admission.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "base/utf8.h"
#include "tests/support/core_env.h"

namespace strata::coordinator {
namespace {

using testing::CoreEnv;
using testing::make_submission;
using testing::make_task;

const std::string kBadBytes = "caf\xe9";

Hello good_hello() { return {.build = "b", .name = "gpu-01", .session = 7, .slots = 4}; }

TEST(Admission, AHelloThatCouldNotBeWrittenDownIsRefused) {
  EXPECT_TRUE(check_hello(good_hello()));
  const std::vector<std::function<void(Hello&)>> faults{
      [](Hello& h) { h.name = ""; },
      [](Hello& h) { h.name = kBadBytes; },
      [](Hello& h) { h.name.assign(kNameBytesMax + 1, 'a'); },
      [](Hello& h) { h.session = 0; },
      [](Hello& h) { h.slots = 0; },
      [](Hello& h) { h.slots = std::numeric_limits<std::int64_t>::max(); },
      [](Hello& h) { h.labels.assign(kLabelsMax + 1, "a"); },
      [](Hello& h) { h.labels = {kBadBytes}; },
      [](Hello& h) { h.labels = {std::string(kNameBytesMax + 1, 'a')}; },
      [](Hello& h) { h.build = kBadBytes; },
      [](Hello& h) { h.build.assign(kNameBytesMax + 1, 'b'); },
      [](Hello& h) { h.memory_mb = -1; },
      [](Hello& h) { h.memory_mb = kMemoryMbMax + 1; }};
  for (std::size_t i = 0; i < faults.size(); ++i) {
    Hello hello = good_hello();
    faults[i](hello);
    EXPECT_FALSE(check_hello(hello)) << "fault " << i;
  }
}

TEST(Admission, ATaskOutOfBoundsIsRefusedWithItsStageAndTheFault) {
  const TaskSpec good = make_task("train", 1);
  ASSERT_TRUE(check_task(good)) << check_task(good).error().message;
  const std::vector<std::function<void(TaskSpec&)>> faults{
      [](TaskSpec& t) { t.lease_ms = 0; },
      [](TaskSpec& t) { t.lease_ms = kLeaseMsMax + 1; },
      [](TaskSpec& t) { t.resources.slots = 0; },
      [](TaskSpec& t) { t.resources.slots = std::numeric_limits<std::int64_t>::max(); },
      [](TaskSpec& t) { t.resources.ranks = -1; },
      [](TaskSpec& t) { t.resources.threads = 0; },
      [](TaskSpec& t) { t.resources.labels = {""}; },
      [](TaskSpec& t) { t.secrets = {kBadBytes}; },
      [](TaskSpec& t) { t.retry.user_failures_max = -1; },
      [](TaskSpec& t) { t.program.argv.clear(); },
      [](TaskSpec& t) { t.program.argv = {kBadBytes}; },
      [](TaskSpec& t) { t.program.argv = {std::string("a\0b", 3)}; },
      [](TaskSpec& t) { t.flops = std::nan(""); },
      [](TaskSpec& t) { t.flops = -1; },
      [](TaskSpec& t) { t.outputs = {"../weights"}; },
      [](TaskSpec& t) { t.outputs = {".hidden"}; },
      [](TaskSpec& t) { t.outputs = {std::string(129, 'a')}; },
      [](TaskSpec& t) { t.inputs = {{.name = "a b", .output = "result"}}; },
      [](TaskSpec& t) { t.inputs = {{.name = "a", .output = kBadBytes}}; },
      [](TaskSpec& t) { t.program.name = kBadBytes; },
      [](TaskSpec& t) { t.neutral = {kBadBytes}; },
      [](TaskSpec& t) { t.resources.memory_mb = -1; },
      [](TaskSpec& t) { t.resources.memory_mb = kMemoryMbMax + 1; },
      [](TaskSpec& t) { t.resources.expected_ms = -1; },
      [](TaskSpec& t) { t.resources.expected_ms = kLifetimeMsMax + 1; },
      [](TaskSpec& t) { t.resources.threads = kCountMax + 1; },
      [](TaskSpec& t) { t.resources.labels.assign(kLabelsMax + 1, "a"); },
      [](TaskSpec& t) { t.retry.infra_failures_max = -1; },
      [](TaskSpec& t) { t.retry.infra_failures_max = kCountMax + 1; },
      [](TaskSpec& t) { t.fallbacks = {{.slots = 0}}; },
      [](TaskSpec& t) { t.fallbacks.assign(kFallbacksMax + 1, {}); },
      [](TaskSpec& t) { t.grace_ms = -1; },
      [](TaskSpec& t) { t.grace_ms = kLeaseMsMax + 1; },
      [](TaskSpec& t) { t.log_rules.assign(kLogRulesMax + 1, {.name = "rule"}); },
      [](TaskSpec& t) { t.log_rules = {{.name = "rule", .pattern = kBadBytes}}; },
      [](TaskSpec& t) { t.log_rules = {{.name = "", .pattern = "x"}}; },
      [](TaskSpec& t) {
        t.versions = {{"code", kBadBytes}};
      },
      [](TaskSpec& t) {
        t.versions = {{"code", std::string(kReasonBytesMax + 1, 'x')}};
      },
      [](TaskSpec& t) { t.versions_in_key = {"code"}; },
      [](TaskSpec& t) {
        for (std::size_t i = 0; i <= kRecordedMax; ++i) t.versions[std::to_string(i)] = "1";
      }};
  for (std::size_t i = 0; i < faults.size(); ++i) {
    TaskSpec task = good;
    faults[i](task);
    task.key = compute_key(task);
    const Status status = check_task(task);
    ASSERT_FALSE(status) << "fault " << i;
    EXPECT_NE(status.error().message.find("train"), std::string::npos) << status.error().message;
  }
  TaskSpec forged = good;
  forged.key = task_key_of("something else");
  EXPECT_FALSE(check_task(forged));
}

TEST(Admission, WhatIsJustWithinBoundsIsTaken) {
  TaskSpec task = make_task("train", 1);
  task.outputs = {std::string(128, 'a')};
  task.resources = {.slots = kCountMax, .memory_mb = kMemoryMbMax, .expected_ms = kLifetimeMsMax};
  task.resources.labels.assign(kLabelsMax, std::string(kNameBytesMax, 'a'));
  task.lease_ms = kLeaseMsMax;
  task.grace_ms = kLeaseMsMax;
  task.fallbacks.assign(kFallbacksMax, task.resources);
  task.log_rules.assign(kLogRulesMax, {.name = "r", .pattern = std::string(kReasonBytesMax, 'x')});
  task.versions = {{"code", "1"}};
  task.versions_in_key = {"code"};
  task.retry = {.user_failures_max = 0, .infra_failures_max = kCountMax};
  task.key = compute_key(task);
  EXPECT_TRUE(check_task(task)) << check_task(task).error().message;
  Hello hello = good_hello();
  hello.memory_mb = kMemoryMbMax;
  hello.slots = kCountMax;
  hello.build.clear();
  EXPECT_TRUE(check_hello(hello));
}

TEST(Admission, HowASweepIsScheduledAndSearchedIsBounded) {
  const SearchDefinition search{.stage = "train", .metric = "loss", .rungs = {1, 2}};
  const SweepOptions good{
      .user = "ada", .weight = kWeightMax, .slots_max = kCountMax, .search = search};
  ASSERT_TRUE(check_options(good)) << check_options(good).error().message;
  ASSERT_TRUE(check_options({}));
  const std::vector<std::function<void(SweepOptions&)>> faults{
      [](SweepOptions& o) { o.user = kBadBytes; },
      [](SweepOptions& o) { o.user.assign(kNameBytesMax + 1, 'a'); },
      [](SweepOptions& o) { o.weight = 0; },
      [](SweepOptions& o) { o.weight = kWeightMax + 1; },
      [](SweepOptions& o) { o.slots_max = -1; },
      [](SweepOptions& o) { o.slots_max = kCountMax + 1; },
      [](SweepOptions& o) { o.search->stage = kBadBytes; },
      [](SweepOptions& o) { o.search->metric = ""; },
      [](SweepOptions& o) { o.search->rungs.clear(); },
      [](SweepOptions& o) {
        o.search->rungs = {0, 1};
      },
      [](SweepOptions& o) {
        o.search->rungs = {2, 2};
      },
      [](SweepOptions& o) {
        o.search->rungs.clear();
        for (std::size_t i = 0; i <= kRungsMax; ++i)
          o.search->rungs.push_back(static_cast<std::int64_t>(i) + 1);
      },
      [](SweepOptions& o) { o.search->reduction = 1; },
      [](SweepOptions& o) { o.search->reduction = kReductionMax + 1; },
      [](SweepOptions& o) { o.search->others_min = 0; }};
  for (std::size_t i = 0; i < faults.size(); ++i) {
    SweepOptions options = good;
    faults[i](options);
    EXPECT_FALSE(check_options(options)) << "fault " << i;
  }
}

TEST(Admission, TheNamesInARunAreText) {
  const TaskSpec task = make_task("train", 1);
  RunSpec run = testing::make_run("text=3", 1, {task});
  EXPECT_TRUE(check_run(run));
  run.cell.assign(kReasonBytesMax, 'c');
  EXPECT_TRUE(check_run(run));
  run.cell += 'c';
  EXPECT_FALSE(check_run(run));
  run.cell = kBadBytes;
  EXPECT_FALSE(check_run(run));
  run.cell = "text=3";
  for (const std::string& stage : {kBadBytes, std::string(), std::string(kNameBytesMax + 1, 's')}) {
    RunSpec other = run;
    other.tasks.emplace(stage, task.key);
    const Status status = check_run(other);
    ASSERT_FALSE(status) << stage.size();
    EXPECT_TRUE(is_valid_utf8(status.error().message));
  }
}

TEST(Admission, AReasonIsTextOfBoundedLength) {
  EXPECT_EQ(for_people("exit code 1"), "exit code 1");
  EXPECT_EQ(for_people(kBadBytes), "caf\uFFFD");
  const std::string cut = for_people(std::string(kReasonBytesMax + 100, 'x'));
  EXPECT_LT(cut.size(), kReasonBytesMax + 10);
  EXPECT_TRUE(cut.ends_with("…")) << "that something is missing is said";
  // Cut in the middle of a letter.
  std::string letters;
  while (letters.size() <= kReasonBytesMax) letters += "é";
  EXPECT_TRUE(is_valid_utf8(for_people("x" + letters)));
}

TEST(Admission, OfAResultOnlyWhatTheTaskDeclaresIsTaken) {
  const TaskSpec task = make_task("train", 1);
  Succeeded done{.artifacts = {{"result", {.hash = content_hash_of("r")}},
                               {"loot", {.hash = content_hash_of("l")}}},
                 .recorded = {{"host", kBadBytes}, {kBadBytes, "x"}}};
  const Outcome taken = admitted(done, task.outputs, task.inputs);
  const auto& kept = std::get<Succeeded>(taken);
  EXPECT_EQ(kept.artifacts.size(), 1U);
  EXPECT_TRUE(kept.artifacts.contains("result"));
  EXPECT_EQ(kept.recorded, (std::map<std::string, std::string>{{"host", "caf\uFFFD"}}));
  done.artifacts.erase("result");
  EXPECT_TRUE(std::holds_alternative<Failed>(admitted(done, task.outputs, task.inputs)));
}

TEST(Admission, OfAScoreOnlyWhatItsFileCouldHaveSaidIsTaken) {
  const TaskSpec task = make_task("score", 1);
  const Succeeded good{
      .artifacts = {{"result", {.hash = content_hash_of("r")}}},
      .scores = {{.name = "wer", .value = 0.1, .unit = "%", .judge = "j", .items = {{"a", 0.1}}}}};
  const auto taken = [&](const Succeeded& done) {
    return std::get<Succeeded>(admitted(done, task.outputs, task.inputs)).scores;
  };
  EXPECT_EQ(taken(good), good.scores);
  const std::string long_text(kReasonBytesMax + 1, 'x');
  const std::vector<std::function<void(Score&)>> faults{
      [](Score& s) { s.name = kBadBytes; },
      [](Score& s) { s.name = ""; },
      [](Score& s) { s.name.assign(kNameBytesMax + 1, 'n'); },
      [](Score& s) { s.unit = kBadBytes; },
      [&](Score& s) { s.unit = long_text; },
      [](Score& s) { s.better = kBadBytes; },
      [](Score& s) { s.judge = kBadBytes; },
      [&](Score& s) { s.judge = long_text; },
      [](Score& s) { s.items[kBadBytes] = 1; },
      [](Score& s) {
        for (std::size_t i = 0; i < kScoreItemsMax; ++i) s.items["item" + std::to_string(i)] = 1;
      }};
  for (std::size_t i = 0; i < faults.size(); ++i) {
    Succeeded done = good;
    done.scores.push_back(good.scores[0]);
    faults[i](done.scores[0]);
    EXPECT_EQ(taken(done), good.scores) << "fault " << i;
  }
  Succeeded many = good;
  many.scores.assign(kScoresMax + 1, good.scores[0]);
  EXPECT_EQ(taken(many).size(), kScoresMax);
}

TEST(Admission, WhatAnAttemptRecordsAndReadIsBounded) {
  TaskSpec task = make_task("train", 1);
  task.inputs = {{.name = "corpus", .output = "result"}};
  Succeeded done{.artifacts = {{"result", {.hash = content_hash_of("r")}}},
                 .consumed = {{"corpus", content_hash_of("c")}, {kBadBytes, content_hash_of("x")}}};
  for (std::size_t i = 0; i < 2 * kRecordedMax; ++i)
    done.recorded["fact" + std::to_string(i)] = std::string(kReasonBytesMax + 1, 'x');
  const auto kept = std::get<Succeeded>(admitted(done, task.outputs, task.inputs));
  EXPECT_EQ(kept.consumed, (std::map<std::string, ContentHash>{{"corpus", content_hash_of("c")}}));
  EXPECT_EQ(kept.recorded.size(), kRecordedMax);
  for (const auto& [name, text] : kept.recorded) EXPECT_LT(text.size(), kReasonBytesMax + 10);
}

TEST(Admission, WhateverAnEndSaysIsText) {
  const TaskSpec task = make_task("train", 1);
  const std::string long_text(kReasonBytesMax + 100, 'x');
  const auto failed = std::get<Failed>(admitted(
      Failed{.reason = kBadBytes, .signature = kBadBytes, .step = -7}, task.outputs, task.inputs));
  EXPECT_EQ(failed.reason, "caf\uFFFD");
  EXPECT_EQ(failed.signature, "caf\uFFFD");
  const auto longer =
      std::get<Failed>(admitted(Failed{.signature = long_text}, task.outputs, task.inputs));
  EXPECT_LT(longer.signature.size(), kReasonBytesMax + 10);
  EXPECT_EQ(std::get<Lost>(admitted(Lost{.reason = kBadBytes}, task.outputs, task.inputs)).reason,
            "caf\uFFFD");
  EXPECT_EQ(
      std::get<Stopped>(admitted(Stopped{.reason = kBadBytes}, task.outputs, task.inputs)).reason,
      "caf\uFFFD");
}

// Nobody can read an answer that is no text.
TEST(Admission, ARefusalIsTextWhateverWasAsked) {
  CoreEnv env;
  const auto refusal = [&](const SubmitTasks& submission) {
    const Answer answer = env.submit(submission);
    EXPECT_FALSE(answer.ok);
    EXPECT_TRUE(is_valid_utf8(answer.body)) << answer.body;
    EXPECT_LT(answer.body.size(), 3 * kReasonBytesMax);
    return answer.body;
  };
  const TaskSpec producer = make_task("prepare", 1);
  for (const std::string& bad : {kBadBytes, std::string(1U << 20U, 'a')}) {
    refusal(make_submission(bad, {producer}));
    SubmitTasks planned = make_submission(bad, {producer});
    planned.if_plan = bad + "/" + bad;
    refusal(planned);
    TaskSpec consumer = make_task("extract", 1, {producer});
    consumer.inputs[0].output = bad;
    consumer.key = compute_key(consumer);
    refusal(make_submission("s", {producer, consumer}));
    TaskSpec unnamed = producer;
    unnamed.stage = bad;
    refusal(make_submission("s", {unnamed}));
    SubmitTasks runs = make_submission("s", {producer}, {testing::make_run("c", 1, {producer})});
    runs.runs[0].tasks.emplace(bad, producer.key);
    refusal(runs);
  }
  SubmitTasks urgent = make_submission("s", {producer});
  for (const std::int64_t priority : {kPriorityMax + 1, -kPriorityMax - 1}) {
    urgent.priority = priority;
    refusal(urgent);
  }
  SubmitTasks defined = make_submission("s", {producer});
  defined.definition = kBadBytes;
  refusal(defined);
  EXPECT_TRUE(env.log.empty());
}

TEST(Admission, AGarbledReasonReachesTheLogAsText) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);
  env.submit(make_submission("s", {make_task("train", 1)}));
  const auto start = env.take<StartAttempt>();
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = start.at(0).attempt,
                               .outcome = Diverged{.reason = kBadBytes}});
  const Task* task = env.cluster().find_task(start.at(0).attempt.task);
  EXPECT_EQ(std::get<TaskDiverged>(task->state).reason, "caf\uFFFD");
}

TEST(Admission, AnArtifactIsNeverSmallerThanNothingNorLargerThanSumsCanBe) {
  const ContentHash hash = testing::make_artifact("bytes").hash;
  const auto most = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(coordinator::admitted(ArtifactRef{.hash = hash, .bytes = -1, .files = most}),
            (ArtifactRef{.hash = hash, .bytes = 0, .files = coordinator::kArtifactSizeMax}));
  TaskSpec task = make_task("train", 1);
  const Outcome taken =
      admitted(Succeeded{.artifacts = {{"result", {.hash = hash, .bytes = most}}}}, task.outputs,
               task.inputs);
  EXPECT_EQ(std::get<Succeeded>(taken).artifacts.at("result").bytes, coordinator::kArtifactSizeMax);
}

}  // namespace
}  // namespace strata::coordinator
