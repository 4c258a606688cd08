#include "tests/simulation/world.h"

#include <algorithm>

#include "base/assert.h"
#include "base/json.h"
#include "schema/codec.h"
#include "tests/support/sample_sweep.h"

namespace strata::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kTraceLines = 60;
constexpr double kMirrorPass = 1.0 / 30;           // chance in a second
constexpr std::uint32_t kAttemptsSkipped = 1'000;  // by a restore; in a world no task has so many
const coordinator::PeerId kClientPeer{1};

coordinator::PeerId peer_of(std::size_t worker, std::uint64_t life) {
  return coordinator::PeerId(100 + 1000 * worker + life);
}

}  // namespace

void Statistics::add(const Statistics& o) {
  steps += o.steps;
  events += o.events;
  messages += o.messages;
  dropped += o.dropped;
  duplicated += o.duplicated;
  delayed += o.delayed;
  partitions += o.partitions;
  coordinator_crashes += o.coordinator_crashes;
  disks_lost += o.disks_lost;
  events_forgotten += o.events_forgotten;
  worker_crashes += o.worker_crashes;
  shut_downs += o.shut_downs;
  goodbyes += o.goodbyes;
  drains += o.drains;
  expiries += o.expiries;
  stale_reports += o.stale_reports;
  evictions += o.evictions;
  cancels += o.cancels;
  attempts += o.attempts;
  tasks_succeeded += o.tasks_succeeded;
  tasks_ended_otherwise += o.tasks_ended_otherwise;
  simulated_hours += o.simulated_hours;
}

std::string Statistics::text() const {
  return fmt::format(
      "simulated hours      {:>10.1f}\nsteps                {:>10}\nevents               "
      "{:>10}\nmessages             {:>10}\n"
      "  dropped            {:>10}\n  duplicated         {:>10}\n  delayed            "
      "{:>10}\npartitions           {:>10}\n"
      "coordinator crashes  {:>10}\n  with their disk    {:>10}\n  events forgotten   "
      "{:>10}\nworker crashes       {:>10}\nworkers shut down    "
      "{:>10}\n  goodbyes heard     {:>10}\nworkers drained      {:>10}\nleases expired       "
      "{:>10}\nstale reports        {:>10}\n"
      "artifacts evicted    {:>10}\nsweeps cancelled     {:>10}\nattempts             "
      "{:>10}\ntasks succeeded      {:>10}\n"
      "tasks ended else     {:>10}\n",
      simulated_hours, steps, events, messages, dropped, duplicated, delayed, partitions,
      coordinator_crashes, disks_lost, events_forgotten, worker_crashes, shut_downs, goodbyes,
      drains, expiries, stale_reports, evictions, cancels, attempts, tasks_succeeded,
      tasks_ended_otherwise);
}

World::World(WorldOptions options)
    : options_(options), random_(options.seed), disk_(Random::hash(options.seed)) {
  const auto maybe = [&](double rate) {
    return chance(0.7) ? rate * (0.3 + random_.uniform()) : 0.0;
  };
  fates_ = {.drop = maybe(0.03),
            .duplicate = maybe(0.03),
            .delay = maybe(0.05),
            .partition = maybe(0.01),
            .crash_coordinator = maybe(0.004),
            .crash_worker = maybe(0.004),
            .fail_user = maybe(0.1),
            .lose_rank = maybe(0.1),
            .diverge = maybe(0.05),
            .evict = maybe(0.002),
            .cancel = maybe(0.2),
            .shut_down = maybe(0.004),
            .drain = maybe(0.002)};
  fates_.lose_disk = disk_.uniform() < 0.5 ? 0.3 : 0.0;
  workers_.resize(static_cast<std::size_t>(options_.workers));
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    workers_[i].name = fmt::format("w{}", i + 1);
    workers_[i].slots = static_cast<std::int64_t>(1 + random_.bounded(3));
  }
  workers_.back().slots = 3;  // one that can hold the widest gang
  make_plans();
}

World::~World() = default;

// --- plumbing ---

void World::schedule_at(Instant when, std::function<void()> what) {
  queue_.emplace(std::make_pair(std::max(when, now_), ++sequence_), std::move(what));
}

