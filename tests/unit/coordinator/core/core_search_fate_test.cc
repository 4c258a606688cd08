// A search whose last task that might still come can come no more has to look again, whoever else
// has a part in that: a hold that nobody looks at lasts for ever.

#include <gtest/gtest.h>

#include "tests/support/core_env.h"

namespace strata::testing {
namespace {

using coordinator::PeerId;
using coordinator::RungReport;

SearchDefinition asha() {
  return {.method = SearchMethod::kAsha,
          .stage = "train",
          .metric = "loss_val",
          .rungs = {100, 300},
          .reduction = 2};
}

// A hold bites only when nobody else wants the task. While another sweep did, it waited for an
// input that could not come and had ended badly; held, it has not, and nobody else makes its search
// look again (found by the simulator, seed 795401471514).
TEST(SearchLooksAgain, WhenAnotherSweepIsCancelledAndAHoldBeginsToBite) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(1);  // one after the other, in this order
  const std::vector<TaskSpec> prepares{make_task("prepare", 1), make_task("prepare", 2)};
  const std::vector<TaskSpec> trains{make_task("train", 1, {prepares[0]}),
                                     make_task("train", 2, {prepares[1]})};
  const std::vector<RunSpec> runs{make_run("a", 1, {prepares[0], trains[0]}),
                                  make_run("b", 1, {prepares[1], trains[1]})};
  SubmitTasks searched =
      make_submission("s", {prepares[0], prepares[1], trains[0], trains[1]}, runs);
  searched.options.search = asha();
  ASSERT_TRUE(env.submit(searched).ok);
  ASSERT_TRUE(env.submit(make_submission("other", {prepares[0], trains[0]}, {runs[0]})).ok);
  std::optional<StartAttempt> order;
  const auto next = [&] {
    const auto orders = env.take<StartAttempt>();
    ASSERT_EQ(orders.size(), 1U);
    order = orders[0];
  };
  const auto reaches = [&](double value) {
    env.step({}, RungReport{
                     .attempt = order->attempt, .metric = "loss_val", .step = 100, .value = value});
  };
  for (int i = 0; i < 2; ++i) {
    next();
    env.succeed(worker, *order, std::to_string(i));
  }
  next();
  ASSERT_EQ(order->attempt.task, trains[0].key);
  env.from(worker, ReportStarted{.worker = worker, .attempt = order->attempt});
  reaches(0.9);
  EXPECT_TRUE(env.take<StopAttempt>().empty()) << "the other sweep wants it";
  // Its input is lost, and what makes it fails for good.
  env.from(worker, ReportEnded{.worker = worker,
                               .attempt = order->attempt,
                               .outcome = Failed{.cause = FailureClass::kData, .reason = "gone"},
                               .missing_inputs = {order->inputs.begin()->second.hash}});
  env.take<EndedAck>();
  next();
  ASSERT_EQ(order->attempt.task, prepares[0].key);
  env.fail(worker, order->attempt, {.cause = FailureClass::kInvalid, .reason = "no corpus"});
  ASSERT_EQ(env.state(trains[0]), "blocked");
  next();
  ASSERT_EQ(order->attempt.task, trains[1].key);
  reaches(0.5);
  env.succeed(worker, *order);
  ASSERT_EQ(env.state(trains[1]), "succeeded");
  env.step(PeerId(1), coordinator::CancelSweep{.request = 1, .sweep = "other"});
  EXPECT_EQ(env.state(trains[0]), "pruned");
}

// It is held at the first rung, and the gang has stopped.
void reach_and_stop(CoreEnv& env, WorkerId worker, const AttemptId& attempt) {
  env.from(worker, ReportStarted{.worker = worker, .attempt = attempt});
  env.step({}, RungReport{.attempt = attempt, .metric = "loss_val", .step = 100, .value = 0.5});
  env.from(worker, ReportEnded{.worker = worker, .attempt = attempt, .outcome = Stopped{"asked"}});
}

TEST(SearchLooksAgain, WhenAProducerFailsThatAnotherSweepAloneWants) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(2);
  const TaskSpec prepare = make_task("prepare", 1);
  const TaskSpec first = make_task("train", 1);
  const TaskSpec second = make_task("train", 2, {prepare});
  ASSERT_TRUE(env.submit(make_submission("other", {prepare}, {make_run("x", 1, {prepare})})).ok);
  SubmitTasks searched = make_submission("s", {first, second},
                                         {make_run("a", 1, {first}), make_run("b", 1, {second})});
  searched.options.search = asha();
  ASSERT_TRUE(env.submit(searched).ok);
  std::map<TaskKey, AttemptId> granted;
  for (const auto& order : env.take<StartAttempt>()) granted[order.attempt.task] = order.attempt;
  reach_and_stop(env, worker, granted.at(first.key));
  ASSERT_EQ(env.state(first), "held");
  env.fail(worker, granted.at(prepare.key), {.cause = FailureClass::kInvalid, .reason = "no"});
  EXPECT_EQ(env.state(first), "leased");
}

