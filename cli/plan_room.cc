#include "cli/plan_room.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/view.h"

namespace strata::cli {

PlanRoom::PlanRoom(const Value& workers, const Value& status)
    : known_(!at(workers, "workers").is_null()) {
  for (const Value& worker : array_at(workers, "workers")) {
    if (flag_at(worker, "draining")) continue;
    Machine machine{.slots = integer_at(worker, "slots"),
                    .memory_mb = integer_at(worker, "memory_mb")};
    for (const Value& label : array_at(worker, "labels"))
      machine.labels.push_back(brief_text(label));
    machines_.push_back(std::move(machine));
    if (!at(worker, "quarantine").is_null()) continue;
    slots_ += integer_at(worker, "slots");
    slots_free_ += integer_at(worker, "free");
  }
  for (const char* state : {"queued", "leased", "running"})
    queued_ += integer_at(at(status, "tasks"), state);
}

std::string PlanRoom::why_never(const Resources& needs) const {
  if (!known_ || machines_.empty()) return "";  // without any worker there is no end to speak of
  std::string need =
      needs.slots == 1 ? "needs 1 slot" : fmt::format("needs {} slots together", needs.slots);
  if (needs.memory_mb > 0) need += fmt::format(" and {} MiB", needs.memory_mb);
  if (!needs.labels.empty())
    need += fmt::format(" with label {}", fmt::join(needs.labels, " and "));
  bool labelled = false;
  std::int64_t slots = 0;
  std::int64_t memory = 0;
  for (const Machine& machine : machines_) {
    const bool carries = std::ranges::all_of(needs.labels, [&](const std::string& label) {
      return std::ranges::find(machine.labels, label) != machine.labels.end();
    });
    if (!carries) continue;
    labelled = true;
    slots = std::max(slots, machine.slots);
    if (machine.slots < needs.slots) continue;
    memory = std::max(memory, machine.memory_mb);
    if (machine.memory_mb == 0 || machine.memory_mb >= needs.memory_mb) return "";
  }
  if (!labelled) return need + "; no worker that takes new tasks carries it";
  if (slots < needs.slots) return fmt::format("{}; the largest worker has {}", need, slots);
  return fmt::format("{}; the largest worker has {} MiB", need, memory);
}

}  // namespace strata::cli