Duration World::between(milliseconds low, milliseconds high) {
  return low + milliseconds(static_cast<std::int64_t>(
                   random_.bounded(static_cast<std::uint64_t>((high - low).count() + 1))));
}

void World::trace(const std::string& line) {
  const auto ms = std::chrono::duration_cast<milliseconds>(now_.since_boot()).count();
  trace_.push_back(fmt::format("{:>10}.{:03} s  {}", ms / 1000, ms % 1000, line));
  if (trace_.size() > kTraceLines) trace_.pop_front();
}

void World::violate(const std::string& what) {
  if (violation_) return;
  violation_ = what;
  for (const std::string& line : trace_) *violation_ += "\n  " + line;
}

std::string World::log_digest() const {
  std::string all;
  for (const std::string& event : log_) all += event;
  return content_hash_of(all).hex();
}

void World::run() {
  start_coordinator();
  for (std::size_t i = 0; i < workers_.size(); ++i) start_worker(i);
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    schedule_at(now_ + between(seconds(0), seconds(300)), [this, i] { submit(i); });
  }
  schedule_at(now_, [this] { tick(); });
  schedule_at(now_, [this] { inject(); });
  const Instant faults_end = now_ + options_.faults_for;
  const Instant hard_end = faults_end + options_.end_within;
  while (!violation_ && !queue_.empty()) {
    const auto first = queue_.begin();
    now_ = first->first.first;
    const std::function<void()> what = std::move(first->second);
    queue_.erase(first);
    if (faults_on_ && now_ >= faults_end) {
      faults_on_ = false;
      for (SimWorker& w : workers_) w.partitioned_until = now_;
      trace("faults end");
    }
    what();
    if (!faults_on_ && everything_ended()) break;
    if (now_ >= hard_end) break;
  }
  statistics_.simulated_hours = std::chrono::duration<double>(now_.since_boot()).count() / 3600;
  if (!violation_) check_end();
}

void World::tick() {
  if (core_) step_core({.peer = {}, .body = coordinator::Tick{}});
  schedule_at(now_ + milliseconds(500), [this] { tick(); });
}

// Faults that strike on their own, once a virtual second.
void World::inject() {
  if (!faults_on_) return;
  if (disk_.uniform() < kMirrorPass) mirrored_ = log_.size();
  if (core_ && chance(fates_.crash_coordinator)) crash_coordinator();
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i].agent && chance(fates_.crash_worker)) crash_worker(i);
    if (workers_[i].agent && chance(fates_.shut_down)) shut_down_worker(i);
    if (core_ && chance(fates_.drain)) drain_worker(i);
    if (chance(fates_.partition)) {
      ++statistics_.partitions;
      workers_[i].partitioned_until = now_ + between(seconds(1), seconds(90));
      trace(fmt::format("partition of {}", workers_[i].name));
    }
  }
  if (chance(fates_.evict)) {
    for (auto& [hash, present] : store_) {
      if (!present || !chance(0.3)) continue;
      present = false;
      ++statistics_.evictions;
      trace("artifact " + hash.brief() + " is lost from the store");
      break;
    }
  }
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    Plan& plan = plans_[i];
    if (!plan.cancel || plan.cancelled || !plan.acknowledged || !core_ || !chance(0.01)) continue;
    plan.cancelled = true;
    ++statistics_.cancels;
    trace("cancel " + plan.sweep);
    step_core({.peer = kClientPeer,
               .body = coordinator::CancelSweep{.request = 1000 + i, .sweep = plan.sweep}});
  }
  schedule_at(now_ + seconds(1), [this] { inject(); });
}

// --- clients ---

