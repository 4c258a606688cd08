#include "coordinator/core/scheduler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "base/assert.h"

namespace strata::coordinator {
namespace {

std::int64_t value_or_zero(const std::map<std::string, std::int64_t>& map, const std::string& key) {
  const auto it = map.find(key);
  return it == map.end() ? 0 : it->second;
}

constexpr std::int64_t kNoBound = std::numeric_limits<std::int64_t>::max() / 2;

class Planner {
 public:
  explicit Planner(Picture picture) : p_(std::move(picture)) {
    std::int64_t slots = 0;
    for (const Machine& machine : p_.machines) slots += machine.worker->slots;
    scoring_slots_ =
        std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(p_.options.scoring_share *
                                                                      static_cast<double>(slots))));
    for (const auto& [key, lane] : p_.queue.lanes()) {
      const auto sweep = p_.cluster.sweeps().find(key.sweep);
      if (sweep == p_.cluster.sweeps().end()) continue;
      may_preempt_ = may_preempt_ || sweep->second.options.preempts;
      candidates_.push_back(
          {.key = &key, .sweep = &sweep->second, .next = lane.begin(), .end = lane.end()});
    }
  }

  Pass run() {
    for (const auto& [worker, kept] : p_.kept) {
      const TaskKey& task = kept.task;
      const bool waits = std::any_of(candidates_.begin(), candidates_.end(),
                                     [&](const Candidate& c) { return c.next->second == task; });
      if (!waits || p_.cluster.find_worker(worker) == nullptr) continue;
      waited_[task] = kept.since;
      newest_wait_ = std::max(newest_wait_, kept.since);
      pass_.kept.emplace(worker, kept);
    }
    std::size_t looks = 0;
    while (!candidates_.empty() && pass_.grants.size() < kPlacementsPerPassMax &&
           looks < kLaneLooksPerPassMax) {
      const bool any_free = std::any_of(p_.machines.begin(), p_.machines.end(),
                                        [](const Machine& m) { return m.free > 0; });
      if (!any_free && !may_preempt_) break;
      looks += candidates_.size();
      const auto first = std::min_element(
          candidates_.begin(), candidates_.end(),
          [&](const Candidate& a, const Candidate& b) { return rank(a) < rank(b); });
      if (!serve(*first)) candidates_.erase(first);
    }
    return std::move(pass_);
  }

 private:
  struct Candidate {  // a lane under way
    const LaneKey* key = nullptr;
    const Sweep* sweep = nullptr;
    Lane::const_iterator next{};
    Lane::const_iterator end{};
  };
  using Rank = std::tuple<bool, std::int64_t, std::uint64_t, std::int64_t, double, std::uint64_t>;
  static constexpr auto kDoesNotWait = std::numeric_limits<std::uint64_t>::max();

  [[nodiscard]] Rank rank(const Candidate& c) const {
    const bool in_share =
        c.key->scoring && usage_.of_scoring() + p_.usage.of_scoring() < scoring_slots_;
    const auto waited = waited_.find(c.next->second);
    const auto weight = static_cast<double>(std::max<std::int64_t>(c.sweep->options.weight, 1));
    return {!in_share,
            -c.sweep->priority,
            waited != waited_.end() ? waited->second : kDoesNotWait,
            held_by_user(c),
            static_cast<double>(held_by_sweep(c)) / weight,
            c.next->first};
  }
  // Before this pass and by it.
  [[nodiscard]] std::int64_t held_by_sweep(const Candidate& c) const {
    return p_.usage.of_sweep(c.key->sweep) + usage_.of_sweep(c.key->sweep);
  }
  [[nodiscard]] std::int64_t held_by_user(const Candidate& c) const {
    const std::string& user = c.sweep->options.user;
    return p_.usage.of_user(user) + usage_.of_user(user);
  }

