// What a plan can know of the room that there is, by the coordinator's answers to `workers` and
// `status`. Pure. Who is given what and when stays the coordinator's business; here stands what no
// worker could ever hold, and how much others have in the queue.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/value.h"
#include "schema/room.h"

namespace strata::cli {

class PlanRoom {
 public:
  PlanRoom() = default;
  // `workers`, `status`: the answers; null where there is none.
  PlanRoom(const Value& workers, const Value& status);

  [[nodiscard]] bool known() const { return known_; }
  // Of workers that take tasks: neither draining nor in quarantine.
  [[nodiscard]] std::int64_t slots() const { return slots_; }
  [[nodiscard]] std::int64_t slots_free() const { return slots_free_; }
  // All tasks of all sweeps that run or are queued.
  [[nodiscard]] std::int64_t queued() const { return queued_; }

  // "needs 16 slots together; the largest worker has 2"; empty where a worker could hold it, or
  // nothing is known.
  [[nodiscard]] std::string why_never(const Resources& needs) const;

 private:
  bool known_ = false;
  std::int64_t slots_ = 0;
  std::int64_t slots_free_ = 0;
  std::int64_t queued_ = 0;
  std::vector<Offer> offers_{};  // of workers that do not drain
};

}  // namespace strata::cli