// Sweeps that share their first stages: prepare -> extract -> train x n -> score x n.
void World::make_plans() {
  for (int s = 0; s < options_.sweeps; ++s) {
    Plan plan{.sweep = fmt::format("sweep-{}", s + 1), .cancel = chance(fates_.cancel)};
    const auto corpus = static_cast<std::int64_t>(random_.bounded(2));
    const TaskSpec prepare = testing::make_task("prepare", corpus);
    const TaskSpec extract = testing::make_task("extract", corpus, {prepare}, 2);
    plan.tasks = {prepare, extract};
    const auto cells = static_cast<std::int64_t>(2 + random_.bounded(4));
    for (std::int64_t cell = 0; cell < cells; ++cell) {
      TaskSpec train = testing::make_task("train", 100 * corpus + cell, {prepare, extract},
                                          static_cast<std::int64_t>(1 + random_.bounded(3)));
      train.lease_ms = 60'000;
      train.retry.user_failures_max = 8;
      const TaskSpec score = testing::make_task("score", cell, {train});
      plan.tasks.push_back(train);
      plan.tasks.push_back(score);
      plan.runs.push_back(
          testing::make_run(fmt::format("cell {}", cell), 1, {prepare, extract, train, score}));
    }
    for (TaskSpec& task : plan.tasks) task.lease_ms = 60'000;
    plans_.push_back(std::move(plan));
  }
}

void World::submit(std::size_t index) {
  Plan& plan = plans_[index];
  if (plan.acknowledged) return;
  schedule_at(now_ + seconds(20), [this, index] { submit(index); });  // until it is acknowledged
  if (!core_) return;
  SubmitTasks batch = testing::make_submission(plan.sweep, plan.tasks, plan.runs);
  batch.id = index + 1;
  step_core({.peer = kClientPeer, .body = batch});
}

void World::answer_client(const Answer& answer) {
  if (answer.id == 0 || answer.id > plans_.size()) return;
  if (!answer.ok) return violate("a sound submission was refused: " + answer.body);
  if (faults_on_ && chance(fates_.drop))
    return;  // the client asks again: submitting twice must create nothing
  plans_[answer.id - 1].acknowledged = true;
  trace("acknowledged " + plans_[answer.id - 1].sweep + " " + answer.body);
}

// --- coordinator ---

coordinator::Cluster World::replayed() {
  coordinator::Cluster cluster;
  for (const std::string& bytes : log_) {
    const auto event = decode_event(bytes);
    STRATA_ASSERT(event.has_value());
    if (const Status legal = cluster.apply_checked(*event); !legal) {
      violate("I14: " + legal.error().message);
      break;
    }
  }
  return cluster;
}

void World::start_coordinator() {
  core_ = std::make_unique<coordinator::Core>(coordinator::Options{.coordinator_id = "simulated"},
                                              replayed(), now_);
  trace(fmt::format("coordinator up, {} events", log_.size()));
}

void World::crash_coordinator() {
  ++statistics_.coordinator_crashes;
  trace("coordinator crashes");
  // The lives that it had forgotten as workers are forgotten for good: no connection outlives it.
  std::erase_if(closed_sessions_, [&](std::uint64_t session) {
    return std::none_of(core_->cluster().workers().begin(), core_->cluster().workers().end(),
                        [&](const auto& entry) { return entry.second.session == session; });
  });
  core_.reset();
  if (faults_on_ && disk_.uniform() < fates_.lose_disk) lose_disk();
  // Mostly back soon; now and then away for longer than a lease.
  const Duration away =
      chance(0.2) ? between(seconds(60), seconds(200)) : between(seconds(1), seconds(30));
  schedule_at(now_ + away, [this] { start_coordinator(); });
}

// The store died with its disk: the log goes on from its mirror (coordinator/restore.cc), and what
// was committed later is known to nobody but those who were told.
void World::lose_disk() {
  ++statistics_.disks_lost;
  statistics_.events_forgotten += static_cast<std::int64_t>(log_.size() - mirrored_);
  trace(fmt::format("its disk dies: {} of {} events are forgotten", log_.size() - mirrored_,
                    log_.size()));
  log_.resize(mirrored_);
  coordinator::Cluster cluster = replayed();
  const Event restored{
      .body = StoreRestored{.attempts_above = cluster.newest_attempt() + kAttemptsSkipped}};
  cluster.apply(restored);
  log_.push_back(*encode(restored));
  mirrored_ = log_.size();
  // The checkers forget with it: I2 and I4 hold for what a mirror has.
  closed_sessions_.clear();
  final_states_.clear();
  note_final(cluster);
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    const auto sweep = cluster.sweeps().find(plans_[i].sweep);
    const bool known = sweep != cluster.sweeps().end() && sweep->second.sealed;
    if (known || !plans_[i].acknowledged) continue;
    plans_[i].acknowledged = false;
    schedule_at(now_ + seconds(20), [this, i] { submit(i); });
  }
}

