#include "schema/codec.h"

#include "base/assert.h"
#include "schema/codec_fields.h"

namespace strata {
namespace {

constexpr std::string_view kMagic = "STRA";
constexpr std::uint16_t kMessageKind = 1;
constexpr std::uint16_t kEventKind = 2;

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i)
    out += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
}
std::uint64_t get(std::string_view in, std::size_t at, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) {
    value |=
        static_cast<std::uint64_t>(static_cast<unsigned char>(in[at + static_cast<std::size_t>(i)]))
        << (8 * i);
  }
  return value;
}

template <class T>
Result<std::string> encode_frame(const T& value, std::uint16_t version, std::uint16_t kind) {
  std::string frame(kMagic);
  put(frame, version, 2);
  put(frame, kind, 2);
  put(frame, 0, 8);  // length and checksum: known below
  STRATA_ASSERT(frame.size() == kFrameHeaderBytes);
  {
    FrameOutput archive(frame);
    archive(value);
  }
  const std::string_view payload = std::string_view(frame).substr(kFrameHeaderBytes);
  if (frame.size() > kFrameBytesMax) {
    return fail(ErrorCode::kTooLarge, "a frame of {} bytes exceeds the limit of {}", frame.size(),
                kFrameBytesMax);
  }
  std::string sums;
  put(sums, payload.size(), 4);
  put(sums, crc32c(payload), 4);
  frame.replace(8, sums.size(), sums);
  return frame;
}

template <class T>
Result<T> decode_frame(std::string_view frame, std::uint16_t version, std::uint16_t kind) {
  if (frame.size() > kFrameBytesMax)
    return fail(ErrorCode::kTooLarge, "a frame of {} bytes exceeds the limit", frame.size());
  if (frame.size() < kFrameHeaderBytes || frame.substr(0, 4) != kMagic) {
    return fail(ErrorCode::kInvalid, "not a frame of Strata: {} bytes without its magic",
                frame.size());
  }
  const std::uint64_t its_version = get(frame, 4, 2);
  if (its_version == 0 || its_version > version) {
    return fail(ErrorCode::kUnsupported, "frame version {}; this build understands 1 to {}",
                its_version, version);
  }
  if (get(frame, 6, 2) != kind)
    return fail(ErrorCode::kInvalid, "a frame of kind {}, expected {}", get(frame, 6, 2), kind);
  const std::string_view payload = frame.substr(kFrameHeaderBytes);
  if (get(frame, 8, 4) != payload.size()) {
    return fail(ErrorCode::kDamaged, "the frame says {} bytes of payload, there are {}",
                get(frame, 8, 4), payload.size());
  }
  if (get(frame, 12, 4) != crc32c(payload))
    return fail(ErrorCode::kDamaged, "the frame's checksum does not match");
  try {
    BoundedInput in(payload, its_version);
    T value{};
    in(value);
    if (in.remaining() != 0)
      return fail(ErrorCode::kInvalid, "{} bytes follow the payload's end", in.remaining());
    return value;
  } catch (const std::exception& e) {
    return fail(ErrorCode::kInvalid, "the frame's payload: {}", e.what());
  }
}

}  // namespace

std::size_t frame_size(std::string_view bytes) {
  if (bytes.size() < kFrameHeaderBytes || !bytes.starts_with(kMagic)) return 0;
  return kFrameHeaderBytes + static_cast<std::size_t>(get(bytes, 8, 4));
}

Result<std::string> encode(const Message& message) {
  return encode_frame(message, kProtocolVersion, kMessageKind);
}
Result<std::string> encode(const Event& event) {
  return encode_frame(event, kEventVersion, kEventKind);
}
Result<Message> decode_message(std::string_view frame) {
  return decode_frame<Message>(frame, kProtocolVersion, kMessageKind);
}
Result<Event> decode_event(std::string_view frame) {
  return decode_frame<Event>(frame, kEventVersion, kEventKind);
}

}  // namespace strata
