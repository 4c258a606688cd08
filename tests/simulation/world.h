// The whole cluster in one process on virtual time: the real coordinator core and the real worker
// cores, a shell around each, a network, disks, processes and clients that misbehave by seed. Same
// seed and options, same run, byte for byte.
//
//   World world(options);  world.run();  world.violation() -> nothing, or what broke, with the
//   lines of the trace that matter
//
// The checkers stand outside of the system (checkers.cc, ledger.h): they see what was committed,
// what was told to whom, and what really runs where.
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
#include "coordinator/core/breaks.h"
#include "coordinator/core/core.h"
#include "coordinator/core/metric_series.h"
#include "coordinator/core/outbox.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/ledger.h"
#include "tests/simulation/statistics.h"
#include "worker/core/agent.h"

namespace strata::simulation {

struct WorldOptions {
  std::uint64_t seed = 1;
  // Virtual; afterwards nothing fails any more and everything must end.
  std::chrono::seconds faults_for{900};
  std::chrono::seconds end_within{14'400};  // after the faults
  std::int64_t steps_max = 0;               // of the core; then it is over. 0: to the end
  coordinator::Break broken = coordinator::Break::kNone;
};

// mpirun and the guard end what is left of a gang within this time after a rank was lost.
inline constexpr std::chrono::seconds kRankLossBound{10};
// Queues of the simulated shells, small so that they fill.
inline constexpr coordinator::OutboxLimits kOutboxLimits{.frames_max = 24, .bytes_max = 64U << 10U};
inline constexpr std::size_t kInputsWaitingMax = 200;
// Processes of a worker end on a kill, at the latest after the worker has repeated it so long.
inline constexpr std::chrono::seconds kUnkillableFor{20};

class World {
 public:
  explicit World(WorldOptions options);
  ~World();
  void run();
  [[nodiscard]] const std::optional<Violation>& violation() const { return violation_; }
  // The lines that name what the violation names, then the last ones.
  [[nodiscard]] std::string story() const;
  [[nodiscard]] const Statistics& statistics() const { return statistics_; }
  // Of the log and the trace, for comparing two runs of one seed.
  [[nodiscard]] std::string digest() const;

 private:
  // Which attempt made each step of a training, from the first: the truth that a series is compared
  // with.
  using Origins = std::vector<std::uint32_t>;
  struct StoredArtifact {
    bool present = true;
    std::int64_t step = 0;  // of a checkpoint
    Origins origins{};
  };
  struct Process {
    StartAttempt order{};
    bool running = false;
    std::int64_t step = 0;
    std::int64_t steps = 0;  // all that there is to do
    std::int64_t fails_at = -1;
    Outcome fate{};
    Origins origins{};
    std::optional<Instant> rank_lost{};
    std::optional<Instant> asked{};   // to stop
    std::optional<Instant> killed{};  // for the first time
    bool stubborn = false;            // ignores being asked
    bool unkillable = false;          // for a while
    std::uint64_t points = 0;
  };
  struct Spool {  // of metric points, as worker/attempts.cc keeps them
    std::deque<MetricPoint> points{};
    std::optional<Instant> sent{};
  };
  struct Told {  // waits for its points to be acknowledged
    AttemptId attempt{};
    worker::Input input{};
    Instant since{};
    std::int64_t step = 0;  // points up to here
  };
  struct SimWorker {
    std::string name{};
    std::int64_t slots = 1;
    std::int64_t memory_mb = 0;
    std::unique_ptr<worker::Agent> agent{};  // null while it is down
    std::uint64_t lives = 0;
    bool shutting_down = false;  // it got a SIGTERM
    coordinator::PeerId peer{};
    std::optional<WorkerId> id{};
    Instant born{};
    double drift = 0;
    Instant broken_until{};  // the machine: whatever runs there fails
    std::map<AttemptId, Process> processes{};
    std::map<AttemptId, Spool> spools{};
    std::deque<Told> told{};
    Instant partitioned_until{};
    Instant last_arrival_up{};  // connections keep order
    Instant last_arrival_down{};
  };
  enum class Ask { kSubmit, kCancel, kRetry };
  struct Plan {  // what one client wants
    std::string sweep{};
    std::int64_t priority = 0;
    SweepOptions options{};
    std::vector<TaskSpec> shared{};                         // prepare, extract
    std::map<std::int64_t, std::vector<TaskSpec>> cells{};  // all lines that ever stood in the file
    std::set<std::int64_t> lines{};                         // that stand in it now
    bool plots = false;                 // asks trainings and extracts for their logs, too
    std::vector<TaskSpec> submitted{};  // as acknowledged last
    std::optional<Ask> asking{};        // repeated until it is answered
    std::uint64_t request = 0;
    bool acknowledged = false;
    bool cancelled = false;
  };
  struct Fates {  // chances per seed; some kinds are off entirely (swarm testing)
    double drop = 0, duplicate = 0, delay = 0, partition = 0, stall = 0, crash_coordinator = 0,
           tear = 0, rot = 0, lose_disk = 0, full = 0, clock = 0, drift = 0, crash_worker = 0,
           fail = 0, lose_rank = 0, diverge = 0, evict = 0, cancel = 0, edit = 0, retry = 0,
           shut_down = 0, drain = 0, lie = 0, break_machine = 0, lifetime = 0, stubborn = 0;
  };
  struct Batch {
    std::vector<Event> events{};
    coordinator::Effects effects{};
  };
  struct Outlet {  // the coordinator's side of a connection
    coordinator::Outbox outbox{kOutboxLimits};
    Instant stalled_until{};
  };
  // What somebody was told, and must therefore be there after any crash.
  struct Promise {
    std::uint64_t worker = 0;  // this number was given
    AttemptId attempt{};       // this attempt was granted
    bool ended = false;        // and is over
    std::int64_t step = -1;    // and this checkpoint of it was taken
    std::string sweep{};       // this generation has arrived
    std::int64_t generation = 0;
  };

