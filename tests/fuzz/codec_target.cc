// The decoders alone: a value or an error, and a value survives being written and read again.
#include "base/assert.h"
#include "tests/fuzz/frame.h"
#include "tests/fuzz/targets.h"

namespace strata::fuzz {
namespace {

// NaN differs from itself; its bytes do not.
template <class T, class Decode>
std::string survives(const T& value, Decode decode) {
  const auto bytes = encode(value);
  STRATA_ASSERT(bytes.has_value());
  const auto back = decode(*bytes);
  STRATA_ASSERT(back.has_value());
  STRATA_ASSERT(encode(*back).value() == *bytes);
  return "read";
}

}  // namespace

std::string run_codec(std::string_view input) {
  static const std::string message_frame = encode(Message(WhoAreYou{})).value();
  static const std::string event_frame = encode(Event{.at = {1}, .body = SweepSealed{}}).value();
  const auto message = decode_message(frame_of(input, message_frame));
  const auto event = decode_event(frame_of(input, event_frame));
  return (message ? survives(*message, decode_message) : message.error().message) + " / " +
         (event ? survives(*event, decode_event) : event.error().message);
}

}  // namespace strata::fuzz
