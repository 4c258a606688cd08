#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace strata {

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: this cannot happen, yet it did: !(%s)\n", file, line, expression);
  std::abort();
}

}  // namespace strata
