// A coordinator and its workers as real processes on loopback, asked and told over the same socket
// as `strata` uses.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/value.h"
#include "link/coordinator_link.h"
#include "schema/event.h"
#include "tests/support/daemon.h"

namespace strata::testing {

class ClusterHarness {
 public:
  explicit ClusterHarness(std::filesystem::path folder);

  void start_coordinator();   // returns when it answers
  void launch_coordinator();  // returns at once
  [[nodiscard]] Daemon& coordinator() { return *coordinator_; }
  Daemon& start_worker(const std::string& name, int slots = 2);
  [[nodiscard]] Daemon& worker(const std::string& name) { return *workers_.at(name); }
  void stop_all();  // SIGKILL

  // Repeated until answered: the coordinator may be on its way up. An answer that is not ok fails
  // the test.
  Value ask(const std::string& verb, const Value& body);
  void submit(const std::string& sweep, const std::vector<TaskSpec>& tasks,
              const std::vector<RunSpec>& runs = {}, const SweepOptions& options = {});

  [[nodiscard]] Value task(const TaskKey& key);  // its row of `tasks`
  [[nodiscard]] std::string state(const TaskKey& key);
  [[nodiscard]] std::int64_t attempts(const TaskKey& key);
  [[nodiscard]] std::int64_t step(const TaskKey& key);  // of its progress; 0: none yet
  [[nodiscard]] std::string artifact(const TaskKey& key, const std::string& output);  // its hash
  [[nodiscard]] std::vector<std::int64_t> metric_steps(const TaskKey& key);

  static bool eventually(const std::function<bool()>& holds,
                         std::chrono::seconds patience = std::chrono::seconds(25));
  bool ends(const TaskKey& key) {
    return eventually([&] { return state(key) == "succeeded"; });
  }
  void print_logs() const;
  [[nodiscard]] std::filesystem::path store() const { return folder_ / "store"; }
  [[nodiscard]] std::filesystem::path attempt_folder(const std::string& worker, const TaskKey& key,
                                                     int number) const;

 private:
  [[nodiscard]] std::filesystem::path address_file() const {
    return store() / link::kAddressFileName;
  }
  Result<Answer> with_link(const std::function<Result<Answer>(link::CoordinatorLink&)>& talk);

  std::filesystem::path folder_;
  std::unique_ptr<link::CoordinatorLink> link_;
  std::unique_ptr<Daemon> coordinator_;
  std::map<std::string, std::unique_ptr<Daemon>> workers_;
};

}  // namespace strata::testing
