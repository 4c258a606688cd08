// The real coordinator process, killed with SIGKILL while it works: what it acknowledged is there
// when it is back.
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "link/coordinator_link.h"

namespace strata {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 20'000ms;
const std::string kProgram = STRATA_BINARY_DIR "/bin/strata-coordinator";

struct CoordinatorKill : testing::Test {
  std::filesystem::path store = make_temporary_folder(testing::TempDir(), "kill").value();
  std::optional<pid_t> pid;

  void up(const std::vector<std::string>& more = {}) {
    std::vector<std::string> argv{kProgram, "--store", store.string(), "--metrics", ""};
    argv.insert(argv.end(), more.begin(), more.end());
    pid = spawn({.argv = std::move(argv), .stderr_file = store / "log.txt"}).value();
    for (int i = 0; i < 400; ++i) {
      const auto file = link::read_address_file(store / "coordinator.json");
      if (file && file->pid == *pid) return;
      std::this_thread::sleep_for(25ms);
    }
    FAIL() << "the coordinator did not come up: " << read_file(store / "log.txt").value_or("");
  }
  Exit end(int signal) {
    kill(*pid, signal);
    const Exit exit = wait_exit(*pid).value();
    pid.reset();
    return exit;
  }
  void TearDown() override {
    if (pid) end(SIGKILL);
  }
  static TaskSpec task(int n) {
    TaskSpec spec{.stage = "s",
                  .program = {.name = "s", .argv = {"/bin/true"}},
                  .parameters = Object{{"n", n}}};
    spec.key = compute_key(spec);
    return spec;
  }
};

TEST_F(CoordinatorKill, WhatWasAcknowledgedSurvivesEveryKill) {
  std::set<std::string> acknowledged;
  int n = 0;
  for (int life = 0; life < 5; ++life) {
    up();
    auto client = link::CoordinatorLink::open(store / "coordinator.json").value();
    // A few that are surely acknowledged, then one in flight when the kill comes, at a time that
    // differs each life.
    for (int i = 0; i < 20; ++i, ++n) {
      const auto answer = client.submit(
          {.sweep = "sweep-" + std::to_string(n), .first = true, .last = true, .tasks = {task(n)}},
          kPatience);
      ASSERT_TRUE(answer && answer->ok);
      acknowledged.insert(task(n).key.hex());
    }
    for (int i = 0; i < 50; ++i, ++n) {
      ASSERT_TRUE(client.send(SubmitTasks{.id = 1'000'000U + static_cast<std::uint64_t>(n),
                                          .sweep = "sweep-" + std::to_string(n),
                                          .first = true,
                                          .last = true,
                                          .tasks = {task(n)}}));
    }
    std::this_thread::sleep_for(life * 3ms);
    EXPECT_EQ(end(SIGKILL).signal, SIGKILL);
    while (true) {  // answers that had left count, too
      const auto message = client.receive(50ms);
      if (!message || !message->has_value()) break;
      if (const auto* answer = std::get_if<Answer>(&**message); answer != nullptr && answer->ok) {
        acknowledged.insert(task(static_cast<int>(answer->id - 1'000'000U)).key.hex());
      }
    }
  }
  up();
  auto client = link::CoordinatorLink::open(store / "coordinator.json").value();
  const auto answer = client.ask("tasks", "{}", kPatience);
  ASSERT_TRUE(answer && answer->ok);
  std::set<std::string> stored;
  const Value body = parse_json(answer->body).value();
  for (const Value& row : *body.find("tasks")->if_array())
    stored.insert(*row.find("task")->if_string());
  for (const std::string& key : acknowledged) EXPECT_TRUE(stored.contains(key)) << key;
  EXPECT_GE(acknowledged.size(), 100U);
  EXPECT_TRUE(end(SIGTERM).ok());
  EXPECT_FALSE(std::filesystem::exists(store / "coordinator.json"));
  const Captured checked =
      run_captured({.argv = {kProgram, "fsck", "--store", store.string()}}).value();
  EXPECT_TRUE(checked.exit.ok()) << checked.output;
  EXPECT_NE(checked.output.find("sound"), std::string::npos);
}

// Batches of ten, some of them overtaken or sent twice, with a kill in the middle of each life.
TEST_F(CoordinatorKill, PointsThatWereAcknowledgedSurviveEveryKillOnceAndInOrder) {
  const AttemptId attempt{.task = task(1).key, .number = 1};
  WorkerId worker{};
  std::uint64_t acknowledged = 0;
  const auto take = [&](link::CoordinatorLink& line, std::chrono::milliseconds wait) {
    const auto message = line.receive(wait);
    if (!message || !message->has_value()) return false;
    if (const auto* welcome = std::get_if<Welcome>(&**message)) worker = welcome->worker;
    if (const auto* ack = std::get_if<MetricAck>(&**message)) {
      EXPECT_FALSE(ack->stale);
      acknowledged = std::max(acknowledged, ack->up_to);
    }
    return true;
  };
  const auto batch = [&](std::uint64_t first) {
    MetricBatch points{.worker = worker, .attempt = attempt};
    for (std::uint64_t i = first; i < first + 10; ++i) {
      points.points.push_back({.sequence = i,
                               .step = static_cast<std::int64_t>(i),
                               .values = {{"loss", 1.0 / static_cast<double>(i)}}});
    }
    return points;
  };
  const auto points_of = [&](link::CoordinatorLink& client) {
    const auto answer =
        client.ask("metrics", to_canonical_json(Object{{"prefix", attempt.task.hex()}}), kPatience);
    EXPECT_TRUE(answer && answer->ok);
    return *parse_json(answer->body)->find("points")->if_array();
  };
  std::uint64_t before = 0;
  for (int life = 0; life < 6; ++life) {
    up();
    auto line = link::CoordinatorLink::open(store / "coordinator.json").value();
    auto client = link::CoordinatorLink::open(store / "coordinator.json").value();
    if (life == 0) {
      ASSERT_TRUE(client.submit({.sweep = "s", .first = true, .last = true, .tasks = {task(1)}},
                                kPatience));
    }
    Hello hello{.build = "t", .name = "box", .session = 7, .slots = 1};
    if (life > 0) hello.held = {{.attempt = attempt, .phase = AttemptPhase::kRunning}};
    ASSERT_TRUE(line.send(hello));
    worker = {};
    while (worker == WorkerId()) ASSERT_TRUE(take(line, kPatience));
    if (life == 0) {
      ASSERT_TRUE(line.send(Heartbeat{.worker = worker, .session = 7, .sequence = 1}));
      for (bool started = false; !started;) {
        const auto message = line.receive(kPatience).value();
        ASSERT_TRUE(message);
        started = std::holds_alternative<StartAttempt>(*message);
      }
      ASSERT_TRUE(line.send(ReportStarted{.worker = worker, .attempt = attempt}));
    }
    const std::vector<Value> there = points_of(client);
    ASSERT_GE(there.size(), acknowledged) << "acknowledged points are lost";
    for (std::size_t i = 0; i < there.size(); ++i) {
      ASSERT_EQ(*there[i].find("step"), Value(static_cast<std::int64_t>(i + 1)));
      ASSERT_EQ(*there[i].find("values.loss"), Value(1.0 / static_cast<double>(i + 1)));
    }
    // From the oldest that is not acknowledged, as a worker does.
    const std::uint64_t first = acknowledged + 1;
    const std::uint64_t wanted = acknowledged + 400 + 130 * static_cast<std::uint64_t>(life);
    for (std::uint64_t at = first, turn = 0; at < first + 2'000; at += 10, ++turn) {
      const std::uint64_t swapped = turn % 4 == 2 ? at + 10 : turn % 4 == 3 ? at - 10 : at;
      ASSERT_TRUE(line.send(batch(swapped)));
      const std::uint64_t again = turn % 5 == 0 ? first : swapped;
      ASSERT_TRUE(line.send(batch(again)));
    }
    while (acknowledged < wanted) ASSERT_TRUE(take(line, kPatience));
    EXPECT_EQ(end(SIGKILL).signal, SIGKILL);
    while (take(line, 50ms)) {
    }
    EXPECT_GT(acknowledged, before);
    before = acknowledged;
  }
}

TEST_F(CoordinatorKill, AStoreWhoseDiskDiedComesBackFromItsMirrorWithAllThatAPassHadSeen) {
  const std::filesystem::path mirror =
      make_temporary_folder(testing::TempDir(), "mirror").value() / "of the store";
  const auto mirrored = [&] {
    const auto text = read_file(mirror / "mirror.json");
    const auto state = text ? parse_json(*text) : Result<Value>(Value(Object{}));
    const Value* seq = state->find("last_seq");
    return seq == nullptr ? std::string() : seq->if_number()->text();
  };
  const auto ask = [&](const std::string& verb, const std::string& name) {
    auto client = link::CoordinatorLink::open(store / "coordinator.json").value();
    const auto answer = client.ask(verb, "{}", kPatience);
    EXPECT_TRUE(answer && answer->ok);
    return *parse_json(answer->body)->find(name);
  };
  const auto submit = [&](int first, int last) {
    auto client = link::CoordinatorLink::open(store / "coordinator.json").value();
    for (int n = first; n < last; ++n) {
      const auto answer = client.submit(
          {.sweep = "sweep-" + std::to_string(n), .first = true, .last = true, .tasks = {task(n)}},
          kPatience);
      ASSERT_TRUE(answer && answer->ok);
    }
  };
  for (int life = 0; life < 3; ++life) {
    up(life == 0 ? std::vector<std::string>{"--mirror", mirror.string(), "--mirror-every", "0.1"}
                 : std::vector<std::string>{"--restore", mirror.string(), "--mirror-every", "0.1"});
    EXPECT_EQ(ask("tasks", "tasks").if_array()->size(), static_cast<std::size_t>(life) * 20);
    submit(life * 20, life * 20 + 20);
    const std::string events = ask("status", "events").if_number()->text();
    for (int i = 0; i < 400 && mirrored() != events; ++i) std::this_thread::sleep_for(25ms);
    ASSERT_EQ(mirrored(), events);
    EXPECT_EQ(*ask("status", "mirror").find("failing"), Value(""));
    if (life < 2) {
      EXPECT_EQ(end(SIGKILL).signal, SIGKILL);
    } else {
      EXPECT_TRUE(end(SIGTERM).ok());
    }
    store = make_temporary_folder(testing::TempDir(), "kill").value();  // another disk
  }
  up({"--restore", mirror.string()});
  EXPECT_EQ(ask("tasks", "tasks").if_array()->size(), 60U);
  EXPECT_TRUE(end(SIGTERM).ok());
  const Captured checked =
      run_captured({.argv = {kProgram, "fsck", "--store", store.string()}}).value();
  EXPECT_TRUE(checked.exit.ok()) << checked.output;
}

TEST_F(CoordinatorKill, ASecondProcessOnTheSameStoreEndsAtOnceAndNamesTheFirst) {
  up();
  const Captured second =
      run_captured({.argv = {kProgram, "--store", store.string(), "--metrics", ""},
                    .stderr_file = store / "second.txt"})
          .value();
  EXPECT_EQ(second.exit.code, 1);
  EXPECT_NE(read_file(store / "second.txt").value().find("pid " + std::to_string(*pid)),
            std::string::npos);
}

TEST_F(CoordinatorKill, AnAddressThatOthersReachCarriesKeysOfItself) {
  // Keys are always made, so a bind to all addresses is allowed and a client without the key gets
  // nothing.
  pid = spawn({.argv = {kProgram, "--store", store.string(), "--bind", "tcp://0.0.0.0:0",
                        "--advertise", "127.0.0.1"},
               .stderr_file = store / "log.txt"})
            .value();
  for (int i = 0; i < 400 && !std::filesystem::exists(store / "coordinator.json"); ++i)
    std::this_thread::sleep_for(25ms);
  auto file = link::read_address_file(store / "coordinator.json").value();
  auto client = link::CoordinatorLink::open(store / "coordinator.json").value();
  EXPECT_TRUE(client.ask("status", "{}", kPatience));
  file.public_key.clear();
  ASSERT_TRUE(link::write_address_file(store / "keyless.json", file));
  auto keyless = link::CoordinatorLink::open(store / "keyless.json").value();
  EXPECT_FALSE(keyless.ask("status", "{}", 500ms));
}

}  // namespace
}  // namespace strata
