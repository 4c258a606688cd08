// The coordinator's rules: one function from an input and the time to events and effects.
//
//   1. step() decides, applies its own events to the cluster, and returns them with the effects
//   they justify.
//   2. The server collects the steps of a batch, commits ALL their events in one transaction, and
//   only then performs the
//      effects. Before the commit nothing happened; a failed commit is retried unchanged and
//      nothing is stepped meanwhile.
//   3. Effects may be lost or repeated: owed() derives again whatever is still to be done, and
//   receivers tolerate repeats,
//      because everything carries its attempt.
//
// Same inputs, same outputs, byte for byte. Thread rule: owned by one thread; no lock, no I/O, no
// clock in here.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "coordinator/core/chores.h"
#include "coordinator/core/cluster.h"
#include "coordinator/core/plan.h"
#include "coordinator/core/ready_queue.h"
#include "coordinator/core/scheduler.h"
#include "schema/message.h"

namespace strata::coordinator {

// What the worker is told.
[[nodiscard]] Message stop_order(const AttemptId& attempt, const Stop& stop);

struct Options {
  std::string coordinator_id{};  // random per store
  std::string artifact_folder{};
  std::string heartbeat_address{};  // where workers send heartbeats; empty: where they say Hello
  std::chrono::milliseconds heartbeat_every{5'000};  // what workers are told
  std::chrono::milliseconds slow_after{20'000};      // not heard for so long: gets nothing new
  // Silent for so long and holding nothing: forgotten.
  std::chrono::milliseconds gone_after{120'000};
  std::chrono::milliseconds repeat_every{2'000};   // effects still owed are sent again
  std::chrono::milliseconds backoff_first{1'000};  // of a failed task; doubles, with jitter
  std::chrono::milliseconds backoff_max{60'000};
  // Of a worker that seems to break what it is given; doubles as long as it fails its probes.
  std::chrono::milliseconds quarantine_first{600'000};
  std::chrono::milliseconds quarantine_max{6 * 3'600'000};
  // A step does so much of what clients asked for, and the rest with the next ones.
  std::size_t looks_per_step = 5'000;  // at tasks and runs
  std::size_t events_per_step = 500;
  SchedulerOptions scheduler{};
};
static_assert(Options{}.heartbeat_every * 3 <= Options{}.slow_after,
              "two lost heartbeats must not cost a worker its work");

// How the reason of a WorkerGone begins when the worker said goodbye; it was lost when it begins
// otherwise.
inline constexpr std::string_view kWorkerEnded = "the worker ended: ";

// Inputs that are not messages of workers.
struct Tick {};
struct GoOn {};  // while Core::is_busy()
struct CancelSweep {
  std::uint64_t request = 0;
  std::string sweep{};
};
// Revives the failed and cancelled ones among them. A cancelled one is wanted by nobody: it is
// wanted again by the sweeps whose runs it stands in; where `sweep` is named, by that one only.
// Without tasks: all that stand in current runs of the sweep.
struct RetryTasks {
  std::uint64_t request = 0;
  std::string sweep{};
  std::vector<TaskKey> tasks{};
  bool pruned_too = false;  // a person named them: an exception to their search
};
// Ends a worker's quarantine; a person has looked at it.
struct ReleaseWorker {
  std::uint64_t request = 0;
  std::string name{};
};
struct DrainWorker {
  std::uint64_t request = 0;
  WorkerId worker{};
};
// Metric points that are stored say what an attempt had reached at a rung that is watched
// (Core::watched): the last value of the metric up to that step; NaN: there is none.
struct RungReport {
  AttemptId attempt{};
  std::string metric{};
  std::int64_t step = 0;
  double value = 0;
};

// The first batch of a submission that names a plan, with what that plan said; null: it is not
// known any more.
struct SubmitPlanned {
  SubmitTasks submission{};
  std::shared_ptr<const Plan> plan{};
};

using InputBody = std::variant<Tick, GoOn, Hello, Heartbeat, ReportStarted, ReportCheckpoint,
                               ReportEnded, Leaving, Goodbye, SubmitTasks, SubmitPlanned,
                               CancelSweep, RetryTasks, DrainWorker, ReleaseWorker, RungReport>;

// A rung that a task has not reached yet, of one of the searches that judge it.
struct WatchedRung {
  std::string metric{};
  std::int64_t step = 0;
  bool operator==(const WatchedRung&) const = default;
};
struct Input {
  PeerId peer{};
  InputBody body{};
  // Over the heartbeats' own connection: the answer goes back there, orders go where Hello came
  // from.
  bool beside = false;
};

struct Send {
  PeerId to{};
  Message message{};
};
using Effects = std::vector<Send>;

struct Output {
  std::vector<Event> events{};
  Effects effects{};
};

class Core {
 public:
  // `recovered` is the replayed log (empty for a new store). Leases that it holds run from `now` at
  // full length.
  Core(Options options, Cluster recovered, Instant now);

  [[nodiscard]] Output step(const Input& input, Instant now, WallTime wall);

  // What is still to be done about the state as it is: attempts granted and not started, stops not
  // obeyed.
  [[nodiscard]] Effects owed() const;

  // Something is under way that goes on with every step: GoOn is one that does nothing else.
  [[nodiscard]] bool is_busy() const { return chore_.has_value() || !waiting_.empty(); }

  [[nodiscard]] const Cluster& cluster() const { return cluster_; }
  [[nodiscard]] Touched take_touched() { return cluster_.take_touched(); }

  // What the metric points of the task are looked through for.
  [[nodiscard]] std::vector<WatchedRung> watched(const TaskKey& task) const;

  // The one reason for which a task that is not final is where it is, for people: "needs 4 slots
  // together, 2 free on gpu-07".
  [[nodiscard]] std::string reason(const TaskKey& task, Instant now) const;

  // What is kept beside the cluster, and the most of it that there may be: memory has a bound.
  struct Kept {
    const char* what = "";
    std::size_t count = 0;
    std::size_t most = 0;
  };
  [[nodiscard]] std::vector<Kept> kept() const;

  // What a plan of these tasks would say now.
  [[nodiscard]] std::string world_of(const std::string& sweep,
                                     const std::vector<TaskKey>& tasks) const;

 private:
  // The parts of step(), one per input. They decide against the cluster as it is and record what
  // they decide.
  struct Step {  // one step under way
    Instant now{};
    WallTime wall{};
    PeerId peer{};
    bool beside = false;
    Output out{};
  };
  void on(Step& step, const Tick& tick);
  void on(Step&, const GoOn&) {}
  void on(Step& step, const Hello& hello);
  void on(Step& step, const Heartbeat& heartbeat);
  void on(Step& step, const ReportStarted& report);
  void on(Step& step, const ReportCheckpoint& report);
  void on(Step& step, const ReportEnded& report);
  void on(Step& step, const Leaving& leaving);
  void on(Step& step, const Goodbye& goodbye);
  void on(Step& step, const SubmitTasks& submission);
  void on(Step& step, const SubmitPlanned& planned);
  void on(Step& step, const CancelSweep& cancel);
  void on(Step& step, const RetryTasks& retry);
  void on(Step& step, const DrainWorker& drain);
  void on(Step& step, const ReleaseWorker& release);
  void on(Step& step, const RungReport& report);

  // What clients asked for and is done in parts (core_chores.cc).
  [[nodiscard]] bool has_to_wait(Step& step, const Input& input);
  void go_on(Step& step);
  [[nodiscard]] bool may_go_on(const Step& step, Part& part) const;
  // Whether it is done.
  [[nodiscard]] bool work(Step& step, Part& part, Cancelling& cancelling);
  [[nodiscard]] bool work(Step& step, Part& part, Sealing& sealing);
  [[nodiscard]] bool work(Step& step, Part& part, Retrying& retrying);
  [[nodiscard]] bool look_for_runs(const Step& step, Part& part, Retrying& retrying) const;

  void record(Step& step, EventBody body);  // applies it, too
  void send(Step& step, PeerId to, Message message);
  void answer(Step& step, std::uint64_t request, const Value& body);
  void refuse(Step& step, std::uint64_t request, const Error& error);

  void schedule(Step& step);  // one pass over what waits, and what it proposes
  void grant(Step& step, const Grantable& grant);
  void preempt(Step& step, const AttemptId& attempt, const std::string& reason);
  void stop(Step& step, const AttemptId& attempt, StopKind kind, const std::string& reason);
  void expire(Step& step);  // leases that ran out, workers long silent
  void remove_worker(Step& step, WorkerId worker, const std::string& reason);
  void doubt_silent_workers(const AttemptId& attempt, Instant now);
  void lose(Step& step, const AttemptId& attempt, const std::string& reason);
  void heal(Step& step, WorkerId worker, std::uint64_t sequence,
            const std::vector<HeldAttempt>& held);
  void revive_if_ended(Step& step, const TaskKey& key, std::int64_t& revived);
  // Withdraws one want; the last one ends the task. Whether a gang was asked to stop.
  bool withdraw(Step& step, const std::string& sweep, const TaskKey& key);
  [[nodiscard]] Outcome judge(const ReportEnded& report, const Task& task) const;
  [[nodiscard]] std::int64_t backoff_ms(const Task& task, FailureClass cause) const;
  void pause(const TaskKey& key, Instant until);
  // Whether the failures that were reported are the worker's (core_failures.cc).
  void attribute(Step& step, const AttemptId& attempt, const std::string& worker,
                 const Failed& failed);
  void note_success(Step& step, const std::string& worker);
  void quarantine(Step& step, const std::string& worker, const std::string& reason);
  void release_from_quarantine(Step& step, const std::string& worker, const std::string& reason);
  void forget_old_failures(Instant now);
  [[nodiscard]] bool others_could_work(const std::string& worker, Instant now) const;
  // Searches (core_search.cc).
  void note_for_searches(const Event& event);
  void settle_searches(Step& step);
  void carry_out(Step& step, const std::string& sweep, const Search::Decision& decision);
  [[nodiscard]] Search::FateOf fates() const;
  [[nodiscard]] Status check_search(const SubmitTasks& submission, const TaskSpec& task) const;
  [[nodiscard]] Status check_quota(const SubmitTasks& submission, const TaskSpec& task) const;
  void take_submission(Step& step, const SubmitTasks& submission);
  [[nodiscard]] Status check_submission(const SubmitTasks& submission, PeerId peer) const;
  [[nodiscard]] Status check_plan(const SubmitPlanned& planned) const;
  [[nodiscard]] Message start_order(const Task& task, const Leased& leased) const;
  [[nodiscard]] std::vector<Machine> machines(Instant now) const;
  [[nodiscard]] bool same_lane(const TaskKey& a, const TaskKey& b) const;
  [[nodiscard]] std::string reason_queued(const TaskKey& key, const Task& task, Instant now) const;
  [[nodiscard]] bool is_member(const AttemptId& attempt, WorkerId worker) const;
  void close_session(std::uint64_t session);
  [[nodiscard]] std::optional<WorkerId> worker_of(std::uint64_t session) const;

  struct WorkerPresence {  // soft state
    PeerId peer{};
    Instant heard{};
    bool spoke = false;             // since its Hello
    std::optional<Instant> ends{};  // of its life, as it said last
  };
  struct RecentFailure {
    Instant at{};
    TaskKey task{};
    bool charged = false;  // to the task
  };
  static constexpr std::size_t kReplacedSessionsMax = 1'024;
  static constexpr std::size_t kCommandsWaitingMax = 1'000;

  void follow(const Event& event);  // what the queue and the accounts make of it
  void account_for(const TaskKey& key);

  Options options_;
  Cluster cluster_;
  std::map<WorkerId, WorkerPresence> presence_;
  // Sessions whose name another one took; the oldest are forgotten.
  std::vector<std::uint64_t> replaced_sessions_;
  std::optional<Chore> chore_;
  std::deque<Input> waiting_;  // commands that came meanwhile
  ReadyQueue queue_;
  Usage usage_;
  std::map<WorkerId, KeptPlace> kept_;        // by the last pass
  std::map<AttemptId, Instant> granted_;      // by this process
  std::map<AttemptId, Instant> must_end_by_;  // backfilled: they have given their word
  std::map<std::string, Instant> quarantined_until_;
  std::map<std::string, std::set<TaskKey>> blamed_;            // on a worker in quarantine
  std::map<std::string, std::deque<RecentFailure>> failures_;  // reported by a worker; bounded
  std::map<AttemptId, Instant> lease_until_;
  // Who submits a sweep just now, until its last batch or a long silence: of two at the same time
  // the one that began last goes on. Unknown after a restart, then whoever goes on first.
  struct Submitter {
    PeerId peer{};
    Instant heard{};
  };
  std::map<std::string, Submitter> submitters_;
  std::set<std::string> unsettled_;  // sweeps whose searches may have something to decide
  std::set<TaskKey> perhaps_held_;
  // Lives of workers that are drained or leave, the newest ones: one that was given up in silence
  // and is heard again stays drained.
  std::deque<std::uint64_t> closed_sessions_;
  Instant repeated_{};
};

}  // namespace strata::coordinator
