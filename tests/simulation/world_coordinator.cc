// The coordinator's shell: a queue of inputs, turns that step and commit and only then act
// (coordinator/server.cc), crashes between any two of them, and what is on the disk afterwards.

#include <algorithm>

#include "base/assert.h"
#include "schema/codec.h"
#include "tests/simulation/world.h"

namespace strata::simulation {

using coordinator::Cluster;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr std::uint32_t kAttemptsSkipped = 1'000;  // by a restore; in a world no task has so many
constexpr std::uint64_t kInputsPerTurnMax = 6;
constexpr std::uint64_t kFirstWorkerPeer = 100;

}  // namespace

void World::tick() {
  report_rungs();
  if (core_) give({}, coordinator::Tick{});
  check_workers();
  schedule_at(now_ + milliseconds(500), [this] { tick(); });
}

// Into the queue of a coordinator that is up. While commits fail it fills, and what does not fit is
// thrown away: its sender repeats it.
void World::give(coordinator::PeerId peer, coordinator::InputBody body) {
  if (!core_) return;
  const bool tick = std::holds_alternative<coordinator::Tick>(body);
  if (commit_failed_ && tick) return;
  if (inputs_.size() >= kInputsWaitingMax) return;
  inputs_.push_back({.peer = peer, .body = std::move(body)});
  if (turn_due_ || commit_failed_) return;
  turn_due_ = true;
  schedule_at(now_ + between(milliseconds(0), milliseconds(10)), [this, life = core_lives_] {
    if (life == core_lives_) turn();
  });
}

void World::turn() {
  turn_due_ = false;
  if (!core_ || commit_failed_) return;
  const std::uint64_t most = 1 + random_.bounded(kInputsPerTurnMax);
  for (std::uint64_t i = 0; i < most && !inputs_.empty() && !violation_; ++i) {
    const coordinator::Input input = std::move(inputs_.front());
    inputs_.pop_front();
    step_core(input);
    stepped_.push_back(input);
  }
  if (violation_) return;
  if (core_ && core_->is_busy()) give({}, coordinator::GoOn{});
  if (coordinator::broken == coordinator::Break::kActBeforeCommit) perform_effects();
  if (core_) commit();
}

WallTime World::wall_time() const {
  return {std::chrono::duration_cast<milliseconds>(now_.since_boot()).count() + wall_offset_ms_};
}

void World::step_core(const coordinator::Input& input) {
  ++statistics_.steps;
  was_busy_ = core_->is_busy();
  const coordinator::Output output = core_->step(input, now_, wall_time());
  check_step(input, output);
  batch_.events.insert(batch_.events.end(), output.events.begin(), output.events.end());
  batch_.effects.insert(batch_.effects.end(), output.effects.begin(), output.effects.end());
}

void World::commit() {
  std::vector<std::string> frames;
  for (const Event& event : batch_.events) {
    auto bytes = encode(event);
    STRATA_ASSERT(bytes.has_value());
    frames.push_back(std::move(*bytes));
  }
  if (!frames.empty()) {
    if (now_ < disk_full_until_) {  // the same batch again in a second, and nothing else till then
      ++statistics_.commits_failed;
      if (!commit_failed_) trace("a commit fails: the disk is full");
      commit_failed_ = true;
      schedule_at(now_ + seconds(1), [this, life = core_lives_] {
        if (life == core_lives_ && core_ && commit_failed_) commit();
      });
      if (fault(fates_.crash_coordinator)) crash_coordinator("with a commit that failed");
      return;
    }
    if (fault(fates_.crash_coordinator)) return crash_coordinator("before a commit");
    if (fault(3 * fates_.crash_coordinator * fates_.tear)) {
      if (disk_.tear(frames, random_)) ++statistics_.torn_tails;
      return crash_coordinator("while it writes");
    }
    disk_.commit(frames);
    log_.insert(log_.end(), frames.begin(), frames.end());
    statistics_.events += static_cast<std::int64_t>(frames.size());
  }
  commit_failed_ = false;
  for (const coordinator::Input& input : stepped_) note_committed(input);
  stepped_.clear();
  note_final();
  if (!frames.empty() && fault(fates_.crash_coordinator))
    return crash_coordinator("before the effects of a commit");
  batch_.events.clear();
  perform_effects();
  if (core_ && !inputs_.empty() && !turn_due_) {
    turn_due_ = true;
    schedule_at(now_, [this, life = core_lives_] {
      if (life == core_lives_) turn();
    });
  }
}

// One after the other: it may die between any two of them, and then they are owed.
void World::perform_effects() {
  const coordinator::Effects effects = std::exchange(batch_.effects, {});
  for (std::size_t i = 0; i < effects.size() && !violation_; ++i) {
    if (i > 0 && fault(fates_.crash_coordinator * 0.3)) {
      ++statistics_.between_effects;
      return crash_coordinator("between two effects");
    }
    note_promise(effects[i]);
    send_down(effects[i].to, effects[i].message);
  }
}

