// What runs on the workers: gangs of ranks under mpirun and a guard, trainings that emit metric
// points and checkpoints and go on from them, and everything that may become of them.

#include <algorithm>

#include "tests/simulation/world.h"
#include "tests/support/sample_sweep.h"

namespace strata::simulation {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// As worker/attempts.h.
constexpr milliseconds kMetricsRepeatEvery{2'000};
constexpr milliseconds kPointsPatience{10'000};
constexpr std::size_t kPointsPerBatch = 40;
constexpr std::int64_t kCheckpointEvery = 4;  // steps

Failed failure(FailureClass cause, std::string reason) {
  return {.cause = cause, .reason = std::move(reason)};
}

// The same whichever attempt computes it; now and then no number.
double loss_of(const TaskKey& task, std::int64_t step) {
  const std::uint64_t drawn =
      Random::hash(task.bytes()[0] + 256U * task.bytes()[1]) ^ static_cast<std::uint64_t>(step);
  if (Random::hash(drawn) % 19 == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(Random::hash(drawn + 1) % 50);
}

}  // namespace

bool World::inputs_there(std::size_t index, const StartAttempt& order) {
  std::vector<ContentHash> read;
  for (const auto& [input, ref] : order.inputs) read.push_back(ref.hash);
  if (order.inputs.size() != order.spec.inputs.size())
    violate("I10", order.attempt.text() + " starts without an input");
  if (order.resume_from) read.push_back(order.resume_from->hash);
  for (const ContentHash& hash : read) {
    const auto it = store_.find(hash);
    if (it == store_.end()) {
      violate("I10", order.attempt.text() + " reads an artifact that was never made");
      return false;
    }
    if (it->second.present) continue;
    schedule_at(now_ + milliseconds(20), [this, index, id = order.attempt, missing = hash] {
      SimWorker& its = workers_[index];
      if (its.processes.erase(id) == 0) return;
      trace(its.name + " does not find an input of " + id.text());
      step_agent(index,
                 worker::ProcessEnded{.attempt = id,
                                      .outcome = failure(FailureClass::kData, "an input is gone"),
                                      .missing_inputs = {missing}});
    });
    return false;
  }
  return true;
}

void World::launch(std::size_t index, const StartAttempt& order) {
  SimWorker& w = workers_[index];
  ++statistics_.attempts;
  past_attempts_.push_back({order.attempt, order.gang});
  trace(fmt::format("{} launches {} {}", w.name, order.spec.stage, order.attempt.text()));
  if (w.shutting_down)
    return violate("worker", w.name + " was asked to end and launches something");
  if (w.processes.contains(order.attempt))
    return violate("I1", order.attempt.text() + " is launched twice on " + w.name);
  Process& process = w.processes[order.attempt];
  process.order = order;
  const bool training = order.spec.resumable;
  process.steps =
      static_cast<std::int64_t>(training ? 8 + random_.bounded(24) : 1 + random_.bounded(12));
  if (!inputs_there(index, order)) return check_workers();
  if (order.resume_from) {
    ++statistics_.resumed;
    const StoredArtifact& checkpoint = store_.at(order.resume_from->hash);
    process.step = checkpoint.step;
    process.origins = checkpoint.origins;
    process.steps = std::max(process.steps, process.step + 1);
  }
  process.fate = Succeeded{};
  if (faults_on_) choose_fate(w, process);
  check_workers();
  schedule_at(now_ + between(milliseconds(10), seconds(2)), [this, index, id = order.attempt] {
    const auto it = workers_[index].processes.find(id);
    if (it == workers_[index].processes.end()) return;
    it->second.running = true;
    step_agent(index, worker::ProcessStarted{.attempt = id});
    tick_process(index, id);
  });
}

void World::choose_fate(const SimWorker& w, Process& process) {
  process.stubborn = chance(fates_.stubborn);
  process.unkillable = chance(fates_.stubborn * 0.3);
  if (process.stubborn || process.unkillable) ++statistics_.stubborn;
  const std::int64_t left = process.steps - process.step;
  process.fails_at = process.step + 1 +
                     static_cast<std::int64_t>(random_.bounded(static_cast<std::uint64_t>(left)));
  const bool gang = process.order.spec.resources.ranks > 0;
  if (now_ < w.broken_until) {
    process.fails_at = process.step + 1;
    process.fate = failure(FailureClass::kUser, "segmentation fault on " + w.name);
  } else if (gang && chance(fates_.lose_rank)) {
    process.fate = failure(FailureClass::kInfra, "a rank was lost, killed by signal 9");
  } else if (process.order.spec.resumable && chance(fates_.diverge)) {
    process.fate = Diverged{.reason = "loss is NaN"};
  } else if (chance(fates_.fail)) {
    switch (random_.bounded(12)) {
      case 0: process.fate = failure(FailureClass::kInvalid, "exit code 2"); break;
      case 1: process.fate = failure(FailureClass::kMemory, "out of memory"); break;
      case 2: process.fate = failure(FailureClass::kNode, "Xid 79 on " + w.name); break;
      case 3: process.fate = failure(FailureClass::kStorage, "no space left on " + w.name); break;
      case 4: process.fate = failure(FailureClass::kScheduled, "time limit"); break;
      case 5: process.fate = failure(FailureClass::kData, "a checksum does not fit"); break;
      case 6:
      case 7: process.fate = failure(FailureClass::kInfra, "its guard was killed"); break;
      default: process.fate = failure(FailureClass::kUser, "exit code 1"); break;
    }
    auto& failed = std::get<Failed>(process.fate);
    if (chance(0.05)) failed.reason.clear();
    if (chance(0.1)) failed.action = static_cast<LogAction>(1 + random_.bounded(3));
    if (chance(0.3)) {
      failed.signature = "the same again";
      failed.step = process.fails_at;
    }
  } else {
    process.fails_at = -1;
    return;
  }
  ++statistics_.failures;
}

// One step of its work: a point, a checkpoint now and then, and the end.
void World::tick_process(std::size_t index, const AttemptId& id) {
  SimWorker& w = workers_[index];
  const auto it = w.processes.find(id);
  if (it == w.processes.end() || it->second.rank_lost) return;
  Process& process = it->second;
  ++process.step;
  if (process.step == process.fails_at) {
    const auto* failed = std::get_if<Failed>(&process.fate);
    if (failed != nullptr && failed->reason.starts_with("a rank was lost"))
      return lose_rank(index, id);
    return end_process(index, id, process.fate);
  }
  if (process.order.spec.resumable) {
    process.origins.push_back(id.number);
    w.spools[id].points.push_back({.sequence = ++process.points,
                                   .step = process.step,
                                   .values = {{"made_by", static_cast<double>(id.number)},
                                              {"loss", loss_of(id.task, process.step)}}});
    if (process.step % kCheckpointEvery == 0) write_checkpoint(index, id);
  }
  if (process.step >= process.steps) return end_process(index, id, Succeeded{});
  schedule_at(now_ + between(seconds(1), seconds(6)),
              [this, index, id] { tick_process(index, id); });
}

void World::write_checkpoint(std::size_t index, const AttemptId& id) {
  const Process& process = workers_[index].processes.at(id);
  const ArtifactRef ref =
      testing::make_artifact(fmt::format("{} checkpoint {}", id.text(), process.step));
  store_[ref.hash] = {.step = process.step, .origins = process.origins};
  tell(index,
       {.attempt = id,
        .input = worker::CheckpointStored{.attempt = id, .step = process.step, .artifact = ref},
        .since = now_,
        .step = process.step});
}

// mpirun sees one of its ranks die and ends the others; the guard ends what is left.
void World::lose_rank(std::size_t index, const AttemptId& id) {
  Process& process = workers_[index].processes.at(id);
  ++statistics_.ranks_lost;
  process.rank_lost = now_;
  trace(fmt::format("a rank of {} on {} is killed", id.text(), workers_[index].name));
  if (coordinator::broken == coordinator::Break::kIgnoreRankLoss) return;
  schedule_at(now_ + between(milliseconds(50), seconds(3)), [this, index, id] {
    const auto it = workers_[index].processes.find(id);
    if (it != workers_[index].processes.end()) end_process(index, id, Outcome(it->second.fate));
  });
}

void World::ask_to_stop(std::size_t index, const worker::Terminate& order) {
  SimWorker& w = workers_[index];
  const auto it = w.processes.find(order.attempt);
  trace(fmt::format("{} asks {} to stop: {}", w.name, order.attempt.text(), order.reason));
  if (it == w.processes.end()) return;
  it->second.asked = now_;
  if (it->second.stubborn || it->second.rank_lost) return;
  schedule_at(now_ + between(milliseconds(100), seconds(4)), [this, index, id = order.attempt,
                                                              reason = order.reason] {
    const auto process = workers_[index].processes.find(id);
    if (process == workers_[index].processes.end()) return;
    if (process->second.rank_lost) return;
    if (process->second.order.spec.resumable && process->second.step > 0 && process->second.running)
      write_checkpoint(index, id);
    end_process(index, id, Stopped{.reason = reason});
  });
}

void World::kill(std::size_t index, const worker::Kill& order) {
  SimWorker& w = workers_[index];
  const auto it = w.processes.find(order.attempt);
  trace(fmt::format("{} kills {}", w.name, order.attempt.text()));
  if (it == w.processes.end()) return;
  Process& process = it->second;
  const TaskBook* book = ledger_.find(order.attempt.task);
  const bool preempted =
      book != nullptr && book->live == order.attempt.number && book->stop == StopKind::kPreempt;
  if (preempted && order.report && !process.asked && !w.shutting_down)
    violate("preempt", order.attempt.text() + " is killed and was never asked");
  if (!process.killed) process.killed = now_;
  if (process.unkillable && now_ - *process.killed < kUnkillableFor && order.report) return;
  if (process.unkillable && !order.report) {  // the shell itself repeats this one
    schedule_at(now_ + kUnkillableFor, [this, index, id = order.attempt] {
      end_process(index, id, failure(FailureClass::kInfra, "killed"));
    });
    return;
  }
  schedule_at(now_ + milliseconds(50), [this, index, id = order.attempt] {
    end_process(index, id, failure(FailureClass::kInfra, "killed"));
  });
}

void World::end_process(std::size_t index, const AttemptId& id, Outcome outcome) {
  SimWorker& w = workers_[index];
  const auto it = w.processes.find(id);
  if (it == w.processes.end() || !w.agent) return;
  if (auto* done = std::get_if<Succeeded>(&outcome)) {
    for (const std::string& output : it->second.order.spec.outputs) {
      // Some results differ from attempt to attempt, as real ones do.
      const std::string content =
          fmt::format("{} {} {}", id.task.hex(), output,
                      Random::hash(id.task.bytes()[0]) % 3 == 0 ? id.number : 0U);
      const ArtifactRef ref = testing::make_artifact(content);
      store_[ref.hash].present = true;
      done->artifacts.emplace(output, ref);
    }
    for (const auto& [input, ref] : it->second.order.inputs)
      done->consumed.emplace(input, ref.hash);
    truth_[id] = it->second.origins;
  }
  trace(fmt::format("{} ends {}", w.name, id.text()));
  w.processes.erase(it);
  const bool waits =
      std::holds_alternative<Succeeded>(outcome) || std::holds_alternative<Diverged>(outcome);
  tell(index, {.attempt = id,
               .input = worker::ProcessEnded{.attempt = id, .outcome = std::move(outcome)},
               .since = now_,
               .step = waits ? std::numeric_limits<std::int64_t>::max() : -1});
}

// --- what the core is told, and the spool of points ---

void World::tell(std::size_t index, Told told) {
  workers_[index].told.push_back(std::move(told));
  pump(index);
}

// A checkpoint or a success waits for its points to be acknowledged, but not for ever.
void World::pump(std::size_t index) {
  SimWorker& w = workers_[index];
  for (auto& [id, spool] : w.spools) {
    const bool due = !spool.sent || now_ - *spool.sent >= kMetricsRepeatEvery;
    if (spool.points.empty() || !w.id || !due) continue;
    spool.sent = now_;
    const auto count = static_cast<std::ptrdiff_t>(std::min(spool.points.size(), kPointsPerBatch));
    to_coordinator(index,
                   MetricBatch{.worker = *w.id,
                               .attempt = id,
                               .points = {spool.points.begin(), spool.points.begin() + count}});
  }
  std::set<AttemptId> behind;
  std::deque<Told> waiting;
  std::vector<worker::Input> due;
  for (Told& told : w.told) {
    const auto spool = w.spools.find(told.attempt);
    const bool pending = spool != w.spools.end() && !spool->second.points.empty() &&
                         spool->second.points.front().step <= told.step;
    if (pending && now_ - told.since >= kPointsPatience) excused_.insert(told.attempt.task);
    const bool waits = pending && now_ - told.since < kPointsPatience;
    if (waits || behind.contains(told.attempt)) {
      behind.insert(told.attempt);
      waiting.push_back(std::move(told));
    } else {
      due.push_back(std::move(told.input));
    }
  }
  w.told = std::move(waiting);
  std::erase_if(w.spools, [&](const auto& entry) {
    return entry.second.points.empty() && !w.processes.contains(entry.first);
  });
  const std::uint64_t life = w.lives;
  for (const worker::Input& input : due) {
    if (w.agent && w.lives == life) step_agent(index, input);
  }
}

}  // namespace strata::simulation
