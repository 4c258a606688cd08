#include "coordinator/exporter.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <type_traits>
#include <vector>

#include "base/host.h"
#include "coordinator/core/core.h"

namespace strata::coordinator {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

using Labels = std::vector<ClientMetric::Label>;

constexpr std::array<const char*, std::variant_size_v<Outcome>> kOutcomeNames{
    "succeeded", "failed", "lost", "stopped", "diverged"};
static_assert(std::is_same_v<Outcome, std::variant<Succeeded, Failed, Lost, Stopped, Diverged>>,
              "the names follow the order");

class Families {
 public:
  void family(const char* name, const char* help, MetricType type) {
    families_.push_back(MetricFamily{name, help, type, {}});
  }
  void sample(double value, Labels labels = {}) {
    ClientMetric metric;
    metric.label = std::move(labels);
    if (families_.back().type == MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    families_.back().metric.push_back(std::move(metric));
  }
  template <class T>
  void gauge(const char* name, const char* help, T value) {
    family(name, help, MetricType::Gauge);
    sample(static_cast<double>(value));
  }
  template <class T>
  void counter(const char* name, const char* help, T value) {
    family(name, help, MetricType::Counter);
    sample(static_cast<double>(value));
  }
  void histogram(const char* name, const char* help, const ServerCounts& counts) {
    family(name, help, MetricType::Histogram);
    ClientMetric metric;
    std::uint64_t so_far = 0;
    for (std::size_t i = 0; i < kCommitBucketsSeconds.size(); ++i) {
      so_far += counts.commit_buckets[i];
      metric.histogram.bucket.push_back({so_far, kCommitBucketsSeconds[i]});
    }
    metric.histogram.sample_count = so_far + counts.commit_buckets.back();
    metric.histogram.bucket.push_back(
        {metric.histogram.sample_count, std::numeric_limits<double>::infinity()});
    metric.histogram.sample_sum = counts.commit_seconds;
    families_.back().metric.push_back(std::move(metric));
  }
  std::vector<MetricFamily> take() { return std::move(families_); }

 private:
  std::vector<MetricFamily> families_;
};

void add_cluster(Families& out, const Snapshot& s) {
  out.family("strata_tasks", "Tasks by stage and state.", MetricType::Gauge);
  for (const auto& [key, n] : s.tasks)
    out.sample(static_cast<double>(n), {{"stage", key.first}, {"state", key.second}});
  out.family("strata_sweep_tasks", "Tasks that the newest sweeps want, by state.",
             MetricType::Gauge);
  for (const auto& [key, n] : s.sweep_tasks)
    out.sample(static_cast<double>(n), {{"sweep", key.first}, {"state", key.second}});
  out.family("strata_sweep_rung_tasks",
             "Tasks that reached a rung of the newest sweeps' searches, by what became of them.",
             MetricType::Gauge);
  for (const auto& [sweep, rungs] : s.sweep_rungs) {
    for (const auto& [step, counts] : rungs) {
      const auto sample = [&, &its = sweep, at = std::to_string(step)](std::int64_t n,
                                                                       const char* standing) {
        out.sample(static_cast<double>(n), {{"sweep", its}, {"step", at}, {"standing", standing}});
      };
      sample(counts.went_on(), "went_on");
      sample(counts.held, "held");
      sample(counts.pruned, "pruned");
    }
  }
  out.family("strata_sweep_runs", "Runs of the newest sweeps, without orphans.", MetricType::Gauge);
  for (const auto& [sweep, n] : s.sweep_runs)
    out.sample(static_cast<double>(n), {{"sweep", sweep}});
  out.family("strata_workers", "Workers that are connected or whose leases run, by state.",
             MetricType::Gauge);
  out.sample(static_cast<double>(s.workers_ready), {{"state", "ready"}});
  out.sample(static_cast<double>(s.workers_draining), {{"state", "draining"}});
  out.sample(static_cast<double>(s.workers_quarantined), {{"state", "quarantined"}});
  out.gauge("strata_slots_total", "Slots of all workers.", s.slots);
  out.gauge("strata_slots_free", "Slots that no gang holds.", s.slots_free);
  out.gauge("strata_gangs", "Attempts that hold slots.", s.gangs);
  out.gauge("strata_gangs_stopping", "Attempts that were asked to stop and have not ended.",
            s.gangs_stopping);
  out.gauge("strata_artifacts_present", "Artifacts whose bytes are in the store.",
            s.artifacts_present);
  out.gauge("strata_artifact_bytes", "Bytes of the artifacts that are in the store.",
            s.artifact_bytes);
}

void add_server(Families& out, const Snapshot& s) {
  const ServerCounts& c = s.counts;
  out.family("strata_build_info", "Always 1; the build is in the label.", MetricType::Gauge);
  out.sample(1, {{"build", s.build}});
  out.gauge("strata_start_time_seconds", "When the coordinator started, Unix time.",
            s.started_seconds);
  out.counter("strata_events_total", "Events in the log.", c.events);
  out.histogram("strata_commit_seconds", "Time of one commit of the event log.", c);
  out.counter("strata_commit_failures_total", "Commits that failed and were tried again.",
              c.commit_failures);
  out.gauge("strata_dispatch_paused",
            "1 while nothing is dispatched because the log cannot be written or is damaged.",
            c.dispatch_paused ? 1 : 0);
  out.gauge("strata_loop_gap_seconds", "Longest turn of the control loop in the last second.",
            c.loop_gap_seconds);
  out.gauge("strata_loop_gap_max_seconds", "Longest turn of the control loop since the start.",
            c.loop_gap_max_seconds);
  out.counter("strata_metric_points_total", "Metric points stored since the start.",
              c.metric_points);
  out.counter("strata_metric_failures_total",
              "Batches of metric points that could not be stored; workers send them again.",
              c.metric_failures);
  out.counter("strata_frames_received_total", "Frames received.", c.frames_received);
  out.counter("strata_frames_garbage_total", "Frames that were no message, and were ignored.",
              c.frames_garbage);
  out.counter("strata_frames_dropped_total",
              "Messages that could not be sent: the peer was gone or took nothing.",
              c.frames_dropped);
  out.counter("strata_stale_reports_total", "Reports of attempts that do not count any more.",
              c.stale_reports);
  out.counter("strata_queries_refused_total", "Questions refused because too many waited.",
              c.queries_refused);
  out.family("strata_attempts_ended_total", "Attempts that ended since the start, by outcome.",
             MetricType::Counter);
  for (std::size_t i = 0; i < kOutcomeNames.size(); ++i) {
    out.sample(static_cast<double>(c.attempts_ended[i]), {{"outcome", kOutcomeNames[i]}});
  }
  out.family("strata_workers_gone_total",
             "Workers that said goodbye (left) or vanished (lost) since the start.",
             MetricType::Counter);
  out.sample(static_cast<double>(c.workers_left), {{"how", "left"}});
  out.sample(static_cast<double>(c.workers_lost), {{"how", "lost"}});
  out.gauge("strata_peers", "Connections that are remembered.", c.peers);
}

// Without a mirror there are no samples, so that no rule takes a zero for one.
void add_mirror(Families& out, const std::optional<MirrorStatus>& mirror) {
  const auto sample = [&](double value) {
    if (mirror) out.sample(value);
  };
  const MirrorStatus m = mirror.value_or(MirrorStatus{});
  out.family("strata_mirror_lag_seconds",
             "What was committed longer ago than this is in the mirror.", MetricType::Gauge);
  sample(m.lag_seconds);
  out.family("strata_mirror_interval_seconds", "Time between two passes of the mirror.",
             MetricType::Gauge);
  sample(m.every_seconds);
  out.family("strata_mirror_pass_seconds", "How long the last pass took.", MetricType::Gauge);
  sample(m.pass_seconds);
  out.family("strata_mirror_events", "Events in the mirror.", MetricType::Gauge);
  sample(static_cast<double>(m.last_seq));
  out.family("strata_mirror_failures_total", "Passes that failed; they are tried again.",
             MetricType::Counter);
  sample(static_cast<double>(m.failures));
}

class Collected final : public prometheus::Collectable {
 public:
  [[nodiscard]] std::vector<MetricFamily> Collect() const override {
    Snapshot snapshot;
    {
      const std::lock_guard lock(mutex_);
      snapshot = snapshot_;
    }
    Families out;
    add_cluster(out, snapshot);
    add_server(out, snapshot);
    add_mirror(out, snapshot.mirror);
    return out.take();
  }
  void set(Snapshot snapshot) {
    const std::lock_guard lock(mutex_);
    snapshot_ = std::move(snapshot);
  }