  // Whether the lane may have another turn.
  bool serve(Candidate& lane) {
    const Needs& needs = lane.key->needs;
    const SweepOptions& options = lane.sweep->options;
    const bool over_quota = !quota_reason(options, p_.options, held_by_sweep(lane),
                                          held_by_user(lane), needs.resources.slots)
                                 .empty();
    if (over_quota) return false;
    if (hopeless_.contains(needs)) {
      if (options.preempts) keep(lane, make_room(lane));
      return false;
    }
    const Placement placement = place(needs, p_.machines, p_.now);
    if (const auto* found = std::get_if<Placed>(&placement)) {
      grant(lane, *found);
      return ++lane.next != lane.end;
    }
    hopeless_.insert(needs);
    if (const auto* waiting = std::get_if<Waiting>(&placement)) wait(lane, waiting->anywhere);
    return false;
  }

  void grant(const Candidate& lane, const Placed& found) {
    Grantable grant{.task = lane.next->second, .gang = found.gang};
    forget_kept(grant.task);
    Machine& machine = machine_of(found.gang.front().worker);
    const Resources& needs = lane.key->needs.resources;
    machine.free -= needs.slots;
    machine.memory_free_mb -= needs.memory_mb;
    if (found.backfilled) {
      Reservation& kept = *machine.reserved;
      const auto ends = p_.now + std::chrono::milliseconds(needs.expected_ms);
      if (needs.expected_ms > 0 && kept.from && ends <= *kept.from) {
        grant.must_end_by = kept.from;
      } else {
        kept.slots_over -= needs.slots;
        kept.memory_over_mb -= needs.memory_mb;
      }
    }
    usage_.hold({.task = grant.task, .number = 1}, {.sweep = lane.key->sweep,
                                                    .user = lane.sweep->options.user,
                                                    .scoring = lane.key->scoring,
                                                    .slots = needs.slots});
    pass_.grants.push_back(std::move(grant));
  }

  // The lane's first task waits: a worker is kept for it, and where its sweep may, gangs of lower
  // priority are asked to make room.
  void wait(const Candidate& lane, bool anywhere) {
    std::optional<WorkerId> room;
    if (lane.sweep->options.preempts) room = make_room(lane);
    keep(lane, room ? room : place_to_keep(lane, anywhere));
  }

  // Where it waits already, or else where it can begin first. Nothing: room alone does not help it
  // anywhere, so no slots stand idle for it.
  [[nodiscard]] std::optional<WorkerId> place_to_keep(const Candidate& lane, bool anywhere) const {
    const TaskKey& task = lane.next->second;
    Needs needs = lane.key->needs;
    if (anywhere) needs.avoids.clear();
    using Claim = std::tuple<bool, bool, Instant, std::int64_t, WorkerId>;
    std::optional<Claim> best;
    for (const Machine& machine : p_.machines) {
      const auto why = obstacle(needs, machine, p_.now);
      if (why != Obstacle::kBusy && why != Obstacle::kReserved) continue;
      const auto kept = pass_.kept.find(machine.id);
      if (kept != pass_.kept.end() && kept->second.task == task) return machine.id;
      const auto from = reservation(task, needs.resources, machine).from;
      const Claim claim{machine.reserved.has_value(), !from, from.value_or(Instant()),
                        -machine.free, machine.id};
      if (!best || claim < *best) best = claim;
    }
    if (!best) return std::nullopt;
    return std::get<WorkerId>(*best);
  }

  void keep(const Candidate& lane, std::optional<WorkerId> where) {
    if (!where) return;
    Machine& machine = machine_of(*where);
    const TaskKey& task = lane.next->second;
    const Reservation its = reservation(task, lane.key->needs.resources, machine);
    if (machine.reserved) {
      // For one that is before it. What comes behind them both must delay neither, so it ends
      // before the sooner of them could begin.
      Reservation& first = *machine.reserved;
      first.from = first.from && its.from ? std::min(first.from, its.from) : std::nullopt;
      first.slots_over = 0;
      first.memory_over_mb = 0;
      return;
    }
    machine.reserved = its;
    forget_kept(task);
    const auto waited = waited_.find(task);
    pass_.kept[*where] = {.task = task,
                          .since = waited != waited_.end() ? waited->second : ++newest_wait_};
  }

