// The worker's shell: lives of the daemon, its clock, and what its core has it do.

#include <algorithm>

#include "tests/simulation/world.h"

namespace strata::simulation {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr Duration kBooted = std::chrono::hours(1);  // before its worker began

coordinator::PeerId peer_of(std::size_t worker, std::uint64_t life) {
  return coordinator::PeerId(100 + 1000 * worker + life);
}

}  // namespace

// A clock of its own, which runs a little faster or slower than the coordinator's.
Instant World::local(const SimWorker& w, Instant when) {
  const auto elapsed = static_cast<double>((when - w.born).count());
  return Instant(kBooted + Duration(static_cast<std::int64_t>(elapsed * (1 + w.drift))));
}

void World::start_worker(std::size_t index) {
  SimWorker& w = workers_[index];
  ++w.lives;
  w.peer = peer_of(index, w.lives);
  w.last_arrival_up = now_;
  w.last_arrival_down = now_;
  w.shutting_down = false;
  w.born = now_;
  w.drift = 0;
  w.id.reset();
  w.spools.clear();
  w.told.clear();
  if (fault(fates_.drift)) {
    ++statistics_.drifting_workers;
    w.drift = (2 * random_.uniform() - 1) * worker::kClockDriftMax;
  }
  worker::Options options{.name = w.name,
                          .session = 1 + Random::hash(1000 * index + w.lives),
                          .slots = w.slots,
                          .memory_mb = w.memory_mb};
  if (fault(fates_.lifetime)) {
    const Instant ends = now_ + between(seconds(100), seconds(600));
    options.ends_at = local(w, ends);
    schedule_at(ends, [this, index, life = w.lives] { end_allocation(index, life); });
  }
  w.agent = std::make_unique<worker::Agent>(options, local(w, now_));
  trace(w.name + " up");
  wake_agent(index);
}

// Its batch system asks it to end, and does not wait for long.
void World::end_allocation(std::size_t index, std::uint64_t life) {
  const SimWorker& w = workers_[index];
  if (w.lives != life || !w.agent || w.shutting_down) return;
  ++statistics_.lifetimes_ended;
  trace("the allocation of " + w.name + " ends");
  shut_down_worker(index);
  schedule_at(now_ + seconds(30), [this, index, life] {
    if (workers_[index].lives == life && workers_[index].agent) crash_worker(index);
  });
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
    give(coordinator::PeerId(50), coordinator::DrainWorker{.request = ++requests_, .worker = id});
    break;
  }
  // Whoever drains a machine takes it away later; until then it holds slots that nobody gets.
  schedule_at(now_ + between(seconds(10), seconds(300)), [this, index, life = w.lives] {
    if (workers_[index].lives == life) shut_down_worker(index);
  });
}

void World::end_worker(std::size_t index, const worker::Exit& exit) {
  SimWorker& w = workers_[index];
  if (exit.refused || !w.shutting_down)
    return violate("worker", w.name + " exited: " + exit.reason);
  if (!w.processes.empty()) return violate("worker", w.name + " ended before its processes");
  trace(w.name + " ends");
  w.agent.reset();
  schedule_at(now_ + between(seconds(1), seconds(100)), [this, index] { start_worker(index); });
}

void World::wake_agent(std::size_t index) {
  SimWorker& w = workers_[index];
  schedule_at(now_ + milliseconds(250), [this, index, life = w.lives] {
    if (!workers_[index].agent || workers_[index].lives != life) return;
    pump(index);
    SimWorker& its = workers_[index];
    if (its.agent && local(its, now_) >= its.agent->next_due())
      step_agent(index, worker::TimePassed{});
    wake_agent(index);
  });
}

void World::step_agent(std::size_t index, const worker::Input& input) {
  SimWorker& w = workers_[index];
  if (!w.agent) return;
  const std::vector<worker::Action> actions = w.agent->step(input, local(w, now_));
  for (const worker::Action& action : actions) {
    if (!violation_) perform(index, action);
  }
  if (w.agent && w.agent->unanswered_heartbeats() > worker::kUnansweredHeartbeatsMax)
    violate("I17", w.name + " remembers too many heartbeats");
}

void World::perform(std::size_t index, const worker::Action& action) {
  if (const auto* send = std::get_if<worker::SendMessage>(&action)) {
    to_coordinator(index, send->message);
  } else if (const auto* order = std::get_if<worker::Launch>(&action)) {
    launch(index, order->order);
  } else if (const auto* stop = std::get_if<worker::Terminate>(&action)) {
    ask_to_stop(index, *stop);
  } else if (const auto* end = std::get_if<worker::Kill>(&action)) {
    kill(index, *end);
  } else if (const auto* exit = std::get_if<worker::Exit>(&action)) {
    end_worker(index, *exit);
  }
}

}  // namespace strata::simulation
