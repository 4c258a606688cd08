// What cannot happen is asserted, one fact a line, in release builds too. For what can happen see
// result.h.
#pragma once

namespace strata {

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace strata

#define STRATA_ASSERT(expression)      \
  ((expression) ? static_cast<void>(0) \
                : ::strata::assertion_failed(#expression, __FILE__, __LINE__))
