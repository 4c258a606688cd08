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
      seconds_.at(ended->attempt.task) =
          static_cast<double>(event.at.unix_ms - *it->second.started_ms) / 1'000.0;
    }
    live_.erase(it);
  } else if (const auto* gone = std::get_if<WorkerGone>(&event.body)) {
    heard_.erase(gone->worker);
  }
}

void LiveView::note_heard(WorkerId worker, Instant now) { heard_[worker] = now; }

void LiveView::note_point(const AttemptId& attempt, const MetricPoint& last, WallTime wall) {
  const auto it = live_.find(attempt);
  if (it == live_.end()) return;
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
    stages.emplace_back(row(cluster.find_task(*named.task)->spec.stage(), *named.task));
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
                {"stage", task.spec.stage()},
                {"attempt", std::int64_t{task.attempts}},
                {"worker", worker != nullptr ? worker->name : std::string()},
                {"slots", slots},
                {"granted_ms", live != live_.end() ? Value(live->second.granted_ms) : Value()},
                {"progress", std::move(progress)},
                {"runs", cells}};
}

const double* LiveView::seconds_of(const TaskKey& task) const { return seconds_.find(task); }

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
