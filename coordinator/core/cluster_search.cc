// What the cluster knows of holds and searches: which sweeps have paused or ended a task, and the
// state of each search (search.h).

#include <algorithm>

#include "coordinator/core/cluster.h"

namespace strata::coordinator {
namespace {

bool every_want_is_in(const Task& task, const std::map<std::string, std::string>& by_sweep) {
  return !task.wants.empty() && std::all_of(task.wants.begin(), task.wants.end(),
                                            [&](const auto& w) { return by_sweep.contains(w); });
}

}  // namespace

bool is_held(const Task& task) {
  return every_want_is_in(task, task.trouble().holds) || is_pruned(task);
}

bool is_pruned(const Task& task) { return every_want_is_in(task, task.trouble().pruned); }

// Held by every sweep that wants it: then it waits for their searches. A sweep without a search
// never holds anything, so it gets its result as if it were alone.
void Cluster::settle_holds(Task& task) {
  if (gang_of(task.state) != nullptr || is_final(task.state)) return;
  if (!set_held(task) && std::holds_alternative<Held>(task.state)) enqueue_or_block(task, 0);
}

bool Cluster::set_held(Task& task) {
  if (is_pruned(task)) {
    set_state(task, TaskPrunedState{.reason = task.trouble().pruned.begin()->second});
  } else if (is_held(task)) {
    set_state(task, Held{.reason = task.trouble().holds.begin()->second});
  } else {
    return false;
  }
  return true;
}

Search::Fate Cluster::fate_of(const TaskKey& key) const {
  const TaskState& state = tasks_.at(key).state;
  if (std::holds_alternative<TaskSucceeded>(state)) return Search::Fate::kSucceeded;
  const bool bad = std::holds_alternative<TaskFailed>(state) ||
                   std::holds_alternative<TaskDiverged>(state) ||
                   std::holds_alternative<TaskCancelledState>(state) || is_stuck(key);
  return bad ? Search::Fate::kEndedBadly : Search::Fate::kGoing;
}

// Waits for an input whose producer has ended without it, and so on upwards.
bool Cluster::is_stuck(const TaskKey& key) const {
  std::vector<TaskKey> open{key};
  std::set<TaskKey> seen{key};
  while (!open.empty()) {
    const Task& task = tasks_.at(open.back());
    open.pop_back();
    if (!std::holds_alternative<Blocked>(task.state)) continue;
    for (const TaskInput& input : task.spec.inputs()) {
      const TaskState& producer = tasks_.at(input.producer).state;
      if (is_final(producer) && !std::holds_alternative<TaskSucceeded>(producer)) return true;
      if (seen.insert(input.producer).second) open.push_back(input.producer);
    }
  }
  return false;
}

// A submission with another search than the one before, or with none: what was decided counts no
// more.
void Cluster::begin_search(const std::string& name) {
  Sweep& sweep = sweeps_.at(name);
  const bool same = sweep.search ? sweep.options.search == sweep.search->definition()
                                 : !sweep.options.search.has_value();
  if (same) return;
  sweep.search.reset();
  if (sweep.options.search) sweep.search.emplace(*sweep.options.search);
  for (auto& [key, task] : tasks_.in_order()) {
    if (task.wants.contains(name)) forget_decisions(name, key);
  }
}

void Cluster::forget_decisions(const std::string& sweep, const TaskKey& key) {
  Task& task = tasks_.at(key);
  const bool any =
      task.troubled && task.troubled->holds.erase(sweep) + task.troubled->pruned.erase(sweep) > 0;
  if (!any) return;
  touched_.insert(key);
  settle_holds(task);
}

void Cluster::take_part(const std::string& name, const TaskKey& key) {
  Sweep& sweep = sweeps_.at(name);
  const Task& task = tasks_.at(key);
  if (!sweep.search || task.spec.stage() != sweep.search->definition().stage ||
      !task.wants.contains(name)) {
    return;
  }
  sweep.search->enter(key, task.order);
  if (std::holds_alternative<TaskSucceeded>(task.state)) sweep.search->exempt(key);
  // Dropped from the file after it was pruned, and back in it: pruned it stays, and nobody waits
  // for it (found by the simulator, seed 106).
  if (task.trouble().pruned.contains(name)) sweep.search->prune(key);
}

// What the newest submission has dropped takes part no more; where its gang goes on, it goes on
// unjudged.
void Cluster::drop_orphans_of_search(const std::string& name) {
  Sweep& sweep = sweeps_.at(name);
  if (!sweep.search) return;
  std::set<TaskKey> current;
  for (const auto& [key, run] : sweep.runs) {
    if (!sweep.is_current(run)) continue;
    for (const auto& [stage, task] : run.spec.tasks) current.insert(task);
  }
  for (const auto& [key, task] : tasks()) {
    if (!task.wants.contains(name) || current.contains(key)) continue;
    sweep.search->leave(key);
    // One that all have pruned has ended, and stays as it is.
    if (!is_pruned(task) || gang_of(task.state) != nullptr) forget_decisions(name, key);
  }
}

// For all searches that want it: it succeeded, or a person wanted it in spite of them.
void Cluster::exempt_from_searches(Task& task) {
  if (task.troubled) {
    task.troubled->holds.clear();
    task.troubled->pruned.clear();
  }
  for (const std::string& name : task.wants) {
    Sweep& sweep = sweeps_.at(name);
    if (sweep.search) sweep.search->exempt(task.spec.key());
  }
}

void Cluster::on(const RungReached& e) {
  Sweep& sweep = sweeps_.at(e.sweep);
  if (sweep.search) sweep.search->reach(e.task, e.rung, e.value);
}

void Cluster::on(const TaskHeld& e) {
  Sweep& sweep = sweeps_.at(e.sweep);
  if (sweep.search) sweep.search->hold(e.task);
  Task& task = touch(e.task);
  task.make_trouble().holds[e.sweep] = e.reason;
  settle_holds(task);
}

void Cluster::on(const TaskPromoted& e) {
  Sweep& sweep = sweeps_.at(e.sweep);
  if (sweep.search) sweep.search->promote(e.task);
  Task& task = touch(e.task);
  task.make_trouble().holds.erase(e.sweep);
  settle_holds(task);
}

void Cluster::on(const TaskPruned& e) {
  Sweep& sweep = sweeps_.at(e.sweep);
  if (sweep.search) sweep.search->prune(e.task);
  Task& task = touch(e.task);
  task.make_trouble().pruned[e.sweep] = e.reason;
  settle_holds(task);
}

}  // namespace strata::coordinator
