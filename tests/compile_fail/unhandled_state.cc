// A visit of the task's state that forgets one alternative is no program: the compiler lists what
// is missing.
#include "coordinator/core/cluster.h"

namespace strata::coordinator {

struct Describe {
  int operator()(const Blocked&) const { return 1; }
  int operator()(const Queued&) const { return 2; }
  int operator()(const Leased&) const { return 3; }
  int operator()(const Running&) const { return 4; }
  int operator()(const TaskSucceeded&) const { return 5; }
  int operator()(const TaskFailed&) const { return 6; }
  int operator()(const TaskCancelledState&) const { return 7; }
  int operator()(const Held&) const { return 9; }
  int operator()(const TaskPrunedState&) const { return 10; }
#ifndef STRATA_MISTAKE
  int operator()(const TaskDiverged&) const { return 8; }
#endif
};

int test(const TaskState& state) { return std::visit(Describe{}, state); }

}  // namespace strata::coordinator
