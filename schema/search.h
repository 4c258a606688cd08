// What a sweep's search method is, as it travels and as it is logged. How methods decide is
// coordinator/core/search.h; a sweep without one runs every cell to its end.
//
// A rung is a step of training at which a task is judged by the last value of a metric up to there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace strata {

// DO NOT reorder: logs hold these by number.
enum class SearchMethod : std::uint8_t {
  kAsha,  // asynchronous successive halving: the best 1/reduction of a rung go on (Li et al. 2020)
  kMedian,  // stopped when worse than the median of the others at the same rung (Golovin et al.
            // 2017)
};

struct SearchDefinition {
  SearchMethod method = SearchMethod::kAsha;
  std::string stage{};   // whose tasks are judged; they must be resumable
  std::string metric{};  // a name in the metric points of those tasks
  bool minimize = true;
  std::vector<std::int64_t> rungs{};  // steps, ascending
  std::int64_t reduction = 3;         // ASHA: 1 of so many is promoted
  std::int64_t others_min = 3;        // median: so many others must have reached the rung
  bool operator==(const SearchDefinition&) const = default;
};

[[nodiscard]] const char* name_of(SearchMethod method);

}  // namespace strata
