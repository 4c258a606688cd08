#include "coordinator/core/plan.h"

namespace strata::coordinator {

char plan_class(std::string_view state, bool outdated, bool wanted) {
  if (state.empty()) return 'n';
  if (state == "failed" || state == "cancelled") return 'r';
  // What its search has pruned stays so when the sweep is submitted again, but not after a cancel,
  // and not for another sweep.
  if (state == "pruned" && !wanted) return 'r';
  if (state == "succeeded" || state == "diverged" || state == "pruned") return outdated ? 'o' : 'k';
  return 'u';
}

}  // namespace strata::coordinator