void World::step_core(const coordinator::Input& input) {
  ++statistics_.steps;
  const AttemptId* reported = reported_by(input);
  const bool was_live = reported != nullptr && core_->cluster().is_live(*reported);
  const coordinator::Output output = core_->step(
      input, now_, WallTime{std::chrono::duration_cast<milliseconds>(now_.since_boot()).count()});
  check_step(input, output, was_live);
  if (violation_) return;
  const bool may_crash = faults_on_ && !output.events.empty();
  if (may_crash && chance(fates_.crash_coordinator)) {  // before the commit: nothing happened
    trace("crash before the commit of " + std::string(name_of(output.events.front().body)));
    return crash_coordinator();
  }
  for (const Event& event : output.events) {
    ++statistics_.events;
    auto bytes = encode(event);
    STRATA_ASSERT(bytes.has_value());
    log_.push_back(std::move(*bytes));
  }
  note_committed(input);
  if (may_crash && chance(fates_.crash_coordinator)) {  // after it: the effects are owed
    trace("crash before the effects of " + std::string(name_of(output.events.front().body)));
    return crash_coordinator();
  }
  deliver_effects(output.effects);
}

void World::deliver_effects(const coordinator::Effects& effects) {
  for (const coordinator::Send& effect : effects) {
    if (effect.to == kClientPeer) {
      if (const auto* answer = std::get_if<Answer>(&effect.message)) answer_client(*answer);
      continue;
    }
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      if (workers_[i].peer == effect.to) to_worker(i, effect.message);
    }
  }
}

void World::to_coordinator(std::size_t index, const Message& message) {
  SimWorker& w = workers_[index];
  ++statistics_.messages;
  const int copies = faults_on_ && chance(fates_.duplicate) ? 2 : 1;
  if (copies == 2) ++statistics_.duplicated;
  for (int copy = 0; copy < copies; ++copy) {
    if (now_ < w.partitioned_until || (faults_on_ && chance(fates_.drop))) {
      ++statistics_.dropped;
      continue;
    }
    Duration delay = between(milliseconds(0), milliseconds(5));
    if (faults_on_ && chance(fates_.delay)) {
      ++statistics_.delayed;
      delay = between(seconds(1), seconds(100));
    } else {
      delay = std::max(delay, w.last_arrival_up - now_);
      w.last_arrival_up = now_ + delay;
    }
    const auto frame = encode(message);
    STRATA_ASSERT(frame.has_value());
    schedule_at(now_ + delay, [this, peer = w.peer, bytes = *frame] {
      if (!core_) return;
      const auto decoded = decode_message(bytes);
      STRATA_ASSERT(decoded.has_value());
      coordinator::InputBody body;
      if (const auto* m = std::get_if<Hello>(&*decoded)) body = *m;
      if (const auto* m = std::get_if<Heartbeat>(&*decoded)) body = *m;
      if (const auto* m = std::get_if<ReportStarted>(&*decoded)) body = *m;
      if (const auto* m = std::get_if<ReportCheckpoint>(&*decoded)) body = *m;
      if (const auto* m = std::get_if<ReportEnded>(&*decoded)) body = *m;
      if (const auto* m = std::get_if<Leaving>(&*decoded)) body = *m;
      if (const auto* m = std::get_if<Goodbye>(&*decoded)) body = *m;
      step_core({.peer = peer, .body = std::move(body)});
    });
  }
}

