#include "tests/simulation/state_machine.h"

#include <functional>
#include <vector>

#include "base/assert.h"
#include "coordinator/core/cluster.h"
#include "tests/support/sample_sweep.h"

namespace strata::simulation {
namespace {

using coordinator::Cluster;

constexpr const char* kSweep = "sweep";

// A small cluster with one task that takes an input, to be led into any state.
class Stand {
 public:
  Stand() {
    apply(SweepOpened{.sweep = kSweep, .generation = 1});
    apply(TaskWanted{.sweep = kSweep, .spec = producer});
    apply(TaskWanted{.sweep = kSweep, .spec = task});
    apply(WorkerJoined{.worker = WorkerId(1), .name = "w1", .session = 1, .slots = 4});
    apply(granted(producer));
  }
  void apply(EventBody body) { cluster.apply(Event{.body = std::move(body)}); }
  [[nodiscard]] AttemptGranted granted(const TaskSpec& spec) const {
    const coordinator::Task& known = *cluster.find_task(spec.key);
    return {.attempt = {.task = spec.key, .number = cluster.next_attempt(known)},
            .gang = {{.worker = WorkerId(1), .slots = 1}},
            .inputs = cluster.inputs_of(known).value_or(std::map<std::string, ArtifactRef>{})};
  }
  [[nodiscard]] AttemptId attempt() const {
    return {.task = task.key, .number = cluster.find_task(task.key)->attempts};
  }
  void end(const TaskSpec& spec, Outcome outcome) {
    apply(
        AttemptEnded{.attempt = {.task = spec.key, .number = cluster.find_task(spec.key)->attempts},
                     .outcome = std::move(outcome)});
  }
  [[nodiscard]] std::string state() const {
    return coordinator::name_of(cluster.find_task(task.key)->state);
  }

