// The part of the core that asks the searches (search.h), journals what they decide and has gangs
// make room for it.

#include <algorithm>

#include "base/assert.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/core.h"

namespace strata::coordinator {

std::vector<WatchedRung> Core::watched(const TaskKey& key) const {
  std::vector<WatchedRung> rungs;
  const Task* task = cluster_.find_task(key);
  if (task == nullptr) return rungs;
  for (const std::string& name : task->wants) {
    const auto& search = cluster_.sweeps().at(name).search;
    const auto rung = search ? search->next_rung(key) : std::nullopt;
    if (!rung) continue;
    const SearchDefinition& definition = search->definition();
    WatchedRung watched{.metric = definition.metric,
                        .step = definition.rungs[static_cast<std::size_t>(*rung)]};
    if (std::find(rungs.begin(), rungs.end(), watched) == rungs.end())
      rungs.push_back(std::move(watched));
  }
  return rungs;
}

// What a search cannot pause without losing what it has done, it must not judge.
Status Core::check_search(const SubmitTasks& s, const TaskSpec& task) const {
  const auto sweep = cluster_.sweeps().find(s.sweep);
  const auto& search =
      s.first || sweep == cluster_.sweeps().end() ? s.options.search : sweep->second.options.search;
  if (!search || task.stage != search->stage || task.resumable) return {};
  return fail(ErrorCode::kInvalid,
              "submitting {}: {} {} is judged by the sweep's search and is not resumable: a search "
              "pauses and continues tasks from their checkpoints, so the stage must write some and "
              "say `resumable: true`",
              s.sweep, task.stage, task.key.brief());
}

// Of the living attempt, or of the one that succeeded: its last points may come after its end. A
// rung that was reached before, or that is watched no more, changes nothing.
void Core::on(Step& step, const RungReport& report) {
  const Task* task = cluster_.find_task(report.attempt.task);
  if (task == nullptr || task->attempts != report.attempt.number) return;
  const auto* succeeded = std::get_if<TaskSucceeded>(&task->state);
  if (!cluster_.is_live(report.attempt) &&
      (succeeded == nullptr || succeeded->attempt != report.attempt.number)) {
    return;
  }
  const TaskKey& key = report.attempt.task;
  const FlatSet<std::string> wants = task->wants;
  for (const std::string& name : wants) {
    const auto& search = cluster_.sweeps().at(name).search;
    const auto rung = search ? search->next_rung(key) : std::nullopt;
    if (!rung || search->definition().metric != report.metric ||
        search->definition().rungs[static_cast<std::size_t>(*rung)] != report.step) {
      continue;
    }
    record(step, RungReached{.sweep = name, .task = key, .rung = *rung, .value = report.value});
    carry_out(step, name, cluster_.sweeps().at(name).search->judge(key, fates()));
  }
}

Search::FateOf Core::fates() const {
  return [this](const TaskKey& key) { return cluster_.fate_of(key); };
}

void Core::carry_out(Step& step, const std::string& sweep, const Search::Decision& decision) {
  const std::string reason = for_people(decision.reason);
  switch (decision.move) {
    case Search::Move::kGoOn: return;
    case Search::Move::kHold:
      return record(step, TaskHeld{.sweep = sweep, .task = decision.task, .reason = reason});
    case Search::Move::kPromote:
      return record(step, TaskPromoted{.sweep = sweep, .task = decision.task, .reason = reason});
    case Search::Move::kPrune:
      if (!cluster_.find_task(decision.task)->trouble().holds.contains(sweep))
        record(step, TaskHeld{.sweep = sweep, .task = decision.task, .reason = reason});
      return record(step, TaskPruned{.sweep = sweep, .task = decision.task, .reason = reason});
  }
}

// Which searches may have something to decide, and which gangs may have to stop. What may change a
// task's fate (Cluster::fate_of) concerns each search that wants the task: also when another sweep
// begins or ceases to want it, since only then a hold begins to bite or ends. What ends for good,
// and an input that is lost, may end what waits for it, near or far, whoever wants that: then all
// searches look, those that hold nothing at little cost.
void Core::note_for_searches(const Event& event) {
  const auto concerns_wanting = [&](const TaskKey& key) {
    for (const std::string& name : cluster_.find_task(key)->wants) {
      if (cluster_.sweeps().at(name).search) unsettled_.insert(name);
    }
  };
  const auto concerns_all = [&] {
    for (const auto& [name, sweep] : cluster_.sweeps()) {
      if (sweep.search) unsettled_.insert(name);
    }
  };
  std::visit(
      [&](const auto& e) {
        using T = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<T, SweepSealed>) {
          unsettled_.insert(e.sweep);
        } else if constexpr (std::is_same_v<T, RungReached> || std::is_same_v<T, TaskHeld> ||
                             std::is_same_v<T, TaskPromoted> || std::is_same_v<T, TaskPruned> ||
                             std::is_same_v<T, WantWithdrawn>) {
          unsettled_.insert(e.sweep);
          concerns_wanting(e.task);
          perhaps_held_.insert(e.task);
        } else if constexpr (std::is_same_v<T, TaskWanted>) {
          concerns_wanting(e.spec.key);
        } else if constexpr (std::is_same_v<T, AttemptEnded>) {
          const TaskKey& key = e.attempt.task;
          const Task& task = *cluster_.find_task(key);
          if (!std::holds_alternative<Succeeded>(e.outcome))
            return is_final(task.state) ? concerns_all() : concerns_wanting(key);
          // A result of a stage that no search judges changes nobody's fate.
          for (const std::string& name : task.wants) {
            const auto& search = cluster_.sweeps().at(name).search;
            if (search && search->find(key) != nullptr) unsettled_.insert(name);
          }
        } else if constexpr (std::is_same_v<T, TaskCancelled> ||
                             std::is_same_v<T, ArtifactEvicted>) {
          concerns_all();
        } else if constexpr (std::is_same_v<T, TaskRevived>) {
          concerns_wanting(e.task);  // it may have been held when it failed
        }
      },
      event.body);
}

// Until nothing follows any more: each decision leaves one task less that is held.
void Core::settle_searches(Step& step) {
  while (!unsettled_.empty()) {
    const std::string name = *unsettled_.begin();
    unsettled_.erase(unsettled_.begin());
    const auto sweep = cluster_.sweeps().find(name);
    if (sweep == cluster_.sweeps().end() || !sweep->second.search) continue;
    const bool complete = sweep->second.sealed ||
                          (sweep->second.sealed_generation > 0 && !submitters_.contains(name));
    const auto decisions = sweep->second.search->settle(fates(), complete);
    for (const Search::Decision& decision : decisions) carry_out(step, name, decision);
  }
  for (const TaskKey& key : std::exchange(perhaps_held_, {})) {
    const Task& task = *cluster_.find_task(key);
    if (gang_of(task.state) == nullptr || stop_of(task.state) != nullptr || !is_held(task))
      continue;
    stop(step, {.task = key, .number = task.attempts}, StopKind::kHold,
         "its search: " + task.trouble().holds.begin()->second);
  }
}

}  // namespace strata::coordinator
