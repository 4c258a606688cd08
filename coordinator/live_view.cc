#include "coordinator/live_view.h"

#include <algorithm>
#include <functional>

#include "coordinator/spec_json.h"

namespace strata::coordinator {
namespace {

template <class Id>
Id first_with(const std::string& prefix) {
  std::string hex = prefix;
  hex.resize(64, '0');
  return *parse_digest<Id>(hex);
}

// The keys in a map that begin with `prefix`: the first, and whether there is another.
template <class Id, class Map>
void find_prefix(const Map& map, const std::string& prefix, std::set<Id>& found) {
  for (auto it = map.lower_bound(first_with<Id>(prefix)); it != map.end() && found.size() < 2;
       ++it) {
    if (!it->first.hex().starts_with(prefix)) return;
    found.insert(it->first);
  }
}

const RunSpec* find_run(const Cluster& cluster, const RunKey& key) {
  for (const auto& [name, sweep] : cluster.sweeps()) {
    const auto it = sweep.runs.find(key);
    if (it != sweep.runs.end()) return &it->second.spec;
  }
  return nullptr;
}

void count(std::map<std::string, std::int64_t>& counts, const char* state) { ++counts[state]; }

Value counts_value(const std::map<std::string, std::int64_t>& counts) {
  Object object;
  for (const auto& [name, n] : counts) object.emplace(name, n);
  return object;
}

double median(std::vector<double> values) {
  const std::size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle),
                   values.end());
  return values[middle];
}

// Queued tasks of one shape, and blocked ones with the same producers, wait for one reason; so it
// is asked once for them.
std::string waiting_shape(const Task& task) {
  if (std::holds_alternative<Blocked>(task.state)) {
    std::string shape = "blocked";
    for (const TaskInput& input : task.spec->inputs)
      shape += "|" + input.producer.brief() + "/" + input.output;
    return shape;
  }
  if (!task.trouble().last_failure.empty()) return "paused|" + task.spec->key.hex();
  const Resources& needs = task.resources();
  std::string shape =
      fmt::format("queued|{}|{}|{}", needs.slots, needs.memory_mb, needs.expected_ms);
  for (const std::string& label : needs.labels) shape += "|" + label;
  for (const std::string& sweep : task.wants) shape += "|" + sweep;
  return shape;
}

// "waits for out of extract 4f2a, which is queued": those who wait for the same kind of thing are
// one line of `watch`.
class Reasons {
 public:
  Reasons(const Core& core, Instant now) : core_(core), now_(now) {}
  void add(const TaskKey& key, const Task& task) {
    if (std::holds_alternative<Held>(task.state)) {  // each has its own numbers: `explain` has them
      ++tasks_["paused by its search until more have come as far"];
      return;
    }
    const std::string shape = waiting_shape(task);
    auto it = by_shape_.find(shape);
    if (it == by_shape_.end()) {
      const bool more = by_shape_.size() < kWatchReasonsMax;
      it = by_shape_.emplace(shape, more ? core_.reason(key, now_) : std::string("other reasons"))
               .first;
    }
    ++tasks_[it->second];
  }
  [[nodiscard]] Array rows() const {
    std::vector<std::pair<std::string, std::int64_t>> sorted(tasks_.begin(), tasks_.end());
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    Array rows;
    for (const auto& [reason, n] : sorted)
      rows.emplace_back(Object{{"reason", reason}, {"tasks", n}});
    return rows;
  }

 private:
  const Core& core_;
  Instant now_;
  std::map<std::string, std::string> by_shape_;
  std::map<std::string, std::int64_t> tasks_;
};

}  // namespace

