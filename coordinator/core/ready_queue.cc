#include "coordinator/core/ready_queue.h"

#include "coordinator/core/breaks.h"

namespace strata::coordinator {
namespace {

// A pause goes on while an input is made again.
bool may_wait(const Task& task) { return !is_final(task.state) && gang_of(task.state) == nullptr; }

}  // namespace

void ReadyQueue::leave(const TaskKey& key) {
  const Place* place = places_.find(key);
  if (place == nullptr) return;
  const auto lane = place->lane;
  lane->second.erase(place->order);
  if (lane->second.empty()) lanes_.erase(lane);
  places_.erase(key);
}

void ReadyQueue::enter(const TaskKey& key, const Cluster& cluster) {
  const Task& task = *cluster.find_task(key);
  const std::string* owner = cluster.owner_of(task);
  const auto [lane, made] = lanes_.try_emplace({.sweep = owner != nullptr ? *owner : std::string(),
                                                .scoring = task.spec.scoring(),
                                                .needs = needs_of(task)});
  lane->second.emplace(task.order, key);
  places_.set(key, {.lane = lane, .order = task.order});
}

void ReadyQueue::update(const TaskKey& key, const Cluster& cluster) {
  leave(key);
  const Task& task = *cluster.find_task(key);
  const auto pause = paused_.find(key);
  const bool out = STRATA_BROKEN(kDoubleGrant) && gang_of(task.state) != nullptr;
  if (!may_wait(task) && !out) {
    if (pause == paused_.end()) return;
    wakes_.erase({pause->second, key});
    paused_.erase(pause);
  } else if (pause == paused_.end() && (std::holds_alternative<Queued>(task.state) || out)) {
    enter(key, cluster);
  }
}

void ReadyQueue::pause(const TaskKey& key, Instant until, const Cluster& cluster) {
  if (!may_wait(*cluster.find_task(key))) return;
  leave(key);
  if (const auto before = paused_.find(key); before != paused_.end())
    wakes_.erase({before->second, key});
  paused_[key] = until;
  wakes_.insert({until, key});
}

void ReadyQueue::wake(Instant now, const Cluster& cluster) {
  while (!wakes_.empty() && wakes_.begin()->first <= now) {
    const TaskKey key = wakes_.begin()->second;
    wakes_.erase(wakes_.begin());
    paused_.erase(key);
    if (std::holds_alternative<Queued>(cluster.find_task(key)->state)) enter(key, cluster);
  }
}

const Instant* ReadyQueue::paused_until(const TaskKey& key) const {
  const auto it = paused_.find(key);
  return it == paused_.end() ? nullptr : &it->second;
}

}  // namespace strata::coordinator
