#include "coordinator/core/placement.h"

#include <algorithm>
#include <array>

#include "coordinator/core/breaks.h"
#include "schema/room.h"

namespace strata::coordinator {
namespace {

constexpr std::size_t kObstacles = static_cast<std::size_t>(Obstacle::kBusy) + 1;

const char* words_of(Obstacle obstacle) {
  switch (obstacle) {
    case Obstacle::kLabel: return "without the label";
    case Obstacle::kSlots: return "too small";
    case Obstacle::kMemory: return "with too little memory";
    case Obstacle::kDraining: return "draining";
    case Obstacle::kQuarantined: return "in quarantine";
    case Obstacle::kSilent: return "silent";
    case Obstacle::kAvoided: return "where it failed before";
    case Obstacle::kLifetime: return "ending too soon";
    case Obstacle::kReserved: return "kept free for a task before this one";
    case Obstacle::kBusy: return "busy";
  }
  return "?";
}

// "of 5 workers 3 busy, 1 silent": said where there is more than one obstacle.
std::string tally_text(const std::array<std::size_t, kObstacles>& tally, std::size_t machines) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < kObstacles; ++i) {
    if (tally.at(i) > 0)
      parts.push_back(fmt::format("{} {}", tally.at(i), words_of(static_cast<Obstacle>(i))));
  }
  if (machines < 2 || parts.size() < 2) return "";
  return fmt::format(" (of {} workers {})", machines, fmt::join(parts, ", "));
}

bool lives_long_enough(const Needs& needs, std::chrono::milliseconds left) {
  if (left < kLifetimeLeftMin) return false;
  if (needs.resources.expected_ms <= left.count()) return true;  // also where it does not say
  return needs.resumable && left.count() >= kGracesWorthBeginning * needs.grace_ms;
}

// What fits now does not delay the gang for which the place is kept.
bool goes_before(const Needs& needs, const Reservation& reserved, Instant now) {
  if (!reserved.from) return false;
  const bool ends_before =
      needs.resources.expected_ms > 0 &&
      now + std::chrono::milliseconds(needs.resources.expected_ms) <= *reserved.from;
  return ends_before || (needs.resources.slots <= reserved.slots_over &&
                         needs.resources.memory_mb <= reserved.memory_over_mb);
}

std::string lifetime_text(const Needs& needs, const Machine& best) {
  const std::string left =
      fmt::format("{} ends in {} s", best.worker->name, best.lifetime_left->count() / 1000);
  if (*best.lifetime_left < kLifetimeLeftMin) {
    return fmt::format("{}; {}, and a worker that ends in less than {} s begins nothing more",
                       needs_text(needs.resources), left, kLifetimeLeftMin.count() / 1000);
  }
  return fmt::format("{} for {} s; {}", needs_text(needs.resources),
                     needs.resources.expected_ms / 1000, left);
}

std::string waits_text(const Needs& needs, const Machine& best, Obstacle why) {
  const std::string need = needs_text(needs.resources);
  switch (why) {
    case Obstacle::kQuarantined:
      return fmt::format("{}; {} is in quarantine: {} (`strata release {}` ends it)", need,
                         best.worker->name, best.quarantine->reason, best.worker->name);
    case Obstacle::kSilent: return fmt::format("{}; {} is silent", need, best.worker->name);
    case Obstacle::kAvoided:
      return fmt::format("{}; it failed on {} before", need, best.worker->name);
    case Obstacle::kLifetime: return lifetime_text(needs, best);
    case Obstacle::kReserved:
      return fmt::format("{}; {} is kept free for {}, which is before it", need, best.worker->name,
                         best.reserved->task.brief());
    default: break;
  }
  if (best.free >= needs.resources.slots)
    return fmt::format("{}, {} MiB free on {}", need, best.memory_free_mb, best.worker->name);
  return fmt::format("{}, {} free on {}", need, best.free, best.worker->name);
}

std::string never_text(const Needs& needs, const std::vector<Machine>& machines) {
  if (machines.empty()) return needs_text(needs.resources) + "; no worker has joined";
  std::vector<Offer> offers;
  for (const Machine& machine : machines) {
    const Worker& worker = *machine.worker;
    if (!worker.draining)
      offers.push_back(
          {.slots = worker.slots, .memory_mb = worker.memory_mb, .labels = worker.labels});
  }
  return why_never(needs.resources, offers);
}

}  // namespace

