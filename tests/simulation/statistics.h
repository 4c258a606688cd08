// What really happened in a simulation, so that an idle one is noticed.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace strata::simulation {

struct Statistics {
  double simulated_hours = 0;
  std::int64_t steps = 0;
  std::int64_t events = 0;
  std::int64_t messages = 0;
  std::int64_t dropped = 0;
  std::int64_t duplicated = 0;
  std::int64_t delayed = 0;  // and so out of order
  std::int64_t partitions = 0;
  std::int64_t stalls = 0;  // of a reader
  std::int64_t frames_given_up = 0;
  std::int64_t coordinator_crashes = 0;
  std::int64_t between_effects = 0;
  std::int64_t torn_tails = 0;
  std::int64_t damaged_logs = 0;
  std::int64_t disks_lost = 0;
  std::int64_t events_forgotten = 0;
  std::int64_t disks_full = 0;
  std::int64_t commits_failed = 0;
  std::int64_t clock_jumps = 0;
  std::int64_t drifting_workers = 0;
  std::int64_t worker_crashes = 0;
  std::int64_t shut_downs = 0;
  std::int64_t lifetimes_ended = 0;
  std::int64_t goodbyes = 0;  // that were stepped
  std::int64_t drains = 0;
  std::int64_t lies = 0;
  std::int64_t broken_machines = 0;
  std::int64_t ranks_lost = 0;
  std::int64_t failures = 0;  // of every class
  std::int64_t stubborn = 0;  // processes that ignored the request to stop
  std::int64_t expiries = 0;
  std::int64_t stale_reports = 0;
  std::int64_t evictions = 0;
  std::int64_t submissions = 0;
  std::int64_t edits = 0;  // of the file: lines dropped and added
  std::int64_t cancels = 0;
  std::int64_t retries = 0;
  std::int64_t quarantines = 0;
  std::int64_t preemptions = 0;
  std::int64_t attempts = 0;
  std::int64_t resumed = 0;
  std::int64_t points = 0;
  std::int64_t rungs_reached = 0;
  std::int64_t tasks_held = 0;
  std::int64_t tasks_promoted = 0;
  std::int64_t tasks_pruned = 0;
  std::int64_t series_checked = 0;
  std::int64_t tasks_succeeded = 0;
  std::int64_t tasks_ended_otherwise = 0;
  std::int64_t tasks_outdated = 0;

  void add(const Statistics& other);
  [[nodiscard]] std::string text() const;
  // What counts as a fault, all kinds together.
  [[nodiscard]] std::int64_t faults() const;
};

}  // namespace strata::simulation
