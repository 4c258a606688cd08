// Kills processes of a cluster at moments and in an order that come from a seed, and starts daemons
// again as a service manager would. The same seed draws the same numbers; what they hit depends on
// how far the cluster is by then.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/support/cluster_harness.h"
#include "tests/support/marked_processes.h"

namespace strata::testing {

struct KillerOptions {
  std::uint64_t seed = 1;
  std::vector<std::string> workers{};
  std::int64_t kills_least = 12;
  std::int64_t kills_more = 9;  // up to so many on top
  // Each one holds up the dispatch until the workers' next heartbeats; and where a worker dies,
  // everything below it does.
  std::int64_t coordinator_kills_max = 3;
  std::int64_t worker_kills_max = 5;
};

class RandomKiller {
 public:
  // REQUIRES: the daemons of `cluster` run, and everything below this process carries `mark`.
  RandomKiller(ClusterHarness& cluster, std::string mark, KillerOptions options);

  // What is due: a strike, or a daemon that has been down for long enough. Call often.
  void turn();
  [[nodiscard]] bool spent() const { return kills_left_ == 0; }
  void hold() { kills_left_ = 0; }  // no more strikes; daemons still come back
  [[nodiscard]] bool all_daemons_up() const { return back_at_.empty(); }

  [[nodiscard]] const std::map<ProcessKind, std::int64_t>& kills() const { return kills_; }
  // One line for each kill, and for each daemon that ended although nobody had killed it.
  [[nodiscard]] const std::string& story() const { return story_; }
  [[nodiscard]] std::int64_t unexpected_ends() const { return unexpected_ends_; }

 private:
  using Time = std::chrono::steady_clock::time_point;

  void strike(Time now);
  [[nodiscard]] std::optional<MarkedProcess> draw();
  void kill_daemon(const std::string& name, Time now);
  void supervise(Time now);
  [[nodiscard]] Daemon& daemon(const std::string& name);
  [[nodiscard]] std::chrono::milliseconds between(std::int64_t low_ms, std::int64_t high_ms);
  void tell(const std::string& what);

  ClusterHarness& cluster_;
  std::string mark_;
  KillerOptions options_;
  Random random_;
  Time began_;
  Time strike_at_;
  std::int64_t kills_left_ = 0;
  std::map<std::string, Time> back_at_;  // daemons that are down; "" is the coordinator
  std::map<ProcessKind, std::int64_t> kills_;
  std::int64_t unexpected_ends_ = 0;
  std::string story_;
};

}  // namespace strata::testing