Needs needs_of(const Task& task) {
  Needs needs{.resources = task.resources(),
              .resumable = task.spec.resumable(),
              .grace_ms = task.spec.grace_ms(),
              .avoids = task.trouble().avoids};
  const std::set<std::string>& failed_on = task.trouble().failed_on;
  needs.avoids.insert(failed_on.begin(), failed_on.end());
  return needs;
}

std::optional<Obstacle> obstacle(const Needs& needs, const Machine& machine, Instant now) {
  const Worker& worker = *machine.worker;
  const Resources& wanted = needs.resources;
  if (!carries(worker.labels, wanted.labels)) return Obstacle::kLabel;
  if (worker.slots < wanted.slots) return Obstacle::kSlots;
  if (worker.memory_mb > 0 && worker.memory_mb < wanted.memory_mb) return Obstacle::kMemory;
  if (worker.draining) return Obstacle::kDraining;
  if (machine.quarantine != nullptr &&
      !(machine.quarantine->probing && machine.free == worker.slots)) {
    return Obstacle::kQuarantined;
  }
  if (machine.silent) return Obstacle::kSilent;
  if (needs.avoids.contains(worker.name)) return Obstacle::kAvoided;
  if (machine.lifetime_left && !lives_long_enough(needs, *machine.lifetime_left))
    return Obstacle::kLifetime;
  const std::int64_t enough = STRATA_BROKEN(kPartialGang) ? 1 : wanted.slots;
  if (machine.free < enough || (worker.memory_mb > 0 && machine.memory_free_mb < wanted.memory_mb))
    return Obstacle::kBusy;
  if (machine.reserved && !goes_before(needs, *machine.reserved, now)) return Obstacle::kReserved;
  return std::nullopt;
}

Placement place(const Needs& needs, const std::vector<Machine>& machines, Instant now) {
  const Machine* fitting = nullptr;
  const Machine* best = nullptr;  // could hold it if empty; the one that lacks least now
  Obstacle best_why = Obstacle::kBusy;
  std::array<std::size_t, kObstacles> tally{};
  bool avoided = false;
  for (const Machine& machine : machines) {
    const auto why = obstacle(needs, machine, now);
    if (!why) {
      // One that is kept for nobody comes first: there it need not keep its word.
      const auto rank = [](const Machine& m) {
        return std::make_pair(m.reserved.has_value(), m.free);
      };
      if (fitting == nullptr || rank(machine) < rank(*fitting)) fitting = &machine;
      continue;
    }
    ++tally.at(static_cast<std::size_t>(*why));
    if (*why <= kLastStanding) continue;
    if (*why == Obstacle::kAvoided) {
      avoided = true;
      continue;
    }
    // One that is merely busy or kept free comes before one that nobody is given.
    const auto rank = [](Obstacle o) { return o == Obstacle::kBusy || o == Obstacle::kReserved; };
    const bool better = best == nullptr || (rank(*why) && !rank(best_why)) ||
                        (rank(*why) == rank(best_why) && machine.free > best->free);
    if (!better) continue;
    best = &machine;
    best_why = *why;
  }
  if (fitting != nullptr) {
    Placed placed{.gang = {{.worker = fitting->id,
                            .slots = STRATA_BROKEN(kPartialGang)
                                         ? std::min(needs.resources.slots, fitting->free)
                                         : needs.resources.slots,
                            .memory_mb = needs.resources.memory_mb}}};
    placed.backfilled = fitting->reserved.has_value();
    return placed;
  }
  // Nothing else could hold it; one in quarantine may be gone for hours.
  const auto count = [&](Obstacle o) { return tally.at(static_cast<std::size_t>(o)); };
  const bool another = count(Obstacle::kSilent) + count(Obstacle::kLifetime) +
                           count(Obstacle::kReserved) + count(Obstacle::kBusy) >
                       0;
  if (!another && avoided) {
    Needs anywhere = needs;
    anywhere.avoids.clear();
    Placement placement = place(anywhere, machines, now);
    if (auto* waiting = std::get_if<Waiting>(&placement)) waiting->anywhere = true;
    return placement;
  }
  if (best == nullptr) return Infeasible{.reason = never_text(needs, machines)};
  return Waiting{.reason = waits_text(needs, *best, best_why) + tally_text(tally, machines.size())};
}

}  // namespace strata::coordinator
