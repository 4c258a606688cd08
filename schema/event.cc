#include "schema/event.h"

#include <array>

namespace strata {

const char* name_of(const EventBody& body) {
  static constexpr std::array<const char*, std::variant_size_v<EventBody>> kNames{
      "sweep-opened",         "task-wanted",        "run-added",       "sweep-sealed",
      "want-withdrawn",       "task-revived",       "task-cancelled",  "worker-joined",
      "worker-drained",       "worker-gone",        "attempt-granted", "attempt-started",
      "checkpoint-committed", "stop-requested",     "attempt-ended",   "artifact-evicted",
      "store-restored",       "worker-quarantined", "worker-probed",   "worker-released",
      "failure-forgiven",     "rung-reached",       "task-held",       "task-promoted",
      "task-pruned"};
  return kNames.at(body.index());
}

const char* name_of(SearchMethod method) {
  switch (method) {
    case SearchMethod::kAsha: return "asha";
    case SearchMethod::kMedian: return "median";
  }
  return "unknown";
}

}  // namespace strata