  // --- world.cc ---
  void schedule_at(Instant when, std::function<void()> what);
  [[nodiscard]] bool chance(double probability) { return random_.uniform() < probability; }
  [[nodiscard]] bool fault(double probability) { return faults_on_ && chance(probability); }
  [[nodiscard]] Duration between(std::chrono::milliseconds low, std::chrono::milliseconds high);
  void trace(std::string line);
  void violate(std::string invariant, std::string text);
  void violate(std::optional<Violation> found);
  void choose_fates();
  void inject();
  void inject_into_worker(std::size_t index);
  void end_faults();

  // --- world_client.cc ---
  void make_plans();
  void make_cell(Plan& plan, std::int64_t corpus, std::int64_t cell);
  void plan_requests(std::size_t plan);
  void ask(std::size_t plan, Ask what);
  void say(std::size_t plan, std::uint64_t request);
  [[nodiscard]] SubmitTasks submission_of(const Plan& plan) const;
  void edit(Plan& plan);
  [[nodiscard]] std::optional<SearchDefinition> search_of(std::uint64_t salt) const;
  void answer_client(const Answer& answer);

  // --- world_coordinator.cc ---
  void tick();
  void give(coordinator::PeerId peer, coordinator::InputBody body);
  void turn();
  [[nodiscard]] WallTime wall_time() const;
  void step_core(const coordinator::Input& input);
  void commit();
  void perform_effects();
  void start_coordinator();
  void operator_restores();
  void crash_coordinator(const std::string& when);
  void lose_disk();
  [[nodiscard]] coordinator::Cluster replayed();
  void take_points(coordinator::PeerId peer, const MetricBatch& batch);
  void report_rungs();
  [[nodiscard]] std::optional<double> value_at(const TaskKey& key,
                                               const coordinator::WatchedRung& rung) const;
  void check_recovery();
  [[nodiscard]] bool kept(const Promise& promise) const;
  void note_promise(const coordinator::Send& effect);

  // --- world_network.cc ---
  void send_down(coordinator::PeerId to, const Message& message);
  void flush(coordinator::PeerId to);
  void arrive(coordinator::PeerId to, const std::string& frame);
  void to_coordinator(std::size_t worker, const Message& message);
  void to_worker(std::size_t worker, const std::string& frame);
  void lie(std::size_t worker);

  // --- world_worker.cc ---
  void start_worker(std::size_t index);
  void crash_worker(std::size_t index);
  void shut_down_worker(std::size_t index);  // SIGTERM; it comes back when it has ended
  void drain_worker(std::size_t index);      // a client asks for it; SIGTERM some time later
  void end_worker(std::size_t index, const worker::Exit& exit);
  void step_agent(std::size_t index, const worker::Input& input);
  void perform(std::size_t index, const worker::Action& action);
  void wake_agent(std::size_t index);
  void end_allocation(std::size_t index, std::uint64_t life);
  [[nodiscard]] static Instant local(const SimWorker& w, Instant when);  // what its clock says

