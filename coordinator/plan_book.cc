#include "coordinator/plan_book.h"

#include <algorithm>

namespace strata::coordinator {

void PlanBook::remember(Plan plan) {
  const std::lock_guard lock(mutex_);
  std::erase_if(plans_, [&](const auto& old) {
    if (old->id != plan.id) return false;
    tasks_ -= old->tasks.size();
    return true;
  });
  if (plan.tasks.size() > kPlanTasksKept) return;
  while (plans_.size() >= kPlansKept || tasks_ + plan.tasks.size() > kPlanTasksKept) {
    tasks_ -= plans_.front()->tasks.size();
    plans_.pop_front();
  }
  tasks_ += plan.tasks.size();
  plans_.push_back(std::make_shared<const Plan>(std::move(plan)));
}

std::shared_ptr<const Plan> PlanBook::find(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(plans_, [&](const auto& plan) { return plan->id == id; });
  return found == plans_.end() ? nullptr : *found;
}

}  // namespace strata::coordinator