Result<Named> resolve(const Cluster& cluster, const std::string& prefix) {
  const bool digits = prefix.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (prefix.size() < kPrefixDigitsMin || prefix.size() > 64 || !digits) {
    return fail(ErrorCode::kInvalid,
                "\"{}\" names no task or run: give at least {} hexadecimal digits of its key",
                prefix, kPrefixDigitsMin);
  }
  std::set<TaskKey> tasks;
  find_prefix(cluster.tasks(), prefix, tasks);
  std::set<RunKey> runs;
  for (const auto& [name, sweep] : cluster.sweeps()) find_prefix(sweep.runs, prefix, runs);
  if (tasks.size() + runs.size() == 0)
    return fail(ErrorCode::kNotFound, "no task or run begins with {}", prefix);
  if (tasks.size() + runs.size() > 1)
    return fail(ErrorCode::kConflict, "{} is not unique: give more digits", prefix);
  if (!tasks.empty()) return Named{.task = *tasks.begin()};
  return Named{.run = *runs.begin()};
}

Value progress_value(std::int64_t step, std::optional<std::int64_t> total, std::int64_t updated_ms,
                     Value metrics) {
  return Object{{"step", step},
                {"total", total ? Value(*total) : Value()},
                {"updated_ms", updated_ms},
                {"metrics", std::move(metrics)}};
}

void LiveView::note(const Event& event) {
  rungs_.note(event);
  if (const auto* granted = std::get_if<AttemptGranted>(&event.body)) {
    live_[granted->attempt].granted_ms = event.at.unix_ms;
  } else if (const auto* started = std::get_if<AttemptStarted>(&event.body)) {
    live_[started->attempt].started_ms = event.at.unix_ms;
  } else if (const auto* ended = std::get_if<AttemptEnded>(&event.body)) {
    const auto it = live_.find(ended->attempt);
    if (it == live_.end()) return;
    if (std::holds_alternative<Succeeded>(ended->outcome) && it->second.started_ms) {
      seconds_[ended->attempt.task] =
          static_cast<double>(event.at.unix_ms - *it->second.started_ms) / 1'000.0;
    }
    live_.erase(it);
  } else if (const auto* gone = std::get_if<WorkerGone>(&event.body)) {
    heard_.erase(gone->worker);
  }
}

void LiveView::note_heard(WorkerId worker, Instant now) { heard_[worker] = now; }

void LiveView::note_points(const MetricBatch& batch, WallTime wall) {
  const auto it = live_.find(batch.attempt);
  if (it == live_.end() || batch.points.empty()) return;
  const MetricPoint& last = batch.points.back();
  Progress progress{
      .step = last.step, .total = last.total, .updated_ms = wall.unix_ms, .metrics = last.values};
  if (it->second.progress) {
    // A line without metrics says how far it is, and takes nothing away.
    if (!progress.total) progress.total = it->second.progress->total;
    progress.metrics.merge(it->second.progress->metrics);
  }
  it->second.progress = std::move(progress);
}

Result<Value> LiveView::explain(const Core& core, const std::string& prefix, Instant now) const {
  const Cluster& cluster = core.cluster();
  STRATA_TRY(const Named named, resolve(cluster, prefix));
  const auto row = [&](const std::string& stage, const TaskKey& key) {
    return Object{{"stage", stage},
                  {"task", key.hex()},
                  {"state", name_of(cluster.find_task(key)->state)},
                  {"reason", core.reason(key, now)}};
  };
  Array stages;
  if (named.task) {
    stages.emplace_back(row(cluster.find_task(*named.task)->spec->stage, *named.task));
    return Value(
        Object{{"kind", "task"}, {"task", named.task->hex()}, {"stages", std::move(stages)}});
  }
  for (const auto& [stage, key] : find_run(cluster, *named.run)->tasks)
    stages.emplace_back(row(stage, key));
  return Value(Object{{"kind", "run"}, {"run", named.run->hex()}, {"stages", std::move(stages)}});
}

