#include "schema/event.h"

#include <array>

namespace strata {

const char* name_of(const EventBody& body) {
  static constexpr std::array<const char*, std::variant_size_v<EventBody>> kNames{
      "sweep-opened",         "task-wanted",    "run-added",       "sweep-sealed",
      "want-withdrawn",       "task-revived",   "task-cancelled",  "worker-joined",
      "worker-drained",       "worker-gone",    "attempt-granted", "attempt-started",
      "checkpoint-committed", "stop-requested", "attempt-ended",   "artifact-evicted",
      "store-restored"};
  return kNames.at(body.index());
}

const char* name_of(FailureClass cause) {
  switch (cause) {
    case FailureClass::kUser: return "user";
    case FailureClass::kInvalid: return "invalid";
    case FailureClass::kInfra: return "infra";
    case FailureClass::kData: return "data";
  }
  return "unknown";
}

}  // namespace strata
