// What can fail cannot be ignored.
#include "base/files.h"

namespace strata {

void test() {
#ifdef STRATA_MISTAKE
  make_folder("x");
#else
  static_cast<void>(make_folder("x"));
#endif
}

}  // namespace strata
