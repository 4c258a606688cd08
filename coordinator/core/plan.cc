#include "coordinator/core/plan.h"

namespace strata::coordinator {

char plan_class(std::string_view state, bool outdated) {
  if (state.empty()) return 'n';
  // What a search has pruned is taken up again by whoever wants it whole.
  if (state == "failed" || state == "cancelled" || state == "pruned") return 'r';
  if (state == "succeeded" || state == "diverged") return outdated ? 'o' : 'k';
  return 'u';
}

}  // namespace strata::coordinator
