// What a failed program's log comes to in one line, and in which form two such lines are compared:
// the same failure again, on another machine or at another time, has the same signature.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/log_policy.h"

namespace strata::worker {

inline constexpr std::size_t kSignatureBytesMax = 200;

// The line that says why: of the last Python traceback the exception, whatever was printed behind
// it; else the last line that is not mpirun's own account of the end. Empty when there is none.
[[nodiscard]] std::string telling_line(const std::vector<LogLine>& lines);

// With what differs from one time to the next taken out: absolute paths become <path>, numbers and
// hashes #. At most kSignatureBytesMax bytes.
[[nodiscard]] std::string normalised(std::string_view line);

}  // namespace strata::worker
