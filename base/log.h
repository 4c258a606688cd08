// The log is for people; what programs must know is an event. One line each, to standard error:
//   2026-11-22T04:30:00.123Z info  worker: started attempt 4f2a9c#2 on 2 slots
// Safe to call from any thread.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace strata {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

void set_log_level(LogLevel level);
void log_line(LogLevel level, std::string_view room, std::string_view text);

template <class... Args>
void log_info(std::string_view room, fmt::format_string<Args...> text, Args&&... args) {
  log_line(LogLevel::kInfo, room, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(std::string_view room, fmt::format_string<Args...> text, Args&&... args) {
  log_line(LogLevel::kWarning, room, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(std::string_view room, fmt::format_string<Args...> text, Args&&... args) {
  log_line(LogLevel::kError, room, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace strata
