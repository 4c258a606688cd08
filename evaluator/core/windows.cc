#include "evaluator/core/windows.h"

#include "base/assert.h"

namespace strata::evaluator {
namespace {

// Where to cut within [from, to): the middle of the stretch with the least energy, tried at every
// tenth of its length.
std::size_t quietest_cut(std::span<const float> samples, std::size_t from, std::size_t to,
                         std::size_t quiet) {
  const std::size_t step = quiet < 10 ? 1 : quiet / 10;
  double least = 0;
  std::size_t best = from;
  for (std::size_t at = from; at + quiet <= to; at += step) {
    double energy = 0;
    for (const float x : samples.subspan(at, quiet))
      energy += static_cast<double>(x) * static_cast<double>(x);
    if (at == from || energy < least) {
      least = energy;
      best = at;
    }
  }
  return best + quiet / 2;
}

}  // namespace

std::vector<Window> cut_windows(std::span<const float> samples, const WindowOptions& options) {
  STRATA_ASSERT(options.quiet > 0);
  STRATA_ASSERT(options.quiet <= options.search);
  STRATA_ASSERT(options.search < options.length_max);
  std::vector<Window> windows;
  std::size_t begin = 0;
  while (samples.size() - begin > options.length_max) {
    const std::size_t full = begin + options.length_max;
    const std::size_t cut = quietest_cut(samples, full - options.search, full, options.quiet);
    windows.push_back({begin, cut});
    begin = cut;
  }
  windows.push_back({begin, samples.size()});
  return windows;
}

}  // namespace strata::evaluator