Value LiveView::running_row(const Cluster& cluster, const TaskKey& key, const Task& task,
                            const Array& cells) const {
  const Gang& gang = *gang_of(task.state);
  std::int64_t slots = 0;
  for (const Grant& grant : gang) slots += grant.slots;
  const Worker* worker = cluster.find_worker(gang.front().worker);
  const auto live = live_.find(AttemptId{.task = key, .number = task.attempts});
  Value progress;
  if (live != live_.end() && live->second.progress) {
    const Progress& last = *live->second.progress;
    Object metrics;
    for (const auto& [name, value] : last.metrics) metrics.emplace(name, value);
    progress = progress_value(last.step, last.total, last.updated_ms, std::move(metrics));
  }
  return Object{{"task", key.hex()},
                {"stage", task.spec->stage},
                {"attempt", std::int64_t{task.attempts}},
                {"worker", worker != nullptr ? worker->name : std::string()},
                {"slots", slots},
                {"granted_ms", live != live_.end() ? Value(live->second.granted_ms) : Value()},
                {"progress", std::move(progress)},
                {"runs", cells}};
}

namespace {

// Blocked tasks that only wait for pruned ones, or for diverged ones, and for none that failed:
// there is no failure in them, what a search prunes and a loss that diverges are results.
struct BehindResults {
  std::int64_t pruned = 0;
  std::int64_t diverged = 0;
};
BehindResults behind_results(const Cluster& cluster,
                             const std::map<TaskKey, std::set<std::string>>& asked_for) {
  enum class Behind { kNothing, kPruned, kDiverged, kFailed };
  std::map<TaskKey, Behind> known;
  const std::function<Behind(const TaskKey&)> behind = [&](const TaskKey& key) {
    if (const auto it = known.find(key); it != known.end()) return it->second;
    const Task& task = *cluster.find_task(key);
    Behind worst = Behind::kNothing;
    if (std::holds_alternative<TaskPrunedState>(task.state)) worst = Behind::kPruned;
    if (std::holds_alternative<TaskDiverged>(task.state)) worst = Behind::kDiverged;
    if (std::holds_alternative<TaskFailed>(task.state) ||
        std::holds_alternative<TaskCancelledState>(task.state)) {
      worst = Behind::kFailed;
    }
    if (std::holds_alternative<Blocked>(task.state)) {
      for (const TaskInput& input : task.spec->inputs)
        worst = std::max(worst, behind(input.producer));
    }
    return known[key] = worst;
  };
  BehindResults counts;
  for (const auto& [key, cells] : asked_for) {
    if (!std::holds_alternative<Blocked>(cluster.find_task(key)->state)) continue;
    if (behind(key) == Behind::kPruned) ++counts.pruned;
    if (behind(key) == Behind::kDiverged) ++counts.diverged;
  }
  return counts;
}

Value search_value(const std::optional<Search>& search) {
  if (!search) return {};
  const SearchDefinition& definition = search->definition();
  Array rungs;
  const std::vector<Search::RungCounts> counts = search->counts();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    rungs.emplace_back(Object{{"step", definition.rungs[i]},
                              {"reached", counts[i].reached},
                              {"went_on", counts[i].went_on()},
                              {"held", counts[i].held},
                              {"pruned", counts[i].pruned},
                              {"best", counts[i].best ? Value(*counts[i].best) : Value()}});
  }
  return Object{{"method", name_of(definition.method)},
                {"stage", definition.stage},
                {"metric", definition.metric},
                {"goal", definition.minimize ? "minimize" : "maximize"},
                {"rungs", std::move(rungs)}};
}

}  // namespace

