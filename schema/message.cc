#include "schema/message.h"

#include <array>

namespace strata {

const char* name_of(const Message& message) {
  static constexpr std::array<const char*, std::variant_size_v<Message>> kNames{
      "hello",        "heartbeat",     "report-started", "report-checkpoint", "report-ended",
      "metric-batch", "goodbye",       "welcome",        "refused",           "start-attempt",
      "stop-attempt", "heartbeat-ack", "ended-ack",      "metric-ack",        "who-are-you",
      "request",      "answer",        "submit-tasks",   "leaving",           "checkpoint-ack"};
  return kNames.at(message.index());
}

}  // namespace strata