  // --- world_process.cc ---
  void launch(std::size_t index, const StartAttempt& order);
  [[nodiscard]] bool inputs_there(std::size_t index, const StartAttempt& order);
  void choose_fate(const SimWorker& w, Process& process);
  void tick_process(std::size_t index, const AttemptId& id);
  void write_checkpoint(std::size_t index, const AttemptId& id);
  void lose_rank(std::size_t index, const AttemptId& id);
  void ask_to_stop(std::size_t index, const worker::Terminate& order);
  void kill(std::size_t index, const worker::Kill& order);
  void end_process(std::size_t index, const AttemptId& id, Outcome outcome);
  void tell(std::size_t index, Told told);
  void pump(std::size_t index);  // what was told and waits, and the metric spool

  // --- checkers.cc ---
  void check_step(const coordinator::Input& input, const coordinator::Output& output);
  void check_submission(const SubmitTasks& s, const coordinator::Output& output);
  void check_report(const coordinator::Input& input, const coordinator::Output& output);
  bool was_busy_ = false;  // the core, before this step
  [[nodiscard]] bool slow_hands() const { return Random::hash(options_.seed ^ 31) % 3 == 0; }
  void check_dropped(const coordinator::Output& output);
  void check_final(const coordinator::Task& task, const TaskBook& book);
  void check_books();
  void check_leaving(const coordinator::Input& input, const coordinator::Output& output);
  void check_expiry(const AttemptEnded& ended);
  void note_committed(const coordinator::Input& input);
  void note_final();
  void note_results();
  void check_workers();
  void check_memory();
  void check_replay();
  void check_series(const TaskKey& key, const AttemptId& attempt);
  [[nodiscard]] bool is_outdated(const coordinator::Task& task) const;
  void check_end();
  void check_searches_at_end();
  [[nodiscard]] bool everything_ended() const;

  WorldOptions options_;
  Random random_;
  Fates fates_;
  Instant now_{std::chrono::seconds(1)};
  std::int64_t wall_offset_ms_ = 0;
  bool faults_on_ = true;
  std::uint64_t sequence_ = 0;
  std::map<std::pair<Instant, std::uint64_t>, std::function<void()>> queue_;

  std::unique_ptr<coordinator::Core> core_;  // null while it is down
  std::uint64_t core_lives_ = 0;
  Disk disk_;
  std::vector<std::string> log_;  // committed events, encoded
  std::size_t mirrored_ = 0;      // of them, when the mirror was last brought up to date
  std::deque<coordinator::Input> inputs_;
  std::vector<coordinator::Input> stepped_;  // of the batch
  Batch batch_;
  bool turn_due_ = false;
  bool commit_failed_ = false;
  Instant disk_full_until_{};
  std::map<coordinator::PeerId, Outlet> outlets_;
  std::map<AttemptId, std::vector<MetricPoint>> points_;    // the metric store
  std::map<AttemptId, coordinator::SeriesIntake> intakes_;  // in its memory

  std::vector<SimWorker> workers_;
  std::vector<Plan> plans_;
  std::uint64_t requests_ = 0;
  std::map<ContentHash, StoredArtifact> store_;

  // The observer's.
  Ledger ledger_;
  std::vector<Promise> promises_;
  struct Final {
    std::string state{};
    int revivals = 0;  // before it
  };
  std::map<TaskKey, Final> final_states_;
  std::set<TaskKey> results_;                    // of the step before
  std::map<TaskKey, std::uint64_t> created_as_;  // the order in which the core met them
  std::set<TaskKey> asked_;                      // every key that any client ever submitted
  std::set<std::uint64_t> closed_sessions_;      // granted nothing any more
  std::map<AttemptId, Origins> truth_;           // of attempts that succeeded
  std::set<TaskKey> excused_;                    // points of theirs may be missing
  std::vector<std::pair<AttemptId, Gang>> past_attempts_;  // of any worker, in order of launch
  std::uint64_t trace_hash_ = 0;
  std::deque<std::string> trace_;
  std::vector<std::string> trace_at_violation_;
  std::optional<Violation> violation_;
  Statistics statistics_;
};

// The cluster's state as text, equal exactly when the states are.
[[nodiscard]] std::string describe(const coordinator::Cluster& cluster);

}  // namespace strata::simulation