// What this tells its receiver must survive from now on.
void World::note_promise(const coordinator::Send& effect) {
  Promise promise;
  if (const auto* welcome = std::get_if<Welcome>(&effect.message)) {
    promise.worker = welcome->worker.value();
  } else if (const auto* start = std::get_if<StartAttempt>(&effect.message)) {
    promise.attempt = start->attempt;
  } else if (const auto* ended = std::get_if<EndedAck>(&effect.message)) {
    if (ledger_.find(ended->attempt.task) == nullptr) return;  // of a time that a disk forgot
    if (ledger_.is_live(ended->attempt)) return;               // to one that does not hold it
    if (ledger_.find(ended->attempt.task)->newest < ended->attempt.number) return;
    promise.attempt = ended->attempt;
    promise.ended = true;
  } else if (const auto* taken = std::get_if<CheckpointAck>(&effect.message)) {
    if (!ledger_.is_live(taken->attempt)) return;  // it counts no more
    promise.attempt = taken->attempt;
    promise.step = taken->step;
  } else if (const auto* answer = std::get_if<Answer>(&effect.message)) {
    const auto plan = std::find_if(plans_.begin(), plans_.end(), [&](const Plan& one) {
      return one.asking == Ask::kSubmit && one.request == answer->id;
    });
    if (!answer->ok || plan == plans_.end()) return;
    promise.sweep = plan->sweep;
    promise.generation = ledger_.sweeps().at(plan->sweep).generation;
  } else {
    return;
  }
  promises_.push_back(std::move(promise));
}

bool World::kept(const Promise& promise) const {
  if (promise.worker > ledger_.newest_worker()) return false;
  if (promise.attempt.number > 0) {
    const TaskBook* task = ledger_.find(promise.attempt.task);
    if (task == nullptr || task->newest < promise.attempt.number) return false;
    if (promise.ended && task->live == promise.attempt.number) return false;
    if (promise.step >= 0 && task->live == promise.attempt.number &&
        std::none_of(task->checkpoint_steps.begin(), task->checkpoint_steps.end(),
                     [&](const auto& known) { return known.second >= promise.step; }))
      return false;
  }
  if (promise.sweep.empty()) return true;
  const auto sweep = ledger_.sweeps().find(promise.sweep);
  return sweep != ledger_.sweeps().end() && sweep->second.generation >= promise.generation;
}

// --- its death, and what is left ---

void World::crash_coordinator(const std::string& when) {
  ++statistics_.coordinator_crashes;
  trace("coordinator crashes: " + when);
  // The lives that it had forgotten as workers are forgotten for good: no connection outlives it.
  std::erase_if(closed_sessions_, [&](std::uint64_t session) {
    return std::none_of(core_->cluster().workers().begin(), core_->cluster().workers().end(),
                        [&](const auto& entry) { return entry.second.session == session; });
  });
  core_.reset();
  intakes_.clear();
  ++core_lives_;
  inputs_.clear();
  stepped_.clear();
  batch_ = {};
  outlets_.clear();
  turn_due_ = false;
  commit_failed_ = false;
  if (fault(fates_.lose_disk)) {
    lose_disk();
  } else if (when == "idle" && fault(fates_.rot) && disk_.rot(random_)) {
    ++statistics_.damaged_logs;
    trace("a byte of its log changes");
  }
  // Mostly back soon; now and then away for longer than a lease.
  const Duration away =
      chance(0.2) ? between(seconds(60), seconds(200)) : between(seconds(1), seconds(30));
  schedule_at(now_ + away, [this] { start_coordinator(); });
}

