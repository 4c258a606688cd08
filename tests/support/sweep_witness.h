// A client that watches a cluster while it is disturbed, remembers everything that it was told, and
// complains when a later answer takes something back.
#pragma once

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "tests/support/cluster_harness.h"
#include "tests/support/kill_sweeps.h"

namespace strata::testing {

// What can be told of a point: its task, its step and when it was stored.
using SeenPoint = std::tuple<std::string, std::int64_t, std::int64_t>;

struct ToldTask {  // of a task that was said to have succeeded
  std::int64_t attempts = 0;
  std::string results{};  // artifacts and scores
};

class SweepWitness {
 public:
  // Submits the sweeps, one after the other, until each is acknowledged, and looks until all their
  // tasks have succeeded.
  SweepWitness(ClusterHarness& cluster, std::vector<KillSweep> sweeps);
  ~SweepWitness();
  SweepWitness(const SweepWitness&) = delete;
  SweepWitness& operator=(const SweepWitness&) = delete;

  [[nodiscard]] bool done() const { return done_.load(); }
  void stop();  // and waits for its thread; afterwards the rest may be read
  void look();  // once more; REQUIRES: stopped

  [[nodiscard]] const std::set<SeenPoint>& points() const { return points_; }
  [[nodiscard]] const std::map<std::string, ToldTask>& succeeded() const { return succeeded_; }
  [[nodiscard]] const std::string& complaints() const { return complaints_; }
  [[nodiscard]] std::int64_t looks() const { return looks_; }

 private:
  void run();
  void complain(const std::string& what) { complaints_ += "  " + what + "\n"; }
  void take_row(const Value& row);
  void take_points(const std::string& task);

  ClusterHarness& cluster_;
  std::vector<KillSweep> sweeps_;
  std::set<std::string> acknowledged_;  // tasks
  std::map<std::string, ToldTask> succeeded_;
  std::set<SeenPoint> points_;
  std::string complaints_;
  std::int64_t looks_ = 0;
  std::atomic<bool> done_ = false;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

// Artifact hashes, consumed hashes and scores of a task, without what may differ between two
// clusters.
[[nodiscard]] std::string results_of(ClusterHarness& cluster, const std::string& task);
// The rows of `runs`, by sweep and cell, without attempt numbers.
[[nodiscard]] std::map<std::string, std::string> table_of(ClusterHarness& cluster);

}  // namespace strata::testing