// The second training has its input and is queued. Then another sweep's task misses what that input
// was made from, which fails when it is made again, and a second one misses the input itself.
TEST(SearchLooksAgain, WhenAnotherSweepsTaskFindsALostInput) {
  CoreEnv env;
  const WorkerId worker = env.add_worker(2);
  const TaskSpec prepare = make_task("prepare", 1);
  const TaskSpec extract = make_task("extract", 1, {prepare});
  const TaskSpec first = make_task("train", 1);
  const TaskSpec second = make_task("train", 2, {extract});
  SubmitTasks searched =
      make_submission("s", {prepare, extract, first, second},
                      {make_run("a", 1, {first}), make_run("b", 1, {prepare, extract, second})});
  searched.options.search = asha();
  ASSERT_TRUE(env.submit(searched).ok);
  std::map<TaskKey, StartAttempt> granted;
  const auto take = [&] {
    for (const auto& order : env.take<StartAttempt>()) granted[order.attempt.task] = order;
  };
  take();
  reach_and_stop(env, worker, granted.at(first.key).attempt);
  const TaskSpec reads_prepare = make_task("extract", 2, {prepare});
  const TaskSpec reads_extract = make_task("look", 1, {extract});
  const TaskSpec filler = make_task("fill", 1);  // keeps a slot from the second training
  SubmitTasks other =
      make_submission("other", {prepare, extract, reads_prepare, reads_extract, filler},
                      {make_run("x", 1, {prepare, extract, reads_extract}),
                       make_run("y", 1, {prepare, reads_prepare}), make_run("z", 1, {filler})});
  other.priority = 5;
  ASSERT_TRUE(env.submit(other).ok);
  take();
  const auto misses_its_input = [&](const TaskSpec& task) {
    const StartAttempt& order = granted.at(task.key);
    env.from(worker, ReportEnded{.worker = worker,
                                 .attempt = order.attempt,
                                 .outcome = Failed{.cause = FailureClass::kData, .reason = "gone"},
                                 .missing_inputs = {order.inputs.begin()->second.hash}});
    take();
  };
  env.succeed(worker, granted.at(prepare.key), "q");
  take();
  while (env.state(extract) != "succeeded" || env.state(reads_prepare) == "leased") {
    if (env.state(extract) == "leased") {
      env.succeed(worker, granted.at(extract.key), "p");
      take();
    } else {
      ASSERT_EQ(env.state(reads_prepare), "leased");
      misses_its_input(reads_prepare);
    }
  }
  ASSERT_EQ(env.state(prepare), "leased") << "made again";
  env.fail(worker, granted.at(prepare.key).attempt,
           {.cause = FailureClass::kInvalid, .reason = "no corpus"});
  take();
  ASSERT_EQ(env.state(first), "held") << "the second one has its input";
  ASSERT_EQ(env.state(reads_extract), "leased");
  misses_its_input(reads_extract);
  EXPECT_EQ(env.state(second), "blocked");
  EXPECT_NE(env.state(first), "held");
}

}  // namespace
}  // namespace strata::testing
