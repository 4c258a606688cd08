// The clock for decisions and the clock for people do not compare.
#include "base/clock.h"

namespace strata {

bool test(Instant now, Instant later, WallTime wall) {
#ifdef STRATA_MISTAKE
  return now < wall && later < now;
#else
  return now < later && wall < wall;
#endif
}

}  // namespace strata
