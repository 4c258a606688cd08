// The plans that were given out lately, by id: the thread that answers `plan` writes them down, the
// server looks one up when a submission names it. Bounded; the oldest goes first.
//
// Thread rule: any thread.
#pragma once

#include <deque>
#include <memory>
#include <mutex>

#include "coordinator/core/plan.h"

namespace strata::coordinator {

inline constexpr std::size_t kPlansKept = 64;
inline constexpr std::size_t kPlanTasksKept = 1'000'000;  // keys of 32 bytes, in all plans together

class PlanBook {
 public:
  // One that is larger than all that may be kept is not remembered: its submission is told so.
  void remember(Plan plan);
  [[nodiscard]] std::shared_ptr<const Plan> find(std::string_view id) const;

 private:
  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<const Plan>> plans_;  // guarded, oldest first
  std::size_t tasks_ = 0;                          // guarded: of all plans_
};

}  // namespace strata::coordinator
