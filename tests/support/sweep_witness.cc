#include "tests/support/sweep_witness.h"

#include <fmt/format.h>

#include "base/json.h"

namespace strata::testing {
namespace {

constexpr std::chrono::milliseconds kLookEvery{100};
constexpr std::int64_t kLooksBetweenSubmissions = 8;

std::string text_of(const Value& value, std::string_view path) {
  const Value* found = value.find(path);
  return found == nullptr || found->if_string() == nullptr ? "" : *found->if_string();
}

std::int64_t integer_of(const Value& value, std::string_view path) {
  const Value* found = value.find(path);
  return found == nullptr || found->if_number() == nullptr
             ? -1
             : found->if_number()->to_integer().value_or(-1);
}

const Array& list_of(const Value& value, std::string_view path) {
  static const Array kNone;
  const Value* found = value.find(path);
  return found == nullptr || found->if_array() == nullptr ? kNone : *found->if_array();
}

// What two clusters may say differently about the same result.
Value comparable(const Value& value) {
  if (const Array* list = value.if_array()) {
    Array kept;
    for (const Value& item : *list) kept.push_back(comparable(item));
    return kept;
  }
  const Object* object = value.if_object();
  if (object == nullptr) return value;
  Object kept;
  for (const auto& [name, item] : *object) {
    if (name != "attempt" && name != "path") kept.emplace(name, comparable(item));
  }
  return kept;
}

}  // namespace

SweepWitness::SweepWitness(ClusterHarness& cluster, std::vector<KillSweep> sweeps)
    : cluster_(cluster), sweeps_(std::move(sweeps)), thread_([this] { run(); }) {}

SweepWitness::~SweepWitness() { stop(); }

void SweepWitness::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void SweepWitness::run() {
  std::size_t submitted = 0;
  while (!stopping_) {
    if (submitted < sweeps_.size() &&
        looks_ >= static_cast<std::int64_t>(submitted) * kLooksBetweenSubmissions) {
      const KillSweep& sweep = sweeps_[submitted++];
      cluster_.submit(sweep.name, sweep.tasks, sweep.runs);  // until it is acknowledged
      for (const TaskSpec& task : sweep.tasks) acknowledged_.insert(task.key.hex());
    }
    look();
    if (submitted == sweeps_.size() && succeeded_.size() == acknowledged_.size()) {
      done_ = true;
      return;
    }
    std::this_thread::sleep_for(kLookEvery);
  }
}

void SweepWitness::look() {
  const Value answer = cluster_.ask("tasks", Value(Object{}));
  const Array& rows = list_of(answer, "tasks");
  std::set<std::string> present;
  for (const Value& row : rows) {
    present.insert(text_of(row, "task"));
    take_row(row);
  }
  for (const std::string& task : acknowledged_) {
    if (!present.contains(task)) complain("an acknowledged task is gone: " + task);
  }
  // The points of a few tasks in turn, so that all are seen now and then while they grow.
  constexpr std::size_t kTasksPerLook = 4;
  for (std::size_t i = 0; i < kTasksPerLook && !rows.empty(); ++i) {
    const std::size_t at = (static_cast<std::size_t>(looks_) * kTasksPerLook + i) % rows.size();
    take_points(text_of(rows[at], "task"));
  }
  ++looks_;
}

void SweepWitness::take_row(const Value& row) {
  const std::string task = text_of(row, "task");
  const std::string state = text_of(row, "state");
  const std::int64_t attempts = integer_of(row, "attempts");
  const auto told = succeeded_.find(task);
  if (told == succeeded_.end()) {
    if (state == "failed" || state == "cancelled" || state == "diverged")
      complain(fmt::format("{} is {}: {}", task, state, text_of(row, "last_failure")));
    if (state != "succeeded") return;
    const std::string results = results_of(cluster_, task);
    succeeded_.emplace(task, ToldTask{.attempts = attempts, .results = results});
    return;
  }
  if (state != "succeeded" || attempts != told->second.attempts) {
    complain(fmt::format("{} had succeeded with attempt {} and is {} with {} now", task,
                         told->second.attempts, state, attempts));
  }
}

void SweepWitness::take_points(const std::string& task) {
  const Value answer = cluster_.ask("metrics", Object{{"prefix", task}});
  for (const Value& point : list_of(answer, "points"))
    points_.emplace(task, integer_of(point, "step"), integer_of(point, "wall_ms"));
}

std::string results_of(ClusterHarness& cluster, const std::string& task) {
  const Value shown = cluster.ask("show", Object{{"prefix", task}});
  Object results;
  for (const char* part : {"artifacts", "consumed", "scores"}) {
    if (const Value* found = shown.find(part)) results.emplace(part, comparable(*found));
  }
  return to_canonical_json(results);
}

std::map<std::string, std::string> table_of(ClusterHarness& cluster) {
  std::map<std::string, std::string> table;
  const Value answer = cluster.ask("runs", Value(Object{}));
  for (const Value& run : list_of(answer, "runs")) {
    table.emplace(text_of(run, "sweep") + " / " + text_of(run, "cell"),
                  to_canonical_json(comparable(run)));
  }
  return table;
}

}  // namespace strata::testing