  void forget_kept(const TaskKey& task) {
    std::erase_if(pass_.kept, [&](const auto& entry) { return entry.second.task == task; });
  }

  [[nodiscard]] Reservation reservation(const TaskKey& task, const Resources& needs,
                                        const Machine& machine) const {
    Reservation kept{.task = task};
    std::vector<std::pair<Instant, AttemptId>> ends;
    for (const AttemptId& attempt : machine.worker->attempts) {
      // One that runs longer than it said may end at any moment.
      if (const auto end = p_.ends(attempt)) ends.emplace_back(std::max(*end, p_.now), attempt);
    }
    std::sort(ends.begin(), ends.end());
    std::int64_t free = machine.free;
    std::int64_t memory = machine.memory_free_mb;
    const bool memory_counts = machine.worker->memory_mb > 0;
    for (const auto& [end, attempt] : ends) {
      if (const auto held = granted(attempt, machine.id)) {
        free += held->slots;
        memory += held->memory_mb;
      }
      if (free < needs.slots || (memory_counts && memory < needs.memory_mb)) continue;
      kept.from = end;
      kept.slots_over = free - needs.slots;
      kept.memory_over_mb = memory_counts ? memory - needs.memory_mb : kNoBound;
      break;
    }
    return kept;
  }

  [[nodiscard]] std::optional<Grant> granted(const AttemptId& attempt, WorkerId worker) const {
    const Gang* gang = gang_of(p_.cluster.find_task(attempt.task)->state);
    if (gang == nullptr) return std::nullopt;
    for (const Grant& grant : *gang) {
      if (grant.worker == worker) return grant;
    }
    return std::nullopt;
  }

  struct Room {
    std::int64_t slots = 0;  // taken from others
    std::vector<AttemptId> victims{};
  };

  // What would have to stop on this machine; nothing: no stop helps.
  [[nodiscard]] std::optional<Room> room_on(const Machine& machine, const Candidate& lane) const {
    const Needs& needs = lane.key->needs;
    if (machine.reserved || obstacle(needs, machine, p_.now) != Obstacle::kBusy)
      return std::nullopt;
    std::int64_t free = machine.free;
    std::int64_t memory = machine.memory_free_mb;
    const auto enough = [&] {
      return free >= needs.resources.slots &&
             (machine.worker->memory_mb == 0 || memory >= needs.resources.memory_mb);
    };
    struct Victim {
      std::int64_t priority = 0;
      std::uint64_t order = 0;
      AttemptId attempt{};
      Grant held{};
    };
    std::vector<Victim> victims;
    for (const AttemptId& attempt : machine.worker->attempts) {
      const Task& task = *p_.cluster.find_task(attempt.task);
      const auto held = granted(attempt, machine.id);
      const std::string* owner = p_.cluster.owner_of(task);
      if (!held) continue;
      if (stop_of(task.state) != nullptr) {  // on its way out already
        free += held->slots;
        memory += held->memory_mb;
      } else if (owner != nullptr && task.spec.resumable() &&
                 p_.cluster.sweeps().at(*owner).priority < lane.sweep->priority) {
        victims.push_back({.priority = p_.cluster.sweeps().at(*owner).priority,
                           .order = task.order,
                           .attempt = attempt,
                           .held = *held});
      }
    }
    // The least urgent first, and of those the one that was created last.
    std::sort(victims.begin(), victims.end(), [](const Victim& a, const Victim& b) {
      return std::make_pair(a.priority, b.order) < std::make_pair(b.priority, a.order);
    });
    Room room;
    for (const Victim& victim : victims) {
      if (enough()) break;
      free += victim.held.slots;
      memory += victim.held.memory_mb;
      room.slots += victim.held.slots;
      room.victims.push_back(victim.attempt);
    }
    if (!enough()) return std::nullopt;
    // A wide one at the end may have made narrow ones before it needless: of those the most urgent
    // are spared first.
    for (auto it = room.victims.end(); it != room.victims.begin();) {
      --it;
      const Grant held = *granted(*it, machine.id);
      free -= held.slots;
      memory -= held.memory_mb;
      if (enough()) {
        room.slots -= held.slots;
        it = room.victims.erase(it);
      } else {
        free += held.slots;
        memory += held.memory_mb;
      }
    }
    return room;
  }