Result<Value> LiveView::watch(const Core& core, const std::string& name, Instant now,
                              WallTime wall) const {
  const Cluster& cluster = core.cluster();
  const auto found = cluster.sweeps().find(name);
  if (found == cluster.sweeps().end())
    return fail(ErrorCode::kNotFound, "there is no sweep \"{}\"", name);
  const Sweep& sweep = found->second;
  std::map<TaskKey, std::set<std::string>>
      cells;  // the runs that wait for each task; orphans are no part of the sweep now
  for (const auto& [key, run] : sweep.runs) {
    if (!sweep.is_current(run)) continue;
    for (const auto& [stage, task] : run.spec.tasks) cells[task].insert(run.spec.cell);
  }
  std::map<std::string, std::int64_t> states;
  std::map<std::string, std::map<std::string, std::int64_t>> by_stage;
  std::map<std::string, std::vector<double>> seconds;
  Reasons reasons(core, now);
  Array running;
  Array failed;
  for (const auto& [key, of_runs] : cells) {
    const Task& task = *cluster.find_task(key);
    count(states, name_of(task.state));
    count(by_stage[task.spec->stage], name_of(task.state));
    if (const auto took = seconds_.find(key); took != seconds_.end())
      seconds[task.spec->stage].push_back(took->second);
    if (gang_of(task.state) != nullptr) {
      Array names;
      for (const std::string& cell : of_runs) names.emplace_back(cell);
      if (running.size() < kWatchRunningMax)
        running.emplace_back(running_row(cluster, key, task, names));
    } else if (std::holds_alternative<TaskFailed>(task.state) ||
               std::holds_alternative<TaskDiverged>(task.state)) {
      if (failed.size() >= kWatchFailedMax) continue;
      failed.emplace_back(Object{
          {"task", key.hex()}, {"stage", task.spec->stage}, {"reason", core.reason(key, now)}});
    } else if (!is_final(task.state)) {
      reasons.add(key, task);
    }
  }
  Object stages;
  for (const auto& [stage, counts] : by_stage) stages.emplace(stage, counts_value(counts));
  Object medians;
  for (const auto& [stage, values] : seconds) medians.emplace(stage, median(values));
  std::int64_t slots = 0;
  std::int64_t free = 0;
  for (const auto& [id, worker] : cluster.workers()) {
    slots += worker.slots;
    free += worker.free;
  }
  const BehindResults behind = behind_results(cluster, cells);
  return Value(Object{{"sweep", name},
                      {"sealed", sweep.sealed},
                      {"tasks", counts_value(states)},
                      {"behind_diverged", behind.diverged},
                      {"behind_pruned", behind.pruned},
                      {"search", search_value(sweep.search)},
                      {"by_stage", std::move(stages)},
                      {"running", std::move(running)},
                      {"waiting", reasons.rows()},
                      {"failed", std::move(failed)},
                      {"seconds_by_stage", std::move(medians)},
                      {"slots", slots},
                      {"slots_free", free},
                      {"now_ms", wall.unix_ms}});
}

namespace {

Value quarantine_value(const Quarantine* quarantine) {
  if (quarantine == nullptr) return {};
  return Object{{"reason", quarantine->reason}, {"probing", quarantine->probing}};
}

}  // namespace

Value LiveView::workers(const Core& core, Instant now) const {
  Array rows;
  for (const auto& [id, worker] : core.cluster().workers()) {
    Array attempts;
    for (const AttemptId& attempt : worker.attempts) attempts.emplace_back(attempt.text());
    const auto heard = heard_.find(id);
    const auto ago = [&] {
      return std::chrono::duration_cast<std::chrono::milliseconds>(now - heard->second).count();
    };
    rows.emplace_back(
        Object{{"worker", id.value()},
               {"name", worker.name},
               {"slots", worker.slots},
               {"free", worker.free},
               {"labels", texts_value(worker.labels)},
               {"draining", worker.draining},
               {"memory_mb", worker.memory_mb > 0 ? Value(worker.memory_mb) : Value()},
               {"memory_free_mb", worker.memory_mb > 0 ? Value(worker.memory_free_mb) : Value()},
               {"quarantine", quarantine_value(core.cluster().find_quarantine(worker.name))},
               {"heard_ms_ago", heard != heard_.end() ? Value(std::int64_t{ago()}) : Value()},
               {"attempts", std::move(attempts)}});
  }
  return Object{{"workers", std::move(rows)}};
}

}  // namespace strata::coordinator