  TaskSpec producer = testing::make_task("extract", 1);
  TaskSpec task = testing::make_task("train", 1, {producer});
  ArtifactRef input = testing::make_artifact("features");
  ArtifactRef result = testing::make_artifact("weights");
  Cluster cluster{};
};

Outcome success(const ArtifactRef& made) { return Succeeded{.artifacts = {{"result", made}}}; }

struct State {
  const char* name;
  std::function<void(Stand&)> reach;
};

const std::vector<State>& states() {
  static const auto queue = [](Stand& s) { s.end(s.producer, success(s.input)); };
  static const auto lease = [](Stand& s) {
    queue(s);
    s.apply(s.granted(s.task));
  };
  static const auto ended = [](Stand& s, Outcome outcome) {
    lease(s);
    s.apply(AttemptStarted{.attempt = s.attempt()});
    s.end(s.task, std::move(outcome));
  };
  static const auto hold = [](Stand& s) {
    queue(s);
    s.apply(TaskHeld{.sweep = kSweep, .task = s.task.key, .reason = "waits at a rung"});
  };
  static const std::vector<State> all{
      {"blocked", [](Stand&) {}},
      {"queued", queue},
      {"held", hold},
      {"leased", lease},
      {"running",
       [](Stand& s) {
         lease(s);
         s.apply(AttemptStarted{.attempt = s.attempt()});
       }},
      {"succeeded", [](Stand& s) { ended(s, success(s.result)); }},
      {"failed",
       [](Stand& s) { ended(s, Failed{.cause = FailureClass::kInvalid, .reason = "bad spec"}); }},
      {"cancelled",
       [](Stand& s) {
         queue(s);
         s.apply(WantWithdrawn{.sweep = kSweep, .task = s.task.key});
         s.apply(TaskCancelled{.task = s.task.key});
       }},
      {"diverged", [](Stand& s) { ended(s, Diverged{.reason = "loss is NaN"}); }},
      {"pruned", [](Stand& s) {
         hold(s);
         s.apply(TaskPruned{.sweep = kSweep, .task = s.task.key, .reason = "not among the best"});
       }}};
  return all;
}

struct Tried {
  const char* detail;  // beside the event's name
  std::function<EventBody(const Stand&)> make;
};

EventBody ended_with(const Stand& s, Outcome outcome) {
  return AttemptEnded{.attempt = s.attempt(), .outcome = std::move(outcome)};
}

std::vector<Tried> of_sweeps() {
  return {{"", [](const Stand&) { return SweepOpened{.sweep = kSweep, .generation = 2}; }},
          {"", [](const Stand& s) { return TaskWanted{.sweep = kSweep, .spec = s.task}; }},
          {"",
           [](const Stand& s) {
             return RunAdded{
                 .sweep = kSweep, .generation = 1, .run = testing::make_run("cell", 1, {s.task})};
           }},
          {"", [](const Stand&) { return SweepSealed{.sweep = kSweep, .generation = 1}; }},
          {"the last want",
           [](const Stand& s) { return WantWithdrawn{.sweep = kSweep, .task = s.task.key}; }},
          {"", [](const Stand& s) { return TaskRevived{.task = s.task.key}; }},
          {"while it is wanted", [](const Stand& s) { return TaskCancelled{.task = s.task.key}; }},
          {"", [](const Stand& s) { return RungReached{.sweep = kSweep, .task = s.task.key}; }},
          {"by every sweep",
           [](const Stand& s) { return TaskHeld{.sweep = kSweep, .task = s.task.key}; }},
          {"", [](const Stand& s) { return TaskPromoted{.sweep = kSweep, .task = s.task.key}; }},
          {"by every sweep",
           [](const Stand& s) { return TaskPruned{.sweep = kSweep, .task = s.task.key}; }}};
}

std::vector<Tried> of_attempts() {
  return {{"the next one", [](const Stand& s) { return s.granted(s.task); }},
          {"of the newest", [](const Stand& s) { return AttemptStarted{.attempt = s.attempt()}; }},
          {"of the newest",
           [](const Stand& s) {
             return CheckpointCommitted{.attempt = s.attempt(), .step = 10, .artifact = s.result};
           }},
          {"of the newest", [](const Stand& s) { return StopRequested{.attempt = s.attempt()}; }},
          {"succeeded", [](const Stand& s) { return ended_with(s, success(s.result)); }},
          {"failed, may be tried again",
           [](const Stand& s) { return ended_with(s, Failed{.cause = FailureClass::kUser}); }},
          {"failed, a retry is useless",
           [](const Stand& s) { return ended_with(s, Failed{.cause = FailureClass::kInvalid}); }},
          {"lost", [](const Stand& s) { return ended_with(s, Lost{}); }},
          {"stopped, still wanted", [](const Stand& s) { return ended_with(s, Stopped{}); }},
          {"diverged", [](const Stand& s) { return ended_with(s, Diverged{}); }},
          {"any of an older attempt",
           [](const Stand& s) {
             const AttemptId older{.task = s.task.key, .number = s.attempt().number + 1'000};
             return AttemptEnded{.attempt = older, .outcome = Lost{}};
           }},
          {"one charged failure",
           [](const Stand& s) { return FailureForgiven{.task = s.task.key, .user_failures = 1}; }}};
}

std::vector<Tried> of_machines() {
  return {{"another one",
           [](const Stand&) {
             return WorkerJoined{.worker = WorkerId(2), .name = "w2", .session = 2, .slots = 1};
           }},
          {"its worker", [](const Stand&) { return WorkerDrained{.worker = WorkerId(1)}; }},
          {"its worker", [](const Stand&) { return WorkerGone{.worker = WorkerId(1)}; }},
          {"its worker", [](const Stand&) { return WorkerQuarantined{.name = "w1", .for_ms = 1}; }},
          {"one that is well", [](const Stand&) { return WorkerProbed{.name = "w1"}; }},
          {"one that is well", [](const Stand&) { return WorkerReleased{.name = "w1"}; }},
          {"its input", [](const Stand& s) { return ArtifactEvicted{.artifact = s.input.hash}; }},
          {"its result", [](const Stand& s) { return ArtifactEvicted{.artifact = s.result.hash}; }},
          {"", [](const Stand&) { return StoreRestored{.attempts_above = 1'000}; }}};
}

std::string cell_of(const State& state, const Tried& tried) {
  Stand stand;
  state.reach(stand);
  STRATA_ASSERT(stand.state() == state.name);
  const Event event{.body = tried.make(stand)};
  if (!stand.cluster.apply_checked(event)) return "–";
  return stand.state() == state.name ? "·" : stand.state();
}

constexpr const char* kHead = R"(# States of a task

Made by `strata-simulate --state-machine` from the code, by trying every event on a task in every
state; a test compares this page with what the program prints. The task takes one input; one sweep
wants it; its attempt, if it has one, is number 1, on the only worker.

`·` the event may come and the task stays as it is; a name: it goes there; `–` the event cannot
follow: the core never decides it, and a log that holds it is damaged (`Cluster::check`).

)";

constexpr const char* kFoot = R"(
An attempt that ends without an outcome puts its task back: to `queued` where its inputs are there,
to `blocked` where one is gone, to `failed` where no retry is left, to `cancelled` where no sweep
wants it any more. A lost artifact brings back what made it when something unfinished needs it: that
is the only way out of `succeeded`, and it goes with `artifact-evicted` or with the end of whoever
needed it, so no cell here shows it. `failed`, `cancelled` and `pruned` are left by `task-revived`
only, which is a person's word: a retry, or submitting again (what every search has pruned comes
back when a sweep wants it anew).
)";

}  // namespace

std::string state_machine_page() {
  std::string page = kHead;
  page += "| event |";
  for (const State& state : states()) page += fmt::format(" {} |", state.name);
  page += "\n| --- |";
  for (std::size_t i = 0; i < states().size(); ++i) page += " --- |";
  page += "\n";
  for (const auto& group : {of_sweeps(), of_attempts(), of_machines()}) {
    for (const Tried& tried : group) {
      const EventBody body = tried.make(Stand());
      page += fmt::format("| `{}`{}{} |", name_of(body), *tried.detail != '\0' ? " " : "",
                          tried.detail);
      for (const State& state : states()) page += fmt::format(" {} |", cell_of(state, tried));
      page += "\n";
    }
  }
  return page + kFoot;
}

}  // namespace strata::simulation
