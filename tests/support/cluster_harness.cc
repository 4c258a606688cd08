#include "tests/support/cluster_harness.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iostream>
#include <thread>

#include "base/json.h"

namespace strata::testing {
namespace {

constexpr std::chrono::milliseconds kPoll{50};
constexpr std::chrono::milliseconds kAnswerWithin{2'000};
constexpr int kTries = 20;

std::int64_t integer_at(const Value& value, std::string_view path) {
  const Value* found = value.find(path);
  return found == nullptr || found->if_number() == nullptr
             ? 0
             : found->if_number()->to_integer().value_or(0);
}

std::string text_at(const Value& value, std::string_view path) {
  const Value* found = value.find(path);
  return found == nullptr || found->if_string() == nullptr ? "" : *found->if_string();
}

}  // namespace

ClusterHarness::ClusterHarness(std::filesystem::path folder) : folder_(std::move(folder)) {}

void ClusterHarness::start_coordinator() {
  launch_coordinator();
  ask("status", Value(Object{}));
}

void ClusterHarness::launch_coordinator() {
  coordinator_.reset();
  coordinator_ = std::make_unique<Daemon>("strata-coordinator",
                                          std::vector<std::string>{"--store", store().string()},
                                          folder_ / "coordinator.log");
}

Daemon& ClusterHarness::start_worker(const std::string& name, int slots) {
  auto& daemon = workers_[name];
  daemon.reset();
  daemon = std::make_unique<Daemon>(
      "strata-worker",
      std::vector<std::string>{"--coordinator", address_file().string(), "--folder",
                               (folder_ / name).string(), "--slots", std::to_string(slots),
                               "--no-gpus", "--name", name},
      folder_ / (name + ".log"));
  return *daemon;
}

void ClusterHarness::stop_all() {
  workers_.clear();
  coordinator_.reset();
}

bool ClusterHarness::eventually(const std::function<bool()>& holds, std::chrono::seconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < until) {
    if (holds()) return true;
    std::this_thread::sleep_for(kPoll);
  }
  return holds();
}

Result<Answer> ClusterHarness::with_link(
    const std::function<Result<Answer>(link::CoordinatorLink&)>& talk) {
  Result<Answer> answer = fail(ErrorCode::kUnavailable, "the coordinator was not asked");
  for (int i = 0; i < kTries; ++i) {
    if (link_ == nullptr) {
      auto opened = link::CoordinatorLink::open(address_file());
      if (!opened) {
        std::this_thread::sleep_for(kPoll * 4);
        continue;
      }
      link_ = std::make_unique<link::CoordinatorLink>(std::move(*opened));
    }
    answer = talk(*link_);
    if (answer) return answer;
    (void)link_->refresh();
  }
  return answer;
}

Value ClusterHarness::ask(const std::string& verb, const Value& body) {
  const auto answer = with_link([&](link::CoordinatorLink& link) {
    return link.ask(verb, to_canonical_json(body), kAnswerWithin);
  });
  if (!answer || !answer->ok) {
    ADD_FAILURE() << verb << ": " << (answer ? answer->body : answer.error().message);
    return {};
  }
  return parse_json(answer->body).value_or(Value());
}

void ClusterHarness::submit(const std::string& sweep, const std::vector<TaskSpec>& tasks,
                            const std::vector<RunSpec>& runs, const SweepOptions& options) {
  const SubmitTasks batch{.sweep = sweep,
                          .definition = sweep,
                          .first = true,
                          .last = true,
                          .tasks = tasks,
                          .runs = runs,
                          .options = options};
  const auto answer =
      with_link([&](link::CoordinatorLink& link) { return link.submit(batch, kAnswerWithin); });
  if (!answer || !answer->ok)
    ADD_FAILURE() << "submitting: " << (answer ? answer->body : answer.error().message);
}

Value ClusterHarness::task(const TaskKey& key) {
  const Value answer = ask("tasks", Object{{"prefix", key.hex()}});
  const Value* tasks = answer.find("tasks");
  if (tasks == nullptr || tasks->if_array() == nullptr || tasks->if_array()->empty())
    return Value(Object{});
  return tasks->if_array()->front();
}

std::string ClusterHarness::state(const TaskKey& key) { return text_at(task(key), "state"); }
std::int64_t ClusterHarness::attempts(const TaskKey& key) {
  return integer_at(task(key), "attempts");
}
std::int64_t ClusterHarness::step(const TaskKey& key) {
  return integer_at(task(key), "progress.step");
}

std::string ClusterHarness::artifact(const TaskKey& key, const std::string& output) {
  return text_at(ask("show", Object{{"prefix", key.hex()}}), "artifacts." + output + ".hash");
}

std::vector<std::int64_t> ClusterHarness::metric_steps(const TaskKey& key) {
  std::vector<std::int64_t> steps;
  const Value answer = ask("metrics", Object{{"prefix", key.hex()}});
  if (const Value* points = answer.find("points");
      points != nullptr && points->if_array() != nullptr) {
    for (const Value& point : *points->if_array()) steps.push_back(integer_at(point, "step"));
  }
  return steps;
}

void ClusterHarness::print_logs() const {
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (entry.path().extension() != ".log") continue;
    std::cerr << "--- " << entry.path().filename().string() << "\n"
              << std::ifstream(entry.path()).rdbuf();
  }
}

std::filesystem::path ClusterHarness::attempt_folder(const std::string& worker, const TaskKey& key,
                                                     int number) const {
  return folder_ / worker / "attempts" /
         AttemptId{.task = key, .number = static_cast<std::uint32_t>(number)}.folder_name();
}

}  // namespace strata::testing
