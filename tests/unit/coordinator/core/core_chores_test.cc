// What clients ask and takes more than one step: whatever the parts are, what is asked meanwhile
// waits, nobody sees the half of anything, and the end is the same.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/assert.h"
#include "coordinator/core/core.h"
#include "tests/support/sample_sweep.h"

namespace strata::testing {
namespace {

using coordinator::CancelSweep;
using coordinator::Cluster;
using coordinator::Core;
using coordinator::GoOn;
using coordinator::InputBody;
using coordinator::Options;
using coordinator::Output;
using coordinator::PeerId;
using coordinator::RetryTasks;
using std::chrono::seconds;

constexpr PeerId kWorkerPeer{99};

struct Said {  // an answer, and to whom
  PeerId to{};
  Answer answer{};
  bool operator==(const Said&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Said& said) {
  return out << said.to.value() << " <- " << said.answer.id << " " << said.answer.body;
}

// A core whose steps are looked at one by one.
class Desk {
 public:
  explicit Desk(std::size_t looks = 5'000, std::size_t events = 500)
      : options_{.looks_per_step = looks, .events_per_step = events}, core_(options_, {}, now_) {}

  // How many events it made.
  std::size_t step(PeerId peer, InputBody body) {
    Output output = core_.step({.peer = peer, .body = std::move(body)}, now_, WallTime{1});
    const std::size_t events = output.events.size();
    for (Event& event : output.events) log.push_back(std::move(event));
    for (auto& [to, message] : output.effects) {
      if (auto* answer = std::get_if<Answer>(&message)) {
        answers.push_back({.to = to, .answer = std::move(*answer)});
      } else {
        sent.push_back(std::move(message));
      }
    }
    ++steps;
    return events;
  }
  void ask(std::uint64_t peer, InputBody body) { step(PeerId(peer), std::move(body)); }
  void go_on() { step({}, GoOn{}); }
  void finish() {
    for (int i = 0; core_.is_busy(); ++i) {
      STRATA_ASSERT(i < 100'000);  // it comes to an end
      go_on();
    }
  }
  void ask_and_finish(std::uint64_t peer, InputBody body) {
    ask(peer, std::move(body));
    finish();
  }
  WorkerId add_worker(std::int64_t slots) {
    step(kWorkerPeer, Hello{.name = "w", .session = 7, .slots = slots});
    return core_.cluster().workers().rbegin()->first;
  }
  // What was sent of this type, since the last call; the rest is dropped.
  template <class T>
  std::vector<T> take() {
    std::vector<T> taken;
    for (Message& message : sent) {
      if (auto* wanted = std::get_if<T>(&message)) taken.push_back(std::move(*wanted));
    }
    sent.clear();
    return taken;
  }
  void restart() {
    Cluster cluster;
    for (const Event& event : log) cluster.apply(event);
    core_ = Core(options_, std::move(cluster), now_);
    answers.clear();
  }

  [[nodiscard]] const Core& core() const { return core_; }
  [[nodiscard]] const Cluster& cluster() const { return core_.cluster(); }
  [[nodiscard]] std::string state(const TaskSpec& task) const {
    return coordinator::name_of(cluster().find_task(task.key)->state);
  }
  [[nodiscard]] std::size_t waiting() const {
    for (const Core::Kept& kept : core_.kept()) {
      if (kept.what == std::string_view("commands that wait")) return kept.count;
    }
    return 0;
  }

  std::vector<Event> log{};
  std::vector<Said> answers{};
  std::vector<Message> sent{};
  std::size_t steps = 0;

 private:
  Options options_;
  Instant now_{std::chrono::hours(1)};
  Core core_;
};

std::vector<TaskSpec> trains(std::int64_t first, std::int64_t count) {
  std::vector<TaskSpec> tasks;
  for (std::int64_t i = first; i < first + count; ++i) tasks.push_back(make_task("train", i));
  return tasks;
}

// Every task in a run of its own.
SubmitTasks sweep_of(const std::string& name, const std::vector<TaskSpec>& tasks,
                     std::uint64_t id = 1) {
  SubmitTasks submission = make_submission(name, tasks);
  for (const TaskSpec& task : tasks) submission.runs.push_back(make_run("cell", 1, {task}));
  submission.id = id;
  return submission;
}

std::vector<TaskKey> keys_of(const std::vector<TaskSpec>& tasks) {
  std::vector<TaskKey> keys;
  for (const TaskSpec& task : tasks) keys.push_back(task.key);
  return keys;
}

// Of `tasks`, the worker fails each that it is given, for good, and leaves.
void fail_some(Desk& desk, std::int64_t count) {
  const WorkerId worker = desk.add_worker(count);
  for (const StartAttempt& order : desk.take<StartAttempt>()) {
    desk.step(kWorkerPeer,
              ReportEnded{.worker = worker,
                          .attempt = order.attempt,
                          .outcome = Failed{.cause = FailureClass::kInvalid, .reason = "no"}});
  }
  desk.step(kWorkerPeer, Goodbye{.worker = worker, .session = 7});
}

// All that is done in parts, over shared tasks and tasks that failed; each command is asked when
// the one before it is done.
void long_story(Desk& desk) {
  const auto all = trains(0, 24);
  const std::vector<TaskSpec> shared(all.begin(), all.begin() + 6);
  const std::vector<TaskSpec> kept(all.begin() + 3, all.begin() + 12);
  desk.ask_and_finish(1, sweep_of("s", all, 1));
  desk.ask_and_finish(2, sweep_of("other", shared, 2));
  desk.ask_and_finish(1, sweep_of("s", kept, 3));  // drops the others
  desk.ask_and_finish(3, RetryTasks{.request = 4, .tasks = keys_of(all)});
  desk.ask_and_finish(1, sweep_of("s", all, 5));
  fail_some(desk, 1);  // one of them, which the next ones find failed
  desk.ask_and_finish(1, sweep_of("s", kept, 6));
  desk.ask_and_finish(2, CancelSweep{.request = 7, .sweep = "other"});
  desk.ask_and_finish(1, CancelSweep{.request = 8, .sweep = "s"});
  desk.ask_and_finish(3, RetryTasks{.request = 9, .sweep = "other"});
  desk.ask_and_finish(3, RetryTasks{.request = 10, .tasks = keys_of(kept)});
  desk.ask_and_finish(3, RetryTasks{.request = 11, .sweep = "s"});
  desk.ask_and_finish(1, sweep_of("s", {}, 12));
}

TEST(Chores, EndTheSameHoweverSmallTheirPartsAre) {
  Desk whole;
  long_story(whole);
  for (const std::size_t looks : {1U, 2U, 3U, 7U, 50U}) {
    for (const std::size_t events : {1U, 2U, 5U, 500U}) {
      Desk parts(looks, events);
      long_story(parts);
      EXPECT_EQ(parts.answers, whole.answers) << looks << " looks, " << events << " events";
      EXPECT_EQ(parts.log, whole.log) << looks << " looks, " << events << " events";
      if (looks < 10) {
        EXPECT_GT(parts.steps, whole.steps + 20);
      }
    }
  }
}

TEST(Chores, SayWhatTheyDid) {
  Desk desk;
  long_story(desk);
  std::vector<std::string> said;
  for (const Said& one : desk.answers) said.push_back(one.answer.body);
  const auto batch = [](int generation, int created, int kept, int revived, int runs,
                        int withdrawn) {
    return fmt::format(
        R"({{"created":{},"generation":{},"kept":{},"revived":{},"runs":{},"sweep":"s","withdrawn":{}}})",
        created, generation, kept, revived, runs, withdrawn);
  };
  ASSERT_EQ(said.size(), 12U);
  EXPECT_EQ(said[0], batch(1, 24, 0, 0, 24, 0));
  EXPECT_EQ(said[2], batch(2, 0, 9, 0, 9, 15)) << "three of them are still wanted by the other";
  EXPECT_EQ(said[3], R"({"revived":0})") << "what was dropped stands in no current run";
  EXPECT_EQ(said[4], batch(3, 0, 12, 12, 24, 0));
  EXPECT_EQ(said[5], batch(4, 0, 9, 0, 9, 14)) << "what has failed did not wait any more";
  EXPECT_EQ(said[10], R"({"revived":0})") << "they have been revived by name";
  EXPECT_EQ(said[11], batch(5, 0, 0, 0, 0, 9));
}

TEST(Chores, DoNoMoreInAStepThanTheirPart) {
  Desk desk(1'000, 4);
  desk.ask_and_finish(1, sweep_of("s", trains(0, 40)));
  desk.ask(1, CancelSweep{.request = 2, .sweep = "s"});
  std::size_t steps = 0;
  for (; desk.core().is_busy(); ++steps) {
    const std::size_t events = desk.step({}, GoOn{});
    EXPECT_LE(events, 4U + 1U) << "each task that is let go is two events";
  }
  EXPECT_GE(steps, 40U * 2U / 5U - 1U);
  EXPECT_EQ(desk.answers.back().answer.body, R"({"stopping":0,"withdrawn":40})");
  // The events of the batch itself are no part of it: else it would not go on in its step.
  desk.ask(1, sweep_of("t", trains(100, 20)));
  EXPECT_FALSE(desk.core().is_busy());

  // Looks are bounded where there is nothing to do, too.
  Desk looking(10, 1'000);
  looking.ask_and_finish(1, sweep_of("s", trains(0, 40)));
  looking.ask_and_finish(1, sweep_of("none", {}));
  for (const InputBody& body : {InputBody(CancelSweep{.request = 2, .sweep = "none"}),
                                InputBody(RetryTasks{.request = 3, .sweep = "s"}),
                                InputBody(sweep_of("s", trains(0, 40)))}) {
    const std::size_t before = looking.steps;
    looking.ask_and_finish(1, body);
    EXPECT_GE(looking.steps - before, 4U) << body.index();
    EXPECT_LE(looking.steps - before, 15U) << body.index();
  }
}

TEST(Chores, CommandsThatComeMeanwhileWaitAndAreAnsweredInTheirOrderToWhoAsked) {
  Desk desk(1, 1);
  const auto tasks = trains(0, 10);
  desk.ask_and_finish(1, sweep_of("s", tasks));
  desk.answers.clear();
  desk.ask(5, CancelSweep{.request = 50, .sweep = "s"});
  desk.ask(6, sweep_of("late", trains(5, 10), 60));
  desk.ask(7, CancelSweep{.request = 70, .sweep = "late"});
  desk.ask(5, CancelSweep{.request = 51, .sweep = "unknown"});
  desk.ask(8, RetryTasks{.request = 80, .sweep = "s"});
  SubmitTasks broken = sweep_of("broken", tasks, 61);
  broken.tasks[0].outputs = {"../up"};
  desk.ask(6, broken);
  EXPECT_TRUE(desk.answers.empty());
  EXPECT_EQ(desk.waiting(), 5U);
  EXPECT_FALSE(desk.cluster().sweeps().contains("late")) << "nobody sees the half of anything";

  // Each is begun when the one before it has its answer.
  bool late_has_come = false;
  while (desk.core().is_busy()) {
    desk.go_on();
    late_has_come = late_has_come || desk.cluster().sweeps().contains("late");
    EXPECT_LE(desk.answers.size(), 6U);
    EXPECT_FALSE(desk.answers.empty() && late_has_come);
  }
  ASSERT_EQ(desk.answers.size(), 6U);
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> expected{{5, 50}, {6, 60}, {7, 70},
                                                                      {5, 51}, {8, 80}, {6, 61}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(desk.answers[i].to, PeerId(expected[i].first)) << i;
    EXPECT_EQ(desk.answers[i].answer.id, expected[i].second) << i;
  }
  EXPECT_FALSE(desk.answers[3].answer.ok);
  EXPECT_FALSE(desk.answers[5].answer.ok);
  for (const TaskSpec& task : tasks) EXPECT_EQ(desk.state(task), "queued");
}

TEST(Chores, TheOrderIsThatOfTheCommandsAlsoWhenTheOneBeforeEndsWithItsStep) {
  // The part of the step is used up by the end of the first: the second waits though no chore is
  // under way, and a third one must not overtake it.
  Desk desk(2, 500);
  const auto tasks = trains(0, 4);
  desk.ask_and_finish(1, sweep_of("s", tasks));
  desk.answers.clear();
  desk.ask(1, CancelSweep{.request = 10, .sweep = "s"});
  std::uint64_t next = 11;
  for (int i = 0; i < 20; ++i) {  // one comes with each step
    desk.ask(1, CancelSweep{.request = next++, .sweep = "s"});
  }
  desk.finish();
  ASSERT_EQ(desk.answers.size(), 21U);
  for (std::size_t i = 0; i < desk.answers.size(); ++i)
    EXPECT_EQ(desk.answers[i].answer.id, 10U + i) << i;
}

TEST(Chores, AboveTheirLimitCommandsAreRefusedAndMayComeAgain) {
  Desk desk(1, 1);
  const auto tasks = trains(0, 5);
  desk.ask_and_finish(1, sweep_of("s", tasks));
  desk.answers.clear();
  desk.ask(1, CancelSweep{.request = 1, .sweep = "s"});
  const auto most = [&] {
    for (const Core::Kept& kept : desk.core().kept()) {
      if (kept.what == std::string_view("commands that wait")) return kept.most;
    }
    return std::size_t{0};
  }();
  ASSERT_EQ(most, 1'000U);
  // Each step goes on with what is under way, so more come than wait.
  std::uint64_t asked = 1;
  while (desk.answers.empty() || desk.answers.back().answer.ok) {
    const std::size_t waited = desk.waiting();
    ++asked;
    desk.ask(2, RetryTasks{.request = asked, .sweep = "s"});
    EXPECT_LE(desk.waiting(), most);
    const bool is_refused = !desk.answers.empty() && !desk.answers.back().answer.ok;
    EXPECT_TRUE(!is_refused || waited == most);
    ASSERT_LT(asked, 10'000U);
  }
  const Said refused = desk.answers.back();
  EXPECT_EQ(refused.to, PeerId(2));
  EXPECT_EQ(refused.answer.id, asked) << "the one that came, none that waits";
  EXPECT_NE(refused.answer.body.find("\"code\":\"unavailable\""), std::string::npos)
      << refused.answer.body;
  EXPECT_NE(refused.answer.body.find("ask again later"), std::string::npos);
  for (const InputBody& body :
       {InputBody(sweep_of("s", tasks, 7'001)), InputBody(CancelSweep{7'002, "s"}),
        InputBody(coordinator::SubmitPlanned{.submission = sweep_of("s", tasks, 7'003)})}) {
    while (desk.waiting() < most) desk.ask(2, RetryTasks{.request = ++asked, .sweep = "s"});
    desk.answers.clear();
    desk.ask(3, body);
    const auto its = std::find_if(desk.answers.begin(), desk.answers.end(),
                                  [](const Said& said) { return said.to == PeerId(3); });
    ASSERT_NE(its, desk.answers.end());
    EXPECT_GT(its->answer.id, 7'000U);
    EXPECT_FALSE(its->answer.ok);
  }
  desk.finish();
  EXPECT_EQ(desk.waiting(), 0U);
  desk.answers.clear();
  desk.ask_and_finish(2, CancelSweep{.request = 5, .sweep = "s"});
  ASSERT_EQ(desk.answers.size(), 1U);
  EXPECT_TRUE(desk.answers[0].answer.ok);
}

TEST(Chores, WorkersAreHeardAndQuestionsAnsweredMeanwhile) {
  Desk desk(1, 1);
  const WorkerId worker = desk.add_worker(2);
  const auto tasks = trains(0, 30);
  desk.ask_and_finish(1, sweep_of("s", tasks));
  const auto orders = desk.take<StartAttempt>();
  ASSERT_EQ(orders.size(), 2U);
  desk.answers.clear();
  desk.ask(1, sweep_of("other", trains(100, 30), 2));  // its end takes many steps
  ASSERT_TRUE(desk.core().is_busy());

  desk.step(kWorkerPeer, Heartbeat{.worker = worker, .session = 7, .sequence = 3});
  EXPECT_EQ(desk.take<HeartbeatAck>().at(0).sequence, 3U);
  desk.step(kWorkerPeer, ReportStarted{.worker = worker, .attempt = orders[0].attempt});
  EXPECT_EQ(coordinator::name_of(desk.cluster().find_task(orders[0].attempt.task)->state),
            std::string("running"));
  EXPECT_NE(desk.core().reason(orders[0].attempt.task, Instant{}).find("runs on w"),
            std::string::npos);
  desk.step(kWorkerPeer,
            ReportEnded{.worker = worker,
                        .attempt = orders[0].attempt,
                        .outcome = Succeeded{.artifacts = {{"result", make_artifact("r")}}}});
  EXPECT_EQ(desk.take<StartAttempt>().size(), 1U) << "its slot is given away at once";
  desk.step(PeerId(4), coordinator::DrainWorker{.request = 40, .worker = worker});
  ASSERT_EQ(desk.answers.size(), 1U) << "short ones are done at once";
  EXPECT_EQ(desk.answers[0].answer.id, 40U);
  EXPECT_TRUE(desk.core().is_busy());
  desk.finish();
  EXPECT_EQ(desk.answers.back().answer.id, 2U);
}

// Between two parts the world moves: what was dropped and then got its slots goes on, as does what
// was dropped while it ran.
TEST(Chores, WhatIsGrantedBetweenTheStepsOfASealingGoesOn) {
  Desk desk(1, 1);
  const auto tasks = trains(0, 12);
  desk.ask_and_finish(1, sweep_of("s", tasks));
  desk.answers.clear();
  desk.ask(1, sweep_of("s", {tasks[0]}, 2));
  // All runs have been looked at when the first one is let go.
  const auto withdrawn = [&] {
    return std::count_if(desk.log.begin(), desk.log.end(), [](const Event& event) {
      return std::holds_alternative<WantWithdrawn>(event.body);
    });
  };
  while (withdrawn() == 0) desk.go_on();
  desk.add_worker(3);
  const auto orders = desk.take<StartAttempt>();
  ASSERT_EQ(orders.size(), 3U);
  desk.finish();
  std::int64_t let_go = 0;
  for (const TaskSpec& task : tasks) {
    const bool granted = std::any_of(orders.begin(), orders.end(), [&](const StartAttempt& order) {
      return order.attempt.task == task.key;
    });
    if (granted) {
      EXPECT_EQ(desk.state(task), "leased");
      EXPECT_TRUE(desk.cluster().find_task(task.key)->wants.contains("s"));
    } else if (task.key != tasks[0].key) {
      EXPECT_EQ(desk.state(task), "cancelled");
      ++let_go;
    }
  }
  EXPECT_EQ(let_go, withdrawn());
  EXPECT_TRUE(desk.take<StopAttempt>().empty());
  EXPECT_NE(desk.answers.at(0).answer.body.find(fmt::format(R"("withdrawn":{})", withdrawn())),
            std::string::npos)
      << desk.answers[0].answer.body;
}

TEST(Chores, WhatAnotherRunOfTheNewFileNeedsIsNotLetGo) {
  for (const std::size_t part : {1U, 2U, 500U}) {
    Desk desk(part, part);
    const TaskSpec prepare = make_task("prepare", 1);
    const auto tasks = trains(0, 6);
    SubmitTasks old_file = make_submission("s", tasks);
    old_file.tasks.insert(old_file.tasks.begin(), prepare);
    for (const TaskSpec& task : tasks)
      old_file.runs.push_back(make_run("cell", 1, {prepare, task}));
    desk.ask_and_finish(1, old_file);
    SubmitTasks new_file = old_file;
    new_file.tasks.resize(4);  // with the first three trainings
    new_file.runs.resize(3);
    desk.ask_and_finish(1, new_file);
    EXPECT_EQ(desk.state(prepare), "queued") << part;
    for (std::size_t i = 0; i < tasks.size(); ++i)
      EXPECT_EQ(desk.state(tasks[i]), i < 3 ? "queued" : "cancelled") << part;
  }
}

TEST(Chores, ACancelAsksTheGangsThatItMeetsToStopAndCountsThem) {
  Desk desk(1, 1);
  desk.add_worker(3);
  const auto tasks = trains(0, 9);
  desk.ask_and_finish(1, sweep_of("s", tasks));
  ASSERT_EQ(desk.take<StartAttempt>().size(), 3U);
  desk.answers.clear();
  desk.ask_and_finish(1, CancelSweep{.request = 2, .sweep = "s"});
  EXPECT_EQ(desk.answers.at(0).answer.body, R"({"stopping":3,"withdrawn":9})");
  EXPECT_EQ(desk.take<StopAttempt>().size(), 3U);
}

TEST(Chores, ARetryFindsTheRunsOfEverySweep) {
  // A run of the first sweep that is looked at last must not hide those of the next one.
  for (const std::size_t looks : {1U, 3U, 1'000U}) {
    Desk desk(looks, 1'000);
    const auto tasks = trains(0, 16);
    for (const char* name : {"a", "b", "c"}) {
      desk.ask_and_finish(1, sweep_of(name, tasks));
    }
    for (const char* name : {"a", "b", "c"})
      desk.ask_and_finish(1, CancelSweep{.request = 2, .sweep = name});
    desk.ask_and_finish(1, RetryTasks{.request = 3, .tasks = keys_of(tasks)});
    for (const TaskSpec& task : tasks) {
      const auto& wants = desk.cluster().find_task(task.key)->wants;
      EXPECT_EQ((std::set<std::string>(wants.begin(), wants.end())),
                (std::set<std::string>{"a", "b", "c"}));
    }
    EXPECT_EQ(desk.answers.back().answer.body, R"({"revived":16})");
  }
}

TEST(Chores, ARestartForgetsThemAndWhoAsksAgainGetsTheSame) {
  const auto tasks = trains(0, 20);
  for (int after = 1; after < 40; after += 3) {
    Desk desk(1, 2);
    desk.ask_and_finish(1, sweep_of("s", tasks));
    desk.ask(1, CancelSweep{.request = 2, .sweep = "s"});
    desk.ask(2, RetryTasks{.request = 3, .sweep = "s"});
    for (int i = 0; i < after && desk.core().is_busy(); ++i) desk.go_on();
    desk.restart();
    EXPECT_FALSE(desk.core().is_busy());
    desk.finish();
    EXPECT_TRUE(desk.answers.empty());
    desk.ask_and_finish(1, CancelSweep{.request = 4, .sweep = "s"});
    for (const TaskSpec& task : tasks) EXPECT_EQ(desk.state(task), "cancelled") << after;
    EXPECT_EQ(desk.answers.size(), 1U);
  }
}

}  // namespace
}  // namespace strata::testing
