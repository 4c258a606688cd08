// The whole cluster in one process on virtual time: the real coordinator core and the real worker
// cores, a network, disks, processes and clients that misbehave by seed. Same seed, same run, byte
// for byte.
//
//   World world(options);  world.run();  world.violation() -> nothing, or what broke, with the last
//   lines of the trace
//
// The checkers stand outside of the system: they see the committed log, the cluster, and what
// really runs where.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "coordinator/core/core.h"
#include "worker/core/agent.h"

namespace strata::simulation {

struct WorldOptions {
  std::uint64_t seed = 1;
  int workers = 3;
  int sweeps = 3;
  // Virtual; afterwards nothing fails any more and everything must end.
  std::chrono::seconds faults_for{900};
  std::chrono::seconds end_within{7200};  // after the faults
};

// What really happened, so that an idle simulation is noticed.
struct Statistics {
  std::int64_t steps = 0;
  std::int64_t events = 0;
  std::int64_t messages = 0;
  std::int64_t dropped = 0;
  std::int64_t duplicated = 0;
  std::int64_t delayed = 0;
  std::int64_t partitions = 0;
  std::int64_t coordinator_crashes = 0;
  std::int64_t disks_lost = 0;
  std::int64_t events_forgotten = 0;
  std::int64_t worker_crashes = 0;
  std::int64_t shut_downs = 0;
  std::int64_t goodbyes = 0;  // that were stepped
  std::int64_t drains = 0;
  std::int64_t expiries = 0;
  std::int64_t stale_reports = 0;
  std::int64_t evictions = 0;
  std::int64_t cancels = 0;
  std::int64_t attempts = 0;
  std::int64_t tasks_succeeded = 0;
  std::int64_t tasks_ended_otherwise = 0;
  double simulated_hours = 0;
  void add(const Statistics& other);
  [[nodiscard]] std::string text() const;
};

class World {
 public:
  explicit World(WorldOptions options);
  ~World();
  void run();
  // "I5: worker w1 runs 3 of 2 slots", with the trace's last lines.
  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }
  [[nodiscard]] const Statistics& statistics() const { return statistics_; }
  // The committed log's bytes, for comparing two runs of one seed.
  [[nodiscard]] std::string log_digest() const;

 private:
  struct Process {
    StartAttempt order{};
    Instant started{};
    Instant ends{};
    Outcome outcome{};
    bool running = false;
  };
  struct SimWorker {
    std::string name{};
    std::int64_t slots = 1;
    std::unique_ptr<worker::Agent> agent{};  // null while it is down
    std::uint64_t lives = 0;
    bool shutting_down = false;  // it got a SIGTERM
    coordinator::PeerId peer{};
    std::map<AttemptId, Process> processes{};
    Instant partitioned_until{};
    Instant last_arrival_up{};  // connections keep order
    Instant last_arrival_down{};
  };
  struct Plan {  // what the client wants
    std::string sweep{};
    std::vector<TaskSpec> tasks{};
    std::vector<RunSpec> runs{};
    bool acknowledged = false;
    bool cancel = false;
    bool cancelled = false;
  };
  struct Fates {  // chances per seed; some kinds are off entirely (swarm testing)
    double drop = 0, duplicate = 0, delay = 0, partition = 0, crash_coordinator = 0, lose_disk = 0,
           crash_worker = 0, fail_user = 0, lose_rank = 0, diverge = 0, evict = 0, cancel = 0,
           shut_down = 0, drain = 0;
  };

  void schedule_at(Instant when, std::function<void()> what);
  [[nodiscard]] bool chance(double probability) { return random_.uniform() < probability; }
  [[nodiscard]] Duration between(std::chrono::milliseconds low, std::chrono::milliseconds high);
  void trace(const std::string& line);
  void violate(const std::string& what);

  void make_plans();
  void submit(std::size_t plan);
  void tick();
  void inject();

  void start_coordinator();
  void crash_coordinator();
  void lose_disk();
  [[nodiscard]] coordinator::Cluster replayed();
  void step_core(const coordinator::Input& input);
  void deliver_effects(const coordinator::Effects& effects);
  void to_coordinator(std::size_t worker, const Message& message);
  void to_worker(std::size_t worker, const Message& message);
  void answer_client(const Answer& answer);

  void start_worker(std::size_t index);
  void crash_worker(std::size_t index);
  void shut_down_worker(std::size_t index);  // SIGTERM; it comes back when it has ended
  void drain_worker(std::size_t index);      // a client asks for it; SIGTERM some time later
  void end_worker(std::size_t index, const worker::Exit& exit);
  void step_agent(std::size_t index, const worker::Input& input);
  void perform(std::size_t index, const worker::Action& action);
  void wake_agent(std::size_t index);
  void launch(std::size_t index, const StartAttempt& order);
  void end_process(std::size_t index, const AttemptId& id, Outcome outcome);
  void tick_process(std::size_t index, const AttemptId& id);

  // `was_live`: the attempt that the input reports of was, before the step.
  void check_step(const coordinator::Input& input, const coordinator::Output& output,
                  bool was_live);
  void check_leaving(const coordinator::Input& input, const coordinator::Output& output);
  void note_committed(const coordinator::Input& input);
  void note_final(const coordinator::Cluster& cluster);
  void check_workers();
  void check_replay();
  void check_end();
  [[nodiscard]] bool everything_ended() const;

  WorldOptions options_;
  Random random_;
  Fates fates_;
  Instant now_{std::chrono::seconds(1)};
  bool faults_on_ = true;
  std::uint64_t sequence_ = 0;
  std::map<std::pair<Instant, std::uint64_t>, std::function<void()>> queue_;
  std::unique_ptr<coordinator::Core> core_;  // null while it is down
  std::vector<std::string> log_;             // committed events, encoded
  std::size_t mirrored_ = 0;                 // of them, when the mirror was last brought up to date
  Random disk_;                              // its own, so that old seeds stay what they were
  std::vector<SimWorker> workers_;
  std::vector<Plan> plans_;
  std::map<TaskKey, std::string> final_states_;
  // Sessions that were drained or whose Leaving was committed: granted nothing any more.
  std::set<std::uint64_t> closed_sessions_;
  std::map<ContentHash, bool> store_;  // artifacts that exist; false: evicted
  std::deque<std::string> trace_;
  std::optional<std::string> violation_;
  Statistics statistics_;
};

// The attempt that a worker's report in this input is about, if it is one.
[[nodiscard]] const AttemptId* reported_by(const coordinator::Input& input);

// The cluster's state as text, equal exactly when the states are.
[[nodiscard]] std::string describe(const coordinator::Cluster& cluster);

}  // namespace strata::simulation