void World::to_worker(std::size_t index, const Message& message) {
  SimWorker& w = workers_[index];
  ++statistics_.messages;
  if (now_ < w.partitioned_until || (faults_on_ && chance(fates_.drop))) {
    ++statistics_.dropped;
    return;
  }
  Duration delay = between(milliseconds(0), milliseconds(5));
  if (faults_on_ && chance(fates_.delay)) {
    ++statistics_.delayed;
    delay = between(seconds(1), seconds(100));
  } else {
    delay = std::max(delay, w.last_arrival_down - now_);
    w.last_arrival_down = now_ + delay;
  }
  schedule_at(now_ + delay, [this, index, peer = w.peer, message] {
    if (workers_[index].agent && workers_[index].peer == peer) step_agent(index, message);
  });
}

// --- workers ---

void World::start_worker(std::size_t index) {
  SimWorker& w = workers_[index];
  ++w.lives;
  w.peer = peer_of(index, w.lives);
  w.last_arrival_up = now_;
  w.last_arrival_down = now_;
  w.shutting_down = false;
  w.agent = std::make_unique<worker::Agent>(
      worker::Options{
          .name = w.name, .session = 1 + Random::hash(1000 * index + w.lives), .slots = w.slots},
      now_);
  trace(w.name + " up");
  wake_agent(index);
}

void World::crash_worker(std::size_t index) {
  SimWorker& w = workers_[index];
  ++statistics_.worker_crashes;
  trace(w.name + " crashes");
  w.agent.reset();
  w.processes.clear();  // the guards see their worker die and end everything
  schedule_at(now_ + between(seconds(1), seconds(100)), [this, index] { start_worker(index); });
}

void World::shut_down_worker(std::size_t index) {
  SimWorker& w = workers_[index];
  if (!w.agent || w.shutting_down) return;
  ++statistics_.shut_downs;
  trace(w.name + " is asked to end");
  w.shutting_down = true;
  const worker::ShutDown request{.reason = "asked by SIGTERM"};
  if (chance(0.2)) {  // somebody is impatient: a second one means at once
    schedule_at(now_ + between(milliseconds(100), seconds(15)),
                [this, index, life = w.lives, request] {
                  if (workers_[index].lives == life) step_agent(index, request);
                });
  }
  step_agent(index, request);
}

void World::drain_worker(std::size_t index) {
  const SimWorker& w = workers_[index];
  for (const auto& [id, known] : core_->cluster().workers()) {
    if (known.name != w.name) continue;
    ++statistics_.drains;
    trace("drain of " + w.name);
    step_core({.peer = kClientPeer,
               .body = coordinator::DrainWorker{.request = 2000 + index, .worker = id}});
    break;
  }
  // Whoever drains a machine takes it away later; until then it holds slots that nobody gets.
  schedule_at(now_ + between(seconds(10), seconds(300)), [this, index, life = w.lives] {
    if (workers_[index].lives == life) shut_down_worker(index);
  });
}

void World::end_worker(std::size_t index, const worker::Exit& exit) {
  SimWorker& w = workers_[index];
  if (exit.refused || !w.shutting_down) return violate("a worker exited: " + exit.reason);
  if (!w.processes.empty()) return violate(w.name + " ended before its processes");
  trace(w.name + " ends");
  w.agent.reset();
  schedule_at(now_ + between(seconds(1), seconds(100)), [this, index] { start_worker(index); });
}

void World::wake_agent(std::size_t index) {
  SimWorker& w = workers_[index];
  schedule_at(now_ + milliseconds(250), [this, index, life = w.lives] {
    if (!workers_[index].agent || workers_[index].lives != life) return;
    step_agent(index, worker::TimePassed{});
    wake_agent(index);
  });
}

void World::step_agent(std::size_t index, const worker::Input& input) {
  if (!workers_[index].agent) return;
  const std::vector<worker::Action> actions = workers_[index].agent->step(input, now_);
  for (const worker::Action& action : actions) perform(index, action);
  check_workers();
}

