// What a corpus made from a Debian package is pinned to: the same version gives the same bytes,
// another one another corpus.
#pragma once

#include <string>

#include "base/result.h"

namespace strata::trainer {

// Asks dpkg-query; the value is the installed version, which is the pinned one. kInvalid where the
// package is missing or has another version; the message says what to do.
[[nodiscard]] Result<std::string> pinned_version(const std::string& package,
                                                 const std::string& pinned);

}  // namespace strata::trainer
