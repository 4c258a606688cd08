// A task's key is no run's key, and a worker's number is no request's.
#include "schema/ids.h"

namespace strata {

void take(TaskKey, WorkerId) {}

void test() {
#ifdef STRATA_MISTAKE
  take(RunKey(), RequestId(1));
#else
  take(TaskKey(), WorkerId(1));
#endif
}

}  // namespace strata
