// The queued tasks, in lanes: those of one sweep with the same needs stand in one line, so a pass
// costs as many looks as there are lanes, however many tasks wait. Soft state: made again from the
// cluster after a restart.
//
// Thread rule: the core's thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "base/clock.h"
#include "coordinator/core/key_index.h"
#include "coordinator/core/placement.h"

namespace strata::coordinator {

struct LaneKey {
  std::string sweep{};  // on whose account its tasks run
  bool scoring = false;
  Needs needs{};
  auto operator<=>(const LaneKey&) const = default;
};
using Lane = std::map<std::uint64_t, TaskKey>;  // by order of creation; never empty

class ReadyQueue {
 public:
  ReadyQueue() = default;
  ReadyQueue(ReadyQueue&&) = default;  // a copy would point into the lanes of the other
  ReadyQueue& operator=(ReadyQueue&&) = default;
  ReadyQueue(const ReadyQueue&) = delete;
  ReadyQueue& operator=(const ReadyQueue&) = delete;

  // Takes the task in, moves it or lets it go, as its state and its wants are now. REQUIRES: it is
  // called for every task of Cluster::take_requeued().
  void update(const TaskKey& key, const Cluster& cluster);
  // A task that waits is not looked at before `until`; a later call replaces an earlier one.
  void pause(const TaskKey& key, Instant until, const Cluster& cluster);
  // Those whose pause is over enter their lanes.
  void wake(Instant now, const Cluster& cluster);

  [[nodiscard]] const std::map<LaneKey, Lane>& lanes() const { return lanes_; }
  // Null: it is not paused.
  [[nodiscard]] const Instant* paused_until(const TaskKey& key) const;
  // Queued tasks, paused or not.
  [[nodiscard]] std::size_t size() const { return places_.size() + paused_.size(); }

 private:
  using Lanes = std::map<LaneKey, Lane>;
  struct Place {
    Lanes::iterator lane{};
    std::uint64_t order = 0;
  };
  void leave(const TaskKey& key);
  void enter(const TaskKey& key, const Cluster& cluster);

  Lanes lanes_;
  KeyIndex<Place> places_;
  std::map<TaskKey, Instant> paused_;
  std::set<std::pair<Instant, TaskKey>> wakes_;
};

}  // namespace strata::coordinator
