// What Prometheus scrapes, computed from a snapshot of the cluster and never counted at call sites.
// No label names a task or a run: their number has no bound. docs/metrics.md lists the names.
//
// Thread rule: update() from one thread; scrapes come on the library's own threads.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/result.h"
#include "coordinator/core/cluster.h"
#include "coordinator/mirror.h"
#include "schema/event.h"

namespace strata::coordinator {

// The rest are counted together as stage="other".
inline constexpr std::size_t kStagesShownMax = 50;
inline constexpr std::size_t kSweepsShownMax = 100;  // the newest ones

inline constexpr std::array<double, 10> kCommitBucketsSeconds{0.001, 0.0025, 0.005, 0.01, 0.025,
                                                              0.05,  0.1,    0.25,  1.0,  5.0};

// Counters that the server keeps beside the cluster.
struct ServerCounts {
  std::uint64_t events = 0;
  std::uint64_t commits = 0;
  std::uint64_t commit_failures = 0;
  double commit_seconds = 0;  // of all together
  std::array<std::uint64_t, kCommitBucketsSeconds.size() + 1>
      commit_buckets{};             // each commit in one of them
  double loop_gap_seconds = 0;      // longest turn of the control loop in the last second
  double loop_gap_max_seconds = 0;  // since the start
  bool dispatch_paused = false;
  std::uint64_t metric_points = 0;
  std::uint64_t metric_failures = 0;
  std::uint64_t frames_received = 0;
  std::uint64_t frames_garbage = 0;
  std::uint64_t frames_dropped = 0;  // answers and orders that could not be sent
  std::uint64_t stale_reports = 0;
  std::uint64_t queries_refused = 0;
  std::uint64_t peers = 0;
  std::array<std::uint64_t, std::variant_size_v<Outcome>>
      attempts_ended{};            // in the order of the variant
  std::uint64_t workers_left = 0;  // with a goodbye
  std::uint64_t workers_lost = 0;

  void add_commit(double seconds);
  void add_committed(
      const Event& event);  // not those of a replay: they were counted in an earlier life
};

struct Snapshot {
  std::string build{};
  double started_seconds = 0;
  std::optional<MirrorStatus> mirror{};
  ServerCounts counts{};
  std::map<std::pair<std::string, std::string>, std::int64_t> tasks{};        // by stage and state
  std::map<std::pair<std::string, std::string>, std::int64_t> sweep_tasks{};  // by sweep and state
  std::map<std::string, std::vector<std::pair<std::int64_t, Search::RungCounts>>>
      sweep_rungs{};  // by step
  std::map<std::string, std::int64_t> sweep_runs{};
  std::int64_t workers_ready = 0;
  std::int64_t workers_draining = 0;
  std::int64_t workers_quarantined = 0;
  std::int64_t slots = 0;
  std::int64_t slots_free = 0;
  std::int64_t gangs = 0;  // attempts that hold slots
  std::int64_t gangs_stopping = 0;
  std::int64_t artifacts_present = 0;
  std::int64_t artifact_bytes = 0;
};
[[nodiscard]] Snapshot take_snapshot(const Cluster& cluster, const ServerCounts& counts);

class Exporter {
 public:
  // host:port; port 0 takes any free one.
  static Result<Exporter> open(const std::string& address);
  ~Exporter();
  Exporter(Exporter&&) noexcept;
  Exporter& operator=(Exporter&&) noexcept;

  [[nodiscard]] const std::string& address() const;  // with the real port
  void update(Snapshot snapshot);

 private:
  struct State;
  explicit Exporter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace strata::coordinator