 private:
  mutable std::mutex mutex_;
  Snapshot snapshot_;
};

// The newest sweeps by creation.
std::vector<std::pair<std::string, const Sweep*>> newest_sweeps(const Cluster& cluster) {
  std::vector<std::pair<std::string, const Sweep*>> sweeps;
  for (const auto& [name, sweep] : cluster.sweeps()) sweeps.emplace_back(name, &sweep);
  std::sort(sweeps.begin(), sweeps.end(),
            [](const auto& a, const auto& b) { return a.second->order > b.second->order; });
  if (sweeps.size() > kSweepsShownMax) sweeps.resize(kSweepsShownMax);
  return sweeps;
}

}  // namespace

void ServerCounts::add_commit(double seconds) {
  ++commits;
  commit_seconds += seconds;
  const auto bucket =
      std::lower_bound(kCommitBucketsSeconds.begin(), kCommitBucketsSeconds.end(), seconds);
  ++commit_buckets[static_cast<std::size_t>(bucket - kCommitBucketsSeconds.begin())];
}

void ServerCounts::add_committed(const Event& event) {
  if (const auto* ended = std::get_if<AttemptEnded>(&event.body))
    ++attempts_ended[ended->outcome.index()];
  if (const auto* gone = std::get_if<WorkerGone>(&event.body))
    ++(gone->reason.starts_with(kWorkerEnded) ? workers_left : workers_lost);
}

// The cluster counts as it changes: nobody walks through all tasks for this.
Snapshot take_snapshot(const Cluster& cluster, const ServerCounts& counts) {
  Snapshot s{.counts = counts};
  const auto each_state = [](const StateCounts& states, const auto& put) {
    for (std::size_t i = 0; i < states.size(); ++i) {
      if (states.at(i) != 0) put(state_name(i), states.at(i));
    }
  };
  for (const auto& [name, sweep] : newest_sweeps(cluster)) {
    s.sweep_runs[name] = sweep->current_runs;
    each_state(sweep->tasks, [&, &its = name](const char* state, std::int64_t tasks) {
      s.sweep_tasks[{its, state}] = tasks;
    });
    if (!sweep->search) continue;
    const auto rungs = sweep->search->counts();
    for (std::size_t i = 0; i < rungs.size(); ++i)
      s.sweep_rungs[name].emplace_back(sweep->search->definition().rungs[i], rungs[i]);
  }
  std::size_t stages = 0;
  for (const auto& [name, states] : cluster.stages()) {
    const std::string shown = ++stages <= kStagesShownMax ? name : "other";
    each_state(states, [&](const char* state, std::int64_t tasks) {
      s.tasks[{shown, state}] += tasks;
    });
  }
  for (const auto& [id, worker] : cluster.workers()) {
    const bool quarantined = cluster.find_quarantine(worker.name) != nullptr;
    ++(worker.draining ? s.workers_draining
       : quarantined   ? s.workers_quarantined
                       : s.workers_ready);
    s.slots += worker.slots;
    s.slots_free += worker.free;
    for (const AttemptId& attempt : worker.attempts) {
      const Task& task = *cluster.find_task(attempt.task);
      const Gang* gang = gang_of(task.state);
      if (gang == nullptr || gang->front().worker != id) continue;  // counted with its first worker
      ++s.gangs;
      if (stop_of(task.state) != nullptr) ++s.gangs_stopping;
    }
  }
  s.artifacts_present = cluster.artifacts_present();
  s.artifact_bytes = cluster.artifact_bytes();
  return s;
}

struct Exporter::State {
  // The library holds a weak one.
  std::shared_ptr<Collected> collected = std::make_shared<Collected>();
  std::unique_ptr<prometheus::Exposer> exposer;
  std::string address;
};

Exporter::Exporter(std::unique_ptr<State> state) : state_(std::move(state)) {}
Exporter::~Exporter() = default;
Exporter::Exporter(Exporter&&) noexcept = default;
Exporter& Exporter::operator=(Exporter&&) noexcept = default;

Result<Exporter> Exporter::open(const std::string& address) try {
  if (!ends_in_port(address)) {
    return fail(ErrorCode::kInvalid,
                "serving metrics on {}: expected HOST:PORT, PORT from 0 to 65535", address);
  }
  constexpr std::size_t kThreads = 2;
  auto state = std::make_unique<State>();
  state->exposer = std::make_unique<prometheus::Exposer>(address, kThreads);
  state->exposer->RegisterCollectable(state->collected);
  const auto ports = state->exposer->GetListeningPorts();
  if (ports.empty())
    return fail(ErrorCode::kInternal, "serving metrics on {}: nothing listens", address);
  state->address = fmt::format("{}:{}", address.substr(0, address.rfind(':')), ports.front());
  return Exporter(std::move(state));
} catch (const std::exception& e) {  // civetweb's own, on an address in use
  return fail(ErrorCode::kConflict,
              "serving metrics on {}: {} (is the port taken? --metrics 127.0.0.1:0 takes any)",
              address, e.what());
}

const std::string& Exporter::address() const { return state_->address; }

void Exporter::update(Snapshot snapshot) { state_->collected->set(std::move(snapshot)); }

}  // namespace strata::coordinator
