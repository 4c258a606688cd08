// A text file as lines.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

namespace strata::trainer {

// Ends of lines are LF or CRLF, with or without one after the last; nothing else is cut off.
// The views point into `text`.
[[nodiscard]] inline std::vector<std::string_view> text_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
  }
  return lines;
}

}  // namespace strata::trainer