void World::start_coordinator() {
  const Disk::Recovered recovered = disk_.recover();
  violate(disk_.judge(recovered));
  if (violation_) return;
  if (recovered.damaged) {
    trace("coordinator up in safe mode: its log is damaged");
    schedule_at(now_ + between(seconds(10), seconds(60)), [this] { operator_restores(); });
    return;
  }
  log_ = recovered.frames;
  mirrored_ = std::min(mirrored_, log_.size());
  disk_.replace(log_);
  check_recovery();
  if (violation_) return;
  core_ = std::make_unique<coordinator::Core>(
      coordinator::Options{.coordinator_id = "simulated",
                           .backoff_first = milliseconds(1'000),
                           .backoff_max = milliseconds(30'000),
                           // Of some seeds: few things a step.
                           .looks_per_step = slow_hands() ? 4U : 5'000U,
                           .events_per_step = slow_hands() ? 2U : 500U},
      replayed(), now_);
  ++core_lives_;
  created_as_.clear();
  for (const auto& [key, task] : core_->cluster().tasks()) created_as_[key] = task.order;
  note_final();
  note_results();
  trace(fmt::format("coordinator up, {} events", log_.size()));
}

// A person looks at the damage and starts from the mirror.
void World::operator_restores() {
  lose_disk();
  start_coordinator();
}

// I2: whatever anybody was told is in the log that is left.
void World::check_recovery() {
  ledger_ = Ledger();
  for (const std::string& bytes : log_) {
    const auto event = decode_event(bytes);
    if (!event) return violate("I14", "the log that is left: " + event.error().message);
    violate(ledger_.apply(*event));
  }
  for (const Promise& promise : promises_) {
    if (kept(promise)) continue;
    std::string what = fmt::format("worker {}", promise.worker);
    if (promise.attempt.number > 0)
      what = (promise.ended       ? "the end of "
              : promise.step >= 0 ? "a checkpoint of "
                                  : "the grant of ") +
             promise.attempt.text();
    if (!promise.sweep.empty())
      what = fmt::format("submission {} of {}", promise.generation, promise.sweep);
    return violate("I2", what + " was acknowledged and is not in the log after the crash");
  }
}

Cluster World::replayed() {
  Cluster cluster;
  for (const std::string& bytes : log_) {
    const auto event = decode_event(bytes);
    STRATA_ASSERT(event.has_value());
    if (const Status legal = cluster.apply_checked(*event); !legal) {
      violate("I14", legal.error().message);
      break;
    }
  }
  return cluster;
}

// The store died with its disk: the log goes on from its mirror (coordinator/restore.cc), and what
// was committed later is known to nobody but those who were told.
void World::lose_disk() {
  ++statistics_.disks_lost;
  mirrored_ = std::min(mirrored_, log_.size());
  statistics_.events_forgotten += static_cast<std::int64_t>(log_.size() - mirrored_);
  trace(fmt::format("its disk dies: {} of {} events are forgotten", log_.size() - mirrored_,
                    log_.size()));
  log_.resize(mirrored_);
  Cluster cluster = replayed();
  const Event restored{
      .body = StoreRestored{.attempts_above = cluster.newest_attempt() + kAttemptsSkipped}};
  cluster.apply(restored);
  log_.push_back(*encode(restored));
  mirrored_ = log_.size();
  disk_.replace(log_);
  // The observer forgets with it: I2 and I4 hold for what a mirror has.
  closed_sessions_.clear();
  final_states_.clear();
  ledger_ = Ledger();
  for (const std::string& bytes : log_) violate(ledger_.apply(*decode_event(bytes)));
  for (const auto& [key, points] : points_) excused_.insert(key.task);
  points_.clear();  // the metric store lay on it, too
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    // A retry of what had been cancelled may be forgotten, and then it stays cancelled.
    for (const TaskSpec& task : plans_[i].submitted) {
      const TaskBook* book = ledger_.find(task.key);
      if (book == nullptr || !book->wants.contains(plans_[i].sweep)) plans_[i].cancelled = true;
    }
    const bool forgotten = std::any_of(
        promises_.begin(), promises_.end(),
        [&](const Promise& promise) { return promise.sweep == plans_[i].sweep && !kept(promise); });
    if (!forgotten) continue;
    plans_[i].acknowledged = false;
    schedule_at(now_ + seconds(20), [this, i] { ask(i, Ask::kSubmit); });
  }
  std::erase_if(promises_, [&](const Promise& promise) { return !kept(promise); });
}

// --- metric points, beside the core ---

void World::take_points(coordinator::PeerId peer, const MetricBatch& batch) {
  if (!coordinator::points_count(core_->cluster(), batch.attempt)) {
    if (commit_failed_) return;
    return send_down(peer, MetricAck{.attempt = batch.attempt, .up_to = 0, .stale = true});
  }
  if (now_ < disk_full_until_) return;  // not acknowledged, so they come again
  std::vector<MetricPoint>& stored = points_[batch.attempt];
  const std::uint64_t before = stored.empty() ? 0 : stored.back().sequence;
  coordinator::SeriesIntake& intake = intakes_.try_emplace(batch.attempt, before).first->second;
  for (const MetricPoint* point : intake.take(batch, wall_time())) {
    stored.push_back(*point);
    ++statistics_.points;
  }
  if (batch.points.empty() || batch.points.front().sequence <= intake.stored())
    send_down(peer, MetricAck{.attempt = batch.attempt, .up_to = intake.stored()});
}

// As coordinator/rung_watch.h: whatever may say that a rung was reached is looked at again.
void World::report_rungs() {
  if (!core_ || commit_failed_) return;
  for (const auto& [key, book] : ledger_.tasks()) {
    for (const coordinator::WatchedRung& rung : core_->watched(key)) {
      const auto value = value_at(key, rung);
      if (!value) continue;
      give({}, coordinator::RungReport{.attempt = {.task = key, .number = book.newest},
                                       .metric = rung.metric,
                                       .step = rung.step,
                                       .value = *value});
    }
  }
}

// Every point has the metric, so the first one at or beyond the step settles it.
std::optional<double> World::value_at(const TaskKey& key,
                                      const coordinator::WatchedRung& rung) const {
  std::optional<double> value;
  bool settled = false;
  for (const coordinator::BranchPart& part :
       coordinator::living_branch(ledger_.tasks().at(key).attempts)) {
    const auto stored = points_.find({key, static_cast<std::uint32_t>(part.attempt)});
    if (stored == points_.end()) continue;
    for (const MetricPoint& point : stored->second) {
      if (part.last_step && point.step > *part.last_step) continue;
      settled = settled || point.step >= rung.step;
      if (point.step <= rung.step) value = point.values.at(rung.metric);
    }
  }
  if (!settled) return std::nullopt;
  return value.value_or(std::numeric_limits<double>::quiet_NaN());
}

}  // namespace strata::simulation
