// Bars, durations and sizes as people read them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/render/colour.h"

namespace strata::cli {

// "████████▌   " of exactly `width` columns, in eighths of a character. REQUIRES: 0 <= fraction
// <= 1.
[[nodiscard]] std::string bar(double fraction, std::size_t width);
// "0.4 s", "47 s", "3 min 20 s", "2 h 05 min", "3 d 4 h".
[[nodiscard]] std::string format_duration(double seconds);
// "812 B", "1.4 GB" (powers of 1000).
[[nodiscard]] std::string format_bytes(double bytes);
// "1,234,567".
[[nodiscard]] std::string format_count(std::int64_t count);
// The shortest decimal with `digits` significant digits: "910", "0.0123".
[[nodiscard]] std::string format_number(double value, int digits = 4);
// Exactly `decimals` digits after the point, with a true minus sign; "-0.0" is "0.0".
[[nodiscard]] std::string format_fixed(double value, int decimals);
// "2026-11-22 04:30:00Z".
[[nodiscard]] std::string format_time(std::int64_t unix_ms);
// "1 run", "3 runs".
[[nodiscard]] std::string plural(std::int64_t count, std::string_view noun);

}  // namespace strata::cli
