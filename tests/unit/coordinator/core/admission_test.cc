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
      [](Hello& h) { h.build = kBadBytes; }};
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
      [](TaskSpec& t) { t.outputs = {"../weights"}; }};
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

}  // namespace
}  // namespace strata::coordinator
