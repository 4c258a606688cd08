// A real core with one worker and a two-stage sweep, whose events go wherever a test wants them:
// what the store, the queries and the live view are tried on.
#pragma once

#include <gtest/gtest.h>

#include "coordinator/core/core.h"
#include "coordinator/event_store.h"

namespace strata::coordinator {

struct SmallWorld {
  Core core{Options{.coordinator_id = "test", .artifact_folder = "/artifacts"}, Cluster(),
            Instant()};
  Instant now{std::chrono::seconds(1'000)};
  WallTime wall{.unix_ms = 1'000'000};
  std::vector<Event> uncommitted{};
  std::vector<Message> sent{};
  PeerId worker_peer{1};
  PeerId client_peer{2};
  WorkerId worker{1};

  void step(PeerId peer, InputBody body) {
    now = now + std::chrono::milliseconds(100);
    wall.unix_ms += 100;
    Output output = core.step({.peer = peer, .body = std::move(body)}, now, wall);
    for (Event& event : output.events) uncommitted.push_back(std::move(event));
    for (Send& send : output.effects) sent.push_back(std::move(send.message));
  }

  static TaskSpec task(const std::string& stage, Value parameters,
                       std::vector<TaskInput> inputs = {}) {
    TaskSpec spec{.stage = stage,
                  .program = {.name = stage, .argv = {"/bin/true"}},
                  .parameters = std::move(parameters),
                  .inputs = std::move(inputs),
                  .outputs = {"out"},
                  .resumable = true,
                  .flops = 1e9};
    spec.key = compute_key(spec);
    return spec;
  }
  static RunSpec run(const std::string& cell, std::uint64_t seed, std::vector<TaskSpec> tasks) {
    RunSpec spec{
        .cell = cell, .assignment = Object{{"lr", 0.1}}, .seed = seed, .baseline = cell == "base"};
    for (const TaskSpec& one : tasks) spec.tasks[one.stage] = one.key;
    spec.key = compute_key(spec);
    return spec;
  }

  TaskSpec extract = task("extract", Object{{"corpus", "a"}});
  TaskSpec train_one = task("train", Object{{"model", Object{{"dim", 8}}}, {"lr", 0.1}},
                            {{.name = "features", .producer = extract.key, .output = "out"}});
  TaskSpec train_two = task("train", Object{{"model", Object{{"dim", 16}}}, {"lr", 0.1}},
                            {{.name = "features", .producer = extract.key, .output = "out"}});
  RunSpec run_one = run("base", 1, {extract, train_one});
  RunSpec run_two = run("wide", 1, {extract, train_two});

  void join(std::int64_t slots = 1) {
    step(worker_peer,
         Hello{.build = "b", .name = "box", .session = 77, .slots = slots, .labels = {"cpu"}});
  }
  void submit() {
    step(client_peer, SubmitTasks{.id = 5,
                                  .sweep = "small",
                                  .priority = 1,
                                  .definition = R"({"name":"small"})",
                                  .first = true,
                                  .last = true,
                                  .tasks = {extract, train_one, train_two},
                                  .runs = {run_one, run_two}});
    step({}, Tick{});
  }
  AttemptId current(const TaskSpec& spec) const {
    return {.task = spec.key, .number = core.cluster().find_task(spec.key)->attempts};
  }
  void start(const TaskSpec& spec) {
    step(worker_peer, ReportStarted{.worker = worker, .attempt = current(spec)});
  }
  static ArtifactRef artifact(const std::string& content) {
    return {.hash = content_hash_of(content),
            .bytes = static_cast<std::int64_t>(content.size()),
            .files = 1};
  }
  void succeed(const TaskSpec& spec, const std::string& content, std::vector<Score> scores = {}) {
    Succeeded outcome{.artifacts = {{"out", artifact(content)}},
                      .scores = std::move(scores),
                      .recorded = {{"host", "box"}}};
    const auto inputs = core.cluster().inputs_of(*core.cluster().find_task(spec.key));
    for (const auto& [name, ref] : *inputs) outcome.consumed[name] = ref.hash;
    step(worker_peer, ReportEnded{.worker = worker, .attempt = current(spec), .outcome = outcome});
    step({}, Tick{});
  }
  void end(const TaskSpec& spec, Outcome outcome) {
    step(worker_peer,
         ReportEnded{.worker = worker, .attempt = current(spec), .outcome = std::move(outcome)});
    step({}, Tick{});
  }
  void checkpoint(const TaskSpec& spec, std::int64_t at) {
    step(worker_peer, ReportCheckpoint{.worker = worker,
                                       .attempt = current(spec),
                                       .step = at,
                                       .artifact = artifact("checkpoint " + std::to_string(at))});
  }
  void wait(std::chrono::milliseconds time) {
    now = now + time;
    wall.unix_ms += time.count();
    // The worker is heard, or it would be given nothing.
    std::vector<HeldAttempt> held;
    for (const AttemptId& attempt : core.cluster().workers().at(worker).attempts)
      held.push_back({.attempt = attempt});
    step(worker_peer, Heartbeat{.worker = worker, .session = 77, .held = held});
    step({}, Tick{});
  }

  Status commit(EventStore& store) {
    if (touched.empty()) touched = core.take_touched();
    const Status status = store.commit(uncommitted, touched, core.cluster());
    if (!status) return status;
    uncommitted.clear();
    touched.clear();
    return store.tables().wait(store.last_seq(), kTablesWaitMax);
  }
  Touched touched{};
};

// Everything that the log and the memory must agree on, as text.
inline std::string summary(const Cluster& cluster) {
  std::string text;
  for (const auto& [key, task] : cluster.tasks()) {
    text += key.brief() + " " + name_of(task.state) + " " + std::to_string(task.attempts) + " " +
            task.trouble().last_failure + "\n";
  }
  for (const auto& [id, worker] : cluster.workers())
    text += worker.name + " " + std::to_string(worker.free) + "\n";
  for (const auto& [name, sweep] : cluster.sweeps())
    text += name + " " + std::to_string(sweep.generation) + "\n";
  return text + std::to_string(cluster.events_applied());
}

}  // namespace strata::coordinator
