// The invariants, checked from outside after every step. Numbers are those of ARCHITECTURE.md
// ("Invariants").

#include "base/assert.h"
#include "schema/codec.h"
#include "tests/simulation/world.h"

namespace strata::simulation {

using coordinator::Cluster;
using coordinator::Task;

std::string describe(const Cluster& cluster) {
  std::string text;
  for (const auto& [key, task] : cluster.tasks()) {
    text += fmt::format("{} {} attempts={} user={} infra={} wants={}", key.hex(),
                        coordinator::name_of(task.state), task.attempts, task.user_failures,
                        task.infra_failures, fmt::join(task.wants, ","));
    if (const Gang* gang = coordinator::gang_of(task.state)) {
      for (const Grant& grant : *gang)
        text += fmt::format(" on={}:{}", grant.worker.value(), grant.slots);
    }
    for (const auto& [output, ref] : task.artifacts) text += " " + output + "=" + ref.hash.hex();
    if (task.checkpoint)
      text += fmt::format(" checkpoint={}:{}", task.checkpoint->step,
                          task.checkpoint->artifact.hash.hex());
    text += '\n';
  }
  for (const auto& [id, worker] : cluster.workers())
    text += fmt::format("worker {} {} {}/{}\n", id.value(), worker.name, worker.free, worker.slots);
  for (const auto& [hash, artifact] : cluster.artifacts())
    text += fmt::format("artifact {} {}\n", hash.hex(), artifact.present);
  for (const auto& [name, sweep] : cluster.sweeps())
    text += fmt::format("sweep {} {} {}\n", name, sweep.generation, sweep.runs.size());
  return text;
}

const AttemptId* reported_by(const coordinator::Input& input) {
  if (const auto* report = std::get_if<ReportEnded>(&input.body)) return &report->attempt;
  if (const auto* report = std::get_if<ReportCheckpoint>(&input.body)) return &report->attempt;
  return nullptr;
}

void World::check_step(const coordinator::Input& input, const coordinator::Output& output,
                       bool was_live) {
  const Cluster& cluster = core_->cluster();
  for (const Event& event : output.events) {
    if (const auto* ended = std::get_if<AttemptEnded>(&event.body)) {
      const auto* lost = std::get_if<Lost>(&ended->outcome);
      if (lost != nullptr && lost->reason.find("lease") != std::string::npos)
        ++statistics_.expiries;
    }
    trace(fmt::format("{}", name_of(event.body)));
  }

  // I3: a report of an attempt that is not live changes nothing about its task.
  const AttemptId* reported = reported_by(input);
  if (reported != nullptr) {
    bool counted = false;
    for (const Event& event : output.events) {
      if (const auto* ended = std::get_if<AttemptEnded>(&event.body))
        counted = counted || ended->attempt == *reported;
      if (const auto* checkpoint = std::get_if<CheckpointCommitted>(&event.body))
        counted = counted || checkpoint->attempt == *reported;
    }
    if (!counted) ++statistics_.stale_reports;
    if (counted && !was_live) violate("I3: a report of " + reported->text() + " counted");
  }

  // I4: what is final stays as it is, but for an explicit revival or the loss of a needed artifact.
  bool reopening = false;
  for (const Event& event : output.events) {
    const bool explicit_command = std::holds_alternative<TaskRevived>(event.body) ||
                                  std::holds_alternative<ArtifactEvicted>(event.body) ||
                                  std::holds_alternative<TaskWanted>(event.body);
    reopening = reopening || explicit_command || std::holds_alternative<AttemptEnded>(event.body);
    if (const auto* granted = std::get_if<AttemptGranted>(&event.body)) {
      const Task& task = *cluster.find_task(granted->attempt.task);
      std::int64_t slots = 0;
      for (const Grant& grant : granted->gang) slots += grant.slots;
      if (slots != task.spec.resources.slots)
        violate("I6: " + granted->attempt.text() + " got a part of its gang");
    }
  }
  for (const auto& [key, task] : cluster.tasks()) {
    const auto before = final_states_.find(key);
    const std::string state = coordinator::name_of(task.state);
    if (before != final_states_.end() && before->second != state && !reopening) {
      violate("I4: " + key.brief() + " went from " + before->second + " to " + state);
    }
    // I12: what is not the user's fault is retried within bounds.
    if (task.infra_failures > task.spec.retry.infra_failures_max)
      violate("I12: " + key.brief() + " is retried without end");
  }

  // I5: slots granted never exceed slots present, and the books balance.
  for (const auto& [id, worker] : cluster.workers()) {
    std::int64_t used = 0;
    for (const AttemptId& attempt : worker.attempts) {
      if (!cluster.is_live(attempt)) {
        violate("I1: " + attempt.text() + " holds slots and is not live");
        continue;
      }
      for (const Grant& grant : *coordinator::gang_of(cluster.find_task(attempt.task)->state)) {
        if (grant.worker == id) used += grant.slots;
      }
    }
    if (used + worker.free != worker.slots || worker.free < 0)
      violate(fmt::format("I5: {} has {} used, {} free of {}", worker.name, used, worker.free,
                          worker.slots));
  }

  // I2: what a client was told is there.
  for (const Plan& plan : plans_) {
    if (!plan.acknowledged) continue;
    for (const TaskSpec& task : plan.tasks) {
      if (cluster.find_task(task.key) == nullptr)
        violate("I2: an acknowledged task of " + plan.sweep + " is gone");
    }
  }
  check_leaving(input, output);
  if (statistics_.steps % 512 == 0) check_replay();
}

namespace {

// The session that this input closes: it gets nothing from this very step on.
std::optional<std::uint64_t> closed_by(const coordinator::Input& input, const Cluster& cluster) {
  if (const auto* leaving = std::get_if<Leaving>(&input.body)) return leaving->session;
  if (const auto* goodbye = std::get_if<Goodbye>(&input.body)) return goodbye->session;
  if (const auto* drain = std::get_if<coordinator::DrainWorker>(&input.body)) {
    if (const auto* worker = cluster.find_worker(drain->worker)) return worker->session;
  }
  return {};
}

}  // namespace

// A worker that is drained or leaves is granted nothing, and what it still held when it said
// goodbye is nobody's failure.
void World::check_leaving(const coordinator::Input& input, const coordinator::Output& output) {
  const Cluster& cluster = core_->cluster();
  const auto closed = closed_by(input, cluster);
  for (const Event& event : output.events) {
    if (const auto* granted = std::get_if<AttemptGranted>(&event.body)) {
      for (const Grant& grant : granted->gang) {
        const auto* worker = cluster.find_worker(grant.worker);
        if (worker != nullptr &&
            (worker->session == closed || closed_sessions_.contains(worker->session)))
          violate("leaving: " + granted->attempt.text() + " is granted to " + worker->name +
                  ", which is leaving");
      }
    }
  }
  const auto* goodbye = std::get_if<Goodbye>(&input.body);
  if (goodbye == nullptr) return;
  for (const auto& [id, worker] : cluster.workers()) {
    if (worker.session == goodbye->session)
      violate(worker.name + " said goodbye and is still there");
  }
  for (const Event& event : output.events) {
    const auto* ended = std::get_if<AttemptEnded>(&event.body);
    if (ended != nullptr && !std::holds_alternative<Stopped>(ended->outcome))
      violate("leaving: " + ended->attempt.text() + " is charged with the end of its worker");
  }
}

// After the commit: what counts as having been final, and who is leaving.
void World::note_committed(const coordinator::Input& input) {
  if (const auto session = closed_by(input, core_->cluster())) closed_sessions_.insert(*session);
  if (std::holds_alternative<Goodbye>(input.body)) ++statistics_.goodbyes;
  note_final(core_->cluster());
}

void World::note_final(const Cluster& cluster) {
  for (const auto& [key, task] : cluster.tasks()) {
    if (coordinator::is_final(task.state)) {
      final_states_[key] = coordinator::name_of(task.state);
    } else {
      final_states_.erase(key);
    }
  }
}

void World::check_workers() {
  // I5 on the machines themselves: whatever the books say, no worker runs more than it has.
  for (const SimWorker& w : workers_) {
    std::int64_t used = 0;
    for (const auto& [id, process] : w.processes) {
      for (const Grant& grant : process.order.gang) used += grant.slots;
    }
    if (used > w.slots) violate(fmt::format("I5: {} runs {} of {} slots", w.name, used, w.slots));
  }
  // I1: at most one process, anywhere, belongs to the live attempt of a task.
  if (!core_) return;
  std::map<TaskKey, int> live;
  for (const SimWorker& w : workers_) {
    for (const auto& [id, process] : w.processes) {
      if (core_->cluster().is_live(id) && ++live[id.task] > 1)
        violate("I1: two live attempts of " + id.task.brief());
    }
  }
}

// I13 and I14: replaying the committed log gives the state that the core has, and every prefix is
// legal.
void World::check_replay() {
  if (!core_ || core_->cluster().events_applied() != log_.size()) return;
  if (describe(replayed()) != describe(core_->cluster()))
    violate("I13: a replay of the log gives another state");
}

bool World::everything_ended() const {
  if (!core_) return false;
  for (const Plan& plan : plans_) {
    if (!plan.acknowledged) return false;
  }
  for (const auto& [key, task] : core_->cluster().tasks()) {
    if (coordinator::gang_of(task.state) != nullptr ||
        std::holds_alternative<coordinator::Queued>(task.state))
      return false;
  }
  for (const SimWorker& w : workers_) {
    if (!w.processes.empty()) return false;
  }
  return true;
}

void World::check_end() {
  if (!everything_ended()) {
    std::string waiting;
    if (core_) {
      for (const auto& [key, task] : core_->cluster().tasks()) {
        if (!coordinator::is_final(task.state))
          waiting += "\n  " + key.brief() + " " + task.spec.stage + ": " + core_->reason(key, now_);
      }
    }
    return violate("liveness: the faults ended long ago and not everything has" + waiting);
  }
  check_replay();
  const Cluster& cluster = core_->cluster();
  std::set<TaskKey> asked;
  for (const Plan& plan : plans_) {
    for (const TaskSpec& task : plan.tasks) asked.insert(task.key);
  }
  // I8: sweeps that overlap and submissions that were repeated created each task once.
  if (cluster.tasks().size() != asked.size())
    violate(fmt::format("I8: {} tasks for {} keys", cluster.tasks().size(), asked.size()));
  for (const auto& [key, task] : cluster.tasks()) {
    const bool succeeded = std::holds_alternative<coordinator::TaskSucceeded>(task.state);
    ++(succeeded ? statistics_.tasks_succeeded : statistics_.tasks_ended_otherwise);
    // I21: a task that a living sweep wants is cancelled by nobody else's cancel.
    if (!std::holds_alternative<coordinator::TaskCancelledState>(task.state)) continue;
    for (const Plan& plan : plans_) {
      if (plan.cancelled) continue;
      for (const TaskSpec& wanted : plan.tasks) {
        if (wanted.key == key)
          violate("I21: " + key.brief() + " was cancelled although " + plan.sweep + " wants it");
      }
    }
  }
}

}  // namespace strata::simulation
