#include "cli/plan_room.h"

#include "cli/view.h"

namespace strata::cli {

PlanRoom::PlanRoom(const Value& workers, const Value& status)
    : known_(!at(workers, "workers").is_null()) {
  for (const Value& worker : array_at(workers, "workers")) {
    if (flag_at(worker, "draining")) continue;
    Offer offer{.slots = integer_at(worker, "slots"), .memory_mb = integer_at(worker, "memory_mb")};
    for (const Value& label : array_at(worker, "labels")) offer.labels.push_back(brief_text(label));
    offers_.push_back(std::move(offer));
    if (!at(worker, "quarantine").is_null()) continue;
    slots_ += integer_at(worker, "slots");
    slots_free_ += integer_at(worker, "free");
  }
  for (const char* state : {"queued", "leased", "running"})
    queued_ += integer_at(at(status, "tasks"), state);
}

std::string PlanRoom::why_never(const Resources& needs) const {
  // Without any worker there is no end to speak of.
  return !known_ || offers_.empty() ? "" : strata::why_never(needs, offers_);
}

}  // namespace strata::cli
