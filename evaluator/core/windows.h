// Cutting long recordings into pieces that a recognizer of fixed window length can take. Nothing is
// dropped. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace strata::evaluator {

struct WindowOptions {
  std::size_t length_max = 480'000;  // samples: 30 s at 16 kHz
  // How far back from the end of a full window a quiet place is looked for: 5 s.
  std::size_t search = 80'000;
  std::size_t quiet = 1'600;  // length over which loudness is measured: 0.1 s
};

// [begin, end) in samples. A recording that fits is one window; a longer one is cut in the middle
// of the quietest stretch near the end of each window (the first such stretch where several are
// equal), so that words are seldom cut.
struct Window {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool operator==(const Window&) const = default;
};
// REQUIRES: 0 < quiet <= search < length_max.
[[nodiscard]] std::vector<Window> cut_windows(std::span<const float> samples,
                                              const WindowOptions& options = {});

}  // namespace strata::evaluator