void World::perform(std::size_t index, const worker::Action& action) {
  if (const auto* send = std::get_if<worker::SendMessage>(&action)) {
    to_coordinator(index, send->message);
  } else if (const auto* order = std::get_if<worker::Launch>(&action)) {
    launch(index, order->order);
  } else if (const auto* stop = std::get_if<worker::Terminate>(&action)) {
    const Duration takes = between(milliseconds(100), seconds(10));
    schedule_at(now_ + takes, [this, index, id = stop->attempt, reason = stop->reason] {
      end_process(index, id, Stopped{.reason = reason});
    });
  } else if (const auto* kill = std::get_if<worker::Kill>(&action)) {
    schedule_at(now_ + milliseconds(50), [this, index, id = kill->attempt] {
      end_process(index, id, Failed{.cause = FailureClass::kInfra, .reason = "killed"});
    });
  } else if (const auto* exit = std::get_if<worker::Exit>(&action)) {
    end_worker(index, *exit);
  }
}

void World::launch(std::size_t index, const StartAttempt& order) {
  SimWorker& w = workers_[index];
  ++statistics_.attempts;
  trace(fmt::format("{} launches {} {}", w.name, order.spec.stage, order.attempt.text()));
  if (w.shutting_down) return violate(w.name + " was asked to end and launches something");
  for (const auto& [input, ref] : order.inputs) {
    const auto it = store_.find(ref.hash);
    if (it == store_.end())
      return violate("I10: " + order.attempt.text() +
                     " reads an artifact that was never committed");
    if (it->second) continue;
    schedule_at(now_ + milliseconds(20), [this, index, id = order.attempt, missing = ref.hash] {
      SimWorker& its = workers_[index];
      if (its.processes.erase(id) == 0) return;
      step_agent(index, worker::ProcessEnded{
                            .attempt = id,
                            .outcome = Failed{.cause = FailureClass::kData,
                                              .reason = "an input is gone from the store"},
                            .missing_inputs = {missing}});
    });
    break;
  }
  if (order.inputs.size() != order.spec.inputs.size())
    violate("I10: " + order.attempt.text() + " starts without an input");
  Outcome outcome = Succeeded{};
  if (faults_on_ && chance(fates_.fail_user))
    outcome = Failed{.cause = FailureClass::kUser, .reason = "exit code 1"};
  if (faults_on_ && chance(fates_.lose_rank))
    outcome = Failed{.cause = FailureClass::kInfra, .reason = "rank 1 was killed"};
  if (faults_on_ && order.spec.stage == "train" && chance(fates_.diverge))
    outcome = Diverged{.reason = "loss is NaN"};
  w.processes[order.attempt] = {.order = order,
                                .started = now_,
                                .ends = now_ + between(seconds(1), seconds(120)),
                                .outcome = outcome};
  schedule_at(now_ + between(milliseconds(10), seconds(2)), [this, index, id = order.attempt] {
    const auto it = workers_[index].processes.find(id);
    if (it == workers_[index].processes.end()) return;
    it->second.running = true;
    step_agent(index, worker::ProcessStarted{.attempt = id});
    tick_process(index, id);
  });
}

// A process writes a checkpoint now and then, and ends when its time has come.
void World::tick_process(std::size_t index, const AttemptId& id) {
  const auto it = workers_[index].processes.find(id);
  if (it == workers_[index].processes.end()) return;
  if (now_ >= it->second.ends) return end_process(index, id, it->second.outcome);
  if (it->second.order.spec.resumable) {
    const auto step = std::chrono::duration_cast<seconds>(now_ - it->second.started).count();
    const ArtifactRef checkpoint =
        testing::make_artifact(fmt::format("{} checkpoint {}", id.text(), step));
    store_[checkpoint.hash] = true;
    step_agent(index,
               worker::CheckpointStored{.attempt = id, .step = step, .artifact = checkpoint});
  }
  const Duration next = std::min<Duration>(seconds(10), it->second.ends - now_);
  schedule_at(now_ + next, [this, index, id] { tick_process(index, id); });
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
      store_[ref.hash] = true;
      done->artifacts.emplace(output, ref);
    }
    for (const auto& [input, ref] : it->second.order.inputs)
      done->consumed.emplace(input, ref.hash);
  }
  trace(fmt::format("{} ends {}", w.name, id.text()));
  w.processes.erase(it);
  step_agent(index, worker::ProcessEnded{.attempt = id, .outcome = std::move(outcome)});
}

}  // namespace strata::simulation