  // Asks for the stops that free the fewest slots, once: where enough is on its way out, nothing.
  std::optional<WorkerId> make_room(const Candidate& lane) {
    std::optional<Room> least;
    WorkerId where;
    for (const Machine& machine : p_.machines) {
      const auto room = room_on(machine, lane);
      if (!room || (least && room->slots >= least->slots)) continue;
      least = room;
      where = machine.id;
    }
    if (!least) return std::nullopt;
    for (const AttemptId& attempt : least->victims) {
      const bool asked = std::any_of(pass_.preemptions.begin(), pass_.preemptions.end(),
                                     [&](const Preemption& p) { return p.attempt == attempt; });
      if (asked) continue;
      pass_.preemptions.push_back(
          {.attempt = attempt,
           .reason = fmt::format("its slots are needed for {} of {}, which is more urgent",
                                 lane.next->second.brief(), lane.key->sweep)});
    }
    return where;
  }

  Machine& machine_of(WorkerId id) {
    const auto it = std::find_if(p_.machines.begin(), p_.machines.end(),
                                 [&](const Machine& m) { return m.id == id; });
    STRATA_ASSERT(it != p_.machines.end());
    return *it;
  }

  Picture p_;
  Pass pass_{};
  Usage usage_{};  // of this pass
  std::int64_t scoring_slots_ = 0;
  bool may_preempt_ = false;
  std::vector<Candidate> candidates_;
  std::map<TaskKey, std::uint64_t> waited_;  // a place was kept for them by the pass before: since
  std::uint64_t newest_wait_ = 0;
  std::set<Needs> hopeless_;  // nothing gets freer within a pass
};

}  // namespace

void Usage::add(const Account& account, std::int64_t slots) {
  const auto change = [&](std::map<std::string, std::int64_t>& map, const std::string& key) {
    if ((map[key] += slots) == 0) map.erase(key);
  };
  change(sweeps_, account.sweep);
  change(users_, account.user);
  if (account.scoring) scoring_ += slots;
}

void Usage::hold(const AttemptId& attempt, Account account) {
  release(attempt);
  add(account, account.slots);
  accounts_.emplace(attempt, std::move(account));
}

void Usage::release(const AttemptId& attempt) {
  const auto it = accounts_.find(attempt);
  if (it == accounts_.end()) return;
  add(it->second, -it->second.slots);
  accounts_.erase(it);
}

std::int64_t Usage::of_sweep(const std::string& sweep) const {
  return value_or_zero(sweeps_, sweep);
}
std::int64_t Usage::of_user(const std::string& user) const { return value_or_zero(users_, user); }

std::string quota_reason(const SweepOptions& sweep, const SchedulerOptions& options,
                         std::int64_t held_by_sweep, std::int64_t held_by_user,
                         std::int64_t slots) {
  if (sweep.slots_max > 0 && held_by_sweep + slots > sweep.slots_max) {
    return fmt::format("its sweep may hold {} slots at once and holds {}", sweep.slots_max,
                       held_by_sweep);
  }
  if (options.user_slots_max > 0 && held_by_user + slots > options.user_slots_max) {
    return fmt::format("a user may hold {} slots at once and {} holds {}", options.user_slots_max,
                       sweep.user.empty() ? "this one" : sweep.user, held_by_user);
  }
  return "";
}

Pass plan_pass(Picture picture) { return Planner(std::move(picture)).run(); }

}  // namespace strata::coordinator
