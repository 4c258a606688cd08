// Drawing the value of one axis. The same generator, axis and order of draws give the same value on
// every machine: ranges are rounded to six significant digits, which the last bits of a library's
// logarithm do not reach. Internal to this room.
#pragma once

#include "base/random.h"
#include "schema/sweep.h"

namespace strata {

[[nodiscard]] Value draw(const Axis& axis, Random& random);

}  // namespace strata
