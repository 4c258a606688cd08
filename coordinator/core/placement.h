// Where a task may run. One function decides for the scheduling pass, for `explain` and for `plan`,
// so they cannot disagree. *Waiting* means try again when something ends; *infeasible* means that
// no worker that is here could ever hold it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <variant>

#include "coordinator/core/cluster.h"

namespace strata::coordinator {

struct Placed {
  Gang gang{};
};
struct Waiting {
  std::string reason{};
  WorkerId best{};  // where it would fit first if everything there ended
};
struct Infeasible {
  std::string reason{};
};
using Placement = std::variant<Placed, Waiting, Infeasible>;

// `closed` workers get nothing (silent, or reserved for a wider gang). A gang lies within one
// worker in this version. Ties go to the worker with the fewest free slots that still fits, then to
// the lowest id.
[[nodiscard]] Placement place(const Resources& needs, const std::map<WorkerId, Worker>& workers,
                              const std::set<WorkerId>& closed);

}  // namespace strata::coordinator
