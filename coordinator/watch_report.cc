#include "coordinator/watch_report.h"

#include <algorithm>

namespace strata::coordinator {
namespace {

using Counts = std::map<std::string, std::int64_t>;

Value counts_value(const Counts& counts) {
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

// "waits for train, which is running": of all whose first missing input is so.
std::string missing_text(const Cluster& cluster, const Task& blocked) {
  for (const TaskInput& input : blocked.spec.inputs()) {
    const Task& producer = *cluster.find_task(input.producer);
    if (std::holds_alternative<TaskSucceeded>(producer.state)) continue;
    return fmt::format("waits for {}, which is {}", producer.spec.stage(), name_of(producer.state));
  }
  return "waits for an input";
}

// Queued tasks of one shape wait for one reason; so it is asked once for them.
std::string waiting_shape(const Task& task) {
  if (!task.trouble().last_failure.empty()) return "paused|" + task.spec.key().hex();
  const Resources& needs = task.resources();
  std::string shape =
      fmt::format("queued|{}|{}|{}", needs.slots, needs.memory_mb, needs.expected_ms);
  for (const std::string& label : needs.labels) shape += "|" + label;
  for (const std::string& sweep : task.wants) shape += "|" + sweep;
  return shape;
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

bool WatchReport::go_on(const Core& core, const LiveView& live, Instant now, std::size_t looks) {
  const Sweep& sweep = core.cluster().sweeps().at(sweep_);
  if (!runs_done_) {
    auto it = run_ ? sweep.runs.upper_bound(*run_) : sweep.runs.begin();
    for (; it != sweep.runs.end(); ++it) {
      if (looks-- == 0) return false;
      run_ = it->first;
      if (!sweep.is_current(it->second)) continue;
      for (const auto& [stage, task] : it->second.spec.tasks)
        cells_[task].insert(it->second.spec.cell);
    }
    runs_done_ = true;
  }
  auto it = task_ ? cells_.upper_bound(*task_) : cells_.begin();
  for (; it != cells_.end(); ++it) {
    if (looks-- == 0) return false;
    task_ = it->first;
    add(core, live, now, it->first, it->second);
  }
  return true;
}

void WatchReport::add(const Core& core, const LiveView& live, Instant now, const TaskKey& key,
                      const std::set<std::string>& cells) {
  const Cluster& cluster = core.cluster();
  const Task& task = *cluster.find_task(key);
  const std::string& stage = task.spec.stage();
  ++states_[name_of(task.state)];
  ++by_stage_[stage][name_of(task.state)];
  if (const double* took = live.seconds_of(key)) seconds_[stage].push_back(*took);
  if (gang_of(task.state) != nullptr) {
    Array names;
    for (const std::string& cell : cells) names.emplace_back(cell);
    if (running_.size() < kWatchRunningMax)
      running_.emplace_back(live.running_row(cluster, key, task, names));
  } else if (std::holds_alternative<TaskFailed>(task.state) ||
             std::holds_alternative<TaskDiverged>(task.state)) {
    if (failed_.size() >= kWatchFailedMax) return;
    failed_.emplace_back(Object{{"task", key.hex()},
                                {"stage", stage},
                                {"state", name_of(task.state)},
                                {"reason", core.reason(key, now)}});
  } else if (std::holds_alternative<Blocked>(task.state)) {
    const Behind worst = behind(cluster, key);
    if (worst == Behind::kPruned) ++behind_pruned_;
    if (worst == Behind::kDiverged) ++behind_diverged_;
    if (worst == Behind::kFailed) ++behind_failed_;
    // The others never begin, and wait for nothing.
    if (worst == Behind::kNothing) ++waiting_[missing_text(cluster, task)];
  } else if (!is_final(task.state)) {
    add_waiting(core, now, key, task);
  }
}

// Those who wait for the same kind of thing are one line.
void WatchReport::add_waiting(const Core& core, Instant now, const TaskKey& key, const Task& task) {
  if (std::holds_alternative<Held>(task.state)) {  // each has its own numbers: `explain` has them
    ++waiting_["paused by its search until more have come as far"];
    return;
  }
  const std::string shape = waiting_shape(task);
  auto it = reason_by_shape_.find(shape);
  if (it == reason_by_shape_.end()) {
    const bool more = reason_by_shape_.size() < kWatchReasonsMax;
    it =
        reason_by_shape_.emplace(shape, more ? core.reason(key, now) : std::string("other reasons"))
            .first;
  }
  ++waiting_[it->second];
}

Array WatchReport::waiting_rows() const {
  std::vector<std::pair<std::string, std::int64_t>> sorted(waiting_.begin(), waiting_.end());
  // What nobody can ever hold needs a person, and stands first.
  const auto place = [](const auto& row) {
    return std::make_tuple(!row.first.starts_with("infeasible"), -row.second);
  };
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](const auto& a, const auto& b) { return place(a) < place(b); });
  Array rows;
  for (const auto& [reason, n] : sorted)
    rows.emplace_back(Object{{"reason", reason}, {"tasks", n}});
  return rows;
}

// What stands behind a blocked task at worst. One that only waits for pruned or diverged ones, and
// for none that failed, has no failure in it: what a search prunes and a loss that diverges are
// results.
WatchReport::Behind WatchReport::behind(const Cluster& cluster, const TaskKey& key) {
  if (const auto it = behind_.find(key); it != behind_.end()) return it->second;
  const Task& task = *cluster.find_task(key);
  Behind worst = Behind::kNothing;
  if (std::holds_alternative<TaskPrunedState>(task.state)) worst = Behind::kPruned;
  if (std::holds_alternative<TaskDiverged>(task.state)) worst = Behind::kDiverged;
  if (std::holds_alternative<TaskFailed>(task.state) ||
      std::holds_alternative<TaskCancelledState>(task.state)) {
    worst = Behind::kFailed;
  }
  if (std::holds_alternative<Blocked>(task.state)) {
    for (const TaskInput& input : task.spec.inputs())
      worst = std::max(worst, behind(cluster, input.producer));
  }
  return behind_[key] = worst;
}

Value WatchReport::value(const Core& core, WallTime wall) const {
  const Sweep& sweep = core.cluster().sweeps().at(sweep_);
  Object stages;
  for (const auto& [stage, counts] : by_stage_) stages.emplace(stage, counts_value(counts));
  Object medians;
  for (const auto& [stage, values] : seconds_) medians.emplace(stage, median(values));
  std::int64_t slots = 0;
  std::int64_t free = 0;
  for (const auto& [id, worker] : core.cluster().workers()) {
    slots += worker.slots;
    free += worker.free;
  }
  return Object{{"sweep", sweep_},
                {"sealed", sweep.sealed},
                {"tasks", counts_value(states_)},
                {"behind_failed", behind_failed_},
                {"behind_diverged", behind_diverged_},
                {"behind_pruned", behind_pruned_},
                {"search", search_value(sweep.search)},
                {"by_stage", std::move(stages)},
                {"running", running_},
                {"waiting", waiting_rows()},
                {"failed", failed_},
                {"seconds_by_stage", std::move(medians)},
                {"slots", slots},
                {"slots_free", free},
                {"now_ms", wall.unix_ms}};
}

}  // namespace strata::coordinator
