// Bytes of events and messages. A frame is
//
//   "STRA" | version u16 | kind u16 (1 message, 2 event) | payload length u32 | CRC-32C of the
//   payload u32 | payload
//
// little endian, the payload being cereal's portable binary. decode_* are total functions: any byte
// string gives a value or an error, in memory bounded by the frame's size, because sizes inside the
// payload are never trusted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "schema/event.h"
#include "schema/message.h"

namespace strata {

inline constexpr std::size_t kFrameHeaderBytes = 16;
inline constexpr std::size_t kFrameBytesMax = 16U << 20U;

// An error only when the frame would be larger than kFrameBytesMax.
[[nodiscard]] Result<std::string> encode(const Message& message);
[[nodiscard]] Result<std::string> encode(const Event& event);

[[nodiscard]] Result<Message> decode_message(std::string_view frame);
[[nodiscard]] Result<Event> decode_event(std::string_view frame);

// How long the frame is with which `bytes` begin, as its header says; 0: they begin with none.
[[nodiscard]] std::size_t frame_size(std::string_view bytes);

// By the processor's own instruction where it has one.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);

namespace internal {
// What machines without it do: the same number.
[[nodiscard]] std::uint32_t crc32c_by_tables(std::string_view bytes, std::uint32_t seed = 0);
}  // namespace internal

}  // namespace strata
