#include "tests/simulation/statistics.h"

#include <fmt/format.h>

namespace strata::simulation {
namespace {

struct Row {
  const char* name;
  std::int64_t Statistics::*value;
  bool fault = false;
};

const std::vector<Row>& rows() {
  using S = Statistics;
  static const std::vector<Row> all{{"steps", &S::steps},
                                    {"events", &S::events},
                                    {"messages", &S::messages},
                                    {"  dropped", &S::dropped, true},
                                    {"  duplicated", &S::duplicated, true},
                                    {"  delayed", &S::delayed, true},
                                    {"partitions", &S::partitions, true},
                                    {"readers stalled", &S::stalls, true},
                                    {"  frames given up", &S::frames_given_up},
                                    {"coordinator crashes", &S::coordinator_crashes, true},
                                    {"  between effects", &S::between_effects},
                                    {"  torn tails", &S::torn_tails, true},
                                    {"  damaged logs", &S::damaged_logs, true},
                                    {"  with their disk", &S::disks_lost, true},
                                    {"  events forgotten", &S::events_forgotten},
                                    {"disks full", &S::disks_full, true},
                                    {"  commits failed", &S::commits_failed},
                                    {"clock jumps", &S::clock_jumps, true},
                                    {"workers that drift", &S::drifting_workers, true},
                                    {"worker crashes", &S::worker_crashes, true},
                                    {"workers shut down", &S::shut_downs, true},
                                    {"lifetimes ended", &S::lifetimes_ended, true},
                                    {"goodbyes heard", &S::goodbyes},
                                    {"workers drained", &S::drains},
                                    {"lies", &S::lies, true},
                                    {"machines broken", &S::broken_machines, true},
                                    {"ranks lost", &S::ranks_lost, true},
                                    {"failures, all classes", &S::failures, true},
                                    {"stubborn processes", &S::stubborn, true},
                                    {"leases expired", &S::expiries},
                                    {"stale reports", &S::stale_reports},
                                    {"artifacts evicted", &S::evictions, true},
                                    {"submissions", &S::submissions},
                                    {"files edited", &S::edits},
                                    {"sweeps cancelled", &S::cancels},
                                    {"retries asked for", &S::retries},
                                    {"quarantines", &S::quarantines},
                                    {"preemptions", &S::preemptions},
                                    {"attempts", &S::attempts},
                                    {"  resumed", &S::resumed},
                                    {"metric points", &S::points},
                                    {"rungs reached", &S::rungs_reached},
                                    {"  held there", &S::tasks_held},
                                    {"  promoted later", &S::tasks_promoted},
                                    {"  pruned", &S::tasks_pruned},
                                    {"series checked", &S::series_checked},
                                    {"tasks succeeded", &S::tasks_succeeded},
                                    {"tasks ended else", &S::tasks_ended_otherwise},
                                    {"tasks outdated", &S::tasks_outdated}};
  return all;
}

}  // namespace

void Statistics::add(const Statistics& other) {
  simulated_hours += other.simulated_hours;
  for (const Row& row : rows()) this->*row.value += other.*row.value;
}

std::int64_t Statistics::faults() const {
  std::int64_t sum = 0;
  for (const Row& row : rows()) sum += row.fault ? this->*row.value : 0;
  return sum;
}

std::string Statistics::text() const {
  std::string text = fmt::format("{:<22}{:>12.1f}\n", "simulated hours", simulated_hours);
  for (const Row& row : rows()) text += fmt::format("{:<22}{:>12}\n", row.name, this->*row.value);
  return text + fmt::format("{:<22}{:>12}\n", "faults, all kinds", faults());
}

}  // namespace strata::simulation
